"""The baseline: the Faust agent that a competent newcomer would write, one event at a time, on uvloop.

`python -m stream.bench.baseline [in_one_read]`, with the worker's settings. Count and sum over every window
of payer and payee from sorted sets in one pipeline, the same ONNX model, one run of it and one `send` an
event. Its buffer holds the whole backlog: a full one would stall Faust for a second each time.
"""

import sys
from datetime import datetime
from typing import Any

import faust
import mode.loop
import numpy as np
import redis.asyncio as aioredis

from features.catalog import ALL, NAMES
from models.scorer import Scorer
from stream.bench.sorted_sets import SIDES, Windows, in_one_read, windows
from stream.policy import Policy
from stream.settings import Settings, load_settings

COLUMNS = [
    NAMES.index(f"{side}_{what}_{window.name}")
    for side in SIDES
    for what in ("count", "sum")
    for window in ALL
]
AMOUNT = NAMES.index("transaction_amount")


def make_app(settings: Settings, read: Windows) -> faust.App:
    app = faust.App(
        settings.group_id,
        broker=f"kafka://{settings.kafka_bootstrap}",
        store="memory://",
        value_serializer="json",
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=65_536,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    transactions = app.topic(settings.topic("transactions"), key_type=bytes, key_serializer="raw")
    decisions = app.topic(settings.topic("decisions"), key_type=bytes, key_serializer="raw")
    client = aioredis.from_url(settings.redis_url)
    scorer = Scorer.load(settings.model)
    policy = Policy(scorer.thresholds)

    @app.agent(transactions)
    async def decide(payments: Any) -> None:
        async for payment in payments:
            accounts = payment["payer"]["account"], payment["payee"]["account"]
            centavos = round(float(payment["amount"]) * 100)
            at = round(datetime.fromisoformat(payment["occurred_at"]).timestamp() * 1000)
            vector = np.full((1, len(NAMES)), np.nan, dtype=np.float32)
            vector[0, AMOUNT] = centavos / 100
            vector[0, COLUMNS] = await read(client, (payment["event_id"], at, centavos, accounts))
            score = float(scorer.score(vector)[0])
            decision = {
                "event_id": payment["event_id"],
                "decision": policy.outcome(score, centavos),
                "score": score,
                "model": scorer.model_id,
            }
            await decisions.send(key=accounts[0].encode(), value=decision)

    return app


def main() -> None:
    mode.loop.use("uvloop")
    read = in_one_read if sys.argv[1:] == ["in_one_read"] else windows
    faust.Worker(make_app(load_settings(), read), loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main()
