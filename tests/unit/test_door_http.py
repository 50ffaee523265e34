"""The HTTP side of the door, called as a server calls it: bounds, problem documents, the description."""

import asyncio
import json
from contextlib import suppress
from typing import Any, NamedTuple

import jsonschema
import pytest

from stream.contract import DecisionMessage, TransactionMessage
from stream.dead_letter import APPLIED, CODES, Rejected
from stream.health import Health
from stream.http.app import PATH, make_app
from stream.http.problems import Problem, late, rejected

JSON = {"content-type": "application/json"}
DECISION = b'{"event_id":"e","decision":"APPROVE"}'


class Got(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        found: dict[str, Any] = json.loads(self.body)
        assert found["status"] == self.status
        assert found["type"] == f"urn:vigia:problem:{found['code']}"
        assert found["title"]
        assert found["detail"]
        return found


class Unexpected(Exception):
    """What no handler knows."""


class Echo:
    """A service whose door answers what it is told to, and keeps what it was asked."""

    def __init__(self, answer: bytes | Exception = DECISION) -> None:
        self.answer, self.asked = answer, list[tuple[bytes, bytes | None]]()
        self.health, self.alive, self.door = Health(), True, self
        self.stopped = False

    async def decide(self, body: bytes, traceparent: bytes | None) -> bytes:
        self.asked.append((body, traceparent))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def start(self) -> None:
        self.health.start()

    async def stop(self) -> None:
        self.stopped = True


def call(
    service: Echo,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    parts: tuple[bytes | None, ...] = (b"",),
) -> Got:
    """One request; a part that is None never comes."""

    async def run() -> Got:
        app = make_app(service, 0.2)  # type: ignore[arg-type]
        sent: list[Any] = []
        left = list(parts)

        async def receive() -> dict[str, Any]:
            part = left.pop(0)
            if part is None:
                await asyncio.sleep(60)
            return {"type": "http.request", "body": part, "more_body": bool(left)}

        async def send(message: Any) -> None:
            sent.append(message)

        raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
            "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
            "headers": raw, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        }  # fmt: skip
        async with app.router.lifespan_context(app):
            with suppress(Unexpected):  # the server is told too, after the answer was sent
                await app(scope, receive, send)
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Got(sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:]))

    return asyncio.run(run())


def test_the_decision_is_answered_byte_for_byte() -> None:
    service = Echo()
    got = call(service, "POST", PATH, JSON, (b'{"a"', b":1}"))
    assert (got.status, got.body) == (200, DECISION)
    assert got.headers["content-type"] == "application/json"
    assert got.headers["cache-control"] == "no-store"
    assert service.asked == [(b'{"a":1}', None)]
    assert service.stopped


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", False),
        ("x" * 300, False),
        ("", False),
    ],
)
def test_a_good_traceparent_goes_with_the_order(given: str, passed: bool) -> None:
    service = Echo()
    call(service, "POST", PATH, JSON | {"traceparent": given}, (b"{}",))
    assert service.asked == [(b"{}", given.encode() if passed else None)]


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"', "application/json"],
)
def test_json_is_taken_however_it_is_written(content_type: str) -> None:
    assert call(Echo(), "POST", PATH, {"content-type": content_type}).status == 200


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/json; charset=latin-1", "application/jsonx"]
)
def test_another_content_type_is_refused(content_type: str | None) -> None:
    got = call(Echo(), "POST", PATH, {"content-type": content_type} if content_type else {})
    assert (got.status, got.problem()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(("encoding", "status"), [("gzip", 415), ("br, identity", 415), ("Identity", 200)])
def test_a_body_in_another_encoding_is_refused(encoding: str, status: int) -> None:
    assert call(Echo(), "POST", PATH, JSON | {"content-encoding": encoding}).status == status


@pytest.mark.parametrize(
    ("headers", "parts"),
    [
        ({"content-length": "65537"}, (None,)),  # refused before it is read
        ({}, (b"x" * 40_000, b"x" * 40_000, None)),  # and as soon as it is too much
    ],
)
def test_a_body_is_read_to_its_limit(headers: dict[str, str], parts: tuple[bytes | None, ...]) -> None:
    service = Echo()
    got = call(service, "POST", PATH, JSON | headers, parts)
    assert (got.status, got.problem()["code"]) == (413, "MESSAGE_TOO_LARGE")
    assert service.asked == []
    assert call(service, "POST", PATH, JSON, (b"x" * 65_536,)).status == 200


def test_a_body_that_does_not_arrive_is_waited_for_no_longer_than_the_deadline() -> None:
    got = call(Echo(), "POST", PATH, JSON, (b"{", None))
    assert (got.status, got.problem()["code"]) == (408, "REQUEST_TIMEOUT")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", PATH, 405, "METHOD_NOT_ALLOWED"), ("PUT", PATH, 405, "METHOD_NOT_ALLOWED"),
     ("POST", "/v1/pix/decision", 404, "NOT_FOUND"), ("POST", f"{PATH}/", 404, "NOT_FOUND"),
     ("GET", "/docs", 404, "NOT_FOUND")],
)  # fmt: skip
def test_what_is_not_there_is_a_problem_too(method: str, path: str, status: int, code: str) -> None:
    got = call(Echo(), method, path, JSON)
    assert (got.status, got.problem()["code"]) == (status, code)
    assert ("allow" in got.headers) == (status == 405)


