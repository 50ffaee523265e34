"""From labelled vectors to a champion: data, search, train, evaluate, report, register, promote.

Spans lie one behind the other: nothing is judged by what it was made of, and every label had its week::

    train_from … train_to | delay | test_from … test_to | delay | as_of

The labels of the training days are those known when the test days begin; those of the test days, what is
known at `as_of`. The model that was tested is the one that is registered.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from features import catalog
from features.errors import BadInput
from models.costs import Costs
from models.dataset import Span, start_of
from models.evaluate import MATURE_AFTER, Question, evaluate
from models.gate_bounds import Gates
from models.gates import REFUSED as GATE_REFUSED
from models.gates import Finding, GateRefused
from models.labelled import Labelled, labelled
from models.mlflow_registry import CHAMPION
from models.params import candidate_recipe, recipe_of
from models.promotion import promote, register
from models.registry import ModelRefused, load, save
from models.report import report
from models.report_file import write
from models.scorer import Scorer
from models.search import Bounds, search
from models.steps import Answer, Steps
from models.train import Task, fingerprint, train

if TYPE_CHECKING:
    from models.mlflow_registry import Registry

PROMOTED, UNCHANGED, REFUSED, REGISTERED = "promoted", "unchanged", "refused", "registered"


@dataclass(frozen=True, slots=True)
class Spans:
    """The days of one retraining."""

    train: Span
    test: Span
    as_of: date

    @classmethod
    def before(cls, as_of: date, train_days: int, test_days: int) -> "Spans":
        """The newest that are mature at the start of `as_of`."""
        test_to = as_of - MATURE_AFTER
        test_from = test_to - timedelta(days=test_days - 1)
        train_to = test_from - MATURE_AFTER
        return cls(Span(train_to - timedelta(days=train_days - 1), train_to), Span(test_from, test_to), as_of)

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return {
            "train_from": f"{self.train.first}",
            "train_to": f"{self.train.last}",
            "test_from": f"{self.test.first}",
            "test_to": f"{self.test.last}",
            "as_of": f"{self.as_of}",
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for. `trials` 0 leaves the search out: the model follows the built-in recipe."""

    product: str
    features: Path
    reports: Path
    spans: Spans
    costs: Costs
    gates: Gates
    trials: int = 0
    minutes: float = 15.0
    candidate: str = "lightgbm"
    seed: int = 0
    promote: bool = True


