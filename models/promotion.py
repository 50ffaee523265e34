"""Which version serves: promote one that passes the gates, or go back to the champion before."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from features import catalog
from features.errors import BadInput, VigiaError
from models import gates, parity
from models.dataset import open_features
from models.evaluation_file import unusable
from models.gate_bounds import Gates
from models.gates import PASSED, REFUSED, SKIPPED, Finding, GateRefused, Sample
from models.mlflow_registry import CHALLENGER, CHAMPION, PREVIOUS, Registry, Version
from models.registry import Model, ModelRefused, check_target, load, save
from models.scorer import Scorer
from models.trees import Ensemble


def register(
    registry: Registry, folder: Path, evaluation: Path | None, report: Path | None, challenger: bool
) -> dict[str, Any]:
    """Put a model folder into the registry; a new version becomes the challenger if that is asked for."""
    version, new = registry.register(folder, evaluation, report)
    newest = registry.versions()[0]
    if challenger and newest.version == version.version and not newest.aliases:
        registry.set_alias(CHALLENGER, version)
    return {"version": registry.get(version.version).as_dict(), "new": new}


def named(registry: Registry, text: str) -> Version:
    """The version of `3` or of `@challenger`. Raises BadInput."""
    if text.startswith("@"):
        found = registry.serving(text[1:])
        if found is None:
            raise BadInput(f"{registry.product} has no {text[1:]}; see `vigia models list`")
        return found
    if not text.isdecimal():
        raise BadInput(f"{text!r} is no version: give a number, or @challenger")
    return registry.get(int(text))


def fetch(registry: Registry, version: Version, out: Path) -> None:
    """The version's folder as `out`, vetted. Raises ModelRefused; BadInput where `out` is another thing."""
    check_target(out)
    save(out, _fetched(registry, version))


def promote(registry: Registry, version: Version, bounds: Gates, features: Path) -> dict[str, Any]:
    """Make `version` the champion if it passes every gate.

    `features`: a file or folder of real vectors, for parity and latency. A version that is the champion
    already stays it, if it can be loaded. Raises GateRefused, RegistryAway; then nothing has changed.
    """
    champion = registry.serving(CHAMPION)
    if champion is not None and champion.version == version.version:
        try:
            _loaded(registry, version)
        except ModelRefused as refused:
            raise GateRefused(version.model_id, [Finding("integrity", REFUSED, str(refused))]) from None
        return {"champion": version.as_dict(), "previous": None, "changed": False, "gates": []}
    findings = examine(registry, version, champion, bounds, features)
    if any(finding.result == REFUSED for finding in findings):
        raise GateRefused(version.model_id, findings)
    _serve(registry, version, champion)
    told = [finding.as_dict() for finding in findings]
    return {
        "champion": registry.get(version.version).as_dict(),
        "previous": champion.model_id if champion else None,
        "changed": True,
        "gates": told,
    }


def examine(
    registry: Registry, version: Version, champion: Version | None, bounds: Gates, features: Path
) -> list[Finding]:
    """Every gate's finding on a version as it lies in the registry."""
    try:
        scorer, trees = _loaded(registry, version)
    except ModelRefused as refused:
        return [Finding("integrity", REFUSED, str(refused))]
    whole = Finding("integrity", PASSED, "the folder is whole and of these features")
    evaluation = registry.evaluation(version) or {}
    if evaluation and (reason := unusable(evaluation)):
        return [whole, gates.unreadable(version.version, reason)]
    sample = newest(features, scorer, bounds.parity.least_vectors)
    return [
        whole,
        gates.evaluated(evaluation, scorer.manifest, bounds.evaluation),
        _against(evaluation, version, champion, bounds),
        gates.groups(evaluation, bounds.groups),
        gates.calibration(evaluation, bounds.calibration),
        gates.parity(parity.logits(trees, sample.vectors), scorer, sample, bounds.parity),
        gates.latency(scorer, sample.vectors, bounds.latency),
    ]


def _against(
    evaluation: Mapping[str, Any], version: Version, champion: Version | None, bounds: Gates
) -> Finding:
    if champion is not None and champion.features_version != version.features_version:
        told = (
            f"{champion.model_id} was trained on features {champion.features_version}: nothing compares them"
        )
        return Finding("champion", SKIPPED, told)
    return gates.against_champion(evaluation, champion.model_id if champion else None, bounds.champion)


def _loaded(registry: Registry, version: Version) -> tuple[Scorer, Ensemble]:
    """Raises ModelRefused for what no worker would serve."""
    model = _fetched(registry, version)
    return Scorer(model), _trees(model)


def _fetched(registry: Registry, version: Version) -> Model:
    """The version's model. Raises ModelRefused."""
    with TemporaryDirectory() as draft:
        folder = registry.fetch(version, Path(draft))
        try:
            model = load(folder, catalog.NAMES, catalog.FEATURES_VERSION)
        except ModelRefused as refused:
            raise ModelRefused(str(refused).replace(f"{folder}", version.model_id)) from None
    found = model.manifest.model_id
    if found != version.model_id:
        raise ModelRefused(f"version {version.version} is {version.model_id}, its folder {found}")
    return model


def _trees(model: Model) -> Ensemble:
    try:
        return Ensemble.from_bytes(model.trees)
    except (ValueError, KeyError, OSError) as error:
        raise ModelRefused(f"{model.manifest.model_id}: trees.npz is no ensemble ({error})") from None


def newest(features: Path, scorer: Scorer, least: int) -> Sample:
    """At least so many of the last payments of a features file; fewer only where it has no more.

    Raises BadInput as `open_features` does.
    """
    names = scorer.manifest.feature_names
    source = open_features(features, names, scorer.manifest.features_version)
    pieces = [piece for fragment in source.get_fragments() for piece in fragment.split_by_row_group()]
    chosen: list[Sample] = []
    while pieces and sum(len(sample.vectors) for sample in chosen) < least:
        table = pieces.pop().to_table(columns=[*names, "amount"])
        vectors = np.column_stack([table.column(name).to_numpy() for name in names])
        chosen.append(Sample(vectors.astype(np.float32), table.column("amount").cast("double").to_numpy()))
    if not chosen:
        raise BadInput(f"--features: {features} holds no vectors")
    return Sample(*(np.concatenate(parts) for parts in zip(*chosen, strict=True)))


def rollback(registry: Registry) -> dict[str, Any]:
    """Make the previous champion the champion again; no gates, for it has served. Raises VigiaError."""
    champion, previous = registry.serving(CHAMPION), registry.serving(PREVIOUS)
    if previous is None or (champion and champion.version == previous.version):
        raise VigiaError(
            f"{registry.product} has no previous champion to go back to: promote a version "
            "(`vigia models promote VERSION`)"
        )
    registry.set_alias(CHAMPION, previous)
    if champion is not None:
        registry.record(champion, "rolled_back", "yes")  # so that `vigia retrain` does not bring it back
    registry.drop_alias(PREVIOUS)  # once: a second rollback would bring back what was rolled back
    return {
        "champion": registry.get(previous.version).as_dict(),
        "rolled_back": champion.model_id if champion else None,
    }


def _serve(registry: Registry, version: Version, champion: Version | None) -> None:
    """In an order that leaves a champion and a way back wherever it is interrupted."""
    if champion is not None:
        registry.set_alias(PREVIOUS, champion)
    registry.set_alias(CHAMPION, version)
    if version.rolled_back:
        registry.record(version, "rolled_back", "")
    challenger = registry.serving(CHALLENGER)
    if challenger is not None and challenger.version == version.version:
        registry.drop_alias(CHALLENGER)
