"""What is done to the Lua text before Redis gets it."""

import re

import pytest

from features.redis_plan import SCRIPT, folded, native


def test_constants_are_put_in_place_of_their_names() -> None:
    text = "local A, B_SIZE = '<I6I6', 12 -- why\nlocal HALF = 2 ^ 47 -- of it\nreturn A, B_SIZE * HALF, AB\n"
    assert folded(text) == "return '<I6I6', 12 * 2 ^ 47, AB\n"


@pytest.mark.parametrize("line", ["local F = floor(2)\n", "local T = { 1, 2 }\n", "  local N = 3\n"])
def test_what_is_made_at_run_time_stays(line: str) -> None:
    assert folded(line + "return F, T, N\n") == line + "return F, T, N\n"


def test_fields_of_1_2_and_4_bytes_get_the_letters_without_a_length() -> None:
    assert native("su('<I1I6I2I4c8I12', v) .. 'I4'") == "su('<BI6HIc8I12', v) .. 'I4'"


def test_redis_makes_no_constant_at_a_call() -> None:
    code = re.sub(r"'[^'\n]*'|--.*", "", SCRIPT)
    named = set(re.findall(r"\b[A-Z][A-Z_]{2,}\b", code))
    assert named == {"ARGV", "KEYS", "READ", "TAKE", "BEGIN", "MAX"}
