"""What the state in a Redis holds, beside what Kafka has: for a dump that is to be kept or was restored."""

from collections.abc import Mapping
from typing import Any

from features.redis_plan import LAYOUT_VERSION
from features.redis_state import RedisState
from features.state import LogState
from stream.audit.inputs import Inputs
from stream.audit.store import Count, inventory, persistence, strangers
from stream.fields import rfc3339
from stream.stands import Place, Stand


async def snapshot(
    inputs: Inputs, state: RedisState, shards: int, on_count: Count = lambda _: None
) -> dict[str, Any]:
    """Facts, ready for JSON. Raises StateAway, KafkaAway."""
    stands = inputs.stands()
    states = dict(zip(inputs.logs, await state.log_states(list(inputs.logs.values())), strict=True))
    found = await inventory(state, on_count)
    return {
        "layout": LAYOUT_VERSION,
        "shards": shards,
        "entities": dict(found.entities),
        "other_layouts": dict(found.others),
        "other_logs": sorted(map(list, strangers(found, list(inputs.logs.values())))),
        "logs": [_log(inputs, place, stands[place], states[place]) for place in inputs.logs],
        "to_heal": sum(behind(stands, states).values()),
        "newest_record": _newest(inputs, stands, states),
        "persistence": await persistence(state),
    }


def behind(stands: Mapping[Place, Stand], states: Mapping[Place, LogState | None]) -> dict[Place, int]:
    """Committed records of each log that the state lacks: what healing would read."""
    return {
        place: max(0, stand.committed - max(stand.start, _next(states[place])))
        for place, stand in stands.items()
    }


def _next(state: LogState | None) -> int:
    return state.next if state else 0


def _log(inputs: Inputs, place: Place, stand: Stand, state: LogState | None) -> dict[str, Any]:
    return {
        "topic": place[0],
        "partition": place[1],
        "topic_id": inputs.logs[place].topic_id,
        "floor": state.floor if state else None,
        "next": state.next if state else None,
        "start": stand.start,
        "committed": stand.committed,
        "end": stand.end,
    }


def _newest(
    inputs: Inputs, stands: Mapping[Place, Stand], states: Mapping[Place, LogState | None]
) -> str | None:
    """When the newest record was published that the state has taken in: it is as of then."""
    stop = {p: min(s.end, max(s.start, _next(states[p]))) for p, s in stands.items()}
    start = {p: max(s.start, stop[p] - 1) for p, s in stands.items()}
    times = [record.timestamp for record in inputs.records(start, stop)]
    return rfc3339(max(times)) if times else None
