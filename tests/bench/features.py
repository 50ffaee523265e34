"""History to vectors: events a second, CPU by process. `make bench` prints it (bytes: `vigia bench state`).

Simulated traffic of the Handbook's density (about two payments a day of each payer), 70 days of it, so that
every window is full at the end; the last fifth is what is timed.
"""

import asyncio
import time
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
    return figures


def redis_cpu(client: redis.Redis) -> float:
    info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def main() -> None:
    with private_redis() as url, TemporaryDirectory() as folder:
        figures = asyncio.run(measure(url, Path(folder)))
    table = Table("measure", "figure", title="features build")
    for name, figure in figures.items():
        table.add_row(name, f"{figure:,.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
