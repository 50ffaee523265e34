"""The words for each reason code, pt-BR: one line a reason.

A reason is a family of features that raised the score (`models.explain`), so its text says what was weighed
and accuses nobody: the alert's evidence says what was found. The analyst sees the family by its name. The
customer is told the criterion (LGPD, art. 20), but neither what would teach how to pass nor what others
reported: those codes share their sentences.
"""

from collections.abc import Iterable
from typing import NamedTuple

REPLAYED = "REPLAYED"
"""Reason of an event that was applied, failed and was sent again: its windows hold it, so a person looks."""


class Reason(NamedTuple):
    """The text in the decision and the alert, and the one for the payer."""

    analyst: str
    customer: str


_AMOUNT = "O valor é diferente dos seus pagamentos habituais."
_PAYEE = "Não conseguimos confirmar com segurança o destino deste pagamento."
_DEVICE = "Não conseguimos confirmar com segurança o aparelho usado neste pagamento."
UNSAID = "Não conseguimos confirmar este pagamento com a segurança necessária."

REASONS: dict[str, Reason] = {
    "AMOUNT_UNUSUAL": Reason("Valor fora do padrão deste pagador", _AMOUNT),
    "PAYER_VELOCITY": Reason(
        "Ritmo incomum de pagamentos deste pagador (quantidade, soma ou intervalo)",
        "O ritmo recente dos seus pagamentos é diferente do habitual.",
    ),
    "NEW_PAYEE": Reason(
        "Recebedor novo ou pouco usado por este pagador",
        "Você não costuma pagar a este recebedor.",
    ),
    "PAYEE_FAN_IN": Reason("Entrada incomum de pagamentos na conta do recebedor", _PAYEE),
    "PAYEE_REPORTED": Reason("Histórico de notificações de fraude que envolvem o recebedor", _PAYEE),
    "PAYER_REPORTED": Reason("Histórico de notificações de fraude que envolvem o pagador", UNSAID),
    "PAYEE_PROFILE": Reason("Pagamento destoa do perfil do recebedor", _PAYEE),
    "DEVICE_UNUSUAL": Reason("Cadastro, uso ou histórico do dispositivo fora do comum", _DEVICE),
    "TIME_UNUSUAL": Reason(
        "Dia ou horário incomum para este pagamento",
        "O dia ou o horário é diferente dos seus pagamentos habituais.",
    ),
    "CHANNEL_UNUSUAL": Reason(
        "Forma de iniciação, tipo de chave ou de titular fora do comum",
        "A forma de iniciar este pagamento é diferente da habitual.",
    ),
    "MULE_PATTERN": Reason("Entrada e saída de valores em pouco tempo nas contas envolvidas", UNSAID),
    "LIMIT_PATTERN": Reason("Valores repetidos ou próximos dos limites do Pix", _AMOUNT),
    "KEY_UNUSUAL": Reason("Uso ou histórico da chave Pix fora do comum", _PAYEE),
    "DICT_RISK": Reason("Histórico da chave do recebedor no DICT", _PAYEE),
    REPLAYED: Reason(
        "Pagamento reprocessado após falha técnica",
        "Tivemos uma instabilidade e este pagamento precisa ser conferido.",
    ),
}

RIGHTS = (
    "Esta análise é automática e protege a sua conta. Você pode pedir que uma pessoa a revise, "
    "pelos nossos canais de atendimento."
)
"""Goes with every text for a customer (LGPD, art. 20)."""


def for_customer(codes: Iterable[str]) -> list[str]:
    """The sentences for the payer, in the order of a decision's `codes`, each once; never none.

    A code of another version is one of those that are not told apart.
    """
    known = (REASONS[code].customer if code in REASONS else UNSAID for code in codes)
    return list(dict.fromkeys(known)) or [UNSAID]
