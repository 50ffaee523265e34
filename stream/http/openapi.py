"""The API's own description: schemas from the same models that the messages of the topics are read with."""

from typing import Any

from pydantic import BaseModel, Field

from stream.contract import DecisionMessage, TransactionMessage
from stream.http.problems import MEDIA_TYPE

TITLE = "Vigia: decisions on Pix payments"
DESCRIPTION = """Send a Pix payment order and get its decision: APPROVE, REVIEW (hold it) or DENY.

**No answer is not an APPROVE.** Only a 200 whose `decision` is APPROVE is one. A timeout, a broken
connection, any 5xx and any 4xx is not. After a timeout, 503 or 504 ask again with the same `event_id` and the
same content: within 15 minutes you get the very bytes of the first decision, and the payment is counted once,
however often you ask. Until then hold the payment (PAGFRD) or refuse it. Do not ask after those 15 minutes:
the decision is on the topic, and an id that was forgotten would count as a new payment.
"""

_EXAMPLE = {
    "event_id": "E9040088820261121153000123456789",
    "occurred_at": "2026-11-21T15:30:00.123Z",
    "amount": "150.00",
    "payer": {"account": "a-1", "ispb": "90400888", "person_type": "NATURAL_PERSON"},
    "payee": {"account": "b-9", "ispb": "60701190", "key": "11999990000", "key_type": "PHONE"},
    "initiation": "DICT",
    "device": {"id": "d-7", "registered": True},
}

_PROBLEMS = {
    "408": "The request's body did not arrive within the deadline.",
    "409": "The event_id was used for a payment with other content (EVENT_ID_REUSED).",
    "413": "More than 64 KiB (MESSAGE_TOO_LARGE).",
    "415": "The Content-Type is not application/json.",
    "422": "The order can't be read; `code` is the error code of the dead letters, e.g. FIELD_MISSING.",
    "500": "The order was taken but scoring it fails (SCORING_ERROR) or a topic refuses what is told of it "
    "(OUTPUT_TOO_LARGE), or the door itself failed (INTERNAL). Not an APPROVE.",
    "503": "No decision can be made now: Kafka or Redis is away, or the door is starting. Not an APPROVE: "
    "ask again after Retry-After seconds with the same event_id; the order may have been taken.",
    "504": "No decision within the deadline. The order is kept and will be decided. Not an APPROVE: ask "
    "again with the same event_id.",
}


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str = Field(description="urn:vigia:problem: and the code")
    title: str
    status: int
    code: str = Field(description="stable: program against this one")
    detail: str = Field(description="for a person")
    event_id: str | None = None


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document with our schemas among its components."""
    components = document.setdefault("components", {}).setdefault("schemas", {})
    for model in (TransactionMessage, DecisionMessage, ProblemDocument):
        found = model.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
        components |= found.pop("$defs", {}) | {model.__name__: found}
    return document


def decisions_operation() -> dict[str, Any]:
    """What FastAPI can't see in a handler that takes and gives raw bytes."""
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    responses: dict[str, Any] = {
        "200": {
            "description": "The decision, byte for byte as it lies on the topic `decisions`.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/DecisionMessage"}}},
        }
    }
    for status, text in _PROBLEMS.items():
        responses[status] = {"description": text, "content": problem}
    responses["503"] = responses["503"] | {"headers": {"Retry-After": {"schema": {"type": "integer"}}}}
    body = {"schema": {"$ref": "#/components/schemas/TransactionMessage"}, "example": _EXAMPLE}
    return {
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": responses,
        "parameters": [
            {
                "name": "traceparent",
                "in": "header",
                "required": False,
                "schema": {"type": "string"},
                "description": "W3C Trace Context; goes with the order and its decision as a record header.",
            }
        ],
    }
