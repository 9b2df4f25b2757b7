"""CSV cells that no spreadsheet takes for a formula."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.csv_stream import FORMULA, safe


@pytest.mark.parametrize(
    "cell", ["=1+1", "+49151", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=cmd|' /C calc'!A0", "\uff1d1+1", "\uff20x"]
)
def test_a_formula_becomes_text(cell: str) -> None:
    """An apostrophe in front makes every spreadsheet show the cell and run nothing."""
    assert safe(cell) == "'" + cell


@given(st.text())
def test_no_text_starts_a_formula(text: str) -> None:
    """Whatever was stored, what is exported starts with no sign of a formula, and is otherwise the same."""
    assert not safe(text).startswith(FORMULA)
    assert safe(text).removeprefix("'") == text.removeprefix("'")


@pytest.mark.parametrize("value", [-5, 7.5, 0, True, None])
def test_numbers_stay_numbers(value: object) -> None:
    """A negative score is no formula: sums in the spreadsheet still work."""
    assert safe(value) is value
