"""How a process that serves ends: at once, when its work is done or nobody can mend an error."""

import asyncio
import logging
import os
from collections.abc import Coroutine
from threading import Timer
from typing import Any, NoReturn

from features.errors import VigiaError

log = logging.getLogger("vigia.leaving")


def leave(code: int) -> NoReturn:
    """End the process without taking the interpreter apart.

    Threads of librdkafka and of onnxruntime live until then, and may call into what is taken apart already.
    That is most likely why a worker that had finished all its work was once seen to end by SIGSEGV, which a
    supervisor takes for a crash (confluentinc/librdkafka#4108 tells of the same).
    """
    try:
        logging.shutdown()
    finally:
        os._exit(code)


def leave_after(seconds: float) -> None:
    """End the process if it has not ended by then. Nothing is lost: what is not committed is read again.

    Faust's last commit has been seen to wait for good (docs/adr/0004), and its partitions with it.
    """

    def late() -> None:
        log.error("Faust did not stop within %g s: leaving", seconds)
        leave(1)

    timer = Timer(seconds, late)
    timer.daemon = True
    timer.start()


async def or_leave(work: Coroutine[Any, Any, None]) -> None:
    """Leave the process at an error that nobody can mend, before anything is acknowledged."""
    try:
        await work
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        told = error if isinstance(error, VigiaError) else "leaving before anything is acknowledged"
        log.critical("cannot go on: %s", told, exc_info=not isinstance(error, VigiaError))
        leave(1)
