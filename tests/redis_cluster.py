"""A real Redis Cluster on this machine: three primaries and their replicas, each a redis-server process.

It keeps nothing on disk but who belongs to it, so what a killed node held lives on in its replica alone, as
far as that had received it: replication is asynchronous, and a failover may lose the last writes. That is
what the state has to notice and mend.
"""

import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from deploy.local.ports import HOST, is_free
from deploy.local.process import wait_until
from deploy.local.redis import answers, executable
from deploy.local.service import Service, await_answer, launch, make_folder

SLOTS = 16384
PRIMARIES = 3
BUS = 10_000
"""A node listens for its peers at its own port plus this."""

# Full coverage: while any slot is without a node, all answer CLUSTERDOWN. A batch touches most shards, so
# serving the others would only apply halves of batches that can't be decided before the failover is over.
CONFIG = """\
bind {host}
port {port}
dir "{folder}"
daemonize no
cluster-enabled yes
cluster-config-file nodes.conf
cluster-node-timeout 1500
cluster-require-full-coverage yes
repl-diskless-sync yes
repl-diskless-sync-delay 0
maxmemory-policy noeviction
save ""
appendonly no
"""


@dataclass(frozen=True)
class Member:
    """One line of CLUSTER NODES."""

    id: str
    port: int
    flags: frozenset[str]
    primary_id: str
    slots: tuple[range, ...]

    @property
    def serves(self) -> bool:
        return "master" in self.flags and not self.flags & {"fail", "fail?"} and bool(self.slots)


