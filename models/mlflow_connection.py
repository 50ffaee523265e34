"""How MLflow is reached: its environment, the address, and of a SQLite file the one that is there now.

Runs and registry are in SQLite under `.vigia` unless MLFLOW_TRACKING_URI names a server; its credentials are
MLflow's own variables.
"""

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from features.errors import VigiaError

# Before the import. A payment institution tells nobody what it trains, and a server that is away is away.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # standard output is for one JSON object

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own, of SQLAlchemy and of type hints
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("urllib3").setLevel(logging.ERROR)  # each retry would be a line
# It prints the traceback of an error that it raises too: RegistryAway here, which is told in one line.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

_FOLDER = Path(".vigia")

_SQLITE = "sqlite:///"
_FILES_SEEN: dict[Path, list[tuple[int, int]]] = {}
"""Of each SQLite address the files (device, inode) that were opened there. MLflow keeps what it opened by the
address, for as long as the process lives, so the next file there is opened by another spelling of it."""


class RegistryAway(VigiaError):
    """The registry does not answer; the message says which and what to look at."""


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or the SQLite file in `.vigia` of the working folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(_FOLDER / 'mlflow.db').absolute()}"


class Connection:
    """MLflow at one address. What asks it may raise RegistryAway."""

    def __init__(self, uri: str | None = None) -> None:
        """`uri` as MLFLOW_TRACKING_URI. Nothing is opened, or made, before the first question."""
        self.uri = uri or tracking_uri()
        of_sqlite, _, path = self.uri.partition(_SQLITE)
        self._file = Path(path).absolute() if path and not of_sqlite else None
        self.artifacts = (self._file.parent / "mlartifacts").as_uri() if self._file else None
        """Where new runs are to keep their files; None leaves it to the server."""
        self._opened = ""
        self.client: MlflowClient
        """There while it is asked (`asking`)."""

    def make(self) -> None:
        """The SQLite file where there is none: for a first use, not for who only reads."""
        if self._file is not None and not _is_there(self._file):
            with self._told():
                _make(self._file)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """`client` is that of the file that is there now; one that was moved away is asked no more."""
        with self._told():
            address = self.uri if self._file is None else _spelled(self._file)
            if address != self._opened:
                self.client, self._opened = MlflowClient(tracking_uri=address, registry_uri=address), address
            yield

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            raise RegistryAway(
                f"the registry at {_shown(self.uri)} does not answer as it should ({_shown(first_line)}): "
                "look at MLFLOW_TRACKING_URI and its server"
            ) from error


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
