"""Whose turn it is among the replies of one conversation."""

from typing import Any

import pytest

from channels.order import waits_until
from tests.fakes import Clock
from tracker.store.port import Document
from tracker.store.schema import Kind
from tracker.times import Instant, instant, later

NOW = Clock()()
AT = instant(NOW)
SOON, PAST, AHEAD = later(NOW, seconds=1), later(NOW, seconds=-9), later(NOW, hours=1)
TRIED = [{"at": PAST, "outcome": "retry"}]


def reply(id: str = "b", **more: Any) -> Document:
    body = {"category": "reply", "channel": "whatsapp", "status": "due", "waiting": True, "attempts": []}
    return Document(Kind.MESSAGES, id, 1, {**body, "created_at": AT, "due_at": AT, **more})


@pytest.mark.parametrize(
    ("other", "until"),
    [
        (reply("a"), SOON),
        (reply("a", status="sending", waiting=False, due_at=PAST), SOON),
        (reply("a", status="due", attempts=TRIED, due_at=AHEAD), later(NOW, seconds=3600.001)),
        (reply("a", status="held", due_at=AHEAD), later(NOW, seconds=3600.001)),
        (reply("z", created_at=PAST), SOON),
        (reply("b"), None),
        (reply("c"), None),
        (reply("a", created_at=SOON), None),
        (reply("a", channel="email"), None),
        (reply("a", category="nurture"), None),
        (reply("a", status="planned", due_at=AHEAD), None),
        (reply("a", status="due", due_at=AHEAD), None),
        *((reply("a", status=status, attempts=TRIED, broken=True), None) for status in ("due", "held")),
        *((reply("a", status=status, waiting=False), None) for status in ("uncertain", "failed", "dead", "sent")),
    ],
)
def test_a_reply_waits_for_what_goes_before_it(other: Document, until: Instant | None) -> None:
    """For what is being sent, is next or is tried again; not for what was put off untried or waits for a person."""
    assert waits_until(reply(), [other], NOW) == until
    assert waits_until(reply(), [other, reply("c"), reply()], NOW) == until
