"""The HTTP side of the door: routes, and every error as a problem document."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream import metrics
from stream.http.body import read_order, traceparent
from stream.http.openapi import DESCRIPTION, TITLE, decisions_operation, describe
from stream.http.problems import MEDIA_TYPE, Problem, failed
from stream.http.service import DoorService

log = logging.getLogger("vigia.door")

PATH = "/v1/pix/decisions"
_FRESH = {"Cache-Control": "no-store"}
_CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


def make_app(service: DoorService, deadline: float) -> FastAPI:
    """The application; it starts the service and stops it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.stop()

    app = FastAPI(
        title=TITLE, version="1", description=DESCRIPTION, lifespan=lifespan,
        docs_url=None, redoc_url=None,  # their pages would fetch scripts from elsewhere
        redirect_slashes=False,  # another path is a 404, and says which is ours
    )  # fmt: skip

    @app.post(
        PATH,
        summary="Decide one payment order",
        openapi_extra=decisions_operation(),
        response_class=Response,
        status_code=200,
    )
    async def decide(request: Request) -> Response:
        body = await read_order(request, deadline)
        decision = await service.door.decide(body, traceparent(request))
        return Response(decision, headers=_FRESH, media_type="application/json")

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        alive = service.alive
        return _json(200 if alive else 503, {"alive": alive})

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        health = service.health
        return _json(200 if health.ready else 503, health.report())

    @app.get("/metrics", include_in_schema=False)
    async def prometheus() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    document = app.openapi
    app.openapi = lambda: app.openapi_schema or describe(document())  # type: ignore[method-assign]
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _internal)
    app.add_middleware(Measured)
    return app


def _json(status: int, answer: dict[str, Any]) -> Response:
    return Response(orjson.dumps(answer), status, media_type="application/json")


async def _problem(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return Response(problem.body(), problem.status, _FRESH | problem.headers(), MEDIA_TYPE)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "BAD_REQUEST")
    answer = await _problem(request, Problem(error.status_code, code, f"the API is POST {PATH}"))
    answer.headers.update(error.headers or {})
    return answer


async def _internal(request: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return await _problem(request, failed())


class Measured:
    """Counts the answers by status; times those to requests for a decision."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        start = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                metrics.DOOR_REQUESTS.labels(str(message["status"])).inc()
                if scope["path"] == PATH:
                    metrics.DOOR_LATENCY.observe(time.perf_counter() - start)
            await send(message)

        await self._app(scope, receive, counted)
        return None
