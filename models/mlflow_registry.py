"""The model registry, on MLflow: versions of a product, and the aliases that say which of them serves.

A version is a model folder, byte for byte as it was registered, in the run that recorded it: parameters,
metrics, evaluation, report, data and code it came from, and the same model in MLflow's own ONNX form with its
signature. A version's tag `model_id` is the folder's; the same folder twice is one version. Which version
serves is an alias: `champion`, `challenger`, and `previous`, the champion that a rollback goes back to.

Everything goes through run artifacts and `create_model_version`, which servers of MLflow 2 have too. Beside
`mlflow_connection` and `mlflow_onnx`, this is the one file that knows MLflow.
"""

import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from features.errors import BadInput
from models.evaluation_file import unusable
from models.mlflow_connection import Connection  # before MLflow, whose environment it sets
from models.registry import Manifest
from models.run_facts import git_revision, numbers, parameters
from models.scorer import Scorer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own, of SQLAlchemy and of type hints
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param
    from mlflow.exceptions import MlflowException

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
EVALUATION = "evaluation.json"

_PARAMS_AT_ONCE = 100
"""MLflow's own bound."""

_FILES = "folder"
"""The artifact that is the model folder, as it was registered."""


@dataclass(frozen=True, slots=True)
class Version:
    """One registered model."""

    product: str
    version: int
    model_id: str
    aliases: tuple[str, ...]
    run_id: str
    registered_at: int  # ms since 1970
    features_version: str = ""
    rolled_back: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"aliases": list(self.aliases)}


