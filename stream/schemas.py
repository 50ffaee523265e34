"""JSON Schemas of the topics, generated from the models of `messages` and kept in `schemas/`.

`vigia schemas --write` writes them, `vigia schemas --check` tells whether they are current (a test does too).
What JSON Schema cannot say (a time ahead of the record's own, a number's third decimal) the decoder says.
"""

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from stream.contract import (
    AlertMessage,
    DecisionMessage,
    FeatureLogMessage,
    FraudReportMessage,
    ShadowScoreMessage,
    TransactionMessage,
)
from stream.dead_letter import CODES
from stream.messages import SCHEMA_VERSION

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Digits = Annotated[str, Field(pattern=r"^[0-9]+$")]


class DeadLetterHeaders(BaseModel):
    """The headers of a dead letter, each as UTF-8 text. Its value and its key are the original record's own
    bytes, whatever they are, unless it is `truncated`; this schema is of the headers alone."""

    error_code: Literal[tuple(CODES)]  # type: ignore[valid-type]
    error: str = Field(description="for a person: the field and what it should be")
    source_topic: str = Field(description="the full name, with its prefix")
    source_partition: Digits
    source_offset: Digits
    event_id: str | None = Field(None, description="where it could be read; a report's is its report_id")
    truncated: Digits | None = Field(
        None,
        description="bytes of the record, where the topic does not take them all and the value is their "
        "beginning, or empty",
    )
    schema_version: Digits
    group: str = Field(description="the consumer group whose worker could not decide it")
    processed_at: Digits = Field(description="ms since 1970")


SCHEMAS: dict[str, type[BaseModel]] = {
    "transaction": TransactionMessage,
    "fraud-report": FraudReportMessage,
    "decision": DecisionMessage,
    "alert": AlertMessage,
    "feature-log": FeatureLogMessage,
    "dead-letter": DeadLetterHeaders,
    "shadow-score": ShadowScoreMessage,
}


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one message."""
    generated = SCHEMAS[name].model_json_schema(by_alias=True)
    head = {
        "$schema": DIALECT,
        "$id": f"urn:vigia:pix:{name}:{SCHEMA_VERSION.decode()}",
        "title": name,
        "description": " ".join(generated.pop("description").split()),
    }
    return head | {key: value for key, value in generated.items() if key != "title"}


def text(name: str) -> str:
    """The file's content."""
    return json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"


def folder() -> Traversable:
    """Where the checked-in files are."""
    return files("stream").joinpath("schemas")


def outdated() -> list[str]:
    """Names of the files that are missing, or other than what would be generated now, or too many."""
    kept = {file.name: file.read_text(encoding="utf-8") for file in folder().iterdir()}
    wanted = {f"{name}.json": text(name) for name in SCHEMAS}
    return sorted(name for name in kept.keys() | wanted.keys() if kept.get(name) != wanted.get(name))


def write() -> list[str]:
    """Write every file anew; the paths."""
    target = Path(str(folder()))
    target.mkdir(exist_ok=True)
    for old in target.glob("*.json"):
        old.unlink()
    for name in SCHEMAS:
        (target / f"{name}.json").write_text(text(name), encoding="utf-8")
    return [str(target / f"{name}.json") for name in SCHEMAS]
