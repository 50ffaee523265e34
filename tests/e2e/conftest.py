"""What the tests of whole processes begin with."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.process import wait_until

from ..world import World, private_world


@pytest.fixture
def world(tmp_path: Path, model_folder: Path) -> Iterator[World]:
    with private_world(tmp_path, model_folder) as world:
        yield world


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait for a condition; fail with its name when it does not come."""

    def wait(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        assert wait_until(condition, seconds, every=0.1), f"not within {seconds} s: {what}"

    return wait
