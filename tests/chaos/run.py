"""One fault in a world of its own: load, strike, wait until all is decided, judge."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from deploy.local.process import wait_until
from stream.kafka_client import making_client
from stream.record import REPORTS, TRANSACTIONS

from ..world import World, private_world
from .fault import BEFORE, Fault
from .generator import Load, loading
from .ledger import read
from .recovery import largest_gap, recovery, worst
from .stage import WORKERS, Stage
from .verdict import Verdict, judge

SAMPLE = 1000
_DECIDED_SECONDS = 150


@dataclass
class Result:
    """What became of one fault; `wrong` is empty if all its claims hold."""

    fault: str
    wrong: list[str] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    load: dict[str, Any] = field(default_factory=dict)
    lasted: float = 0.0
    """Seconds of the fault itself."""
    recovery: dict[int, float | None] = field(default_factory=dict)
    """By partition, seconds from the fault's end."""
    gap: dict[int, float] = field(default_factory=dict)
    """By partition, the longest time without a decision from the fault on, in seconds."""
    gap_before: dict[int, float] = field(default_factory=dict)
    """The same before the fault: what the machine and the load make without one."""
    drained: float = 0.0
    """Seconds from the end of the load until all was decided."""
    differences: int | None = None
    """Of the state from the oracle's; None: not compared."""
    left: list[dict[str, int]] = field(default_factory=list)
    """Workers that nobody told to go."""
    told: dict[str, object] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        return not self.wrong

    def line(self) -> str:
        """For a person who waits."""
        verdict, again = self.verdict, worst(self.recovery)
        gaps = [max(gap.values(), default=0) for gap in (self.gap, self.gap_before)]
        facts = (
            f"lost {verdict.lost}, conflicting {verdict.conflicting}, differences {self.differences}, "
            f"flows again after {'never' if again is None else f'{again:.1f} s'}, "
            f"largest gap {gaps[0]:.1f} s ({gaps[1]:.1f} s before)"
        )
        return f"{'ok  ' if self.right else 'FAIL'} {self.fault}: {facts}" + "".join(
            f"\n       {wrong}" for wrong in self.wrong
        )


def end_in_order() -> None:
    """Told to end (SIGTERM, which `timeout` sends twice), a run still ends what it started."""

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


@contextmanager
def stage_on(world: World, fault: Fault) -> Iterator[Stage]:
    """The workers are ready."""
    stage = Stage(world, fault.static, dict(fault.environment))
    try:
        fault.prepare(stage)
        for _ in range(WORKERS):
            stage.add_worker()
        stage.wait_ready(*stage.workers)
        yield stage
    finally:
        stage.end()


def run(fault: Fault, model: Path, *, rate: float, seconds: float | None, keep: Path | None) -> Result:
    """Make it happen. `keep`: a folder for the logs when something is wrong."""
    result = Result(fault.name)
    with TemporaryDirectory(prefix="vigia-chaos-") as name, private_world(Path(name), model) as world:
        try:
            _act(fault, world, result, rate, seconds or fault.seconds)
        except Exception as error:
            result.wrong.append(f"{type(error).__name__}: {error}"[:2000])
        if keep and result.wrong:
            keep_logs(world, keep / fault.name)
    return result


def _act(fault: Fault, world: World, result: Result, rate: float, seconds: float) -> None:
    load = Load(world.kafka.address, world.prefix, rate, seconds)
    with loading(world, load) as process, stage_on(world, fault) as stage:
        process.go()
        stage.pause(BEFORE)
        since = time.monotonic() - BEFORE / 2
        fault.strike(stage)
        result.load = process.report()
        over = time.monotonic()
        decided = wait_until(lambda: backlog(world) == 0, _DECIDED_SECONDS, every=0.2)
        result.drained = round(time.monotonic() - over, 1)
        ready = wait_until(lambda: all(_ready(stage)), 20, every=0.2)
        _measure(result, stage, since, over)
        _claims(result, fault, stage, decided, ready)
        _account(result, fault, world, stage)


def _account(result: Result, fault: Fault, world: World, stage: Stage) -> None:
    ledger = read(world)
    result.verdict = judge(ledger, stage.watch.commits, fault.letters)
    result.wrong += [f"{name}: {count}" for name, count in result.verdict.wrong().items()]
    arrived = len(ledger.payments) + ledger.reports + len(ledger.bad)
    if arrived < result.load["sent"]:
        result.wrong.append(f"Kafka lost {result.load['sent'] - arrived} acknowledged records")
    sound, report, said = world.verify(SAMPLE)
    result.differences = report.get("differences")
    if not sound or sum(report["entities"].values()) != SAMPLE:
        result.wrong.append(f"the state is not the oracle's: {report or said}"[:1000])


def _measure(result: Result, stage: Stage, since: float, over: float) -> None:
    """`since`: the load had settled; `over`: it ended."""
    result.lasted = round(stage.ended - stage.began, 1)
    for partition, mark in stage.marks.items():
        arrivals = list(stage.watch.arrivals[partition])
        again = recovery(arrivals, mark, stage.ended)
        result.recovery[partition] = None if again is None else round(again, 2)
        result.gap[partition] = round(largest_gap(arrivals, stage.began, over), 2)
        result.gap_before[partition] = round(largest_gap(arrivals, since, stage.began - 1), 2)
    result.left = [asdict(left) for left in stage.left]
    result.told = stage.told


def _claims(result: Result, fault: Fault, stage: Stage, decided: bool, ready: bool) -> None:
    wrong = result.wrong
    if not decided:
        wrong.append(f"{backlog(stage.world)} records are not committed {_DECIDED_SECONDS} s after the load")
    if not ready:
        wrong.append("a worker is not ready at the end")
    if stage.left:
        wrong.append(f"{len(stage.left)} times a worker left by itself")
    if result.load["failed"]:
        wrong.append(f"{result.load['failed']} records were not published: {result.load['error']}")
    if fault.away:
        seen = stage.watch.statuses(stage.began, stage.ended + 1)
        wrong += [f"worker {n} never said that it is not ready" for n in range(WORKERS) if 503 not in seen[n]]
    again = worst(result.recovery)
    if again is None:
        wrong.append("decisions did not flow again on every partition")
    elif fault.bar is not None and again > fault.bar:
        wrong.append(f"decisions flow again after {again:.1f} s, not {fault.bar:.0f} s")


def _ready(stage: Stage) -> list[bool]:
    return [worker.ready() for worker in stage.workers if worker.process.poll() is None]


def backlog(world: World) -> int:
    """Records of the inputs that are not committed."""
    with making_client():
        consumer = Consumer({**world.settings.kafka_client_config(), "group.id": world.group})
    try:
        places = [
            TopicPartition(world.prefix + topic, p)
            for topic in (TRANSACTIONS, REPORTS)
            for p in range(world.partitions)
        ]
        committed = consumer.committed(places, timeout=10)
        return sum(
            consumer.get_watermark_offsets(place, timeout=10)[1] - max(0, place.offset) for place in committed
        )
    finally:
        consumer.close()


def keep_logs(world: World, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for log in [*world.folder.glob("*.log"), *world.folder.glob("*/*.log")]:
        (folder / log.name).write_bytes(log.read_bytes())
