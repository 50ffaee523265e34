"""The six kinds of fraud, each with its parameters: the one place to read or change them.

Sources in Pix practice: Banco Central do Brasil's rules of the MED (Mecanismo Especial de Devolução) and its
Manual Operacional do DICT (types of infraction reports), the limits for unregistered devices and for the
night, and the public warnings of FEBRABAN on the ruses themselves. The numbers are chosen, not measured:
each kind is visible only through several signs together, and every sign also occurs in honest traffic.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stream.simulate.vocabulary import (
    ACCOUNT_TAKEOVER,
    DICT,
    EMAIL,
    EVP,
    FRAUDULENT_ACCESS,
    INIC,
    MANU,
    PHONE,
    QRDN,
    QRES,
    SCAM,
)
from stream.simulate.vocabulary import CPF as CPF_KEY

# Relative weight of each local hour, 0–23 h.
NIGHT = (6.0,) * 6 + (2.0,) * 2 + (2.0,) * 10 + (3.0,) * 2 + (5.0,) * 4
OFFICE = (0.4,) * 8 + (3.0,) + (6.0,) * 9 + (3.0,) * 2 + (1.0,) * 4
WAKING = (0.7,) * 7 + (2.0,) * 2 + (4.0,) * 12 + (2.5,) * 3


@dataclass(frozen=True, kw_only=True)
class Typology:
    """Parameters that every kind has; medians are of lognormals."""

    name: str
    share: float
    """Of the fraud transactions."""
    report_type: int
    payments: tuple[float, ...]
    """Probability that a victim is hit 1, 2, 3, … times."""
    gap_minutes: float
    """Median time between those payments (sigma 0.9)."""
    hours: tuple[float, ...] = WAKING
    asleep: float = 0.0
    """Probability that it happens at an hour when this very victim hardly ever pays, in place of `hours`."""
    just_below: float = 0.2
    """Share of payments cut by a limit (R$ 200 from an unregistered device, R$ 1,000 at night) that come to
    95 % of it or more; the others are anything above half of it."""
    repeats: float = 0.1
    """Probability that all payments of one victim have the same amount."""
    multiple: float
    """Median amount of one payment in the victim's habits; at most 95 % of what is in the account."""
    spread: float
    """Sigma of that multiple."""
    rounding: float = 0.5
    """Share of round amounts."""
    new_device: float = 0.0
    """Probability that the payment comes from a device of the criminal's."""
    device_registered: float = 0.0
    """… and that this device was got through registration (else R$ 200 a payment holds)."""
    victims_per_device: float = 1.0
    initiations: Mapping[int, float]
    key_types: Mapping[int, float] | None = None
    """Which key the mule gave; none: as for any other payee."""
    victims_per_mule: float
    """Mean victims of one receiving account while it is in use."""
    mule_days: float
    """Mean days for which a receiving account is in use; below 1: mostly one local day, at `hours`."""
    mule_fresh: float = 0.28
    """Share of receiving accounts without an ordinary life before (the others are lent, rented or stolen)."""
    other_mule: float = 0.25
    """Probability that a later payment of the same incident goes to another account of the ring."""
    report_delay_hours: float
    """Median from the payment to the report (sigma 1.1)."""


@dataclass(frozen=True, kw_only=True)
class AccountTakeover(Typology):
    """A criminal inside the victim's account, by remote-access malware on the victim's own phone ("mão
    fantasma") or from another device that was got through registration: some large payments to mules within
    minutes, at any hour, often with account details typed in. Report type ACCOUNT_TAKEOVER of the DICT."""

    name: str = "account_takeover"
    share: float = 0.17
    report_type: int = ACCOUNT_TAKEOVER
    payments: tuple[float, ...] = (0.35, 0.3, 0.22, 0.13)
    gap_minutes: float = 5.0
    hours: tuple[float, ...] = NIGHT
    asleep: float = 0.35
    just_below: float = 0.6
    repeats: float = 0.5
    multiple: float = 6.0
    spread: float = 0.7
    rounding: float = 0.35
    new_device: float = 0.45
    device_registered: float = 0.55
    initiations: Mapping[int, float] = field(
        default_factory=lambda: {DICT: 0.55, MANU: 0.3, INIC: 0.05, QRDN: 0.1}
    )
    key_types: Mapping[int, float] | None = field(
        default_factory=lambda: {EVP: 0.5, EMAIL: 0.25, CPF_KEY: 0.25}
    )
    victims_per_mule: float = 2.0
    mule_days: float = 2.0
    report_delay_hours: float = 20.0


@dataclass(frozen=True, kw_only=True)
class FalseCallCentre(Typology):
    """ "Falsa central de atendimento": a caller who plays the bank's security desk makes the victim pay,
    with the victim's own device and in office hours, one or two amounts far above habit to a person never
    paid before. Report type SCAM."""

    name: str = "false_call_centre"
    share: float = 0.17
    report_type: int = SCAM
    payments: tuple[float, ...] = (0.55, 0.3, 0.15)
    gap_minutes: float = 8.0
    hours: tuple[float, ...] = OFFICE
    multiple: float = 11.0
    spread: float = 0.5
    rounding: float = 0.4
    initiations: Mapping[int, float] = field(default_factory=lambda: {DICT: 0.8, MANU: 0.12, QRDN: 0.08})
    key_types: Mapping[int, float] | None = field(
        default_factory=lambda: {CPF_KEY: 0.4, PHONE: 0.25, EVP: 0.35}
    )
    victims_per_mule: float = 2.0
    mule_days: float = 2.0
    report_delay_hours: float = 26.0