class RedisCluster:
    """Six nodes by port; the first half of `services` began as the primaries."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.services: dict[int, Service] = {}
        self._frozen: set[int] = set()

    @property
    def addresses(self) -> list[str]:
        """`127.0.0.1:port` of every node that runs."""
        return [f"{HOST}:{port}" for port, service in self.services.items() if service.alive()]

    @property
    def url(self) -> str:
        """A URL of one node that runs; a cluster client learns the others from it."""
        return f"redis://{self.addresses[0]}/0"

    def start(self) -> None:
        """All six nodes serve or follow when this returns. Raises TimeoutError, ServiceError."""
        for _ in range(2 * PRIMARIES):
            self._run(_free_port_pair())
        self._form()
        self.wait_whole()

    def stop(self) -> None:
        for service in self.services.values():
            service.kill()

    def client(self, port: int) -> redis.Redis:
        return redis.Redis(host=HOST, port=port, socket_timeout=5)

    def primaries(self) -> list[Member]:
        """Who serves slots now, as the first node that answers sees it."""
        return [member for member in self._members(self._any_port()) if member.serves]

    def primary_of(self, slot: int) -> Member:
        """The node that serves a slot. Raises LookupError while there is none."""
        for member in self.primaries():
            if any(slot in slots for slots in member.slots):
                return member
        raise LookupError(f"no node serves slot {slot}")

    def kill_primary(self, slot: int = 0) -> Member:
        """SIGKILL the node that serves the slot; returns at once, before its replica takes over."""
        member = self.primary_of(slot)
        self.services[member.port].kill()
        return member

    @contextmanager
    def frozen_primary(self, slot: int = 0) -> Iterator[Member]:
        """The node that serves the slot stands still: it takes connections, and answers nothing."""
        member = self.primary_of(slot)
        os.kill(self.services[member.port].process.pid, signal.SIGSTOP)
        self._frozen.add(member.port)
        try:
            yield member
        finally:
            os.kill(self.services[member.port].process.pid, signal.SIGCONT)
            self._frozen.discard(member.port)

    def wait_failover(self, killed: Member, seconds: float = 30) -> Member:
        """The replica that took over all that the killed node served."""
        successor: list[Member] = []

        def took_over() -> bool:
            successor[:] = [m for m in self.primaries() if m.slots == killed.slots and m.id != killed.id]
            return bool(successor) and self._agree()

        _require(took_over, seconds, f"a replica takes over from {killed.port}")
        return successor[0]

    def mend(self) -> None:
        """Start again what was killed; it joins as a replica, for its slots have another primary."""
        for port, service in list(self.services.items()):
            if not service.alive():
                self._run(port)
        self.wait_whole()

    def flush(self) -> None:
        """Empty every primary, and so its replica."""
        for member in self.primaries():
            with self.client(member.port) as client:
                client.flushall()
                client.wait(1, 5000)

    def wait_whole(self, seconds: float = 20) -> None:
        """Until every node sees all slots served, and every replica has what its primary has."""
        _require(lambda: self._agree() and self._in_sync(), seconds, "every node is in its place")

    def _run(self, port: int) -> None:
        folder = make_folder(self._folder / str(port))
        config = folder / "redis.conf"
        config.write_text(CONFIG.format(host=HOST, port=port, folder=folder))
        command = [executable(), str(config)]
        service = launch(f"redis-{port}", command, folder, f"redis://{HOST}:{port}/0", port)
        self.services[port] = await_answer(service, answers, seconds=20)

    def _form(self) -> None:
        """What `redis-cli --cluster create` does: slots, epochs, introductions, replicas."""
        ports = list(self.services)
        first, *others = ports
        for i, port in enumerate(ports[:PRIMARIES]):
            slots = range(SLOTS * i // PRIMARIES, SLOTS * (i + 1) // PRIMARIES)
            self._command(port, "CLUSTER ADDSLOTS", *slots)
        for i, port in enumerate(ports):
            self._command(port, "CLUSTER SET-CONFIG-EPOCH", i + 1)
        for port in others:
            self._command(first, "CLUSTER MEET", HOST, port)
        _require(self._acquainted, 20, "the nodes know each other")
        for primary, replica in zip(ports[:PRIMARIES], ports[PRIMARIES:], strict=True):
            self._command(replica, "CLUSTER REPLICATE", self._command(primary, "CLUSTER MYID").decode())

    def _acquainted(self) -> bool:
        """Whether each node knows each other, and what the primaries serve."""
        for port in self.services:
            members = self._members(port)
            if len(members) < len(self.services) or any("handshake" in m.flags for m in members):
                return False
            if sum(m.serves for m in members) != PRIMARIES:
                return False
        return True

    def _agree(self) -> bool:
        """Whether all that run see every slot served by the same nodes."""
        views = set()
        for port in self._running():
            if b"cluster_state:ok" not in self._command(port, "CLUSTER INFO"):
                return False
            views.add(frozenset((m.id, m.slots) for m in self._members(port) if m.serves))
        return len(views) == 1

    def _in_sync(self) -> bool:
        primaries = {member.port for member in self.primaries()}
        offsets = {}
        for port in self._running():
            with self.client(port) as client:
                found = client.info("replication")
            if (found["role"] == "master") != (port in primaries):
                return False
            if found["role"] != "master" and found["master_link_status"] != "up":
                return False
            followed = port if found["role"] == "master" else int(found["master_port"])
            offsets[port] = followed
        return sorted(offsets.values()) == sorted([*primaries] * 2)

    def _members(self, port: int) -> list[Member]:
        return [_member(line) for line in self._command(port, "CLUSTER NODES").decode().splitlines()]

    def _running(self) -> list[int]:
        return [port for port, each in self.services.items() if each.alive() and port not in self._frozen]

    def _any_port(self) -> int:
        return self._running()[0]

    def _command(self, port: int, *words: object) -> bytes:
        """The answer as the node wrote it, without the client's parsing."""
        connection = redis.Connection(host=HOST, port=port, socket_timeout=5, protocol=2)
        try:
            connection.send_command(*words)
            return connection.read_response()  # type: ignore[no-any-return]
        finally:
            connection.disconnect()


@contextmanager
def running_cluster(folder: Path) -> Iterator[RedisCluster]:
    """Three primaries with a replica each; gone afterwards, with their data."""
    cluster = RedisCluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _member(line: str) -> Member:
    id_, address, flags, primary_id, _, _, _, _, *slots = line.split()
    port = int(address.partition("@")[0].rpartition(":")[2])
    ranges = tuple(_range(text) for text in slots if not text.startswith("["))
    return Member(id_, port, frozenset(flags.split(",")), primary_id, ranges)


def _range(text: str) -> range:
    low, _, high = text.partition("-")
    return range(int(low), int(high or low) + 1)


def _free_port_pair() -> int:
    """A port whose peers' port is free too, both below the range of outgoing connections."""
    for port in random.sample(range(10_000, 22_000), 500):
        if is_free(port) and is_free(port + BUS):
            return port
    raise OSError("no two free ports that lie 10000 apart")


def _require(condition: Callable[[], bool], seconds: float, what: str) -> None:
    if not wait_until(condition, seconds, every=0.05):
        raise TimeoutError(f"not within {seconds} s: {what}")
