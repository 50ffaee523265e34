"""The words for the reasons: whole, current, and apart for the analyst and the customer."""

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from features.catalog import REASON_GROUPS
from stream.cli import make_app
from stream.reasons import REASONS, REPLAYED, RIGHTS, UNSAID, for_customer
from stream.reasons_page import page

PAGE = Path(__file__).parents[2] / "docs" / "reasons.md"


def test_every_reason_has_its_texts_and_every_text_a_reason() -> None:
    assert REASONS.keys() == {*REASON_GROUPS, REPLAYED}
    for reason in REASONS.values():
        assert reason.analyst[0].isupper()
        assert not reason.analyst.endswith(".")
        assert reason.customer[0].isupper()
        assert reason.customer.endswith(".")
    assert len({reason.analyst for reason in REASONS.values()}) == len(REASONS)


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `vigia reasons --markdown > docs/reasons.md`"
    printed = CliRunner().invoke(make_app(), ["reasons", "--markdown"])
    assert (printed.exit_code, printed.stdout) == (0, page())


def test_a_front_end_reads_the_texts_as_json() -> None:
    answer = orjson.loads(CliRunner().invoke(make_app(), ["reasons", "--json"]).stdout)
    assert {row["code"]: row["customer"] for row in answer["reasons"]} == {
        code: reason.customer for code, reason in REASONS.items()
    }
    assert (answer["customer_unsaid"], answer["customer_rights"]) == (UNSAID, RIGHTS)
    assert CliRunner().invoke(make_app(), ["reasons", "--json", "--markdown"]).exit_code == 2


SECRET = {"PAYEE_REPORTED", "PAYER_REPORTED", "MULE_PATTERN", "DICT_RISK", "LIMIT_PATTERN"}


@pytest.mark.parametrize("code", sorted(SECRET))
def test_what_others_reported_cannot_be_told_from_the_customers_text(code: str) -> None:
    """Its sentence is also that of a reason that tells nothing."""
    same = {other for other, reason in REASONS.items() if reason.customer == REASONS[code].customer}
    assert same - SECRET
    for word in ("fraude", "notifica", "denúncia", "suspeit", "golpe", "limite", "laranja", "DICT", "MED"):
        assert word not in " ".join(reason.customer for reason in REASONS.values())


def test_the_customer_reads_each_sentence_once_and_never_none() -> None:
    codes = ["PAYEE_REPORTED", "NEW_PAYEE", "PAYEE_FAN_IN", "KEY_UNUSUAL"]
    assert for_customer(codes) == [REASONS["PAYEE_FAN_IN"].customer, REASONS["NEW_PAYEE"].customer]
    assert for_customer([]) == for_customer(["OF_TOMORROW"]) == [UNSAID]
