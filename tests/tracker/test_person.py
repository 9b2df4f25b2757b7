"""The person, and what events do to what it may be sent."""

from typing import Any

import pytest

from tests.strategies import NOON
from tracker import consent
from tracker.events import Channel, Event, EventType
from tracker.person import Consent, Person, Suppression
from tracker.times import Instant, instant

AT = instant(NOON)
LATER = Instant("2026-11-23T12:00:00.000Z")
PERSON = Person(name="Dana Doe", created_at=AT, updated_at=AT)


def test_a_person_that_does_not_change_is_the_very_same() -> None:
    """The store is not written, and the version does not move, when nothing is new."""
    assert PERSON.updated({"name": "Dana Doe", "email": None}, at=LATER) is PERSON
    changed = PERSON.updated({"name": "Dana", "email": None}, at=LATER)
    assert (changed.name, changed.updated_at, PERSON.name) == ("Dana", LATER, "Dana Doe")


def test_a_person_has_one_lead_in_each_product() -> None:
    """A product never takes the place of another in what a person has."""
    both = PERSON.with_lead("flowdesk", "l1").with_lead("gridwise", "l2")
    assert both.leads == {"flowdesk": "l1", "gridwise": "l2"}
    assert PERSON.leads == {}


def test_a_suppression_is_kept_once() -> None:
    """A mailbox that bounces every day does not grow the person; another reason is another entry."""
    bounce = Suppression(channel=Channel.EMAIL, reason="email_bounce", at=AT, scope="all")
    once = PERSON.suppress(bounce)
    assert once.suppress(bounce.but(at=LATER)) is once
    assert len(once.suppress(bounce.but(reason="complaint")).suppressions) == 2
    assert len(once.suppress(bounce.but(channel=Channel.WHATSAPP)).suppressions) == 2


def test_a_bad_address_is_no_matter_to_another_one() -> None:
    """Each that bounces is kept; what names none is the person's word, and holds for any."""
    bounce = Suppression(channel=Channel.EMAIL, reason="email_bounce", at=AT, scope="all", address="a@example.com")
    other = bounce.but(address="b@example.com")
    person = PERSON.suppress(bounce).suppress(other).suppress(bounce.but(at=LATER))
    assert person.suppressions == (bounce, other)
    assert [stop.holds_for("a@example.com") for stop in (bounce, other, bounce.but(address=None))] == [
        True,
        False,
        True,
    ]
    number = bounce.but(channel=Channel.WHATSAPP, address="4915112345678")
    assert number.holds_for("+4915112345678")
    assert not number.holds_for("")


def test_what_an_earlier_version_kept_of_a_bounce_holds_for_the_person() -> None:
    """It named no address, and nobody knows any more which one it was."""
    body = {"channel": "email", "reason": "email_bounce", "at": AT, "scope": "all"}
    kept = Suppression.read(body)
    assert kept.holds_for("any@example.com")
    assert kept.what == "email all email_bounce"


def test_two_in_one_remember_what_they_refused_again() -> None:
    """Once each: a merge that is undone has to know. Of one person alone nothing is to be remembered."""
    bounce = Suppression(channel=Channel.EMAIL, reason="email_bounce", at=AT, scope="all")
    both = PERSON.but(absorbed=("other",)).suppress(bounce)
    assert both.refused_again == ()
    again = both.suppress(bounce.but(at=LATER))
    assert (again.suppressions, again.refused_again) == ((bounce,), ("email all email_bounce",))
    assert again.suppress(bounce) is again
    assert PERSON.refuse_again("email_consent") is PERSON


def test_the_first_name_is_what_stands_before_the_space() -> None:
    """Mails greet with it, and with nothing where no name is known."""
    assert (PERSON.first_name, PERSON.but(name=None).first_name) == ("Dana", "")


def test_what_is_stored_reads_back() -> None:
    """A person survives the store, and an older Leadline may read what a newer one wrote."""
    person = PERSON.suppress(Suppression(channel=Channel.EMAIL, reason="x", at=AT)).with_lead("p", "l")
    assert Person.read(person.body()) == person
    assert Person.read({**person.body(), "from_the_future": 1}) == person


def event(event_type: EventType, channel: Channel = Channel.EMAIL) -> Event:
    return Event(
        lead_id="l",
        product_id="p",
        source="crm",
        event_id="e",
        event_type=event_type,
        channel=channel,
        timestamp=AT,
        received_at=LATER,
    )


