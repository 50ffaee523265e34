"""What a process that handles batches does with its memory."""

import platform
import subprocess
import sys

import pytest

BATCHES = """
import resource
import numpy as np
from stream.garbage import settle

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def batch():
    return [np.ones(1_000_000, dtype=np.uint8) for _ in range(8)]

{before}
batch()
before = faults()
for _ in range(20):
    batch()
print(faults() - before)
"""


def faults(before: str) -> int:
    """Pages that twenty batches of 8 MB each had to be given anew."""
    run = subprocess.run(
        [sys.executable, "-c", BATCHES.format(before=before)], capture_output=True, text=True, check=True
    )
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has its own ways")
def test_a_batch_takes_the_memory_of_the_one_before() -> None:
    assert faults("settle()") < 500 < faults("")
