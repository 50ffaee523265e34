"""The cluster that tests rely on is one: slots spread, replicas that take over, and a way back."""

import pytest
from redis.cluster import RedisCluster as ClusterClient

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
