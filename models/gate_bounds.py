"""The bounds of the gates, from one file: `gates.toml`, or one that `--gates` names."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from features.errors import BadInput


def _in_order(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"{bounds[0]:g} is above {bounds[1]:g}; write the low end first")
    return bounds


Interval = Annotated[tuple[float, float], AfterValidator(_in_order)]


class _Bounds(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EvaluationBounds(_Bounds):
    least_frauds: int = Field(ge=1)
    least_replicates: int = Field(ge=1)


class ChampionBounds(_Bounds):
    metric: Literal[
        "average_precision", "roc_auc", "payer_precision_at_100", "recall_at_alert_rate", "money_saved"
    ]
    least_gain: float


class GroupBounds(_Bounds):
    least_frauds: int = Field(ge=1)
    least_recall_share: float = Field(ge=0, le=1)
    most_recall_lost: float = Field(ge=0, le=1)
    least_honest: int = Field(ge=1)
    most_honest_stopped: float = Field(ge=0, le=1)
    most_honest_stopped_more: float = Field(ge=0, le=1)


class CalibrationBounds(_Bounds):
    slope: Interval
    mean: Interval
    top_factor: float = Field(ge=1)


class ParityBounds(_Bounds):
    least_vectors: int = Field(ge=1)
    tolerance: float = Field(gt=0)
    most_flips: int = Field(ge=0)


class LatencyBounds(_Bounds):
    batch: int = Field(ge=1)
    p99_ms: float = Field(gt=0)


class Gates(_Bounds):
    """The file."""

    evaluation: EvaluationBounds
    champion: ChampionBounds
    groups: GroupBounds
    calibration: CalibrationBounds
    parity: ParityBounds
    latency: LatencyBounds


def load_gates(path: Path | None = None) -> Gates:
    """The gates of a file, or those that come with Vigia. Raises BadInput that names what is wrong."""
    try:
        text = path.read_text() if path else files("models").joinpath("gates.toml").read_text()
        return Gates.model_validate(tomllib.loads(text))
    except OSError as error:
        raise BadInput(f"--gates: {path} cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"--gates: {path} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"--gates: {place} of {path}: {first['msg']}") from None
