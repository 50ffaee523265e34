"""What a request carries: at most 64 KiB of JSON, and all of it within the deadline."""

import asyncio
import re

from starlette.requests import ClientDisconnect, Request

from stream.dead_letter import Rejected
from stream.http.problems import Problem, rejected
from stream.messages import MAX_BYTES

_JSON = re.compile(r'application/json\s*(;\s*charset="?utf-8"?\s*)?', re.IGNORECASE)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


async def read_order(request: Request, seconds: float) -> bytes:
    """The body. Raises Problem: it is not JSON, too large, or does not arrive."""
    if not _JSON.fullmatch(request.headers.get("content-type", "").strip()):
        raise Problem(415, "UNSUPPORTED_MEDIA_TYPE", "send the order with Content-Type: application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "UNSUPPORTED_MEDIA_TYPE", "send the order as it is, without a Content-Encoding")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_BYTES:
        raise _too_large(length)
    try:
        async with asyncio.timeout(seconds):
            return await _read(request)
    except TimeoutError:
        raise Problem(408, "REQUEST_TIMEOUT", f"the body did not arrive within {seconds:g} s") from None
    except ClientDisconnect:
        raise Problem(400, "DISCONNECTED", "the connection broke before the body was there") from None


async def _read(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BYTES:
            raise _too_large(f"more than {MAX_BYTES}")
        parts.append(part)
    return b"".join(parts)


def _too_large(size: str) -> Problem:
    return rejected(Rejected("MESSAGE_TOO_LARGE", f"{size} bytes; at most {MAX_BYTES}"))


def traceparent(request: Request) -> bytes | None:
    """W3C's; one that is malformed is passed over, as the standard says."""
    found = request.headers.get("traceparent", "")
    return found.encode() if _TRACEPARENT.fullmatch(found) else None
