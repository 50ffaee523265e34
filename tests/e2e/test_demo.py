"""`vigia demo`, small: its own services, a model, a worker process, live traffic, and nothing left of it."""

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from deploy.local.ports import is_free
from models.params import Member, Recipe
from stream.demo import DemoConfig, Kept, run

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.kafka,
    pytest.mark.redis,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # MLflow's own, of SQLAlchemy
]

SMALL = DemoConfig(
    seed=3,
    rate=300.0,
    seconds=5.0,
    fraud_rate=0.05,
    accounts=400,
    transactions_per_day=1_500.0,
    train_days=4,
    label_days=2,
    min_frauds=60,
    least_gain=0.0,  # so few payments say nothing about the model
    bad_share=0.03,
    repeat_share=0.03,
    recipe=Recipe((Member("lightgbm", {"trees": 60}),)),
)
KEYS = [
    "events",
    "decisions",
    "alerts",
    "dead_letters",
    "repeats",
    "lost",
    "conflicting",
    "events_per_second",
    "latency_ms",
    "average_precision",
    "average_precision_simple",
    "model",
    "reasons",
]


@pytest.mark.timeout(300)  # 14 s alone; LightGBM is slow to train where others want the cores
def test_every_payment_is_decided_once_and_nothing_stays() -> None:
    said = io.StringIO()
    kept = Kept(keep=False)
    verdict = run(SMALL, kept, Console(file=said, width=200))
    assert verdict.failures == [], said.getvalue()
    answer = verdict.as_json()
    assert list(answer) == KEYS
    assert answer["decisions"] == answer["events"] - answer["dead_letters"] - answer["repeats"]
    assert (answer["decisions"], answer["lost"], answer["conflicting"]) == (SMALL.live_count, 0, 0)
    assert answer["dead_letters"] >= 16
    assert answer["repeats"] > 0
    assert answer["latency_ms"].keys() == {"p50", "p95", "p99"}
    assert kept.folder
    assert not kept.folder.exists()
    assert all(is_free(port) for port in ports(said.getvalue()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_what_was_started(number: int, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "stream.cli", "demo"],
        env={**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    assert process.stdout
    try:
        started = next(line for line in process.stderr if "Kafka and Redis" in line)
        assert not any(is_free(port) for port in ports(started))
        process.send_signal(number)
        said = process.stderr.read()
        assert process.wait(60) == 130, said
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
        process.stdout.close()
    assert "interrupted" in said
    assert all(is_free(port) for port in ports(started))
    assert list(tmp_path.glob("vigia-*")) == []


def ports(text: str) -> list[int]:
    """The ports of Kafka and Redis in what the demo said."""
    found = [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", text)]
    assert len(found) >= 2, text
    return found[:2]
