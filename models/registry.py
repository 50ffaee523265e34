"""The folder of a served model: `model.onnx`, `trees.npz` and `model.json`, bound together by hashes."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from features.errors import BadInput, VigiaError
from models.calibration import Calibration
from models.costs import Costs, Thresholds

ONNX_FILE, TREES_FILE, JSON_FILE = "model.onnx", "trees.npz", "model.json"
FORMAT = 3
PRODUCTS = ("pix-fraud",)
UNNAMED = ""


class ModelRefused(VigiaError):
    """The folder holds no model that this version may serve; the message says why and what to do."""

    exit_code = 2


class Manifest(BaseModel):
    """`model.json`: all that decides a score or says where it came from. Same input, same id."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format: int = FORMAT
    model_id: str = UNNAMED
    product: str
    candidate: str = "lightgbm"
    features_version: str
    feature_names: tuple[str, ...]
    thresholds: Thresholds
    calibration: Calibration
    costs: Costs
    train_from: date
    train_to: date
    as_of: date
    n: int
    n_frauds: int
    data_sha256: str = ""  # of the training rows' vectors, amounts, times and labels
    metrics: Mapping[str, Any]  # out of time, inside the training span
    warnings: tuple[str, ...] = ()  # what whoever serves it should know
    seed: int
    params: Mapping[str, Any]
    libraries: Mapping[str, str]
    opset: Mapping[str, int]
    onnx_sha256: str
    trees_sha256: str

    def identified(self) -> "Manifest":
        """With its `model_id`: product@<the first 12 hex digits of the hash of everything else>."""
        return self.model_copy(update={"model_id": f"{self.product}@{self._content_hash()[:12]}"})

    def _content_hash(self) -> str:
        content = self.model_dump(mode="json", exclude={"model_id"})
        return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class Model:
    """A model as it lies in its folder."""

    manifest: Manifest
    onnx: bytes
    trees: bytes  # `Ensemble.to_bytes()` of the trees in `onnx`


def require_product(product: str) -> None:
    """Raises BadInput when this version has no such product."""
    if product not in PRODUCTS:
        raise BadInput(f"{product!r} is no product of this version; known: {', '.join(PRODUCTS)}")


def sha256(content: bytes) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(content).hexdigest()


def check_target(folder: Path) -> None:
    """Raises BadInput when `folder` is something that saving must not replace."""
    if folder.is_dir() and ((folder / JSON_FILE).exists() or not any(folder.iterdir())):
        return
    if folder.exists():
        raise BadInput(f"--out: {folder} exists and is not a model folder; choose another")


def save(folder: Path, model: Model) -> None:
    """Write the folder beside its place and rename it, so that no reader sees half of it."""
    check_target(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        draft.chmod(0o755)
        (draft / ONNX_FILE).write_bytes(model.onnx)
        (draft / TREES_FILE).write_bytes(model.trees)
        content = model.manifest.model_dump(mode="json")
        (draft / JSON_FILE).write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
        if folder.exists():
            rmtree(folder)
        draft.rename(folder)
    finally:
        rmtree(draft, ignore_errors=True)


def load(folder: Path, feature_names: Sequence[str], features_version: str) -> Model:
    """The model of a folder. Raises ModelRefused unless it is whole and was trained on these features."""
    manifest = read_manifest(folder)
    if manifest.features_version != features_version:
        raise ModelRefused(
            f"{folder}: the model was trained on features {manifest.features_version}, this version computes "
            f"{features_version}; train again with this version (`vigia models train {manifest.product}`)"
        )
    if manifest.feature_names != tuple(feature_names):
        raise ModelRefused(
            f"{folder}: the names of its features, or their order, are not those of features "
            f"{features_version}, which it says it was trained on; train again (`vigia models train "
            f"{manifest.product}`)"
        )
    onnx = _read_hashed(folder, ONNX_FILE, manifest.onnx_sha256)
    return Model(manifest, onnx, _read_hashed(folder, TREES_FILE, manifest.trees_sha256))


def read_manifest(folder: Path) -> Manifest:
    """`model.json`, whole and unchanged since it was written. Raises ModelRefused."""
    if not folder.is_dir():
        raise ModelRefused(f"{folder}: no such model folder; make one with `vigia models train pix-fraud`")
    content = _read(folder, JSON_FILE)
    _require_format(folder, content)
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        reason = f"damaged at {place}: {first['msg']}"
        raise ModelRefused(f"{folder}: {JSON_FILE} is {reason}; train again") from None
    expected = manifest.identified().model_id
    if manifest.model_id != expected:
        raise ModelRefused(
            f"{folder}: {JSON_FILE} was changed: its content is {expected}, it says {manifest.model_id}; "
            "copy the folder again, or train again"
        )
    return manifest


def _require_format(folder: Path, content: bytes) -> None:
    try:
        found = orjson.loads(content)["format"]
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return  # whatever is wrong, the manifest's own check names it
    if found != FORMAT:
        raise ModelRefused(
            f"{folder}: the model's folder has format {found}, this version reads {FORMAT}; train again"
        )


def _read_hashed(folder: Path, name: str, expected: str) -> bytes:
    content = _read(folder, name)
    if sha256(content) != expected:
        raise ModelRefused(
            f"{folder}: {name} has hash {sha256(content)}, {JSON_FILE} says {expected}; "
            "copy the whole folder again, or train again"
        )
    return content


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise ModelRefused(f"{folder}: {name} cannot be read ({error.strerror}); train again") from None
