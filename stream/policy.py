"""From a score to an outcome, and the words for it. One line a reason; texts are shown, so pt-BR."""

import hashlib
from dataclasses import astuple, dataclass
from functools import cached_property

from models.costs import Thresholds

APPROVE, REVIEW, DENY = OUTCOMES = ("APPROVE", "REVIEW", "DENY")

REPLAYED = "REPLAYED"
"""Reason of an event that was applied, failed and was sent again: its windows hold it, so a person looks."""

REASONS = {
    "AMOUNT_UNUSUAL": "Valor fora do padrão deste pagador",
    "PAYER_VELOCITY": "Quantidade ou soma de pagamentos incomum para este pagador",
    "NEW_PAYEE": "Recebedor novo ou pouco usado por este pagador",
    "PAYEE_FAN_IN": "Recebedor com entrada incomum de pagamentos",
    "PAYEE_REPORTED": "Recebedor com notificações de fraude",
    "PAYER_REPORTED": "Pagador com notificações de fraude",
    "PAYEE_PROFILE": "Perfil do recebedor destoa deste pagamento",
    "DEVICE_UNUSUAL": "Dispositivo novo, não cadastrado ou com uso incomum",
    "TIME_UNUSUAL": "Horário incomum para este pagamento",
    "CHANNEL_UNUSUAL": "Forma de iniciação incomum",
    "MULE_PATTERN": "Entrada e saída rápida de valores, típica de conta de passagem",
    "LIMIT_PATTERN": "Valores repetidos ou próximos dos limites do Pix",
    "KEY_UNUSUAL": "Chave Pix nova, que mudou de conta ou com notificações de fraude",
    "DICT_RISK": "Histórico da chave no DICT indica risco",
    REPLAYED: "Pagamento reprocessado após falha técnica",
}


@dataclass(frozen=True)
class Policy:
    """REVIEW and DENY by the model's thresholds on p and p × amount, chosen from stated costs."""

    thresholds: Thresholds

    @cached_property
    def version(self) -> str:
        bounds = " ".join(repr(bound) for bound in astuple(self.thresholds))
        return f"costs@{hashlib.sha256(bounds.encode()).hexdigest()[:8]}"

    def outcome(self, score: float, centavos: int) -> str:
        """The outcome of one payment, as `Thresholds.outcome` gives it for many."""
        bounds, loss = self.thresholds, score * (centavos / 100)
        if score >= bounds.deny and loss >= bounds.deny_loss:
            return DENY
        return REVIEW if score >= bounds.review and loss >= bounds.review_loss else APPROVE
