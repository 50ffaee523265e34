"""A folder that one process works in at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import VigiaError


@contextmanager
def only_one(file: Path, taken: str) -> Iterator[None]:
    """Hold the lock of `file`, which is made if absent and stays; the system lets go of a killed process's.

    Raises VigiaError(taken) if another process holds it, OSError if the file can't be made.
    """
    handle = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise VigiaError(taken) from None
        yield
    finally:
        os.close(handle)
