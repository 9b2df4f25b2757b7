"""The web layer's pure parts: JSON, cursors, versions."""

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import json_values, texts
from tracker import review
from tracker.errors import Invalid, Malformed
from tracker.events import event_key
from tracker.review import ReviewKind
from tracker.store.port import Cursor, Document
from tracker.store.schema import Kind
from tracker.times import Instant
from tracker.web import MAX_DEPTH, Paging, parse_json, validated


@given(json_values)
def test_json_is_read_as_it_is(value: Any) -> None:
    """Any JSON value comes in unchanged."""
    assert parse_json(orjson.dumps(value)) == value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"nope",
        b"NaN",
        b"[Infinity]",
        b"1e999",
        b'"\\ud800"',
        b'"\xff"',
        b"{'a':1}",
        b"[1,]",
        b"\xef\xbb\xbf{}",
        b'{"a":1}x',
    ],
)
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    """NaN, lone surrogates, numbers without end, broken UTF-8: none of it reaches a handler."""
    with pytest.raises(Malformed):
        parse_json(raw)


@given(st.integers(1, 400), st.booleans())
def test_depth_is_bounded(depth: int, arrays: bool) -> None:
    """What is let in can be kept, wrapped into a list of review items and shown again."""
    opening, closing = (b"[", b"]") if arrays else (b'{"a":', b"}")
    raw = opening * depth + b"1" + closing * depth
    if depth > MAX_DEPTH:
        with pytest.raises(Malformed):
            parse_json(raw)
        return
    value = parse_json(raw)
    item = review.item(ReviewKind.QUARANTINE, reason="", error="", input=value, at=Instant(""))
    review.content_id(ReviewKind.QUARANTINE, value)
    shown = review.view(Document(Kind.REVIEW, item.id, 1, item.body))
    assert orjson.loads(orjson.dumps({"items": [shown]}))["items"][0]["input"] == value


def test_brackets_in_text_are_no_depth() -> None:
    """A message full of brackets is a message."""
    text = "[{" * 5000
    assert parse_json(orjson.dumps({"text": text})) == {"text": text}


@given(st.none() | texts | st.integers(-(2**63), 2**63 - 1) | st.booleans(), texts)
def test_a_cursor_reads_back(value: Any, id: str) -> None:
    """Where one page ended, the next begins."""
    cursor = Cursor(value, id)
    assert Cursor.decode(cursor.encode()) == cursor
    assert Paging(cursor=cursor.encode()).after == cursor


def refused(text: str) -> list[str]:
    """The paths of the faults that a cursor from a request has, none when it is taken."""
    try:
        validated(Paging, {"cursor": text}, "").after  # noqa: B018
    except Invalid as error:
        return [fault.path for fault in error.faults]
    return []


@given(texts | st.binary(max_size=30).map(lambda b: base64.urlsafe_b64encode(b).decode()))
def test_a_made_up_cursor_is_a_fault_of_the_caller(text: str) -> None:
    """What is no cursor of ours is a fault at `cursor`, never an error of ours."""
    assert refused(text) in ([], ["cursor"])


@pytest.mark.parametrize(
    "value",
    [[1, 2], ["a"], {"a": 1}, [["a"], "b"], [{"x": 1}, "b"], [1, None], 5, [2**64 - 1, "a"], [-(2**63), "a", 1]],
)
def test_a_cursor_of_a_wrong_shape_is_refused(value: Any) -> None:
    """Well-formed nonsense, and a number that no database can compare with, are refused too."""
    assert refused(base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")) == ["cursor"]


def test_the_longest_cursor_of_ours_is_taken() -> None:
    """An event's id may have 200 characters of any script; a page that ends there goes on."""
    cursor = Cursor("2026-11-22T14:27:00.000Z", event_key("s" * 100, "\U0001f600" * 200))
    assert validated(Paging, {"cursor": cursor.encode()}, "").after == cursor
