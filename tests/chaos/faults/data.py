"""Another model between delivery and commit, and an event on which the model throws."""

from collections.abc import Mapping

from ...small_model import small_model
from ..fault import Fault
from ..poison import AMOUNT, poisoned
from ..stage import Stage
from .broker import payment

_OTHER = "other-model"


def with_other_model(stage: Stage) -> None:
    """Trained before the load: it would take the processors."""
    small_model(stage.folder / _OTHER, seed=4)


def deploy(stage: Stage) -> None:
    """Both workers die with seconds of delivered decisions that are not committed, and come back with
    another model."""
    with stage.fault():
        for worker in stage.workers:
            stage.kill(worker)
    committed, ends = stage.watch.committed(), stage.watch.ends("decisions")
    for worker in stage.workers:
        stage.start(worker, VIGIA_MODEL=str(stage.folder / _OTHER))
    assert committed is not None
    stage.told["uncommitted"] = uncommitted(stage, committed, ends)


def uncommitted(stage: Stage, committed: Mapping[int, int], ends: Mapping[int, int]) -> int:
    """How many of the decisions before `ends` were delivered and not committed."""
    found = 0
    for message in stage.world.read("decisions"):
        headers, partition = dict(message.headers() or []), message.partition() or 0
        delivered = (message.offset() or 0) < ends[partition]
        found += delivered and int(headers["source_offset"] or 0) >= committed[partition]
    assert found, "the fault should strike between delivery and commit"
    return found


def with_poison(stage: Stage) -> None:
    stage.world.model = poisoned(stage.world.model, stage.folder / "poisoned-model")


def poison(stage: Stage) -> None:
    name = f"poison-{len(stage.watch.commits)}"  # another each time: a repeat would not be scored
    with stage.fault():
        stage.publish("transactions", name.encode(), payment(name, AMOUNT))


FAULTS = [
    Fault("model-deploy", "both workers killed between delivery and commit, started with another model",
          deploy, prepare=with_other_model, environment={"VIGIA_COMMIT_SECONDS": "4"}, bar=10),
    Fault("poison", "a payment on which the model throws", poison, prepare=with_poison,
          letters={"SCORING_ERROR": 1}),
]  # fmt: skip
