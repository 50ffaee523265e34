"""`python -m tests.chaos.soak [--minutes 30] [--rate 3000] [--write docs/soak.md]`: faults every minute.

One world for all of it. The disk is bounded: the feature log, by far the largest topic, is kept to 64 MiB a
partition (nothing here reads it), and Redis rewrites its append-only file. Inputs and outputs are kept whole,
for they are what is accounted for at the end, in about 60 bytes of memory a record. The load lies ready in a
file before it begins: for half an hour some 3 minutes, 3.5 GB of disk and 6 GB of memory meanwhile.
"""

import os

# Before LightGBM is imported: its waiting threads would spin on the cores that the workers need.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import chain, cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from deploy.local.process import wait_until
from stream.kafka_client import making_client
from stream.topics import TOPICS

from ..small_model import small_model
from ..world import World, private_world
from .fault import Fault
from .faults import FAULTS
from .faults.worker import TERM_ONE
from .generator import Load, LoadProcess, loading
from .ledger import read
from .memory import Growth, Memory, Sample, growths
from .poison import poisoned
from .recovery import largest_gap, recovery, worst
from .run import backlog, end_in_order, keep_logs
from .soak_page import write
from .stage import WORKERS, Stage
from .verdict import Verdict, judge

ONCE = ("redis-flushall",)
"""While the log is short, for healing reads all of it again; `_EARLY` seconds after the load began."""

_EARLY = 10.0

CYCLE = (
    "worker-kill", "redis-kill", "poison", "broker-kill", TERM_ONE.name, "redis-disk-full",
    "worker-freeze", "redis-memory-full", "rebalances", "redis-freeze",
)  # fmt: skip
"""None of them ends the second worker, so that one process sees all of it."""

ACCOUNTS, PER_DAY = 1_000_000, 6_000_000
"""Six a day of each; event time goes 43 times as fast as the clock: half an hour is most of a day. With a
fifth of the accounts each had 54 payments an hour of the clock, as no system of this rate has: behind a
fault, when one worker is half a minute behind the other, most payments then came late to their accounts,
which costs Redis three times as much, and two workers on two cores never caught up again."""
FLAT = 60.0
"""MiB an hour that a worker may seem to grow by: less than its pools go up and down in half an hour."""

MOST = 400.0
"""MiB that a worker may have at any time (DESIGN section 8)."""
_TELLING = 600.0
"""Seconds that a process must have been watched for, its first two minutes left out."""
_KEPT = 64 * 1024 * 1024
_DECIDED_SECONDS = 300
_NEAR = 10.0
"""Seconds after its end in which a gap is a fault's, or longer if decisions flow again later."""


class Mark(NamedTuple):
    """When a fault was, and where each partition ended right before it."""

    fault: str
    ends: dict[int, int]
    began: float
    ended: float


@dataclass
class Struck:
    """One fault of the soak."""

    fault: str
    minute: float
    lasted: float
    recovery: dict[int, float | None]
    gap: dict[int, float]


@dataclass
class Soak:
    """The result; `wrong` is empty if all held."""

    minutes: float
    rate: float
    cores: int | None = os.cpu_count()
    wrong: list[str] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    load: dict[str, Any] = field(default_factory=dict)
    faults: list[Struck] = field(default_factory=list)
    drained: float = 0.0
    verified: dict[str, Any] = field(default_factory=dict)
    left: list[dict[str, int]] = field(default_factory=list)
    growth: list[Growth] = field(default_factory=list)
    redis: dict[str, float] = field(default_factory=dict)
    """`used_memory` in MiB and keys at the end, and bytes an event."""
    samples: list[Sample] = field(default_factory=list)


def soak(minutes: float, rate: float, every: float, model: Path, keep: Path | None = None) -> Soak:
    """Run it in a world of its own. `keep`: a folder for the logs when something is wrong."""
    result = Soak(minutes, rate)
    with (
        TemporaryDirectory(prefix="vigia-soak-") as name,
        private_world(Path(name), model, lasting=True) as world,
    ):
        _bound(world)
        world.model = poisoned(model, world.folder / "poisoned-model")
        stage = Stage(world)
        try:
            for _ in range(WORKERS):
                stage.add_worker()
            stage.wait_ready(*stage.workers)
            _go(result, stage, every)
        except Exception as error:
            result.wrong.append(f"{type(error).__name__}: {error}"[:2000])
        finally:
            stage.end()
            if keep and (result.wrong or not result.verified):
                keep_logs(world, keep / "soak")
    return result


def _bound(world: World) -> None:
    """Keep little of the feature log, and all of it in short segments.

    A broker that was killed reads again what of its last segments it may not have flushed: with the default
    of 1 GiB that is everything, and took 15 s in the fourth minute and 55 in the fourteenth.
    """
    changes = []
    for name in TOPICS:
        kept = {"retention.bytes": _KEPT} if name == "feature-log" else {}
        entries = [
            ConfigEntry(key, str(value), incremental_operation=AlterConfigOpType.SET)
            for key, value in {**kept, "segment.bytes": _KEPT // 4}.items()
        ]
        topic = world.settings.topic(name)
        changes.append(ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries))
    with making_client():
        admin = AdminClient(world.settings.kafka_client_config())
    for changed in admin.incremental_alter_configs(changes).values():
        changed.result()


def _go(result: Soak, stage: Stage, every: float) -> None:
    world = stage.world
    load = Load(
        world.kafka.address, world.prefix, result.rate, result.minutes * 60,
        accounts=ACCOUNTS, transactions_per_day=PER_DAY,
    )  # fmt: skip
    with loading(world, load) as process:
        process.go()
        memory = Memory(lambda: _pids(stage, process))
        began = time.monotonic()
        marks = _strike(result, stage, process, began, every)
        result.load = process.report()
        over = time.monotonic()
        if not wait_until(lambda: backlog(world) == 0, _DECIDED_SECONDS, every=1):
            result.wrong.append(f"{backlog(world)} records are not committed")
        result.drained = round(time.monotonic() - over, 1)
        memory.end()
        result.faults = [_struck(mark, stage, began) for mark in marks]
    result.samples, result.growth = memory.samples, growths(memory.samples)
    _judge(result, stage)


