"""The messages of the topics as pydantic models: the contract (DESIGN section 4).

The JSON Schemas in `schemas/` are generated from them.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, StrictBool

from features.transaction import FraudReport, Transaction
from stream.fields import (
    Amount,
    Balance,
    Count,
    Id,
    Initiation,
    Instant,
    Ispb,
    Key,
    KeyType,
    Name,
    PersonType,
    ReportType,
    Time,
)


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PayerMessage(_Message):
    account: Name
    ispb: Ispb | None = None
    person_type: PersonType | None = None
    holder: Name | None = Field(None, description="a token for the CPF or CNPJ, never the number itself")
    opened_at: Instant | None = None
    balance: Balance | None = None


class PayeeMessage(_Message):
    account: Name
    ispb: Ispb | None = None
    person_type: PersonType | None = None
    holder: Name | None = None
    opened_at: Instant | None = None
    key: Key | None = None
    key_type: KeyType | None = None


class DeviceMessage(_Message):
    id: Name
    registered: StrictBool | None = None


class DictCountsMessage(_Message):
    """One statistic of the key over the last 90 days, 12 months and 60 months."""

    d90: Count | None = None
    m12: Count | None = None
    m60: Count | None = None

    def value(self) -> tuple[int | None, int | None, int | None]:
        return self.d90, self.m12, self.m60


class DictMessage(_Message):
    """DICT's answer about the payee's key, as the payer's institution looked it up for this payment."""

    updated_at: Instant | None = Field(None, description="when the statistics were last brought up to date")
    settlements: DictCountsMessage | None = Field(None, description="payments settled to the key")
    fraud_markers: DictCountsMessage | None = Field(None, description="confirmed fraud markers")
    open_reports: DictCountsMessage | None = Field(None, description="infraction reports under analysis")

    def value(self) -> tuple[int | None, ...]:
        """In the order of Transaction's last ten fields."""
        settled, markers, reports = self.settlements, self.fraud_markers, self.open_reports
        return (
            self.updated_at,
            *(settled.value() if settled else _NO_COUNTS),
            *(markers.value() if markers else _NO_COUNTS),
            *(reports.value() if reports else _NO_COUNTS),
        )


_NO_COUNTS = (None, None, None)


class TransactionMessage(_Message):
    """One Pix payment order. Absent means unknown, never zero; unknown fields are ignored."""

    # A field that is added here is read in `plain.py` too: most transactions come that way.

    event_id: Id
    occurred_at: Time
    amount: Amount
    payer: PayerMessage
    payee: PayeeMessage
    initiation: Initiation | None = None
    device: DeviceMessage | None = None
    direction: Literal["OUTBOUND", "INBOUND", "INTERNAL"] | None = None
    dict_statistics: DictMessage | None = Field(None, alias="dict")

    def value(self) -> Transaction:
        payer, payee, device, statistics = self.payer, self.payee, self.device, self.dict_statistics
        return Transaction(
            self.event_id, self.occurred_at, self.amount, payer.account, payee.account, payer.ispb,
            payer.person_type, payer.holder, payer.opened_at, payer.balance, payee.ispb, payee.person_type,
            payee.holder, payee.opened_at, payee.key, payee.key_type, self.initiation,
            device.id if device else None, device.registered if device else None, self.direction,
            *(statistics.value() if statistics else ()),
        )  # fmt: skip


class FraudReportMessage(_Message):
    """A MED infraction report. REJECTED and WITHDRAWN are final, in whatever order messages come."""

    report_id: Id
    transaction_event_id: Id
    payer_account: Name
    payer_ispb: Ispb | None = None
    payee_account: Name
    payee_ispb: Ispb | None = None
    device_id: Name | None = None
    payee_key: Key | None = None
    reported_at: Time
    status: Literal["OPEN", "CONFIRMED", "REJECTED", "WITHDRAWN"]
    type: ReportType

    def value(self) -> FraudReport:
        return FraudReport(**{name: getattr(self, name) for name in FraudReport._fields})


class ReasonMessage(_Message):
    code: str
    text: str = Field(description="pt-BR, for the analyst; the customer's goes by the code")


class DecisionMessage(_Message):
    """What became of a transaction. No decision in time is never an APPROVE."""

    event_id: Id
    decision: Literal["APPROVE", "REVIEW", "DENY"]
    score: float = Field(ge=0, le=1, description="calibrated probability of fraud, 9 significant digits")
    reasons: list[ReasonMessage] = Field(max_length=4, description="only when not APPROVE")
    model: str
    policy: str
    features_version: str
    occurred_at: str = Field(json_schema_extra={"format": "date-time"})
    amount: str = Field(pattern=r"^\d+\.\d{2}$")
    payer_account: Name
    payee_account: Name


class AlertMessage(DecisionMessage):
    """A decision that is not APPROVE, with its evidence: the features behind each reason, null if unknown."""

    evidence: dict[str, float | None]


class ChampionMessage(_Message):
    """The decision that was made, by the model that served."""

    model: str
    score: float = Field(ge=0, le=1)
    decision: Literal["APPROVE", "REVIEW", "DENY"]


class ShadowScoreMessage(DecisionMessage):
    """What the challenger would have decided. Nobody acts on it. Headers as a decision's; one that is read
    again after a crash is told again, with the same source_partition and source_offset."""

    champion: ChampionMessage | None = Field(description="null where the decision was not found in time")


Sequence = Annotated[
    list[tuple[int, int]],
    Field(
        description="[shard, number] of each shard of the state that applied it. What shares an entity "
        "shares a shard: replaying in the order of these numbers gives every vector again. Empty: not applied"
    ),
]


class ScoredMessage(_Message):
    """The vector of a transaction, as it was scored."""

    event_id: Id
    occurred_at: str = Field(json_schema_extra={"format": "date-time"})
    payer_account: Name
    payee_account: Name
    amount: str
    features_version: str
    sequence: Sequence
    decision: Literal["APPROVE", "REVIEW", "DENY"] | None = Field(
        None, description="what was decided; null if scoring failed, absent before this field was there"
    )
    propensity: float | None = Field(
        None,
        ge=0,
        le=1,
        description="the probability with which it was to be let through: 1 below REVIEW, 0 in DENY, in "
        "REVIEW the share of the control group. APPROVE with less than 1: it was let through for control",
    )
    vector: str = Field(description="base64 of little-endian float32, in the order of features_version")


class AppliedReportMessage(_Message):
    """A fraud report as the windows took it."""

    report_id: Id
    transaction_event_id: Id
    payer_account: Name
    payee_account: Name
    reported_at: str = Field(json_schema_extra={"format": "date-time"})
    status: Literal["OPEN", "CONFIRMED", "REJECTED", "WITHDRAWN"]
    features_version: str
    sequence: Sequence


class FeatureLogMessage(RootModel[ScoredMessage | AppliedReportMessage]):
    """What the state applied: a transaction with the vector that was scored, or a fraud report. The headers
    `source_topic` (transactions or fraud-reports), `source_partition` and `source_offset` name the record.
    The header `reapplied` marks a vector that did not make the decision: that was delivered before and
    stands, but the state lost the event and applied it anew, maybe to other windows than were judged."""
