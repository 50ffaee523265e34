"""Where a report lies: the HTML file and, beside it, the JSON of the same name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from features.errors import BadInput
from models.report_html import page


def check_target(out: Path) -> None:
    """Raises BadInput unless `out` can be an HTML file, before any work is done."""
    if out.suffix not in (".html", ".htm"):
        raise BadInput(f"--out: {out} must end in .html; the JSON beside it ends in .json")
    if out.is_dir() or not out.parent.is_dir():
        raise BadInput(f"--out: {out} cannot be written; name a file in a folder that exists")


def write(out: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    """Write the page and its JSON; their paths and sizes. Raises BadInput when that is refused."""
    beside = out.with_suffix(".json")
    html = page(found).encode()
    try:
        beside.write_bytes(orjson.dumps(dict(found), option=orjson.OPT_INDENT_2) + b"\n")
        out.write_bytes(html)
    except OSError as error:
        raise BadInput(f"--out: {error.filename} cannot be written ({error.strerror})") from None
    return {"html": str(out), "json": str(beside), "html_bytes": len(html)}
