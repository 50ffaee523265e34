"""Python's collector of reference cycles, told what a process that handles events in batches is like."""

import gc


def settle() -> None:
    """To be called when all is loaded, before the work begins.

    A batch makes thousands of values that live until it is over and hold no cycle; at the default threshold
    of 700 the collector looks through them again and again (a third of the worker's time: docs/adr/0009).
    What was loaded until now is never looked through again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
