"""Steps of a long run, each done once: what a finished one answered is kept, and taken from there again."""

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import orjson

from features.lock import only_one

Answer = dict[str, Any]
Say = Callable[[str, bool], None]
"""Told of every step's name, and whether it had been done before."""


class Steps:
    """Answers by step in one folder: `NAME.json`, {"given", "answer"}.

    A step that was given the same before is not done again; one that was given other things is, and so are
    those that are given its new answer. A run that is killed goes on with the step that it was at.
    """

    def __init__(self, folder: Path, say: Say = lambda _name, _known: None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.say = folder, say

    def alone(self) -> AbstractContextManager[None]:
        """Raises VigiaError if another run works in the folder: both would write the same files."""
        return only_one(self.folder / ".lock", f"another run works in {self.folder}: wait for it, or end it")

    def __call__(
        self,
        name: str,
        given: Mapping[str, Any],
        work: Callable[[], Mapping[str, Any]],
        whole: Callable[[Answer], bool] = lambda _answer: True,
    ) -> Answer:
        """The step's answer; JSON-able. What `work` raises leaves nothing behind.

        `whole` says of an earlier answer whether the files it speaks of are still there, and still its own.
        """
        file = self.folder / f"{name}.json"
        print_of_given = _hash(given)
        known = _read(file)
        found = known.get("given") == print_of_given and whole(known["answer"])
        self.say(name, found)
        if found:
            answer: Answer = known["answer"]
            return answer
        answer = dict(work())
        draft = file.with_suffix(".part")
        draft.write_bytes(
            orjson.dumps({"given": print_of_given, "answer": answer}, option=orjson.OPT_INDENT_2)
        )
        os.replace(draft, file)  # whole or not at all
        return answer


def _hash(given: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(given, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()


def _read(file: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return known if isinstance(known, dict) and "answer" in known else {}
