"""Steps: each is done once, and again where what it was given changed."""

from pathlib import Path
from typing import Any

import pytest

from models.steps import Steps


class Work:
    """Counts how often it was done."""

    def __init__(self) -> None:
        self.done = 0

    def __call__(self) -> dict[str, Any]:
        self.done += 1
        return {"times": self.done}


def test_a_finished_step_is_not_done_again(tmp_path: Path) -> None:
    work = Work()
    for _ in range(3):
        assert Steps(tmp_path)("train", {"seed": 1}, work) == {"times": 1}
    assert work.done == 1


def test_a_step_that_was_given_other_things_is_done_again(tmp_path: Path) -> None:
    work, steps = Work(), Steps(tmp_path)
    steps("train", {"seed": 1}, work)
    assert steps("train", {"seed": 2}, work) == {"times": 2}
    assert steps("evaluate", {"seed": 2}, work) == {"times": 3}


def test_a_step_that_failed_leaves_nothing_and_is_done_next_time(tmp_path: Path) -> None:
    def fails() -> dict[str, Any]:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Steps(tmp_path)("train", {}, fails)
    assert list(tmp_path.iterdir()) == []
    assert Steps(tmp_path)("train", {}, Work()) == {"times": 1}


def test_a_file_that_was_cut_off_is_no_answer(tmp_path: Path) -> None:
    Steps(tmp_path)("train", {}, Work())
    (tmp_path / "train.json").write_bytes(b'{"given": "')
    assert Steps(tmp_path)("train", {}, Work()) == {"times": 1}


def test_every_step_is_told_and_whether_it_was_done_before(tmp_path: Path) -> None:
    said: list[tuple[str, bool]] = []
    for _ in range(2):
        Steps(tmp_path, lambda name, known: said.append((name, known)))("train", {}, Work())
    assert said == [("train", False), ("train", True)]
