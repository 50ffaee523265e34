"""The control group: who passes is settled by event and policy, never a DENY, and the words tell it."""

from hypothesis import given
from hypothesis import strategies as st

from models.costs import Thresholds
from stream.policy import APPROVE, DENY, REPLAYED, REVIEW, Control, Policy, propensity

THRESHOLDS = Thresholds(0.2, 0.8)
AMOUNT = 150_00
scores, ids = st.floats(0, 1), st.text(min_size=1, max_size=64)
controls = st.builds(Control, st.sampled_from([0.0, 1e-3, 0.05, 0.5, 1.0]), st.sampled_from(["", "k" * 16]))


@given(scores, ids, st.booleans(), controls)
def test_a_ruling_is_settled_and_its_words_tell_its_propensity(
    score: float, event_id: str, replayed: bool, control: Control
) -> None:
    ruling = Policy(THRESHOLDS, control).rule(score, AMOUNT, event_id, replayed)
    assert Policy(THRESHOLDS, control).rule(score, AMOUNT, event_id, replayed) == ruling
    band = Policy(THRESHOLDS).outcome(score, AMOUNT)
    assert ruling.outcome == band or (ruling.outcome, band) in {(APPROVE, REVIEW), (REVIEW, APPROVE)}
    assert (ruling.outcome == DENY) == (band == DENY)
    assert not (replayed and ruling.outcome == APPROVE)
    assert propensity(ruling.outcome, ruling.policy, [REPLAYED] if replayed else []) == ruling.propensity
    expected = {APPROVE: 1.0, DENY: 0.0, REVIEW: control.rate}[band]
    assert ruling.propensity == (0.0 if replayed else expected)


def test_the_share_that_passes_is_the_rate() -> None:
    policy = Policy(THRESHOLDS, Control(0.1, "a secret of this bank"))
    rulings = [policy.rule(0.5, AMOUNT, f"e{i}") for i in range(20_000)]
    passed = [ruling for ruling in rulings if ruling.outcome == APPROVE]
    assert abs(len(passed) - 2000) < 5 * (20_000 * 0.1 * 0.9) ** 0.5
    assert {ruling.policy for ruling in passed} == {f"{policy.version}:passed"}
    assert {ruling.propensity for ruling in rulings} == {0.1}


def test_another_key_draws_others_and_is_another_version() -> None:
    one, other = (Policy(THRESHOLDS, Control(0.5, key * 16)) for key in "ab")
    assert one.version != other.version
    drawn = [
        (one.rule(0.5, AMOUNT, f"e{i}").outcome, other.rule(0.5, AMOUNT, f"e{i}").outcome) for i in range(100)
    ]
    assert len(set(drawn)) == 4


def test_without_a_control_group_the_version_is_as_it_was() -> None:
    assert Policy(THRESHOLDS, Control(0.0, "k" * 16)).version == Policy(THRESHOLDS).version
    assert "control" not in Policy(THRESHOLDS).version
    assert Policy(THRESHOLDS, Control(0.05)).version == Policy(THRESHOLDS).version + "+control@0.05"
