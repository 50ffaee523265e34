"""The words for each reason code, pt-BR: one line a reason.

A reason is a family of features that raised the score (`models.explain`), which its name need not be true of:
a usual amount raises it too where the model expected an unusual one. So a text says what weighed, and claims
and accuses nothing; the alert's evidence says what was found. The customer is told the criterion (LGPD, art.
20), but neither what would teach how to pass nor what others reported: those codes share their
sentences with harmless ones.
"""

from collections.abc import Iterable
from typing import NamedTuple

REPLAYED = "REPLAYED"
"""Reason of an event that was applied, failed and was sent again: its windows hold it, so a person looks."""


class Reason(NamedTuple):
    """The text in the decision and the alert, and the one for the payer."""

    analyst: str
    customer: str


_AMOUNT = "Comparamos o valor deste pagamento com os seus pagamentos anteriores."
_PAYEE = "Consideramos informações de segurança sobre o destino do pagamento."
UNSAID = "Consideramos informações de segurança sobre este pagamento."

REASONS: dict[str, Reason] = {
    "AMOUNT_UNUSUAL": Reason("Valor do pagamento frente ao histórico do pagador", _AMOUNT),
    "PAYER_VELOCITY": Reason(
        "Ritmo recente de pagamentos do pagador (quantidade, soma e intervalo)",
        "Consideramos o ritmo recente dos seus pagamentos.",
    ),
    "NEW_PAYEE": Reason(
        "Histórico de pagamentos deste pagador a este recebedor",
        "Consideramos o seu histórico de pagamentos a este recebedor.",
    ),
    "PAYEE_FAN_IN": Reason(
        "Entrada de pagamentos na conta do recebedor (quantidade, soma e pagadores)", _PAYEE
    ),
    "PAYEE_REPORTED": Reason("Histórico de notificações de fraude que envolvem o recebedor", _PAYEE),
    "PAYER_REPORTED": Reason("Histórico de notificações de fraude que envolvem o pagador", UNSAID),
    "PAYEE_PROFILE": Reason("Pagamento frente ao perfil do recebedor", _PAYEE),
    "DEVICE_UNUSUAL": Reason(
        "Cadastro, uso e histórico do dispositivo",
        "Consideramos informações de segurança sobre o aparelho usado.",
    ),
    "TIME_UNUSUAL": Reason(
        "Dia e horário do pagamento",
        "Consideramos o dia e o horário do pagamento.",
    ),
    "CHANNEL_UNUSUAL": Reason("Forma de iniciação, tipo de chave e de titular", UNSAID),
    "MULE_PATTERN": Reason("Entrada e saída de valores nas contas envolvidas", UNSAID),
    "LIMIT_PATTERN": Reason("Soma do dia, valores repetidos e limites do Pix", _AMOUNT),
    "KEY_UNUSUAL": Reason("Uso e histórico da chave Pix do recebedor", _PAYEE),
    "DICT_RISK": Reason("Estatísticas do DICT sobre a chave do recebedor", _PAYEE),
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