def test_a_problem_keeps_its_code_event_and_retry() -> None:
    got = call(Echo(Problem(503, "DEPENDENCY_AWAY", "why", "e", retry=2)), "POST", PATH, JSON)
    assert got.headers["retry-after"] == "2"
    assert got.problem() | {"title": "", "type": ""} == {
        "type": "", "title": "", "status": 503, "code": "DEPENDENCY_AWAY", "detail": "why", "event_id": "e",
    }  # fmt: skip


def test_an_error_that_nobody_expected_tells_nothing_of_itself() -> None:
    got = call(Echo(Unexpected("a secret")), "POST", PATH, JSON)
    assert (got.status, got.problem()["code"]) == (500, "INTERNAL")
    assert b"secret" not in got.body


@pytest.mark.parametrize("code", CODES)
def test_every_dead_letter_code_has_an_answer_that_is_no_approval(code: str) -> None:
    problem = rejected(Rejected(code, "why", "e"))
    assert problem.code == code
    special = {"EVENT_ID_REUSED": 409, "MESSAGE_TOO_LARGE": 413} | dict.fromkeys(APPLIED, 500)
    assert problem.status == special.get(code, 422)


def test_whoever_is_too_late_is_told_what_it_means() -> None:
    assert "not an APPROVE: ask again within 15 minutes, same event_id" in late("e", 10).detail


def test_health_and_metrics() -> None:
    service = Echo()
    assert call(service, "GET", "/readyz").status == 200
    service.health.waiting("redis", "away")
    got = call(service, "GET", "/readyz")
    assert got.status == 503
    assert list(json.loads(got.body)["waiting_for"]) == ["redis"]
    assert call(service, "GET", "/healthz").status == 200
    service.alive = False
    assert call(service, "GET", "/healthz").status == 503
    metrics = call(service, "GET", "/metrics").body
    assert b'vigia_door_requests_total{status="503"}' in metrics
    assert b"vigia_door_seconds_bucket" in metrics


def test_the_description_carries_the_schemas_of_the_messages() -> None:
    document = json.loads(call(Echo(), "GET", "/openapi.json").body)
    operation = document["paths"][PATH]["post"]
    assert "No answer is not an APPROVE" in document["info"]["description"]
    assert {"200", "409", "413", "415", "422", "500", "503", "504"} <= set(operation["responses"])
    schemas = document["components"]["schemas"]
    for model in (TransactionMessage, DecisionMessage):
        plain = model.model_json_schema(by_alias=True)
        text = json.dumps(plain | {"$defs": None}).replace("#/$defs/", "#/components/schemas/")
        assert schemas[model.__name__] | {"$defs": None} == json.loads(text)
        for name in plain.get("$defs", {}):
            assert name in schemas
    body = operation["requestBody"]["content"]["application/json"]
    whole = {"$ref": body["schema"]["$ref"], "components": document["components"]}
    jsonschema.validate(body["example"], whole)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body["example"] | {"amount": "-1"}, whole)