class Retraining:
    """One plan's steps, in one folder; run again it goes on, or answers as before."""

    def __init__(self, plan: Plan, registry: "Registry", steps: Steps) -> None:
        self._plan, self._registry, self._steps = plan, registry, steps
        self._folder = steps.folder
        self._rows: Labelled | None = None

    def run(self) -> Answer:
        """`outcome` (promoted, unchanged, refused or registered), `model`, `spans`, and each step's answer.

        Raises BadInput for data that can't be trained on, RegistryAway; then the finished steps are kept.
        Raises VigiaError while another process is at the same run.
        """
        with self._steps.alone():
            return self._run()

    def _run(self) -> Answer:
        data = self._data()
        recipe = self._search(data)
        trained = self._train(data, recipe)
        champion = self._champion()
        answer = {
            "model": trained["model"],
            "champion": champion,
            "spans": self._plan.spans.as_dict(),
            "data": data,
            "warnings": self._warnings(data, trained),
            "folder": f"{self._folder}",
        }
        if champion == trained["model"]:
            return {"outcome": UNCHANGED, **answer}
        evaluation = self._evaluate(data, trained, champion)
        self._report(data, trained, champion)
        version = self._register(trained, evaluation)
        gate = self._promote(version)
        return {
            "outcome": gate["outcome"],
            **answer,
            "version": self._registry.get(version["version"]["version"]).as_dict(),
            "search": {name: recipe[name] for name in ("trials", "average_precision") if name in recipe},
            "evaluation": {
                name: evaluation.get(name) for name in ("average_precision", "roc_auc", "warnings")
            },
            "gates": gate["gates"],
        }

    def _warnings(self, data: Mapping[str, Any], trained: Mapping[str, Any]) -> list[str]:
        span = self._plan.spans.train
        asked = (span.last - span.first).days + 1
        told = f"only {data['days']} of the {asked} training days ({span}) hold labelled payments"
        return [*trained["warnings"], *([told] if data["days"] < asked else [])]

    def _labelled(self) -> Labelled:
        """Read once, and only by the steps that are not done yet."""
        plan = self._plan
        if self._rows is None:
            self._rows = labelled(
                plan.features, plan.reports, plan.spans.train, catalog.NAMES, catalog.FEATURES_VERSION,
                start_of(plan.spans.test.first),
            )  # fmt: skip
        return self._rows

    def _data(self) -> Answer:
        plan = self._plan

        def look() -> Answer:
            found = self._labelled()
            return {
                "n": len(found),
                "frauds": int(found.y.sum()),
                "unlabelled": found.unlabelled,
                "days": len(np.unique(found.rows.day)),
                "data_sha256": fingerprint(found.rows, found.y),
                "test_sha256": self._test_fingerprint(),
            }

        files = {
            name: _stamp(path) for name, path in (("features", plan.features), ("reports", plan.reports))
        }
        given = {**files, **plan.spans.as_dict(), "features_version": catalog.FEATURES_VERSION}
        return self._steps("1-data", given, look, lambda answer: "days" in answer)

    def _test_fingerprint(self) -> str:
        """Another when the days that it is judged by have other payments or labels."""
        plan = self._plan
        found = labelled(
            plan.features, plan.reports, plan.spans.test, catalog.NAMES, catalog.FEATURES_VERSION,
            start_of(plan.spans.as_of),
        )  # fmt: skip
        return fingerprint(found.rows, found.y)

    def _search(self, data: Mapping[str, Any]) -> Answer:
        plan = self._plan
        given = {
            "data": data["data_sha256"],
            "trials": plan.trials,
            "candidate": plan.candidate,
            "seed": plan.seed,
        }

        def look() -> Answer:
            if plan.trials == 0:
                return {"recipe": None, "trials": 0}
            found, of = self._labelled(), candidate_recipe(plan.candidate, data["frauds"], data["n"])
            of_what = f"{plan.candidate}-{plan.seed}-{data['data_sha256'][:12]}"
            study = self._folder / f"study-{of_what}.db"
            bounds = Bounds(plan.trials, plan.minutes)
            return search(of, found.rows, found.y, plan.seed, bounds, study, weight=found.weight)

        return self._steps("2-search", given, look)

    def _train(self, data: Mapping[str, Any], recipe: Mapping[str, Any]) -> Answer:
        plan, out = self._plan, self._folder / "model"
        given = {
            "data": data["data_sha256"], "recipe": recipe["recipe"], "costs": asdict(plan.costs),
            "seed": plan.seed, "as_of": plan.spans.as_dict(), "features_version": catalog.FEATURES_VERSION,
        }  # fmt: skip

        def make() -> Answer:
            found = self._labelled()
            task = Task(
                plan.product, plan.spans.train, plan.spans.test.first, catalog.NAMES,
                catalog.FEATURES_VERSION, plan.costs, plan.seed,
                recipe_of(recipe["recipe"]) if recipe["recipe"] else None,
            )  # fmt: skip
            model = train(task, found.rows, found.y, weight=found.weight)
            save(out, model)
            manifest = model.manifest
            return {"model": manifest.model_id, "warnings": list(manifest.warnings), "folder": f"{out}"}

        return self._steps("3-train", given, make, lambda answer: _holds(out, answer["model"]))

    def _champion(self) -> str | None:
        version = self._registry.serving(CHAMPION)
        return version.model_id if version else None

    def _asked(self, data: Mapping[str, Any], trained: Mapping[str, Any], champion: str | None) -> Answer:
        days = self._plan.spans.as_dict()
        return {"model": trained["model"], "champion": champion, "test": data["test_sha256"], **days}

    def _evaluate(self, data: Mapping[str, Any], trained: Mapping[str, Any], champion: str | None) -> Answer:
        given = self._asked(data, trained, champion)

        def measure() -> Answer:
            return evaluate(Scorer.load(self._folder / "model"), self._question(), self._rival(champion))

        return self._steps("4-evaluate", given, measure)

    def _question(self) -> Question:
        plan = self._plan
        return Question(plan.features, plan.reports, plan.spans.test, as_of=plan.spans.as_of)

    def _rival(self, champion: str | None) -> Scorer | None:
        version = self._registry.find(champion) if champion else None
        if version is None or version.features_version != catalog.FEATURES_VERSION:
            return None  # what was trained on other features can score none of these payments
        into = self._folder / "champion"
        into.mkdir(exist_ok=True)
        return Scorer.load(self._registry.fetch(version, into))

    def _report(self, data: Mapping[str, Any], trained: Mapping[str, Any], champion: str | None) -> Answer:
        given = self._asked(data, trained, champion)

        def draw() -> Answer:
            rival = self._rival(champion)
            found = report(Scorer.load(self._folder / "model"), self._question(), rival)
            written = write(self._folder / "report.html", found)
            return {"verdict": found["verdict"], **written, "written": _stamp(self._folder / "report.html")}

        return self._steps("5-report", given, draw, self._report_is_there)

    def _report_is_there(self, answer: Answer) -> bool:
        file = self._folder / "report.html"
        return file.exists() and answer.get("written") == {k: list(v) for k, v in _stamp(file).items()}

    def _register(self, trained: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Answer:
        given = {"model": trained["model"], "evaluation": evaluation, "at": self._registry.uri}

        def enter() -> Answer:
            folder = self._folder
            (folder / "evaluation.json").write_bytes(orjson.dumps(evaluation))
            return register(
                self._registry, folder / "model", folder / "evaluation.json", folder / "report.html", True
            )

        return self._steps("6-register", given, enter, self._is_registered)

    def _is_registered(self, answer: Answer) -> bool:
        """The registry may have been lost, or be an earlier one again, since the step was done."""
        version = answer["version"]
        found = self._registry.find(version["model_id"])
        return found is not None and found.version == version["version"]

    def _promote(self, version: Mapping[str, Any]) -> Answer:
        """Not kept: whether it is the champion is what the registry says now."""
        if not self._plan.promote:
            return {"outcome": REGISTERED, "gates": []}
        self._steps.say("7-promote", False)
        found = self._registry.get(version["version"]["version"])
        if found.rolled_back:
            told = (
                f"version {found.version} was rolled back; `vigia models promote {found.version}` overrules"
            )
            return {"outcome": REFUSED, "gates": [Finding("rollback", GATE_REFUSED, told).as_dict()]}
        try:
            answer = promote(self._registry, found, self._plan.gates, self._plan.features)
        except GateRefused as refused:
            return {"outcome": REFUSED, "gates": [finding.as_dict() for finding in refused.findings]}
        return {"outcome": PROMOTED if answer["changed"] else UNCHANGED, "gates": answer["gates"]}


def _holds(folder: Path, model_id: str) -> bool:
    """Whether the folder is that model, whole: it may be lost, or be what a killed run left."""
    try:
        return load(folder, catalog.NAMES, catalog.FEATURES_VERSION).manifest.model_id == model_id
    except ModelRefused:
        return False


def _stamp(path: Path) -> dict[str, Any]:
    """What a file or a folder of files is now; another when anything in it changed."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    if not path.exists():
        raise BadInput(f"{path} does not exist")
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()}
