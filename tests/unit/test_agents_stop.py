"""A stop that Faust does not finish."""

import subprocess
import sys

LEAVING = "from time import sleep; from stream.agents import leave_after; leave_after(0.05); sleep(30)"


def test_a_process_that_does_not_stop_leaves() -> None:
    done = subprocess.run([sys.executable, "-c", LEAVING], capture_output=True, text=True, timeout=25)
    assert done.returncode == 1
    assert "Faust did not stop within 0.05 s" in done.stderr


def test_one_that_stops_in_time_is_left_alone() -> None:
    in_time = LEAVING.replace("0.05", "30").replace("sleep(30)", "sleep(0)")
    assert subprocess.run([sys.executable, "-c", in_time], timeout=25).returncode == 0
