"""Every answer of the door that is not a decision, as RFC 9457 says: none of them is an APPROVE."""

from collections.abc import Iterable

import orjson

from stream.dead_letter import APPLIED, Rejected

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2

TITLES = {
    400: "Bad request",
    404: "No such path",
    405: "No such method here",
    408: "The request did not arrive in time",
    409: "The event id is another payment's",
    413: "The order is too large",
    415: "The order should be JSON",
    422: "The order can't be read",
    500: "The order can't be decided",
    503: "No decision can be made now",
    504: "No decision in time",
}

_ASK_AGAIN = "This is not an APPROVE: ask again within 15 minutes, same event_id and same content."


class Problem(Exception):
    """An answer that is not a decision. `code` is a dead letter's, or one of this page's."""

    def __init__(
        self, status: int, code: str, detail: str, event_id: str | None = None, *, retry: int | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code, self.detail, self.event_id, self.retry = status, code, detail, event_id, retry

    def body(self) -> bytes:
        problem = {
            "type": f"urn:vigia:problem:{self.code}",
            "title": TITLES.get(self.status, "The request can't be answered"),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        return orjson.dumps(problem | ({"event_id": self.event_id} if self.event_id else {}))

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry)} if self.retry is not None else {}


def rejected(why: Rejected) -> Problem:
    """The answer to an order that is, or would become, a dead letter."""
    if why.code == "EVENT_ID_REUSED":
        return reused(why.event_id)
    if why.code in APPLIED:
        detail = f"{why.text}; a person has to look at its dead letter. This is not an APPROVE."
        return Problem(500, why.code, detail, why.event_id)
    return Problem(413 if why.code == "MESSAGE_TOO_LARGE" else 422, why.code, why.text, why.event_id)


def reused(event_id: str | None) -> Problem:
    return Problem(
        409, "EVENT_ID_REUSED", "this event_id was used for a payment with other content", event_id
    )


def away(waits: Iterable[str], event_id: str | None = None) -> Problem:
    """`waits`: what a decision needs and does not answer, e.g. `redis`."""
    names = sorted(waits) or ["start"]
    code = "NOT_READY" if names == ["start"] or names == ["index"] else "DEPENDENCY_AWAY"
    return Problem(503, code, f"waiting for {', '.join(names)}. {_ASK_AGAIN}", event_id, retry=RETRY_SECONDS)


def unsent(event_id: str, why: str) -> Problem:
    detail = f"the order was not acknowledged by Kafka ({why}). {_ASK_AGAIN}"
    return Problem(503, "DEPENDENCY_AWAY", detail, event_id, retry=RETRY_SECONDS)


def crowded(event_id: str) -> Problem:
    return Problem(
        503, "TOO_MANY_WAITING", f"too many orders wait. {_ASK_AGAIN}", event_id, retry=RETRY_SECONDS
    )


def failed() -> Problem:
    return Problem(500, "INTERNAL", f"the door failed. {_ASK_AGAIN}")


def late(event_id: str, seconds: float) -> Problem:
    detail = f"the order is kept and will be decided, but was not within {seconds:g} s. {_ASK_AGAIN}"
    return Problem(504, "NO_DECISION_YET", detail, event_id)
