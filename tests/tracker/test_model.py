"""Text and times as they come in."""

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import pytest
from hypothesis import example, given
from pydantic import Field, TypeAdapter, ValidationError

from tests.strategies import NOON, messy, moments
from tracker.model import (
    AnyTime,
    Input,
    Line,
    Lines,
    Metadata,
    Name,
    PastTime,
    Points,
    Slug,
    clean,
    clean_lines,
    faults,
    new_id,
)
from tracker.times import instant


@given(messy)
@example("a \x00 b")
@example("e\x00\u0301")
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    """A value that went through us and comes back is the same value."""
    assert clean(clean(text)) == clean(text)
    assert clean_lines(clean_lines(text)) == clean_lines(text)


@given(messy)
def test_clean_text_is_one_trimmed_line_in_nfc(text: str) -> None:
    """Whatever came in: no control characters, no double spaces, no loose marks."""
    line = clean(text)
    assert unicodedata.is_normalized("NFC", line)
    assert " ".join(line.split()) == line
    assert not any(unicodedata.category(c) == "Cc" for c in line)


@given(messy)
def test_cleaning_keeps_every_letter(text: str) -> None:
    """Nothing but white space and control characters is taken away."""

    def letters(text: str) -> str:
        kept = "".join(c for c in text if not c.isspace() and unicodedata.category(c) != "Cc")
        return unicodedata.normalize("NFC", kept)

    assert letters(clean(text)) == letters(text)
    assert letters(clean_lines(text)) == letters(text)


def test_lines_keep_their_breaks() -> None:
    """A message may have paragraphs; what ends a line on Windows ends it here."""
    assert clean_lines("\r\n Hi,\r\n\r\nbye\r\tX\x07 ") == "Hi,\n\nbye\n\tX"


def read(wanted: Any, value: Any, **context: Any) -> Any:
    return TypeAdapter(wanted).validate_python(value, context=context)


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        (Name, ""),
        (Name, " \x00 "),
        (Name, "x" * 201),
        (Name, 7),
        (Name, None),
        (Line, "x" * 2001),
        (Lines, "\x00\n"),
        (Slug, ""),
        (Slug, "a/b"),
        (Slug, ".."),
        (Slug, "a b"),
        (Slug, "x" * 101),
        (Slug, "a\n"),
        (Points, float("nan")),
        (Points, float("inf")),
        (Points, 1e300),
        (Metadata, {"x": "y" * 70_000}),
        (Metadata, []),
    ],
)
def test_what_cannot_be_meant_is_refused(wanted: Any, value: Any) -> None:
    """Empty names, endless text, ids that would break an address, numbers that are none."""
    with pytest.raises(ValidationError):
        read(wanted, value)


@pytest.mark.parametrize(
    "value",
    ["2026-11-22T14:27:00", "2026-11-22", "yesterday", "", 1764000000, None, True, ["2026-11-22T14:27:00Z"], "24:00Z"],
)
def test_a_time_without_a_zone_is_no_time(value: Any) -> None:
    """Two servers would read it differently, so it is refused, with an example of a good one."""
    for wanted in (PastTime, AnyTime):
        with pytest.raises(ValidationError, match="ISO 8601 time with a zone"):
            read(wanted, value)


@given(moments)
def test_a_time_is_kept_as_utc_milliseconds(at: datetime) -> None:
    """Any moment in any zone is the same in UTC, cut to the millisecond; past the calendar's end it is refused."""
    try:
        expected = instant(at.astimezone(UTC))
    except OverflowError:
        with pytest.raises(ValidationError):
            read(AnyTime, at.isoformat())
        return
    assert read(AnyTime, at.isoformat()) == expected


def test_the_future_is_refused_after_a_day() -> None:
    """Clocks may differ by a day, not more; the past may be as old as it likes."""
    for hours, good in ((-1_000_000, True), (23.99, True), (24.01, False)):
        text = (NOON + timedelta(hours=hours)).isoformat()
        if good:
            assert read(PastTime, text, now=NOON)
        else:
            with pytest.raises(ValidationError, match="24 h ahead"):
                read(PastTime, text, now=NOON)
    assert read(AnyTime, (NOON + timedelta(days=900)).isoformat(), now=NOON)


def test_faults_name_the_path() -> None:
    """Each fault says where it is, in fields and indexes, and all are told at once."""

    class Inner(Input):
        size: int

    class Outer(Input):
        items: list[Inner]

    with pytest.raises(ValidationError) as raised:
        Outer.model_validate({"items": [{"size": 1}, {"size": "x"}, {"size": 2, "colour": "red"}], "extra": 1})
    assert [fault.path for fault in faults(raised.value)] == ["items/1/size", "items/2/colour", "extra"]


def test_faults_are_told_in_words_of_json() -> None:
    """Nobody who calls the API knows of dictionaries and tuples; a bad name has the path of what it names."""

    class Inner(Input):
        size: int

    class Outer(Input):
        inner: Inner
        numbers: Annotated[tuple[int, ...], Field(min_length=2)]
        named: Annotated[dict[Slug, int], Field(max_length=1)]

    def told(**given: Any) -> dict[str, str]:
        with pytest.raises(ValidationError) as raised:
            Outer.model_validate({"inner": {"size": 1}, "numbers": [1, 2], "named": {}} | given)
        return {fault.path: fault.message for fault in faults(raised.value)}

    an_object = "Input should be an object"
    assert told(inner=[], named=[]) == {"inner": an_object, "named": an_object}
    assert told(numbers={}) == {"numbers": "Input should be a valid list"}
    assert told(numbers=[1])["numbers"].startswith("List should have at least 2 items")
    assert told(named={"a": 1, "b": 2})["named"].startswith("Object should have at most 1 item")
    assert list(told(named={"a b": 1})) == ["named/a b"]


def test_ids_sort_by_their_time() -> None:
    """An id made later is never smaller in its time part, and no two are the same."""
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [id[:10] for id in ids] == sorted(id[:10] for id in ids)
