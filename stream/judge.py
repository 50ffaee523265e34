"""From vectors to decisions: the model's score, the policy's outcome, the reasons, and their bytes.

The payload depends on the transaction, the vector and the versions alone, so a redelivered event gives the
same bytes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from features.catalog import FEATURES_VERSION, NAMES, REASON_GROUPS
from features.transaction import Transaction
from models.explain import MAX_REASONS, Explainer
from models.scorer import Scorer
from stream import metrics
from stream.fields import reais, rfc3339
from stream.policy import APPROVE, Policy, Ruling, propensity
from stream.reasons import REASONS, REPLAYED

Vectors = NDArray[np.float32]

_FAMILIES = {
    code: ([NAMES[column] for column in columns], np.array(columns))
    for code, columns in REASON_GROUPS.items()
}

_MOST = 0.999999999
"""The largest score below 1 with 9 digits: a threshold of 1 means never."""


class Judgement(NamedTuple):
    """What was decided of one transaction; `alert` is None for an APPROVE."""

    outcome: str
    decision: bytes
    alert: bytes | None
    propensity: float
    """`policy.Ruling.propensity`."""


class Judge:
    """A model and a policy."""

    def __init__(self, scorer: Scorer, policy: Policy) -> None:
        self._scorer, self._policy = scorer, policy
        self._explainer = Explainer(scorer.trees, REASON_GROUPS)
        self.versions = f"{scorer.model_id} {policy.version} {FEATURES_VERSION}"

    def judge(
        self, payments: Sequence[Transaction], matrix: Vectors, replayed: Sequence[bool]
    ) -> list[Judgement | None]:
        """One judgement a payment of `matrix` (n, features); None where judging it alone fails.

        `replayed`: its windows hold the payment itself, which makes it look usual; it is never approved.
        """
        try:
            return list(self._judge(payments, matrix, replayed))
        except Exception:
            # One of them is poison. Halves show which in few steps: alone, all others would wait for each.
            if len(payments) == 1:
                return [None]
            half = len(payments) // 2
            return [
                *self.judge(payments[:half], matrix[:half], replayed[:half]),
                *self.judge(payments[half:], matrix[half:], replayed[half:]),
            ]

    def _judge(
        self, payments: Sequence[Transaction], matrix: Vectors, replayed: Sequence[bool]
    ) -> list[Judgement]:
        with metrics.stage("score"):
            # Decided by the score that is told, so that whoever reads it comes to the same outcome.
            scores = [
                float(f"{score:.9g}") for score in np.minimum(self._scorer.score(matrix), _MOST).tolist()
            ]
        if any(score != score for score in scores):
            raise ValueError("a score is not a number")
        with metrics.stage("encode"):
            rule = self._policy.rule
            rulings = [
                rule(score, payment.amount, payment.event_id, again)
                for score, payment, again in zip(scores, payments, replayed, strict=True)
            ]
            stopped = [i for i, ruling in enumerate(rulings) if ruling.outcome != APPROVE]
            reasons = (
                dict(zip(stopped, self._explainer.reasons(matrix[stopped]), strict=True)) if stopped else {}
            )
            return [
                self._encode(
                    payment,
                    scores[i],
                    rulings[i],
                    [REPLAYED, *reasons[i]][:MAX_REASONS] if replayed[i] else reasons.get(i, []),
                    matrix[i],
                )
                for i, payment in enumerate(payments)
            ]

    def _encode(
        self, payment: Transaction, score: float, ruling: Ruling, reasons: list[str], vector: Vectors
    ) -> Judgement:
        decision = {
            "event_id": payment.event_id,
            "decision": ruling.outcome,
            "score": score,
            "reasons": [{"code": code, "text": REASONS[code].analyst} for code in reasons],
            "model": self._scorer.model_id,
            "policy": ruling.policy,
            "features_version": FEATURES_VERSION,
            "occurred_at": rfc3339(payment.occurred_at),
            "amount": reais(payment.amount),
            "payer_account": payment.payer_account,
            "payee_account": payment.payee_account,
        }
        alert = encode_alert(decision, vector) if ruling.outcome != APPROVE else None
        return Judgement(ruling.outcome, orjson.dumps(decision), alert, ruling.propensity)


def judged_before(payload: bytes, vector: Vectors) -> Judgement:
    """A decision that was delivered already, with its alert made again."""
    decision = orjson.loads(payload)
    outcome, codes = decision["decision"], [reason["code"] for reason in decision["reasons"]]
    alert = encode_alert(decision, vector) if outcome != APPROVE else None
    return Judgement(outcome, payload, alert, propensity(outcome, decision["policy"], codes))


def encode_alert(decision: dict[str, Any], vector: Vectors) -> bytes:
    """The decision with the features that speak for its reasons; null is unknown."""
    evidence: dict[str, np.float32] = {}
    for reason in decision["reasons"]:
        if reason["code"] in _FAMILIES:
            names, columns = _FAMILIES[reason["code"]]
            evidence.update(zip(names, vector[columns], strict=True))
    # orjson writes a float32 in its fewest digits, and NaN as null
    return orjson.dumps({**decision, "evidence": evidence}, option=orjson.OPT_SERIALIZE_NUMPY)
