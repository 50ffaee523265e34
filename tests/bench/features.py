"""History to vectors: events a second, CPU by process, bytes by kind of entity. `make bench` prints it.

Simulated traffic of the Handbook's density (about two payments a day of each payer), 70 days of it, so that
every window is full at the end; the last fifth is what is timed.
"""

import asyncio
import time
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import redis
from rich.console import Console
from rich.table import Table

from deploy.local import private_redis
from features.redis_state import RedisState
from features.replay import build
from stream.simulate import SimulationConfig, simulate
from stream.simulate.files import write

DAYS, ACCOUNTS, A_DAY = 70.0, 2_000, 4_000.0
DAY_MS = 86_400_000


async def measure(url: str, folder: Path) -> dict[str, float]:
    simulation = simulate(SimulationConfig(days=DAYS, accounts=ACCOUNTS, transactions_per_day=A_DAY))
    start = simulation.config.start_ms
    cut = start + int(DAYS * 0.8) * DAY_MS
    state = await RedisState.connect(url)
    client = redis.Redis.from_url(url)
    figures = {}
    for name, part in (("fill", simulation.between(start, cut)), ("full", simulation.between(cut, 2**53))):
        transactions, reports = write(part, folder / name)
        cpu, began, own = redis_cpu(client), time.perf_counter(), time.process_time()
        report = await build(transactions, reports, folder / "out.parquet", state, lambda *_: None)
        events = report.transactions + report.reports
        figures[f"{name}: events"] = events
        figures[f"{name}: events/s"] = events / (time.perf_counter() - began)
        figures[f"{name}: Redis CPU, µs an event"] = (redis_cpu(client) - cpu) / events * 1e6
        figures[f"{name}: Python CPU, µs an event"] = (time.process_time() - own) / events * 1e6
    await state.close()
    return figures | memory(client)


def redis_cpu(client: redis.Redis) -> float:
    info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def memory(client: redis.Redis) -> dict[str, float]:
    """Mean bytes (MEMORY USAGE) of up to 2,000 entities of each kind."""
    sizes: dict[str, list[int]] = defaultdict(list)
    for key in client.scan_iter(count=5000):
        kind = key.split(b":")[2].decode(errors="replace")
        if len(sizes[kind]) < 2000:
            sizes[kind].append(int(client.memory_usage(key) or 0))
    return {f"bytes a {kind}": sum(found) / len(found) for kind, found in sizes.items() if kind != "log"}


def main() -> None:
    with private_redis() as url, TemporaryDirectory() as folder:
        figures = asyncio.run(measure(url, Path(folder)))
    table = Table("measure", "figure", title="features build")
    for name, figure in figures.items():
        table.add_row(name, f"{figure:,.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
