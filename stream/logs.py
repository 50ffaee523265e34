"""Logs: one JSON object a line, on standard error."""

import logging
import sys
from typing import Any

import orjson


class JsonLog(logging.Formatter):
    """One JSON object a line. Fields are offsets, counts and codes: never an account, a key or an id."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure_logging() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLog())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("faust", "mode"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It tells of a broker that is away sixty times a second; Health tells it once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
