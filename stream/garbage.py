"""Python's collector of reference cycles and C's memory, told what a process that handles batches is like."""

import ctypes
import gc
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
_KEPT = 32 * 1024 * 1024
"""Bytes that may lie idle at most; glibc takes no more than this for the second."""


def settle() -> None:
    """To be called when all is loaded, before the work begins.

    A batch makes thousands of values that live until it is over and hold no cycle; at the default threshold
    of 700 the collector looks through them again and again (a third of the worker's time: docs/adr/0009).
    What was loaded until now is never looked through again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    _keep_memory()


def _keep_memory() -> None:
    """What a batch frees the next one takes, where glibc would give it back to the system in between.

    A batch of 512 is some megabytes of arrays and messages; to have those pages cleared anew each time took a
    fifth of what deciding them takes.
    """
    with suppress(OSError, AttributeError):  # another C library keeps it, or knows no such setting
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _KEPT)
