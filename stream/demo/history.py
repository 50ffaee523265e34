"""The past: simulated, built into the windows that the live worker reads, trained on, and evaluated."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

from features import catalog
from features.errors import VigiaError
from features.redis_state import RedisState
from features.replay import BuildReport, build
from models.dataset import Span, read_rows, start_of
from models.evaluate import Question, evaluate
from models.labels import Verdicts, label, read_verdicts
from models.registry import Manifest, save
from models.scorer import Scorer
from models.train import Task, train
from stream.demo.config import DemoConfig
from stream.demo.steps import Step
from stream.simulate import Simulation, simulate
from stream.simulate.config import DAY_MS
from stream.simulate.files import write

_LEAST_TRAIN_DAYS = 2


@dataclass(frozen=True)
class Split:
    """Days of training and evaluation, and where the live part begins (ms); later than each other."""

    train: Span
    as_of: date
    evaluation: Span
    live_from_ms: int


@dataclass(frozen=True)
class Quality:
    """Average precision on the evaluation span, of the model and of a shallow tree."""

    model: str
    frauds: int
    average_precision: float
    average_precision_simple: float


class History:
    """The files of one simulation in `folder`, and what is made of them."""

    def __init__(self, folder: Path, config: DemoConfig) -> None:
        self._config = config
        self._features = folder / "features.parquet"
        self._model = folder / "model"
        self.simulation = simulate(config.simulation)
        # The labels know the reports that come after the live part began; the windows never do.
        _, self._reports = write(self.simulation, folder / "simulated")
        self.split = split(self.simulation, read_verdicts(self._reports), config)
        self._known = write(self.past, folder / "history")

    @property
    def past(self) -> Simulation:
        """All before the live part."""
        return self.simulation.between(self._config.simulation.start_ms, self.split.live_from_ms)

    @property
    def live(self) -> Simulation:
        """The live part: nothing of it is in the history."""
        return self.simulation.between(self.split.live_from_ms, self._config.simulation.end_ms)

    async def build(self, redis_url: str, step: Step) -> BuildReport:
        """The past into this Redis, whose windows then hold it, and into vectors."""
        state = await RedisState.connect(redis_url)
        try:
            return await build(
                *self._known, self._features, state,
                lambda done, of: step.now(f"{done:,} of {of:,} events"),
            )  # fmt: skip
        finally:
            await state.close()

    def train(self, step: Step) -> Manifest:
        """A model of the training days, saved where the worker finds it."""
        days = self.split.train
        rows = read_rows(self._features, days, catalog.NAMES, catalog.FEATURES_VERSION)
        y = label(rows, read_verdicts(self._reports), start_of(self.split.as_of))
        task = Task(
            "pix-fraud", days, self.split.as_of, catalog.NAMES, catalog.FEATURES_VERSION,
            seed=self._config.seed, recipe=self._config.recipe,
        )  # fmt: skip
        model = train(task, rows, y, step.now)
        save(self._model, model)
        return model.manifest

    def register(self, uri: str) -> int:
        """The model as the first champion of the registry at `uri`: none is there to beat. Its version."""
        from models.mlflow_registry import CHAMPION, Registry  # slow to load, so not before it is needed

        registry = Registry("pix-fraud", uri)
        version, _ = registry.register(self._model)
        registry.set_alias(CHAMPION, version)
        return version.version

    def evaluate(self) -> Quality:
        """Model and simple tree on the same later days."""
        question = Question(
            self._features, self._reports, self.split.evaluation, against_simple=True, replicates=0
        )
        answer = evaluate(Scorer.load(self._model), question)
        return Quality(
            answer["model"], answer["frauds"], answer["average_precision"], answer["average_precision_simple"]
        )


def build_history(history: History, redis_url: str, step: Step) -> BuildReport:
    """`History.build` for callers without an event loop."""
    return asyncio.run(history.build(redis_url, step))


def split(simulation: Simulation, verdicts: Verdicts, config: DemoConfig) -> Split:
    """The last transactions are live; the days before them that hold enough frauds are for evaluation."""
    times = simulation.occurred_ms
    live_from = int(times[max(0, len(times) - config.live_count)])
    frauds = {event for event, verdict in verdicts.items() if verdict.is_fraud()}
    is_fraud = np.isin(simulation.event_ids, np.array(sorted(frauds), dtype=simulation.event_ids.dtype))
    first_day, live_day = int(times[0]) // DAY_MS, live_from // DAY_MS
    last = live_day - 1
    start, found = live_day, 0
    while found < config.min_frauds and start > first_day:
        start -= 1
        here = slice(*np.searchsorted(times, (start * DAY_MS, (start + 1) * DAY_MS)).tolist())
        found += int(is_fraud[here].sum())
    train_to = start - config.label_days - 1
    if train_to - first_day + 1 < _LEAST_TRAIN_DAYS:
        raise VigiaError(
            f"{config.days:.0f} simulated days hold too few frauds to train and to evaluate on "
            f"{config.min_frauds}; take another --seed or a higher --fraud-rate"
        )
    return Split(Span(_day(first_day), _day(train_to)), _day(start), Span(_day(start), _day(last)), live_from)


def _day(number: int) -> date:
    return datetime.fromtimestamp(0, UTC).date() + timedelta(days=number)
