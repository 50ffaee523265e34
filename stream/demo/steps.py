"""Progress of a step that takes seconds: what, then what came of it, and how long it took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.status import Status


@dataclass
class Step:
    """The step at hand. `result` is said when it is done."""

    title: str
    status: Status
    start: float
    result: str = ""

    def now(self, text: str) -> None:
        """Show how far it is (on a terminal; elsewhere only its end is told)."""
        self.status.update(f"{self.title}: {text}")


@dataclass
class Steps:
    """Tells each step on standard error, with the time that it took."""

    console: Console
    clock: Callable[[], float] = time.monotonic
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """One step; its line is printed when it ends well."""
        start = self.clock()
        with self.console.status(title) as status:
            step = Step(title, status, start)
            yield step
        text = f"{title}: {step.result}" if step.result else title
        self.console.print(f"{self.clock() - start:6.1f} s  {text}", highlight=False, soft_wrap=True)
