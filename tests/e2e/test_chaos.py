"""That the harness of `make chaos` works: one fault, at a load that any machine carries."""

from dataclasses import replace
from pathlib import Path

import pytest

from ..chaos.faults import FAULTS
from ..chaos.run import run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_a_killed_worker_loses_nothing(model_folder: Path) -> None:
    fault = replace(FAULTS["worker-kill"], bar=None)
    result = run(fault, model_folder, rate=500, seconds=16, keep=None)
    assert result.wrong == []
    assert result.verdict.published > 7000
    assert result.verdict.letters.keys() == {"NOT_JSON"}
    assert result.differences == 0
    assert set(result.recovery) == {0, 1, 2, 3}
