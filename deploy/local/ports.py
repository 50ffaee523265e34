"""Ports on 127.0.0.1."""

import random
import socket
from pathlib import Path

from deploy.errors import ServiceError

HOST = "127.0.0.1"
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int) -> bool:
    """True if a server could listen on ``port`` now."""
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as the servers do: TIME_WAIT is no obstacle
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def require_free(port: int, what: str, option: str) -> None:
    """Raise ServiceError, naming ``option`` as the way out, if ``port`` is in use or not allowed."""
    if not 0 < port < 65536:
        raise ServiceError(f"{what}: {port} is not a port; give {option} a number from 1 to 65535")
    if not is_free(port):
        raise ServiceError(
            f"{what}: port {port} of {HOST} is in use or not allowed; choose another with {option}"
        )


def free_port(*wanted: int) -> int:
    """The first of ``wanted`` that is free, else a free port below the range of outgoing connections.

    Below it, because a client that keeps dialling a dead server's port inside that range may be given the
    port as its own end, is connected to itself, and the server cannot come back.
    """
    for port in wanted:
        if is_free(port):
            return port
    ceiling = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else 32768
    ceiling = ceiling if ceiling > 11000 else 32768
    for port in random.sample(range(10000, ceiling), 200):
        if is_free(port):
            return port
    raise ServiceError(f"no free port between 10000 and {ceiling} on {HOST}; end some of what listens there")
