"""The review queue's items: the input as it came, once for the same content."""

from typing import Any

from hypothesis import given

from tests.strategies import NOON, json_values
from tracker.errors import Fault
from tracker.review import ReviewKind, ReviewView, content_id, item, told, view
from tracker.store.port import Document
from tracker.times import instant


def made(input: Any, **more: Any) -> Document:
    change = item(ReviewKind.QUARANTINE, reason="r", error="e", input=input, at=instant(NOON), **more)
    return Document(change.kind, change.id, 1, change.body)


@given(json_values)
def test_the_input_is_kept_as_it_came(value: Any) -> None:
    """Whatever JSON a source sent, a person sees exactly that."""
    shown = view(made(value))
    assert shown["input"] == value
    ReviewView.model_validate(shown)


@given(json_values)
def test_the_same_content_has_one_id(value: Any) -> None:
    """A malformed record that is sent every minute is queued once; another fault of it is another item."""
    assert content_id(ReviewKind.QUARANTINE, value) == content_id(ReviewKind.QUARANTINE, value)
    assert content_id(ReviewKind.QUARANTINE, value) != content_id(ReviewKind.DROPPED_FIELD, value)
    assert content_id(ReviewKind.QUARANTINE, value) != content_id(ReviewKind.QUARANTINE, [value])


def test_the_order_of_fields_is_no_content() -> None:
    """A CRM that writes its fields in another order sends the same record; `1` and `"1"` differ."""
    assert content_id(ReviewKind.QUARANTINE, {"a": 1, "b": {"c": 2, "d": 3}}) == content_id(
        ReviewKind.QUARANTINE, {"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert content_id(ReviewKind.QUARANTINE, {"a": 1}) != content_id(ReviewKind.QUARANTINE, {"a": "1"})


def test_an_item_without_content_id_gets_one_of_its_own() -> None:
    """Two dead letters with the same text are two failures."""
    assert made("x").id != made("x").id
    assert made("x", id="mine", lead_id="l1").body["lead_id"] == "l1"


def test_faults_are_told_with_their_paths() -> None:
    """The reason in the answer names each field; a fault of the whole record stands alone."""
    assert told([Fault("email", "is none"), Fault("", "is no object")]) == "email: is none; is no object"
