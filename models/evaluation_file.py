"""What the gates read of the JSON of `vigia models evaluate`, and whether a file has it: it may be of another
version of Vigia, or of another tool. What is there beside it is nobody's business here.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Share = float | None


class _Part(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False, protected_namespaces=())


class _Bootstrap(_Part):
    replicates: int


class _Gain(_Part):
    difference: float
    low: float
    high: float


class _Review(_Part):
    recall: Share


class _Group(_Part):
    group: str
    value: str
    n: int
    frauds: int
    recall: Share
    recall_high: Share
    honest_stopped: Share
    honest_stopped_low: Share
    champion_recall: Share = None
    champion_honest_stopped: Share = None
    champion_honest_stopped_high: Share = None


class _Top(_Part):
    share: float
    expected: float
    observed: float
    low: float
    high: float


class _Calibration(_Part):
    log_loss: float
    base_log_loss: float
    base_rate: float
    mean_score: float
    slope: float | None
    slope_interval: tuple[float, float] | None
    top: list[_Top]


class _Evaluation(_Part):
    model: str
    first: date = Field(alias="from")
    to: date
    frauds: int
    review: _Review
    groups: list[_Group]
    calibration: _Calibration
    bootstrap: _Bootstrap | None = None
    champion: str | None = None
    against_champion: dict[str, _Gain] = {}


def unusable(evaluation: Mapping[str, Any]) -> str | None:
    """What is wrong with it, in a few words; None if the gates can read it."""
    try:
        _Evaluation.model_validate(evaluation)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc']) or 'the whole'}: {first['msg']}"
    return None
