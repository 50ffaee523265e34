"""The cluster that tests rely on is one: slots spread, replicas that take over, and a way back."""

import asyncio

import pytest
from redis.cluster import RedisCluster as ClusterClient
from redis.crc import key_slot

from features.redis_state import RedisState
from features.state import StateAway

from ..redis_cluster import PRIMARIES, SLOTS, RedisCluster

pytestmark = pytest.mark.redis


def test_every_slot_is_served_by_one_of_three(redis_cluster: RedisCluster) -> None:
    served = sorted(slot for member in redis_cluster.primaries() for slots in member.slots for slot in slots)
    assert served == list(range(SLOTS))
    assert len(redis_cluster.primaries()) == PRIMARIES
    assert len(redis_cluster.addresses) == 2 * PRIMARIES


def test_a_replica_takes_over_with_the_data(redis_cluster: RedisCluster) -> None:
    with ClusterClient.from_url(redis_cluster.url) as client:
        for i in range(64):
            client.set(f"{{s{i:02d}}}:k", i)
    for member in redis_cluster.primaries():
        with redis_cluster.client(member.port) as node:
            node.wait(1, 5000)
    killed = redis_cluster.kill_primary()
    successor = redis_cluster.wait_failover(killed)
    assert redis_cluster.primary_of(0) == successor
    with ClusterClient.from_url(redis_cluster.url) as client:
        assert all(client.get(f"{{s{i:02d}}}:k") == str(i).encode() for i in range(64))
    redis_cluster.mend()
    assert len(redis_cluster.addresses) == 2 * PRIMARIES


def test_a_primary_that_hangs_is_left_for_its_successor(redis_cluster: RedisCluster) -> None:
    """It still takes connections, so only a timeout tells; the answer then comes from whoever took over."""

    async def claim() -> None:
        state = await RedisState.connect(redis_cluster.url, 64)
        try:
            assert await state.claim("g") == "g"
            with redis_cluster.frozen_primary(key_slot(state.owner_key.encode())) as frozen:
                redis_cluster.wait_failover(frozen)
                async with asyncio.timeout(30):
                    while True:
                        try:
                            assert await state.claim("h") in ("g", "h")  # its last write may be lost
                            break
                        except StateAway:
                            await asyncio.sleep(0.1)
        finally:
            await state.close()

    asyncio.run(claim())
    redis_cluster.mend()