class Registry:
    """The versions of one product. Every method may raise RegistryAway."""

    def __init__(self, product: str, uri: str | None = None) -> None:
        """`uri` as MLFLOW_TRACKING_URI. Nothing is opened, or made, before the first question."""
        self.product, self._connection = product, Connection(uri)
        self.uri = self._connection.uri

    @property
    def _client(self) -> MlflowClient:
        return self._connection.client

    def make(self) -> "Registry":
        """Itself, with the SQLite file made where there is none: for a first use, not for who only reads."""
        self._connection.make()
        return self

    def register(
        self, folder: Path, evaluation: Path | None = None, report: Path | None = None
    ) -> tuple[Version, bool]:
        """The version of this model folder, and whether it is new.

        Of one that is known, the evaluation and the report are replaced where they are given. Raises
        ModelRefused for a folder that can't be served, BadInput for an evaluation that is another model's.
        """
        manifest = Scorer.load(folder).manifest
        if manifest.product != self.product:
            raise BadInput(f"{folder} is a model of {manifest.product}, not of {self.product}")
        measured = _evaluation(evaluation, manifest) if evaluation else None
        if report is not None and not report.is_file():
            raise BadInput(f"--report: {report} does not exist")
        self.make()
        with self._connection.asking():
            known = self.find(manifest.model_id)
            run_id = known.run_id if known else self._record(folder, manifest)
            self._attach(run_id, measured, report)
            if known:
                return known, False
            return self._create(run_id, manifest), True

    def _record(self, folder: Path, manifest: Manifest) -> str:
        """A run that holds all that the folder says of itself."""
        from models.mlflow_onnx import write_model  # a second that a watcher can do without

        tags = {
            "mlflow.runName": manifest.model_id,
            "model_id": manifest.model_id,
            "candidate": manifest.candidate,
            "features_version": manifest.features_version,
            "data_sha256": manifest.data_sha256,
            "mlflow.source.git.commit": git_revision(),
            "warnings": "\n".join(manifest.warnings),
        }
        run_id = str(self._client.create_run(self._experiment(), tags=tags).info.run_id)
        chosen = [Param(name, value) for name, value in parameters(manifest).items()]
        for at in range(0, len(chosen), _PARAMS_AT_ONCE):
            self._client.log_batch(run_id, params=chosen[at : at + _PARAMS_AT_ONCE])
        self._measure(run_id, numbers(manifest.metrics, "out_of_time"))
        self._client.log_artifacts(run_id, str(folder), _FILES)
        with TemporaryDirectory() as draft:
            write_model(folder, Path(draft) / "model", len(manifest.feature_names))
            self._client.log_artifacts(run_id, f"{draft}/model", "model")
        return run_id

    def _attach(self, run_id: str, evaluation: Mapping[str, Any] | None, report: Path | None) -> None:
        if evaluation is not None:
            self._client.log_text(run_id, orjson.dumps(dict(evaluation)).decode(), EVALUATION)
            self._measure(run_id, numbers(evaluation))
        if report is not None:
            self._client.log_artifact(run_id, str(report))

    def _measure(self, run_id: str, found: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        self._client.log_batch(run_id, [Metric(name, number, now, 0) for name, number in found.items()])

    def _create(self, run_id: str, manifest: Manifest) -> Version:
        """Last of all, so that a version that is there is whole."""
        run = self._client.get_run(run_id)
        self._client.set_terminated(run_id)
        if not self._exists():
            self._client.create_registered_model(self.product)
        made = self._client.create_model_version(
            self.product,
            source=f"{run.info.artifact_uri}/model",
            run_id=run_id,
            tags={"model_id": manifest.model_id, "features_version": manifest.features_version},
        )
        return self.get(int(made.version))

    def versions(self) -> list[Version]:
        """All, newest first."""
        with self._connection.asking():
            if not self._exists():
                return []
            aliases = self._aliases()
            found: list[Any] = []
            page = self._client.search_model_versions(f"name='{self.product}'")
            while True:
                found += page
                if not page.token:
                    break
                page = self._client.search_model_versions(f"name='{self.product}'", page_token=page.token)
            made = [self._version(each, aliases) for each in found]
            return sorted(made, key=lambda each: -each.version)

    def get(self, number: int) -> Version:
        """Raises BadInput when there is no such version."""
        for each in self.versions():
            if each.version == number:
                return each
        raise BadInput(f"{self.product} has no version {number}; see `vigia models list`")

    def find(self, model_id: str) -> Version | None:
        """The version of a model."""
        return next((each for each in self.versions() if each.model_id == model_id), None)

    def serving(self, alias: str) -> Version | None:
        """The version that an alias names; cheap enough to be asked every second."""
        with self._connection.asking():
            number = self._aliases().get(alias) if self._exists() else None
            if number is None:
                return None
            found = self._client.get_model_version(self.product, str(number))
            return self._version(found, {alias: number})

    def set_alias(self, alias: str, version: Version) -> None:
        """`alias` names this version from now on."""
        with self._connection.asking():
            self._client.set_registered_model_alias(self.product, alias, str(version.version))

    def drop_alias(self, alias: str) -> None:
        """`alias` names nothing."""
        with self._connection.asking():
            self._client.delete_registered_model_alias(self.product, alias)

    def fetch(self, version: Version, into: Path) -> Path:
        """The version's model folder, in the folder `into`, which exists. It is not looked at."""
        with self._connection.asking():
            return Path(self._client.download_artifacts(version.run_id, _FILES, str(into)))

    def evaluation(self, version: Version) -> dict[str, Any] | None:
        """What `vigia models evaluate` said of it; None if it was registered without."""
        with self._connection.asking(), TemporaryDirectory() as folder:
            if not any(f.path == EVALUATION for f in self._client.list_artifacts(version.run_id)):
                return None
            path = self._client.download_artifacts(version.run_id, EVALUATION, folder)
            answer: dict[str, Any] = orjson.loads(Path(path).read_bytes())
            return answer

    def record(self, version: Version, tag: str, value: str) -> None:
        """A tag of the version, for whoever looks at it in MLflow."""
        with self._connection.asking():
            self._client.set_model_version_tag(self.product, str(version.version), tag, value)

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self.product)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(self.product, artifact_location=self._connection.artifacts))

    def _exists(self) -> bool:
        try:
            self._client.get_registered_model(self.product)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return True

    def _aliases(self) -> dict[str, int]:
        aliases = self._client.get_registered_model(self.product).aliases
        return {alias: int(number) for alias, number in aliases.items()}

    def _version(self, found: Any, aliases: Mapping[str, int]) -> Version:
        number = int(found.version)
        mine = tuple(sorted(alias for alias, named in aliases.items() if named == number))
        model_id = found.tags.get("model_id", "")
        return Version(
            self.product, number, model_id, mine, found.run_id, found.creation_timestamp,
            found.tags.get("features_version", ""), bool(found.tags.get("rolled_back")),
        )  # fmt: skip


def _evaluation(path: Path, manifest: Manifest) -> dict[str, Any]:
    try:
        found = orjson.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(f"--evaluation: {path} cannot be read ({error.strerror})") from None
    except orjson.JSONDecodeError:
        raise BadInput(f"--evaluation: {path} is not the JSON of `vigia models evaluate --json`") from None
    of = found.get("model") if isinstance(found, dict) else None
    if of != manifest.model_id:
        raise BadInput(f"--evaluation: {path} is of {of}, the folder is {manifest.model_id}: evaluate it")
    if reason := unusable(found):
        raise BadInput(f"--evaluation: {path} is none that the gates can read ({reason}): evaluate again")
    return dict(found)
