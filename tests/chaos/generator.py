"""The load: an open-loop producer in a process of its own.

`python -m tests.chaos.generator LOAD FOLDER` (a JSON list and a place for its files) makes its messages, says
`made`, waits for a line on its standard input, sends on schedule whatever comes back, and ends with one JSON
object. Among the traffic are repeats and bad records, as upstream sends them.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from stream.bench.generator import read, write
from stream.publish import publish
from stream.simulate import SimulationConfig, simulate

from ..world import World

Message = tuple[str, bytes, bytes]

REPEAT_EVERY, BAD_EVERY = 500, 700
_REPEAT_AFTER = 20
"""Messages: well within the 32 payments of its payer by which a repeat is told."""

_MORE = 1.1
"""Days are not alike: so much more of them than their mean says is simulated."""

_CONFIG = {
    # What a producer that is to see new partitions and a broker that came back within seconds would set.
    "topic.metadata.refresh.interval.ms": 1000,
    "reconnect.backoff.max.ms": 500,
    # Seconds are measured here. With 2 ms an event cost this process 46 us and the broker 69 to 94, with 20
    # it is 28 and 30: a fifth of a core at 3,000 events a second, which the workers were short of.
    "linger.ms": 20,
}


class Load(NamedTuple):
    """What is sent; equal loads are equal bytes."""

    bootstrap: str
    prefix: str
    rate: float
    seconds: float
    seed: int = 1
    accounts: int = 6_000
    transactions_per_day: float = 60_000


class LoadProcess:
    """The generator, made ready; `go` begins."""

    def __init__(self, world: World, load: Load) -> None:
        command = [sys.executable, "-m", "tests.chaos.generator", json.dumps(load), str(world.folder)]
        self._log = (world.folder / "generator.log").open("ab")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def go(self) -> None:
        assert self._process.stdout
        assert self._process.stdin
        assert self._process.stdout.readline() == "made\n", "see generator.log"
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    @property
    def over(self) -> bool:
        return self._process.poll() is not None

    def report(self) -> dict[str, Any]:
        """Wait for its end: how many were acknowledged, how many failed."""
        assert self._process.stdout
        report: dict[str, Any] = json.loads(self._process.stdout.readline())
        self._process.wait()
        return report

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream:
                stream.close()


@contextmanager
def loading(world: World, load: Load) -> Iterator[LoadProcess]:
    """The process, ended whatever happens."""
    process = LoadProcess(world, load)
    try:
        yield process
    finally:
        process.end()


def make(load: Load, wanted: int, path: Path) -> None:
    """Write so many messages of one simulation, in event time."""
    config = SimulationConfig(
        seed=load.seed, days=ceil(_MORE * wanted / load.transactions_per_day), accounts=load.accounts,
        fraud_rate=0.02, transactions_per_day=load.transactions_per_day,
    )  # fmt: skip
    made = write(path, "", islice(simulate(config).messages(), wanted))
    assert made == wanted, f"{config.days} days have {made} messages"


def blemished(messages: Iterable[Message]) -> Iterator[Message]:
    """The same with a repeat and a bad record now and then."""
    repeat: Message | None = None
    for i, message in enumerate(messages):
        yield message
        if i % REPEAT_EVERY == 0 and message[0] == "transactions":
            repeat = message
        if i % REPEAT_EVERY == _REPEAT_AFTER and repeat:
            yield repeat
        if i % BAD_EVERY == 0:
            yield message[0], message[1], message[2][: len(message[2]) // 2]


def main() -> None:
    load, folder = Load(*json.loads(sys.argv[1])), Path(sys.argv[2])
    wanted = round(load.rate * load.seconds)
    path = folder / "load.tsv"
    make(load, wanted, path)
    print("made", flush=True)
    sys.stdin.readline()
    messages = islice(blemished(read(path)), wanted)
    outgoing = ((load.prefix + topic, key, value, None) for topic, key, value in messages)
    report = publish(outgoing, config={"bootstrap.servers": load.bootstrap, **_CONFIG}, rate=load.rate)
    print(json.dumps(asdict(report)), flush=True)


if __name__ == "__main__":
    main()
