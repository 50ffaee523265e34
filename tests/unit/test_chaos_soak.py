"""What the soak says of the workers' memory."""

import pytest

from ..chaos.memory import Growth, Sample
from ..chaos.soak import Soak, too_large

FLAT = Growth("worker 1", 7, 1700.0, 227.0, 251.0, 37.0)


def judged(growth: list[Growth], mib: float = 250.0) -> list[str]:
    samples = [Sample(10.0, "worker 0", 6, mib), Sample(10.0, "redis", 8, 3000.0)]
    return too_large(Soak(30.0, 3000.0, growth=growth, samples=samples))


def test_a_worker_that_stays_as_it_is_is_right() -> None:
    assert judged([FLAT, Growth("redis", 8, 1700.0, 5.0, 3000.0, 6000.0)]) == []


@pytest.mark.parametrize(
    ("growth", "mib", "told"),
    [
        ([FLAT._replace(mib_per_hour=61.0)], 250.0, "worker 1 grows by 61.0 MiB an hour"),
        ([FLAT], 401.0, "worker 0 took 401.0 MiB at second 10"),
        ([], 250.0, "no worker lived long enough to tell its memory by"),
        ([FLAT._replace(seconds=599.0)], 250.0, "no worker lived long enough to tell its memory by"),
    ],
)
def test_what_is_too_large_is_told(growth: list[Growth], mib: float, told: str) -> None:
    assert judged(growth, mib) == [told]


def test_a_step_in_a_short_life_is_no_growth() -> None:
    assert judged([FLAT, Growth("worker 0", 6, 230.0, 197.0, 242.0, 384.0)]) == []
