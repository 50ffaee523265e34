"""/metrics, /healthz and /readyz, in a thread of their own: they answer while the event loop is busy."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from features.errors import BadInput
from stream.health import Health


def serve_operations(host: str, port: int, health: Health) -> ThreadingHTTPServer:
    """Start serving; `server.server_port` is the port. Raises BadInput if it is in use."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            elif self.path == "/healthz":
                self._answer(200, "application/json", b'{"alive": true}')
            elif self.path == "/readyz":
                status = 200 if health.ready else 503
                self._answer(status, "application/json", orjson.dumps(health.report()))
            else:
                self._answer(404, "text/plain", b"/metrics /healthz /readyz\n")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A probe every few seconds is not news."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise BadInput(f"VIGIA_HTTP_PORT: {host}:{port} can't be served: {error.strerror}") from None
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="operations", daemon=True).start()
    return server
