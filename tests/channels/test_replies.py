"""How a salesperson's reply goes out: on the channel where the person wrote, else where it would arrive."""

from datetime import timedelta
from typing import Any

import pytest

from channels.replies import HumanReplyOutbox
from tests.strategies import NOON
from tracker.events import Channel
from tracker.lead import Lead
from tracker.person import Consent, Person, Suppression
from tracker.store.port import Insert
from tracker.times import instant

AT = instant(NOON)
ALL = frozenset({Channel.EMAIL, Channel.WHATSAPP, Channel.CHATBOT})
GRANTED = Consent(status="granted")
ON_WHATSAPP: dict[str, Any] = {"phone": "+4915112345678", "whatsapp_consent": GRANTED, "whatsapp_seen_at": AT}


def lead(wrote_on: Channel | None = None) -> Lead:
    return Lead(person_id="p1", product_id="flow", config_number=1, created_at=AT, updated_at=AT, wrote_on=wrote_on)


def person(**known: Any) -> Person:
    return Person(created_at=AT, updated_at=AT, **known)


@pytest.mark.parametrize(
    ("wrote_on", "known", "channel"),
    [
        (Channel.CHATBOT, {"visitor": "v1", "email": "d@example.com"}, Channel.CHATBOT),
        (Channel.WHATSAPP, {"email": "d@example.com", **ON_WHATSAPP}, Channel.WHATSAPP),
        (Channel.EMAIL, {"email": "d@example.com", "visitor": "v1"}, Channel.EMAIL),
        (None, {"email": "d@example.com", "preferred_channel": Channel.CHATBOT, "visitor": "v1"}, Channel.CHATBOT),
        (None, {"email": "d@example.com", **ON_WHATSAPP}, Channel.EMAIL),
        (None, ON_WHATSAPP, Channel.WHATSAPP),
        (Channel.CHATBOT, {"email": "d@example.com"}, Channel.EMAIL),
    ],
)
def test_where_they_wrote_then_what_they_prefer_then_what_there_is(
    wrote_on: Channel | None, known: dict[str, Any], channel: Channel
) -> None:
    way = HumanReplyOutbox(ALL).way(lead(wrote_on), person(**known), now=NOON)
    assert (way.channel, way.obstacle) == (channel, None)


def test_past_the_window_a_reply_goes_by_mail() -> None:
    """A day after their last words WhatsApp takes no free text; without an address nothing would arrive."""
    late = NOON + timedelta(hours=25)
    outbox, wrote = HumanReplyOutbox(ALL), lead(Channel.WHATSAPP)
    assert outbox.way(wrote, person(**ON_WHATSAPP), now=NOON).window_open is True
    way = outbox.way(wrote, person(email="d@example.com", **ON_WHATSAPP), now=late)
    assert (way.channel, way.obstacle, way.window_open) == (Channel.EMAIL, None, False)
    way = outbox.way(wrote, person(**ON_WHATSAPP), now=late)
    assert (way.channel, way.window_open) == (Channel.WHATSAPP, False)
    assert "window is closed" in str(way.obstacle)


def test_a_dead_address_is_no_way() -> None:
    """A reply obeys what stops everything; an unsubscribe from nurture does not concern it."""
    stop = Suppression(channel=Channel.EMAIL, reason="email_bounce", at=AT, scope="all")
    known = {"email": "d@example.com", "suppressions": (stop,)}
    assert HumanReplyOutbox(ALL).way(lead(), person(**known), now=NOON).obstacle == "email_bounce"
    known["suppressions"] = (stop.but(scope="nurture"),)
    assert HumanReplyOutbox(ALL).way(lead(), person(**known), now=NOON).obstacle is None


def test_a_channel_that_is_off_comes_last() -> None:
    """What is written for it waits until it is on, which beats nothing."""
    known = person(email="d@example.com", visitor="v1")
    assert HumanReplyOutbox(frozenset({Channel.CHATBOT})).way(lead(), known, now=NOON).channel is Channel.CHATBOT
    assert HumanReplyOutbox(frozenset()).way(lead(), known, now=NOON) == (Channel.EMAIL, None, None)


@pytest.mark.parametrize(("channel", "parts"), [(Channel.WHATSAPP, 3), (Channel.EMAIL, 1), (Channel.CHATBOT, 1)])
def test_a_reply_is_due_at_once_and_names_its_author(channel: Channel, parts: int) -> None:
    """Long ones go in parts where a message may not be long; the first has the id that was given."""
    text = "A sentence of some words. " * 150
    changes = HumanReplyOutbox(ALL).planned(
        "m1", lead_id="l1", lead=lead(), channel=channel, text=text.strip(), author="ana", at=AT
    )
    assert [change.id for change in changes] == ["m1", "m1.02", "m1.03"][:parts]
    for change in changes:
        assert isinstance(change, Insert)
        body = change.body
        assert (body["author"], body["status"], body["category"], body["due_at"]) == ("ana", "due", "reply", AT)
    assert " ".join(c.body["text"] for c in changes if isinstance(c, Insert)) == text.strip()