def _strike(result: Soak, stage: Stage, process: LoadProcess, began: float, every: float) -> list[Mark]:
    """A fault every so many seconds, none in the last of them."""
    names, at = chain(ONCE, cycle(CYCLE)), began + min(_EARLY, every)
    over = began + result.minutes * 60
    marks: list[Mark] = []
    for number, name in enumerate(names, 1):
        time.sleep(max(0.0, at - time.monotonic()))
        assert not process.over, "the generator ended before its time: see generator.log"
        fault = _fault(name)
        fault.strike(stage)
        marks.append(Mark(fault.name, dict(stage.marks), stage.began, stage.ended))
        at = began + number * every
        time.sleep(max(0.0, min(at, over) - 5 - time.monotonic()))
        print(_line(_struck(marks[-1], stage, began)), file=sys.stderr, flush=True)
        if at > over - every / 2:
            break
    return marks


def _fault(name: str) -> Fault:
    return TERM_ONE if name == TERM_ONE.name else FAULTS[name]


def _struck(mark: Mark, stage: Stage, began: float) -> Struck:
    """As far as it is known now."""
    minute, lasted = (mark.began - began) / 60, mark.ended - mark.began
    struck = Struck(mark.fault, round(minute, 2), round(lasted, 1), {}, {})
    for partition, end in mark.ends.items():
        arrivals = list(stage.watch.arrivals[partition])
        again = recovery(arrivals, end, mark.ended)
        until = mark.ended + max(again or 0.0, _NEAR)
        struck.recovery[partition] = None if again is None else round(again, 2)
        struck.gap[partition] = round(largest_gap(arrivals, mark.began, until), 2)
    return struck


def _line(struck: Struck) -> str:
    again = worst(struck.recovery)
    told = "not yet" if again is None else f"{again:.1f} s"
    gap = max(struck.gap.values())
    return f"minute {struck.minute}: {struck.fault}: flows again after {told}, largest gap {gap:.1f} s"


def _pids(stage: Stage, process: LoadProcess) -> dict[str, int]:
    workers = {f"worker {i}": w.process.pid for i, w in enumerate(stage.workers)}
    services = {"kafka": stage.world.kafka.process.pid, "redis": stage.world.redis.process.pid}
    return {**workers, **services, "generator": process.pid}


def _judge(result: Soak, stage: Stage) -> None:
    world, wrong = stage.world, result.wrong
    poisons = sum(struck.fault == "poison" for struck in result.faults)
    ledger = read(world, feature_log=False)
    # The same order each time: once decided or refused, the rest are repeats.
    result.verdict = judge(ledger, stage.watch.commits, {"SCORING_ERROR": poisons} if poisons else {})
    wrong += [f"{name}: {count}" for name, count in result.verdict.wrong().items()]
    wrong += [f"{s.fault} at minute {s.minute}: decisions did not flow again" for s in result.faults
              if None in s.recovery.values()]  # fmt: skip
    result.left = [asdict(left) for left in stage.left]
    if stage.left:
        wrong.append(f"{len(stage.left)} times a worker left by itself")
    if result.load["failed"]:
        wrong.append(f"{result.load['failed']} records were not published: {result.load['error']}")
    wrong += too_large(result)
    with stage.client() as client:
        used = client.info("memory")["used_memory"]
        events = len(ledger.payments) + ledger.reports
        result.redis = {
            "used_mib": round(used / 1024**2, 1),
            "keys": client.dbsize(),
            "bytes_per_event": round(used / events, 1),
        }
    if events + len(ledger.bad) < result.load["sent"] + poisons:
        wrong.append("Kafka lost acknowledged records")
    if not result.faults:
        wrong.append("no fault was struck: too short a time")
    del ledger
    sound, result.verified, said = world.verify(1000, seconds=3600)
    if not sound:
        wrong.append(f"the state is not the oracle's: {result.verified or said}"[:1000])


def too_large(result: Soak) -> list[str]:
    """What is wrong with the workers' memory: too much at any time, or growth of those that were watched for
    long. Of minutes the slope says nothing: the pools of one that lives for four take 45 MiB in a step."""
    workers = [s for s in result.samples if s.name.startswith("worker")]
    lasting = [g for g in result.growth if g.name.startswith("worker") and g.seconds >= _TELLING]
    too_much = next((s for s in workers if s.mib > MOST), None)
    wrong = [f"{too_much.name} took {too_much.mib} MiB at second {too_much.at:.0f}"] if too_much else []
    if not lasting:
        wrong.append("no worker lived long enough to tell its memory by")
    wrong += [f"{g.name} grows by {g.mib_per_hour} MiB an hour" for g in lasting if g.mib_per_hour > FLAT]
    return wrong


def main() -> int:
    """0: all held."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=3000.0, help="events a second, reports included")
    parser.add_argument("--every", type=float, default=60.0, help="seconds from one fault to the next")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page, its plot and its JSON")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the logs there if it goes wrong")
    options = parser.parse_args()
    end_in_order()
    with TemporaryDirectory(prefix="vigia-model-") as folder:
        model = small_model(Path(folder) / "pix-fraud")
        result = soak(options.minutes, options.rate, options.every, model, options.keep)
    if options.write:
        write(options.write, result)
    print(json.dumps(asdict(result) | {"samples": len(result.samples)}))
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
