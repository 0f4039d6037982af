from __future__ import annotations

import pytest

from fuseline.errors import InputError, did_you_mean, foreign_code


def test_a_message_is_one_line() -> None:
    assert str(InputError("first\n  second\tthird")) == "first second third"


def test_the_nearest_name_is_offered_and_only_a_near_one() -> None:
    assert did_you_mean("unfuse", ["fusion", "unfused"]) == ": did you mean 'unfused'?"
    assert did_you_mean("zzzz", ["fusion", "unfused"]) == ""


def test_foreign_errors_keep_their_type_and_first_line() -> None:
    with (
        pytest.raises(InputError, match=r"^'m' failed: ValueError: one$"),
        foreign_code("'m' failed"),
    ):
        raise ValueError("one\ntwo")


def test_foreign_errors_without_words_still_have_a_type() -> None:
    with (
        pytest.raises(InputError, match=r"^'m' failed: AssertionError:$"),
        foreign_code("'m' failed"),
    ):
        raise AssertionError


def test_our_own_errors_and_interrupts_pass_through() -> None:
    with pytest.raises(InputError, match=r"^as it was$"), foreign_code("'m' failed"):
        raise InputError("as it was")
    with pytest.raises(KeyboardInterrupt), foreign_code("'m' failed"):
        raise KeyboardInterrupt
