"""The two kinds of event that the state knows, as plain frozen values.

Times are integer milliseconds since 1970 (UTC), money is integer centavos. An optional field that
the sender left out is None: unknown, never zero. Validation is the transport's job
(`stream/messages.py`, `features/columns.py`); a value of these types has passed it.
"""

from hashlib import blake2b
from typing import NamedTuple

import orjson

PERSON_TYPES = ("NATURAL_PERSON", "LEGAL_PERSON")
KEY_TYPES = ("CPF", "CNPJ", "PHONE", "EMAIL", "EVP")
INITIATIONS = ("MANU", "DICT", "QRDN", "QRES", "INIC", "APDN", "APES", "AUTO")
DIRECTIONS = ("OUTBOUND", "INBOUND", "INTERNAL")
REPORT_STATUSES = ("OPEN", "CONFIRMED", "REJECTED", "WITHDRAWN")
REPORT_TYPES = ("SCAM", "ACCOUNT_TAKEOVER", "COERCION", "FRAUDULENT_ACCESS", "OTHER", "UNKNOWN")

MAX_AMOUNT = 100_000_000_000
"""R$ 1,000,000,000.00 in centavos."""

MAX_COUNT = 2**31 - 1
"""Of a statistic of DICT."""

LONGEST_ID, LONGEST_NAME, LONGEST_KEY = 64, 128, 140
"""Characters of an id of an event or report, of an account, holder or device, and of a Pix key."""

ISPB = "[0-9A-Z]{8}"

DICT_STATISTICS = ("settlements", "fraud_markers", "open_reports")
DICT_SPANS = ("d90", "m12", "m60")
"""What DICT counts of a key, and over which spans: 90 days, 12 and 60 months."""

EARLIEST = 946_684_800_000
"""2000-01-01T00:00:00Z in ms: nothing older was ever paid by Pix; day tiles fit 16 bits from here to 2149."""

LATEST = 4_102_444_800_000
"""2100-01-01T00:00:00Z in ms."""


class Transaction(NamedTuple):
    """One Pix payment order."""

    event_id: str
    occurred_at: int
    amount: int
    payer_account: str
    payee_account: str
    payer_ispb: str | None = None
    payer_person_type: str | None = None
    payer_holder: str | None = None
    payer_opened_at: int | None = None
    payer_balance: int | None = None
    payee_ispb: str | None = None
    payee_person_type: str | None = None
    payee_holder: str | None = None
    payee_opened_at: int | None = None
    payee_key: str | None = None
    payee_key_type: str | None = None
    initiation: str | None = None
    device_id: str | None = None
    device_registered: bool | None = None
    direction: str | None = None
    # DICT's statistics of the payee's key as the sender looked them up: counts over 90 days, 12 and 60 months
    dict_updated_at: int | None = None
    dict_settlements_d90: int | None = None
    dict_settlements_m12: int | None = None
    dict_settlements_m60: int | None = None
    dict_fraud_markers_d90: int | None = None
    dict_fraud_markers_m12: int | None = None
    dict_fraud_markers_m60: int | None = None
    dict_open_reports_d90: int | None = None
    dict_open_reports_m12: int | None = None
    dict_open_reports_m60: int | None = None


class FraudReport(NamedTuple):
    """A label that arrives later and can be withdrawn (MED infraction report)."""

    report_id: str
    transaction_event_id: str
    payer_account: str
    payee_account: str
    reported_at: int
    status: str
    type: str
    payer_ispb: str | None = None
    payee_ispb: str | None = None
    device_id: str | None = None
    payee_key: str | None = None


ID_SIZE = 12
"""Bytes that name an entity."""


def digest(*parts: str | None) -> bytes:
    """A hash of ID_SIZE bytes; the state keeps these in place of accounts, ids and keys."""
    return blake2b(_written(parts), digest_size=ID_SIZE).digest()


def event_hash(event_id: str) -> bytes:
    """8 bytes that stand for an event id in the repeat ring and in the list of reports."""
    return blake2b(event_id.encode(), digest_size=8).digest()


def content_hash(transaction: Transaction) -> bytes:
    """8 bytes over every decoded field: key order and white space of the message do not count."""
    return blake2b(orjson.dumps(tuple(transaction)), digest_size=8).digest()


def _written(parts: tuple[object, ...]) -> bytes:
    """Quoted, so that no account can be written to look like two; the same in every version of Python, of
    which each knows other characters as printable: all beyond ASCII are escaped."""
    return tuple.__repr__(parts).encode("ascii", "backslashreplace")


def entity_key(entity: str, event: Transaction | FraudReport) -> bytes:
    """The ID_SIZE bytes that name an entity: ISPB and account together, both of them, device or key.

    An account has one name on both sides: who pays as `payer` and who is paid as `payee`.
    """
    if entity == "payer":
        return digest(event.payer_ispb, event.payer_account)
    if entity == "payee":
        return digest(event.payee_ispb, event.payee_account)
    if entity == "pair":
        return pair_key(entity_key("payer", event), entity_key("payee", event))
    return digest(event.device_id if entity == "device" else event.payee_key)


def pair_key(payer: bytes, payee: bytes) -> bytes:
    """What names a pair, of its parties' names."""
    return blake2b(payer + payee, digest_size=ID_SIZE).digest()


def names_part(part: str, event: Transaction | FraudReport) -> bool:
    """Whether the event is about a payer, payee, device or payee key at all; both accounts always are."""
    if part == "device":
        return event.device_id is not None
    return part != "payee_key" or event.payee_key is not None
