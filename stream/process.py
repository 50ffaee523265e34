"""A Python process of ours, as the demo and the bench start it: with settings of its own, and its log."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from stream.settings import Settings

_LINES_SHOWN = 12


def spawn(module: Sequence[str], environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """`python -m MODULE …` in its log's folder. Ctrl-C at the terminal is for whoever starts it."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=log.parent,  # no .env file of the user's
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def environment(settings: Settings, names: set[str]) -> dict[str, str]:
    """This process's environment with the settings of these names instead of the user's VIGIA_*."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIGIA_")}
    told = settings.model_dump(include=names)
    return kept | {f"VIGIA_{name.upper()}": str(value) for name, value in told.items()}


def last_lines(log: Path) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LINES_SHOWN:])
