"""The one place that names the Redis client: dialling one server or a cluster, errors in our words."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import redis.asyncio as aioredis
import redis.exceptions as errors
from redis.asyncio.cluster import ClusterNode, RedisCluster

from features.state import StateAway, StateError

log = logging.getLogger("vigia.redis")

_SCAN = 2000
"""Keys that one SCAN looks at."""

_ANSWER_SECONDS = 10.0
"""For the whole of a call, and ours: with the client's `socket_timeout` each write is a task of its own, and
a call is on its way only after four rounds of the event loop, in which others take the processor."""

_NODE_SECONDS = 5.0
"""For one node of a cluster, and the client's: by its own timeout it learns that another took over, and asks
that one within the same call. Those calls are tasks anyway."""

NoScript = errors.NoScriptError
"""The server does not have the script: a new Redis, or a replica that took over. `answer` lets it through."""

_NO_WRITES = re.compile(
    r"\b(OOM|MISCONF|READONLY|BUSY|LOADING|MASTERDOWN|NOREPLICAS|CLUSTERDOWN|TRYAGAIN|non local key)\b"
)
_DISK = "MISCONF"
_CLOSED = "the handler is closed"
"""uvloop's RuntimeError for a write to a connection that broke, of which the client expects OSError."""
_NOTHING = "return 0"
_AWAY = (
    errors.ConnectionError, errors.TimeoutError, errors.BusyLoadingError, errors.ClusterError,
    errors.RedisClusterException, errors.TryAgainError, OSError, asyncio.IncompleteReadError,
)  # fmt: skip


async def dial(url: str) -> Any:
    """A client of the first node that answers, or of the cluster that it belongs to. Raises StateAway."""
    urls, why = _addresses(url), ""
    for address in urls:
        client = aioredis.from_url(address, socket_timeout=None, socket_connect_timeout=3)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                info = await client.info("cluster")
        except errors.AuthenticationError as error:
            await client.aclose()
            raise StateError(f"Redis refuses the name or password in VIGIA_REDIS_URL: {error}") from error
        except (*_AWAY, RuntimeError) as error:
            await client.aclose()
            if not _is_away(error):
                raise
            why = _told(error)
            continue
        if not info.get("cluster_enabled"):
            return client
        await client.aclose()
        return _cluster(urls, client.connection_pool.connection_kwargs)
    raise StateAway(f"Redis does not answer ({why}): run `vigia up`, or set VIGIA_REDIS_URL")


def _addresses(url: str) -> list[str]:
    """`redis://a:1,b:2/0` names several nodes of one cluster; any that answers tells of the others."""
    scheme, _, rest = url.partition("://")
    if scheme == "unix":
        return [url]
    hosts, slash, path = rest.partition("/")
    login, at, hosts = hosts.rpartition("@")
    return [f"{scheme}://{login}{at}{host}{slash}{path}" for host in hosts.split(",")]


def _cluster(urls: list[str], options: dict[str, Any]) -> Any:
    nodes = [aioredis.connection.parse_url(url) for url in urls]
    known = [ClusterNode(node["host"], node.get("port", 6379)) for node in nodes]
    kept = {name: options[name] for name in ("username", "password") if options.get(name)}
    secure = urls[0].startswith("rediss")
    return RedisCluster(
        startup_nodes=known, ssl=secure, socket_timeout=_NODE_SECONDS, socket_connect_timeout=3, **kept
    )


def is_cluster(client: Any) -> bool:
    return isinstance(client, RedisCluster)


class Line:
    """One connection to a server: a command is written at once, though another waits for its answer before
    it, and the server sees them in that order.

    The client's own pool gives each command on its way a connection of its own, and a server that is awake
    only now and then reads those in any order.
    """

    def __init__(self, client: Any) -> None:
        """`client`: of one server, dialled."""
        self._make = client.connection_pool.make_connection
        self._connection: Any = None
        self._dialling = asyncio.Lock()
        self._last: asyncio.Event | None = None
        """Set when the command that was written last is answered, or its answer will not come."""

    async def __call__(self, *command: Any) -> Any:
        """The answer. Raises what the client raises; then the next command dials anew."""
        async with self._dialling:
            if self._connection is None:
                made = self._make()
                await made.connect()
                self._connection, self._last = made, None
        connection = self._connection
        before, mine = self._last, asyncio.Event()
        self._last = mine
        try:
            await connection.send_packed_command(connection.pack_command(*command), check_health=False)
            if before:
                await before.wait()
            return await connection.read_response()
        except errors.ResponseError:
            raise
        except BaseException:  # those behind it would take its answer for theirs: they fail too
            if self._connection is connection:
                self._connection = None
            await connection.disconnect(nowait=True)
            raise
        finally:
            mine.set()

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


async def answer(awaitable: Any) -> Any:
    """The one place where Redis's errors become ours: away (call again) or wrong (say what to do)."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await awaitable
    except errors.NoScriptError:
        raise
    except (*_AWAY, RuntimeError) as error:
        if not _is_away(error):
            raise
        raise StateAway(
            f"Redis does not answer ({_told(error)}): run `vigia up`, or set VIGIA_REDIS_URL"
        ) from error
    except (errors.OutOfMemoryError, errors.ReadOnlyError, errors.ResponseError) as error:
        # A script's own error wraps the code that it met: "Error running script …: -OOM command not allowed".
        if isinstance(error, errors.OutOfMemoryError | errors.ReadOnlyError) or _NO_WRITES.search(str(error)):
            raise StateAway(f"Redis takes no writes now: {error}") from error
        raise StateError(f"Redis refused the call: {error}") from error


async def written(client: Any, awaitable: Any) -> Any:
    """The answer of a command that writes.

    A Redis before 7.0 that finished a rewrite of its file while it could not write to it has nothing left to
    write: it never finds out that it can again, and refuses all writes for good. SCRIPT LOAD is none to it,
    and goes into the file.
    """
    try:
        return await answer(awaitable)
    except StateAway as away:
        if _DISK in str(away):
            try:
                await answer(client.script_load(_NOTHING))
            except StateError as error:
                log.warning("Redis was given nothing to write: %s", error)
        raise


def _is_away(error: BaseException) -> bool:
    return isinstance(error, _AWAY) or _CLOSED in str(error)


def _told(error: BaseException) -> str:
    return str(error) or f"nothing came within {_ANSWER_SECONDS:g} s"


async def infos(client: Any, section: str) -> dict[str, dict[str, Any]]:
    """INFO of each primary, by its address; `redis` for one server. Raises StateAway, StateError."""
    places = await _primaries(client)
    return {name: await answer(client.info(section, **where)) for name, where in places.items()}


async def scan(client: Any, match: str) -> AsyncIterator[bytes]:
    """Every key that matches; those that come or go meanwhile may be missed. Raises StateAway, StateError."""
    for where in (await _primaries(client)).values():
        cursor = None
        while cursor != 0:
            cursor, keys = await answer(client.scan(cursor or 0, match=match, count=_SCAN, **where))
            if where:  # a cluster's client tells the cursor by node
                (cursor,) = cursor.values()
            for key in keys:
                yield key


async def _primaries(client: Any) -> dict[str, dict[str, Any]]:
    """By name, how a command is sent to each."""
    if not is_cluster(client):
        return {"redis": {}}
    await answer(client.initialize())
    return {node.name: {"target_nodes": node} for node in client.get_primaries()}
