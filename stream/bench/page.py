"""The figures of the state for a person: a table on the terminal, and `docs/memory.md`."""

from rich.table import Table

from features.redis_state import TTL_SECONDS
from stream.bench.entities import A_DAY
from stream.bench.state import BARS, GROUPS, ROWS, Sizes, StateFigures

MILLIONS = (1, 10, 50, 150)
_MIX = ("payee", "pair", "device", "payee_key")

_PAGE = """\
# What the state takes in memory

Made by `vigia bench state --markdown`; run it again after the catalog or the layout changed. {entities:,}
entities of {accounts:,} simulated payers, {days:g} days, {a_day} payments a day of each payer on average
({events:,} events), each key weighed with `MEMORY USAGE key SAMPLES 0` (Redis {redis}, {allocator}).
`steady` are the entities that had 2 to 4 payments a day themselves, over at least two thirds of the days;
`busy` those that had more.

| kind | of | how many | mean bytes | p50 | p95 | max | bar |
|---|---|---:|---:|---:|---:|---:|---:|
{rows}

The bars are of the mean. A payer's ring is its last 32 event ids, by which a repeat is told. A pair's bar is
of all pairs: a payer's three payments a day are spread over them.

In all, Redis used {per_entity:,.0f} bytes an entity (`used_memory`: with rings, the table of keys and that
of expiries), or {per_payer:,.0f} bytes for a payer with all that it brings:
{mix}. Every such key expires {ttl:.0f} days after it was last
written (checked for every one; the deletion proven on {gone:,}). So in the long run the entities of the last
{ttl:.0f} days are there, not those of {days:g}: as many payers, but more pairs that paid once.

## Payers → GB

At that mix, which is the simulator's; pairs are most of it. A payer here pays {a_day} times a day, which is
much: with fewer payments there are fewer pairs.

| payers | entities | data, GB | Redis with headroom, GB | with one replica, GB |
|---:|---:|---:|---:|---:|
{sizes}

- **Headroom.** Redis forks for BGSAVE, for the rewriting of the append-only file and for a replica's first
  copy; pages that are written meanwhile exist twice. "If you are using Redis in a write-heavy application,
  while saving an RDB file on disk or rewriting the AOF log, Redis can use up to 2 times the memory normally
  used" ([Redis administration](https://redis.io/topics/admin)). The
  table has this worst case: twice the data. That page also says: set `vm.overcommit_memory = 1`, or the fork
  may be refused, and a `maxmemory` somewhat below what the machine has. At that limit the worker waits.
- **Replication.** A replica is the whole again, on another machine, with the same headroom. Each primary
  keeps the backlog (`repl-backlog-size`, 1 MB unless set) and the replica's output buffer beside it.
- **The allocator** here is {allocator}. libc rounds a value up to 16 bytes; jemalloc, which most builds of
  Redis have, to one of four sizes in each doubling: reckon with about a tenth more. Fragmentation comes on
  top of `used_memory`: see `mem_fragmentation_ratio` in `INFO memory`.
- **Beyond one machine**: a Redis Cluster with `VIGIA_STATE_SHARDS=64`; the data spread over its primaries.
"""


def table(figures: StateFigures) -> Table:
    """Sizes, bars, and what holds for all of Redis."""
    it = Table(
        title=f"{figures.entities:,} entities after {figures.fill.days:g} days", caption=_caption(figures)
    )
    it.add_column("kind")
    it.add_column("of")
    for name in ("count", "mean bytes", "p50", "p95", "max", "bar"):
        it.add_column(name, justify="right")
    for row in ROWS:
        for group in GROUPS:
            it.add_row(*_cells(figures, row, group))
    return it


def _caption(figures: StateFigures) -> str:
    told, expiry = figures.as_json(), figures.expiry
    fill = told["fill"]
    return (
        f"used_memory {figures.used_memory / 1e6:,.0f} MB: {told['used_memory_per_entity']:,.0f} bytes an "
        f"entity; {told['events']:,} events at {fill['events_per_second']:,}/s, "
        f"{fill['redis_cpu_us_per_event']:.0f} µs of Redis each; "
        f"{expiry.gone:,} of {expiry.shortened:,} keys expired when they should"
    )


def _cells(figures: StateFigures, row: str, group: str) -> list[str]:
    sizes: Sizes = figures.of(row, group)
    bar = ""
    if row in BARS and sizes is figures.judged(row):
        bar = f"{BARS[row]:,}" if figures.meets(row) else f"{BARS[row]:,}, missed"
    numbers = (sizes.count, sizes.mean, sizes.p50, sizes.p95, sizes.max)
    return [row, group, *(f"{number:,.0f}" for number in numbers), bar]


def page(figures: StateFigures) -> str:
    """docs/memory.md."""
    payers = figures.of("payer").count
    per_payer = figures.used_memory / payers
    mix = {kind: figures.of(kind).count / payers for kind in _MIX}
    return _PAGE.format(
        entities=figures.entities,
        accounts=figures.fill.accounts,
        days=figures.fill.days,
        a_day=A_DAY,
        events=figures.fill.events,
        redis=figures.redis_version,
        allocator=figures.allocator,
        rows="\n".join(f"| {' | '.join(_cells(figures, row, group))} |" for row in ROWS for group in GROUPS),
        per_entity=figures.used_memory / figures.entities,
        per_payer=per_payer,
        mix=", ".join(f"{number:.1f} {kind.replace('_', ' ')}s" for kind, number in mix.items()),
        ttl=TTL_SECONDS / 86_400,
        gone=figures.expiry.gone,
        sizes="\n".join(_gigabytes(millions, per_payer, 1 + sum(mix.values())) for millions in MILLIONS),
    )


def _gigabytes(millions: int, per_payer: float, entities: float) -> str:
    data = millions * per_payer / 1e3
    cells = (millions, millions * entities, data, 2 * data, 4 * data)
    payers, all_, *sizes = (f"{number:,.0f}" for number in cells)
    return f"| {payers} million | {all_} million | {' | '.join(sizes)} |"
