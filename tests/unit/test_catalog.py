"""The catalog: names, slots and formulas. Windows are held by the property and contract tests."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from features import catalog
from features.algebra import UNKNOWN, Slot
from features.catalog import FEATURES, FEATURES_VERSION, NAMES, REASON_GROUPS, SLOTS, vectors
from features.page import page, rows
from features.transaction import Transaction
from features.windows import DAY, HOUR

NOON_UTC = 1_790_000_000_000 // DAY * DAY + 12 * HOUR


def payment(**fields: object) -> Transaction:
    given = {
        "event_id": "e1",
        "occurred_at": NOON_UTC,
        "amount": 30_000,
        "payer_account": "a",
        "payee_account": "b",
    }
    return Transaction(**(given | fields))  # type: ignore[arg-type]


def vector(slots: dict[Slot, float] | None = None, **fields: object) -> dict[str, float]:
    row = np.zeros((1, len(SLOTS)))
    for slot, value in (slots or {}).items():
        row[0, SLOTS.index(slot)] = value
    return dict(zip(NAMES, vectors(row, [payment(**fields)])[0].tolist(), strict=True))


def test_names_are_unique_and_every_feature_says_what_it_is() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(feature.meaning and feature.unit and feature.reason for feature in FEATURES)


def test_every_column_speaks_for_one_reason() -> None:
    columns = sorted(column for group in REASON_GROUPS.values() for column in group)
    assert columns == list(range(len(NAMES)))


def test_the_version_moves_when_a_formula_does() -> None:
    """If this fails and the names did not change: raise catalog.REVISION, then pin the new pair."""
    rng = np.random.default_rng(1)
    slots = np.floor(rng.uniform(0, 1000, size=(50, len(SLOTS))))
    slots[rng.random(slots.shape) < 0.1] = UNKNOWN
    payments = [
        payment(amount=int(rng.integers(1, 10**6)), occurred_at=NOON_UTC + int(rng.integers(0, DAY)),
                device_id="d" if i % 2 else None, device_registered=bool(i % 3) if i % 2 else None,
                payer_ispb="00000001", payee_ispb="00000001" if i % 5 else "00000002", initiation="DICT")
        for i in range(50)
    ]  # fmt: skip
    digest = hashlib.sha256(vectors(slots, payments).tobytes()).hexdigest()[:16]
    assert (FEATURES_VERSION, digest) == ("ead9ee5b653c037b", "8b2653e28a08fc77")


def test_vectors_are_little_endian_float32_with_one_nan_and_no_infinity() -> None:
    rng = np.random.default_rng(2)
    slots = rng.choice([UNKNOWN, 0.0, 1.0, 5.0, 2.0**53], size=(200, len(SLOTS)))
    matrix = vectors(slots, [payment(amount=100_000_000_000)] * 200)
    assert matrix.dtype == np.dtype("<f4")
    assert not np.isinf(matrix).any()
    assert set(matrix.view("<u4")[np.isnan(matrix)].tolist()) == {0x7FC00000}


def test_a_row_is_the_same_bytes_alone_and_among_others() -> None:
    slots = np.random.default_rng(3).uniform(0, 10**7, size=(300, len(SLOTS)))
    payments = [payment(amount=i + 1) for i in range(300)]
    together = vectors(slots, payments)
    for i in (0, 1, 7, 299):
        assert vectors(slots[i : i + 1], payments[i : i + 1]).tobytes() == together[i].tobytes()


def test_amount_against_history() -> None:
    history = {
        Slot("payer", "count", "30d"): 4,
        Slot("payer", "sum", "30d"): 40_000,  # R$ 100 on average
        Slot("payer", "squares", "30d"): 4 * 100**2 + 4 * 50**2,  # a standard deviation of R$ 50
    }
    found = vector(history)
    assert found["payer_mean_30d"] == 100
    assert found["payer_std_30d"] == 50
    assert found["amount_to_payer_mean_30d"] == 3
    assert found["amount_z_payer_30d"] == 4


def test_no_history_is_unknown_not_zero() -> None:
    found = vector({Slot("payer", "last"): UNKNOWN, Slot("pair", "last"): UNKNOWN})
    assert np.isnan(found["payer_mean_30d"])
    assert np.isnan(found["amount_to_payer_mean_30d"])
    assert np.isnan(found["payer_seconds_since_last"])
    assert found["payer_count_30d"] == 0
    assert found["pair_new_60d"] == 1


@pytest.mark.parametrize(("days", "new"), [(59, 0), (60, 0), (60.001, 1)])
def test_a_pair_is_new_after_sixty_days(days: float, new: int) -> None:
    assert vector({Slot("pair", "last"): NOON_UTC - days * DAY})["pair_new_60d"] == new


def test_a_late_event_is_no_time_since_last() -> None:
    assert vector({Slot("payer", "last"): NOON_UTC + HOUR})["payer_seconds_since_last"] == 0


def test_calendar_is_that_of_sao_paulo() -> None:
    late = vector(occurred_at=NOON_UTC - 10 * HOUR)  # 02:00 UTC is 23:00 the day before
    assert (late["local_hour"], late["is_night"]) == (23, 1)
    assert vector()["local_hour"] == 9
    monday = 1_789_344_000_000  # 2026-09-14T00:00:00Z
    assert vector(occurred_at=monday + 12 * HOUR)["local_weekday"] == 0
    assert vector(occurred_at=monday + HOUR)["local_weekday"] == 6  # still Sunday in São Paulo


def test_fields_that_were_left_out_are_unknown() -> None:
    bare = vector()
    for name in (
        "initiation",
        "payee_key_type",
        "payer_person_type",
        "same_institution",
        "device_registered",
    ):
        assert np.isnan(bare[name]), name
    device = {Slot("device", stat): UNKNOWN for stat in ("last", "first")}
    assert np.isnan(vector(device)["device_new_60d"])
    assert vector(device, device_id="d1")["device_new_60d"] == 1


def test_every_slot_is_read_by_a_feature() -> None:
    assert set(SLOTS) == {slot for feature in catalog.FEATURES for slot in feature.needs}


def test_the_catalog_has_its_bounds() -> None:
    assert 120 <= len(NAMES) <= 180


def test_the_page_is_current() -> None:
    found = (Path(__file__).parents[2] / "docs/features.md").read_text()
    assert found == page(), "run: vigia features list --markdown > docs/features.md"


def test_the_page_tells_every_feature_with_unit_and_window() -> None:
    told = list(rows())
    assert [row.name for row in told] == list(NAMES)
    assert all(row.meaning and row.unit and row.entity and row.family for row in told)
    assert {row.window for row in told if row.name.endswith("_24h")} == {"24h"}
