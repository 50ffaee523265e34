"""What the state keeps in place of names and contents."""

from itertools import combinations

from features.transaction import Transaction, content_hash, digest, entity_key, event_hash

PAYMENT = Transaction(
    "e-1", 1_795_275_000_123, 15_000, "a-1", "b-9", payer_ispb="90400888", payee_key="ção",
    device_registered=True,
)  # fmt: skip


def test_a_hash_that_the_state_keeps_is_the_same_for_good() -> None:
    kept = [content_hash(PAYMENT), event_hash("e-1")]
    kept += [entity_key(entity, PAYMENT) for entity in ("payer", "payee", "pair", "payee_key")]
    assert [found.hex() for found in kept] == [
        "e66c4f9379d612b8",
        "317386494bf10d9f",
        "1e48583efea09973f3c008c3",
        "99c49a3607cb173194d7425f",
        "36c5af6d3269dc3bdab7a925",
        "837e047f29b8d806d4202443",
    ], "another hash is another state (raise redis_plan.LAYOUT), and of names also other bins of newcomers"


def test_another_content_has_another_hash() -> None:
    others = [PAYMENT._replace(**change) for change in (
        {"amount": 15_001}, {"payee_key": None}, {"payee_key": "None"}, {"payee_key": "cao"},
        {"device_registered": None}, {"device_registered": False}, {"payer_holder": "90400888"},
    )]  # fmt: skip
    assert len({content_hash(payment) for payment in (PAYMENT, *others)}) == len(others) + 1


def test_no_account_can_be_written_to_look_like_another() -> None:
    parts = (None, "None", "", "a", "'a'", "a'", "'a', ", "(None")
    names = [(ispb, account) for ispb in parts for account in parts if account is not None]
    for one, other in combinations(names, 2):
        assert digest(*one) != digest(*other)