@dataclass(frozen=True, kw_only=True)
class ClonedWhatsapp(Typology):
    """ "Golpe do WhatsApp": somebody writes with a relative's name and picture and asks for money now. Round,
    moderate amounts to an unknown person's key, from the victim's own device; the same account collects from
    the whole address book within a day or two. Report type SCAM."""

    name: str = "cloned_whatsapp"
    share: float = 0.17
    report_type: int = SCAM
    payments: tuple[float, ...] = (0.65, 0.25, 0.1)
    gap_minutes: float = 35.0
    multiple: float = 4.0
    spread: float = 0.5
    rounding: float = 0.9
    initiations: Mapping[int, float] = field(default_factory=lambda: {DICT: 0.92, MANU: 0.05, QRES: 0.03})
    key_types: Mapping[int, float] | None = field(
        default_factory=lambda: {PHONE: 0.35, EMAIL: 0.3, CPF_KEY: 0.35}
    )
    victims_per_mule: float = 5.0
    mule_days: float = 0.5
    report_delay_hours: float = 9.0


@dataclass(frozen=True, kw_only=True)
class SwappedQr(Typology):
    """A static QR code pasted over a shop's, or sent on a false bill: ordinary amounts at ordinary hours
    from the payer's own device, to an account that many people suddenly pay for the first time. Found late,
    when the shop misses the money. Report type SCAM."""

    name: str = "swapped_qr"
    share: float = 0.16
    report_type: int = SCAM
    payments: tuple[float, ...] = (0.97, 0.03)
    gap_minutes: float = 60.0
    multiple: float = 1.1
    spread: float = 0.7
    rounding: float = 0.15
    initiations: Mapping[int, float] = field(default_factory=lambda: {QRES: 0.86, QRDN: 0.14})
    key_types: Mapping[int, float] | None = field(default_factory=lambda: {EVP: 0.8, CPF_KEY: 0.2})
    victims_per_mule: float = 9.0
    mule_days: float = 0.2
    mule_fresh: float = 0.4
    report_delay_hours: float = 60.0


@dataclass(frozen=True, kw_only=True)
class MuleFanInAndDrain(Typology):
    """A false sale (adverts, tickets, a task that "pays") brings many victims' payments into one account,
    which is drained in pieces to other accounts within two hours, faster than the MED can block: its graph
    follows two hops within two hours from R$ 200. The victims' payments and the drains are both fraud here;
    the other kinds' money leaves by cash machine or card, which is no Pix. Report type SCAM."""

    name: str = "mule_fan_in_and_drain"
    share: float = 0.17
    report_type: int = SCAM
    payments: tuple[float, ...] = (0.85, 0.15)
    gap_minutes: float = 90.0
    multiple: float = 2.6
    spread: float = 0.6
    rounding: float = 0.6
    initiations: Mapping[int, float] = field(default_factory=lambda: {DICT: 0.7, QRES: 0.15, QRDN: 0.15})
    mule_fresh: float = 0.35
    key_types: Mapping[int, float] | None = field(
        default_factory=lambda: {EVP: 0.55, EMAIL: 0.25, CPF_KEY: 0.2}
    )
    victims_per_mule: float = 9.0
    mule_days: float = 0.2
    report_delay_hours: float = 30.0
    drained: float = 0.5
    """Probability that a received payment is drained at once."""
    drain_parts: tuple[float, ...] = (0.3, 0.4, 0.3)
    """Probability of 1, 2, 3 pieces."""
    drain_minutes: float = 18.0
    """Median from the receipt to a piece (sigma 0.8), at most 115."""
    drain_device: float = 0.6
    """Probability that the ring works the mule's account from a device of its own."""
    drain_share: float = 0.92
    """Mean share of the receipt that is drained."""


@dataclass(frozen=True, kw_only=True)
class CredentialStuffingNewDevice(Typology):
    """Leaked passwords tried from one device on many accounts: two to four small payments within minutes
    from a device the victim never used, kept under R$ 200 because the device is not registered, in the night
    and the early morning. Report type FRAUDULENT_ACCESS."""

    name: str = "credential_stuffing_new_device"
    share: float = 0.16
    report_type: int = FRAUDULENT_ACCESS
    payments: tuple[float, ...] = (0.3, 0.3, 0.25, 0.15)
    gap_minutes: float = 4.0
    hours: tuple[float, ...] = NIGHT
    asleep: float = 0.35
    just_below: float = 0.7
    repeats: float = 0.6
    multiple: float = 2.0
    spread: float = 0.6
    rounding: float = 0.3
    new_device: float = 0.92
    device_registered: float = 0.12
    victims_per_device: float = 3.0
    initiations: Mapping[int, float] = field(
        default_factory=lambda: {DICT: 0.55, QRDN: 0.25, MANU: 0.1, INIC: 0.1}
    )
    victims_per_mule: float = 2.5
    mule_days: float = 1.5
    other_mule: float = 0.4
    report_delay_hours: float = 18.0


TYPOLOGIES: tuple[Typology, ...] = (
    AccountTakeover(),
    FalseCallCentre(),
    ClonedWhatsapp(),
    SwappedQr(),
    MuleFanInAndDrain(),
    CredentialStuffingNewDevice(),
)
NAMES = tuple(typology.name for typology in TYPOLOGIES)