@pytest.mark.parametrize("event_type", sorted(set(EventType) - {EventType.WHATSAPP_REPLY, EventType.WHATSAPP_SENT}))
def test_only_three_events_stop_anything(event_type: EventType) -> None:
    """An unsubscribe or a complaint stops nurture, a bounce stops everything on that channel; nothing else does."""
    after = consent.after(PERSON, event(event_type))
    scope = {"unsubscribe": "nurture", "complaint": "nurture", "email_bounce": "all"}.get(event_type)
    if scope is None:
        assert after is PERSON
    else:
        (suppression,) = after.suppressions
        assert suppression == Suppression(channel=Channel.EMAIL, reason=event_type, at=AT, scope=scope)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metadata", "address"),
    [
        ('{"recipient": "Typo@Example.com"}', "typo@example.com"),
        ("{}", "right@example.com"),
        ('{"recipient": null}', "right@example.com"),
        ('{"recipient": ["typo@example.com"]}', "right@example.com"),
        ('{"recipient": "nobody"}', "right@example.com"),
    ],
)
def test_a_bounce_is_of_the_address_that_it_names(metadata: str, address: str) -> None:
    """Where it names none, of the one that the person has; an unsubscribe names none, whatever is told with it."""
    person = PERSON.but(email="right@example.com")
    (stop,) = consent.after(person, event(EventType.EMAIL_BOUNCE).but(metadata=metadata)).suppressions
    assert stop.address == address
    (stop,) = consent.after(person, event(EventType.UNSUBSCRIBE).but(metadata=metadata)).suppressions
    assert stop.address is None


def test_an_unsubscribe_stops_the_channel_it_came_by() -> None:
    """A product's own settings page speaks of e-mail."""

    def stopped(channel: Channel) -> Channel:
        return consent.after(PERSON, event(EventType.UNSUBSCRIBE, channel)).suppressions[0].channel

    assert stopped(Channel.CHATBOT) is Channel.CHATBOT
    assert stopped(Channel.PRODUCT) is Channel.EMAIL


def on_whatsapp(event_type: EventType = EventType.WHATSAPP_REPLY, **more: Any) -> Event:
    return event(event_type, Channel.WHATSAPP).but(**more)


def test_who_writes_first_may_be_answered() -> None:
    """A first message is consent, is what the next ones are about, and opens the window at the time it was written."""
    wrote = consent.after(PERSON, on_whatsapp())
    assert wrote.whatsapp_consent == Consent(status="granted", basis="wrote first", source="crm", at=AT)
    assert (wrote.whatsapp_seen_at, wrote.whatsapp_lead) == (AT, "l")


def test_the_window_counts_from_the_newest_message_and_never_from_the_future() -> None:
    """A message that is told late, or one that claims to come from tomorrow, does not move it."""
    wrote = consent.after(PERSON, on_whatsapp(timestamp=LATER))
    assert wrote.whatsapp_seen_at == LATER
    assert consent.after(wrote, on_whatsapp()).whatsapp_seen_at == LATER
    assert consent.after(PERSON, on_whatsapp(timestamp="2027-01-01T00:00:00.000Z")).whatsapp_seen_at == LATER


def test_an_unsubscribe_on_whatsapp_takes_the_consent_back() -> None:
    """For every category, until they say so themselves: writing again does not bring it back."""
    stopped = consent.after(PERSON, on_whatsapp(EventType.UNSUBSCRIBE))
    assert stopped.whatsapp_consent == Consent(status="denied", basis="unsubscribe", source="crm", at=AT)
    assert stopped.suppressions == ()
    assert consent.after(stopped, on_whatsapp(EventType.UNSUBSCRIBE, timestamp=LATER)) is stopped
    again = consent.after(stopped, on_whatsapp())
    assert (again.whatsapp_consent.status, again.whatsapp_seen_at) == ("denied", AT)


def test_what_a_message_is_about_follows_what_we_write() -> None:
    """A message of ours about another product is what the person answers next; an answer of ours changes nothing."""
    wrote = consent.after(PERSON, on_whatsapp())
    sent = on_whatsapp(EventType.WHATSAPP_SENT, lead_id="l2", metadata='{"category": "nurture"}')
    assert consent.after(wrote, sent).whatsapp_lead == "l2"
    assert consent.after(wrote, sent.but(metadata='{"category": "reply"}')) is wrote
    assert consent.after(wrote, on_whatsapp(lead_id="l3")).whatsapp_lead == "l"
