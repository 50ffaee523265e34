"""The synchronous door under an open load: `python -m tests.bench.door [--json]`.

It starts its own Kafka, Redis, worker and door, sends simulated payments on schedule whatever comes back, and
counts each answer from the moment that its request was due, so that waiting counts. The client, the broker,
Redis, the worker and the door share this machine's cores.
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from deploy.local import start_kafka, start_redis
from deploy.local.ports import free_port
from deploy.local.process import wait_until
from stream.settings import Settings
from stream.simulate import SimulationConfig, simulate
from stream.topics import create_topics

from ..small_model import small_model

WARM_UP_S = 5.0
HEAD = (
    "POST /v1/pix/decisions HTTP/1.1\r\nHost: door\r\n"
    "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n"
)


class Client:
    """Keeps its connections; a request that finds none idle opens another."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.opened = 0

    async def ask(self, body: bytes) -> int:
        """The status of the answer, when all of it is here."""
        reader, writer = self._idle.pop() if self._idle else await self._open()
        writer.write(HEAD.format(len(body)).encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        await reader.readexactly(int(length))
        self._idle.append((reader, writer))
        return int(head[9:12])

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.opened += 1
        return await asyncio.open_connection("127.0.0.1", self._port)

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


async def load(client: Client, bodies: list[bytes], rate: float) -> tuple[list[float], Counter[int]]:
    """Milliseconds from due to answered of each request, and the statuses."""
    found, statuses, tasks = [], Counter[int](), []
    start = time.perf_counter() + 0.05

    async def one(body: bytes, due: float) -> None:
        statuses[await client.ask(body)] += 1
        found.append((time.perf_counter() - due) * 1000)

    for i, body in enumerate(bodies):
        due = start + i / rate
        if (left := due - time.perf_counter()) > 0:
            await asyncio.sleep(left)
        tasks.append(asyncio.create_task(one(body, due)))
    await asyncio.gather(*tasks)
    return found, statuses


@contextmanager
def running(folder: Path) -> Iterator[tuple[int, dict[str, int]]]:
    """The door's port, and the processes by name."""
    kafka, redis = start_kafka(folder / "kafka"), start_redis(folder / "redis")
    started: list[subprocess.Popen[bytes]] = []
    try:
        create_topics(Settings(kafka_bootstrap=kafka.address, redis_url=redis.address), 4, 1)
        ports = {"worker": free_port(), "serve": free_port()}
        environment = os.environ | {
            "VIGIA_KAFKA_BOOTSTRAP": kafka.address,
            "VIGIA_REDIS_URL": redis.address,
            "VIGIA_MODEL": str(small_model(folder / "model")),
            "VIGIA_HTTP_PORT": str(ports["worker"]),
            "VIGIA_API_PORT": str(ports["serve"]),
        }
        for name in ports:
            with (folder / f"{name}.log").open("wb") as log:
                command = [sys.executable, "-m", "stream.cli", name]
                started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        for port in ports.values():
            assert wait_until(lambda port=port: answers(port), 60, every=0.1), "not ready"
        pids = dict(zip(ports, (process.pid for process in started), strict=True))
        yield ports["serve"], pids | {"kafka": kafka.process.pid, "redis": redis.process.pid}
    finally:
        for process in started:
            process.terminate()
            process.wait(30)
        redis.kill()
        kafka.kill()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def cpu(pid: int) -> float:
    """Seconds of CPU that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(rates: list[float], seconds: float) -> list[dict[str, Any]]:
    counts = [round(rate * seconds) for rate in rates]
    warm = round(WARM_UP_S * rates[0])
    traffic = simulate(SimulationConfig(days=4)).first(2 * (warm + sum(counts)))
    bodies = iter([message.value for message in traffic.messages() if message.topic == "transactions"])
    rows = []

    async def run(port: int, pids: dict[str, int]) -> None:
        client = Client(port)
        await load(client, [next(bodies) for _ in range(warm)], rates[0])
        for rate, count in zip(rates, counts, strict=True):
            orders = [next(bodies) for _ in range(count)]
            gc.collect()
            gc.freeze()
            before, own, began = {n: cpu(p) for n, p in pids.items()}, own_cpu(), time.perf_counter()
            found, statuses = await load(client, orders, rate)
            took = time.perf_counter() - began
            used = {name: (cpu(pid) - before[name]) / took for name, pid in pids.items()}
            rows.append(row(rate, found, statuses, used | {"client": (own_cpu() - own) / took}))
        client.close()

    with TemporaryDirectory() as folder, running(Path(folder)) as (port, pids):
        uvloop.run(run(port, pids))
    return rows


def row(rate: float, found: list[float], statuses: Counter[int], used: dict[str, float]) -> dict[str, Any]:
    p50, p95, p99, p999 = np.percentile(found, [50, 95, 99, 99.9]).tolist()
    return {
        "rate": rate,
        "answers": len(found),
        "statuses": dict(statuses),
        "ms": {"p50": p50, "p95": p95, "p99": p99, "p999": p999, "max": max(found)},
        "cores": used,
        "load_average": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default="200,500", help="requests a second, one after the other")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = measure([float(rate) for rate in given.rates.split(",")], given.seconds)
    if given.json:
        print(json.dumps({"door": rows}))
        return
    table = Table("requests/s", "answers", "p50 ms", "p95", "p99", "p99.9", "max", "cores", title="the door")
    for each in rows:
        cores = ", ".join(f"{name} {share:.2f}" for name, share in each["cores"].items())
        times = (f"{value:.1f}" for value in each["ms"].values())
        table.add_row(f"{each['rate']:g}", str(each["statuses"]), *times, cores)
    Console().print(table)


if __name__ == "__main__":
    main()
