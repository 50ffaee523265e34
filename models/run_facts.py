"""What a run records of a model, as flat names and values."""

import subprocess
from collections.abc import Mapping
from typing import Any

from models.registry import Manifest

_LONG = {"feature_names", "metrics", "warnings"}


def git_revision() -> str:
    """The commit of the working folder's repository, with `-dirty` where files differ; "" without one."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def parameters(manifest: Manifest) -> dict[str, str]:
    """All that was chosen, as text; `model.json` itself has the long ones too."""
    told = manifest.model_dump(mode="json", include=set(Manifest.model_fields) - _LONG)
    members = told["params"].get("members", ())
    told["params"] = {**told["params"], "members": {str(i): member for i, member in enumerate(members)}}
    return {name: str(value)[:500] for name, value in _flat(told, "") if value != ""}


def numbers(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Every number of nested metrics, by its dotted name."""
    flat = _flat(metrics, f"{prefix}." if prefix else "")
    return {n: float(v) for n, v in flat if isinstance(v, int | float) and not isinstance(v, bool)}


def _flat(values: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}.")
        elif value is not None and not isinstance(value, list | tuple):
            found.append((prefix + name, value))
    return found
