"""`vigia bench --quick`: its own services, the three runners, an open loop, one JSON object, nothing left."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stream.bench.stages import STAGES, THREADS

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.redis]


@pytest.mark.timeout(300)  # 45 s alone
def test_a_quick_run_prints_every_figure(model_folder: Path) -> None:
    command = [sys.executable, "-m", "stream.cli", "bench", "--quick", "--model", str(model_folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=290, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told["throughput"]) == {
        "baseline",
        "baseline_in_one_read",
        "vigia",
        "vigia_prefilled",
        "floor",
    }
    assert all(rate > 0 for rate in told["throughput"].values())
    assert told["ratio_baseline"] > 0
    assert told["ratio_floor"] > 0
    assert set(told["memory_mb"]) == {"worker", "redis", "broker"}
    assert all(set(cost) == {"worker", "redis", "broker"} for cost in told["cpu_us_per_event"].values())
    for run in told["runs"]["vigia"]:
        assert set(run["stages_us"]) == set(STAGES)
        assert all(spent > 0 for spent in run["stages_us"].values())
        assert set(run["threads_us"]) == set(THREADS)
    assert told["machine"]["cores"] >= 1
    assert set(told["latency_ms"]) == {"100", "1000", "3626"}
    for load in told["latency_ms"].values():
        assert {"p50", "p95", "p99", "p999"} <= set(load["end_to_end"])
        assert load["missing"] == 0
        assert load["generator"]["failed"] == 0
        assert 0 < load["end_to_end"]["p50"] <= load["end_to_end"]["p999"]
    assert all(run["dead_letters"] == 0 for runs in told["runs"].values() for run in runs)


def test_an_unknown_part_is_bad_usage() -> None:
    command = [sys.executable, "-m", "stream.cli", "bench", "--only", "speed"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--only: speed is no part" in done.stderr
