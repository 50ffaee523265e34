"""Features computed together: a formula is asked once for all features that share it.

A numpy call on a few rows costs a microsecond whatever it computes, and 180 features alone made hundreds.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from features.algebra import Feature, Field, Formula, Frame, Slot
from features.transaction import Transaction

T = TypeVar("T")


class _Group(NamedTuple):
    """A formula, and where its arguments lie among what was gathered for all."""

    formula: Formula
    needs: list[slice]
    fields: list[slice]


class Grouped:
    """The features of a list, in its order, from the state's answers."""

    def __init__(self, features: Sequence[Feature], slots: Sequence[Slot]) -> None:
        """`slots`: what each column of the answers is."""
        alike: dict[Formula, list[int]] = {}
        for i, feature in enumerate(features):
            alike.setdefault(feature.formula, []).append(i)
        needs: list[Slot] = []
        self._fields: list[Field] = []
        self._groups = [
            _Group(
                formula,
                _laid((features[i].needs for i in members), needs),
                _laid((features[i].fields for i in members), self._fields),
            )
            for formula, members in alike.items()
        ]
        self._needs = np.array([slots.index(slot) for slot in needs], dtype=np.intp)
        self._places = np.argsort([i for members in alike.values() for i in members])

    def columns(
        self, answers: NDArray[np.float64], transactions: Sequence[Transaction]
    ) -> NDArray[np.float32]:
        """(n, features), C-contiguous little-endian float32, of answers (n, slots), a row a transaction."""
        frame = Frame(transactions)
        slots, fields = answers.take(self._needs, axis=1), frame.numbers(*self._fields)
        found = [
            group.formula(frame, *(slots[:, s] for s in group.needs), *(fields[:, s] for s in group.fields))
            for group in self._groups
        ]
        together = np.concatenate(found, axis=1, dtype="<f4", casting="same_kind")
        return together.take(self._places, axis=1)


def _laid(rows: Iterable[tuple[T, ...]], into: list[T]) -> list[slice]:
    """Append the first of all rows, then the second of all, …: each argument's columns are neighbours."""
    slices = []
    for argument in zip(*rows, strict=True):
        slices.append(slice(len(into), len(into) + len(argument)))
        into += argument
    return slices
