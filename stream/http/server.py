"""`vigia serve`: the application behind uvicorn, until SIGTERM."""

import logging
import socket
from types import FrameType
from typing import NoReturn

import uvicorn
import uvloop

from features.errors import BadInput
from stream.http.app import make_app
from stream.http.service import DoorService
from stream.leaving import leave
from stream.logs import configure_logging
from stream.settings import Settings

log = logging.getLogger("vigia.door")

_GRACE_SECONDS = 1.0


class Server(uvicorn.Server):
    """One that a signal ends with exit code 0."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.should_exit = True


def run_door(settings: Settings) -> NoReturn:
    """Serve until SIGTERM or SIGINT: then take no new request, and finish those that wait.

    They wait no longer than the deadline. Ends the process. Raises BadInput when the address can't be served.
    """
    configure_logging()
    listener = _listen(settings.api_host, settings.api_port)
    uvloop.run(_serve(settings, listener))
    leave(0)


async def _serve(settings: Settings, listener: socket.socket) -> None:
    service = DoorService(settings)
    config = uvicorn.Config(
        make_app(service, settings.decision_deadline),
        http="httptools",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,  # longer than a load balancer's: it should not send into a closed connection
        timeout_graceful_shutdown=int(settings.decision_deadline + _GRACE_SECONDS) + 1,
    )
    log.info("serving", extra={"fields": {"port": listener.getsockname()[1]}})
    await Server(config).serve(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise BadInput(f"VIGIA_API_PORT: {host}:{port} can't be served: {error.strerror}") from None
