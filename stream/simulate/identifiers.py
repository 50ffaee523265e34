"""Invented names: accounts, devices, institutions, keys, event ids. Nobody's real data.

A CPF or CNPJ made here always has a wrong last check digit, a phone always has area code 00 (which does
not exist), an e-mail always lies under example.com (reserved by RFC 2606), and an ISPB always starts with
``9S``, while those in use today are digits alone.
"""

import hashlib
import uuid

import numpy as np
from numpy.typing import NDArray

from stream.simulate.vocabulary import CNPJ, CPF, EMAIL, PHONE

ALPHANUMERIC = np.frombuffer(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype=np.uint8
)
_CPF_WEIGHTS = (tuple(range(10, 1, -1)), tuple(range(11, 1, -1)))
_CNPJ_WEIGHTS = ((5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2), (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2))


def scrambled(index: int, bits: int) -> int:
    """A bijection on `bits`-bit integers, so that a name does not tell the order of making."""
    mask = (1 << bits) - 1
    mixed = (index * 0x9E3779B97F4A7C15 + 0x5851F42D) & mask
    return (mixed ^ (mixed >> (bits // 2))) & mask


def account_name(index: int) -> str:
    return f"a-{scrambled(index, 32):08x}"


def device_name(index: int) -> str:
    return f"d-{scrambled(index, 40):010x}"


def institutions(rng: np.random.Generator, count: int) -> list[str]:
    """`count` distinct ISPBs, ``9S`` and six characters of ``[0-9A-Z]``."""
    names: dict[str, None] = {}
    while len(names) < count:
        names["9S" + ALPHANUMERIC[rng.integers(0, 36, 6)].tobytes().decode()] = None
    return list(names)


def pix_key(account: str, key_type: int) -> str:
    """The account's key of that type; the same each time it is asked."""
    digest = hashlib.sha256(f"{account}/{key_type}".encode()).digest()
    digits = f"{int.from_bytes(digest[:8]) % 10**12:012d}"
    if key_type == CPF:
        return _with_wrong_check_digit(digits[:9], _CPF_WEIGHTS)
    if key_type == CNPJ:
        return _with_wrong_check_digit(digits, _CNPJ_WEIGHTS)
    if key_type == PHONE:
        return f"+55009{digits[:8]}"
    if key_type == EMAIL:
        return f"{account}@example.com"
    return str(uuid.UUID(bytes=digest[:16], version=4))


def event_ids(
    rng: np.random.Generator, ispb: NDArray[np.bytes_], occurred_ms: NDArray[np.int64]
) -> NDArray[np.bytes_]:
    """EndToEndIds: ``E``, the payer's ISPB, ``yyyyMMddHHmm`` in UTC, 11 alphanumerics. Shape (n,), S32."""
    count = len(occurred_ms)
    letters = np.empty((count, 32), dtype=np.uint8)
    letters[:, 0] = ord("E")
    letters[:, 1:9] = _bytes(ispb.astype("S8"), 8)
    minutes = np.datetime_as_string(occurred_ms.astype("datetime64[ms]"), unit="m").astype("S16")
    letters[:, 9:21] = _bytes(minutes, 16)[:, [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15]]
    letters[:, 21:] = ALPHANUMERIC[rng.integers(0, 62, (count, 11))]
    return letters.view("S32").reshape(count)


def _bytes(names: NDArray[np.bytes_], width: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(names).view(np.uint8).reshape(len(names), width)


def _with_wrong_check_digit(base: str, weights: tuple[tuple[int, ...], tuple[int, ...]]) -> str:
    first = base + str(_check_digit(base, weights[0]))
    return first + str((_check_digit(first, weights[1]) + 1) % 10)


def _check_digit(digits: str, weights: tuple[int, ...]) -> int:
    """Modulo 11, as the Receita Federal defines it for CPF and CNPJ."""
    rest = sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True)) % 11
    return 0 if rest < 2 else 11 - rest
