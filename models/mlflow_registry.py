"""The model registry, on MLflow: versions of a product, and the aliases that say which of them serves.

A version is a model folder, byte for byte as it was registered, in the run that recorded it: parameters,
metrics, evaluation, report, data and code it came from, and the same model in MLflow's own ONNX form with its
signature. A version's tag `model_id` is the folder's; the same folder twice is one version. Which version
serves is an alias: `champion`, `challenger`, and `previous`, the champion that a rollback goes back to.

Runs and registry are in SQLite under `.vigia` unless MLFLOW_TRACKING_URI names a server; its credentials are
MLflow's own variables. Everything goes through run artifacts and `create_model_version`, which servers of
MLflow 2 have too. Beside `mlflow_onnx`, this is the one file that knows MLflow.
"""

import logging
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from features.errors import BadInput, VigiaError
from models.evaluation_file import unusable
from models.registry import Manifest
from models.run_facts import git_revision, numbers, parameters
from models.scorer import Scorer

# Before the import. A payment institution tells nobody what it trains, and a server that is away is away.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # standard output is for one JSON object

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own, of SQLAlchemy and of type hints
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param
    from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("urllib3").setLevel(logging.ERROR)  # each retry would be a line
# It prints the traceback of an error that it raises too: RegistryAway here, which is told in one line.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
EVALUATION = "evaluation.json"

_FOLDER = Path(".vigia")
_PARAMS_AT_ONCE = 100
"""MLflow's own bound."""

_SQLITE = "sqlite:///"
_FILES_SEEN: dict[Path, list[tuple[int, int]]] = {}
"""Of each SQLite address the files (device, inode) that were opened there. MLflow keeps what it opened by the
address, for as long as the process lives, so the next file there is opened by another spelling of it."""

_FILES = "folder"
"""The artifact that is the model folder, as it was registered."""


class RegistryAway(VigiaError):
    """The registry does not answer; the message says which and what to look at."""


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


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or the SQLite file in `.vigia` of the working folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(_FOLDER / 'mlflow.db').absolute()}"


class Registry:
    """The versions of one product. Every method may raise RegistryAway."""

    def __init__(self, product: str, uri: str | None = None) -> None:
        """`uri` as MLFLOW_TRACKING_URI. Nothing is opened, or made, before the first question."""
        self.product, self.uri = product, uri or tracking_uri()
        of_sqlite, _, path = self.uri.partition(_SQLITE)
        self._file = Path(path).absolute() if path and not of_sqlite else None
        self._artifacts = (self._file.parent / "mlartifacts").as_uri() if self._file else None
        self._opened = ""
        self._client: MlflowClient

    def make(self) -> "Registry":
        """Itself, with the SQLite file made where there is none: for a first use, not for who only reads."""
        if self._file is not None and not _is_there(self._file):
            with self._asking(open_=False):
                _make(self._file)
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
        with self._asking():
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
        with self._asking():
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
        with self._asking():
            number = self._aliases().get(alias) if self._exists() else None
            if number is None:
                return None
            found = self._client.get_model_version(self.product, str(number))
            return self._version(found, {alias: number})

    def set_alias(self, alias: str, version: Version) -> None:
        """`alias` names this version from now on."""
        with self._asking():
            self._client.set_registered_model_alias(self.product, alias, str(version.version))

    def drop_alias(self, alias: str) -> None:
        """`alias` names nothing."""
        with self._asking():
            self._client.delete_registered_model_alias(self.product, alias)

    def fetch(self, version: Version, into: Path) -> Path:
        """The version's model folder, in the folder `into`, which exists. It is not looked at."""
        with self._asking():
            return Path(self._client.download_artifacts(version.run_id, _FILES, str(into)))

    def evaluation(self, version: Version) -> dict[str, Any] | None:
        """What `vigia models evaluate` said of it; None if it was registered without."""
        with self._asking(), TemporaryDirectory() as folder:
            if not any(f.path == EVALUATION for f in self._client.list_artifacts(version.run_id)):
                return None
            path = self._client.download_artifacts(version.run_id, EVALUATION, folder)
            answer: dict[str, Any] = orjson.loads(Path(path).read_bytes())
            return answer

    def record(self, version: Version, tag: str, value: str) -> None:
        """A tag of the version, for whoever looks at it in MLflow."""
        with self._asking():
            self._client.set_model_version_tag(self.product, str(version.version), tag, value)

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self.product)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(self.product, artifact_location=self._artifacts))

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

    @contextmanager
    def _asking(self, open_: bool = True) -> Iterator[None]:
        try:
            if open_:
                self._open()
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            raise RegistryAway(
                f"the registry at {_shown(self.uri)} does not answer as it should ({_shown(first_line)}): "
                "look at MLFLOW_TRACKING_URI and its server"
            ) from error

    def _open(self) -> None:
        """The client of the file that is there now; of one that was moved away nothing is told any more."""
        address = self.uri if self._file is None else _spelled(self._file)
        if address != self._opened:
            self._client, self._opened = MlflowClient(tracking_uri=address, registry_uri=address), address


def _is_there(file: Path) -> bool:
    """An empty one is not: it is about to be written, or never was."""
    return file.exists() and file.stat().st_size > 0


def _make(file: Path) -> None:
    """Its tables first, then its name: who looks on finds it whole, and of two that make it one is kept."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent) as folder:
        draft = Path(folder) / file.name
        MlflowClient(tracking_uri=f"{_SQLITE}{draft}", registry_uri=f"{_SQLITE}{draft}")
        if file.exists() and not _is_there(file):
            file.unlink()
        with suppress(FileExistsError):
            os.link(draft, file)


def _spelled(file: Path) -> str:
    """The address to open `file` by. Raises RegistryAway where it is not."""
    if not _is_there(file):
        raise RegistryAway(
            f"the registry is away: there is no {file}; look at MLFLOW_TRACKING_URI, bring the file back, or "
            "begin a new one (`vigia models register DIR`)"
        )
    found, seen = file.stat(), _FILES_SEEN.setdefault(file, [])
    if (this := (found.st_dev, found.st_ino)) not in seen:
        seen.append(this)
    return f"{_SQLITE}{'/.' * seen.index(this)}{file}"


def _shown(text: str) -> str:
    """Without the password that an address in it may carry."""
    return re.sub(r"://[^/@\s]*@", "://", text)


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
