"""Merging two persons: nothing moves, nothing is lost, and an undo is exact."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import NOON
from tracker.events import Channel
from tracker.merging import joined, stricter
from tracker.person import Consent, CrmIdentity, Person, Suppression
from tracker.search_words import reworded
from tracker.store.port import Delete, Insert
from tracker.times import Instant, instant, later

AT = instant(NOON)
CRM = (CrmIdentity(source="crm", user_id="u1"),)


def person(**values: Any) -> Person:
    return Person(**{"created_at": AT, "updated_at": AT, **values})


def test_what_the_crm_says_wins_over_the_chat() -> None:
    """A name that was typed into a chat gives way to the CRM's, whichever of the two is older or newer."""
    chat = person(name="dana", demographics={"job_title": "boss", "industry": "toys"}, updated_at=later(NOON, hours=5))
    crm = person(name="Dana Fox", crm=CRM, demographics={"job_title": "CTO"}, email="dana@acme.example")
    for survivor, absorbed in ((chat, crm), (crm, chat)):
        one = joined(survivor, absorbed, "other", at=AT)
        assert (one.name, one.email, one.crm) == ("Dana Fox", "dana@acme.example", CRM)
        assert one.demographics == {"job_title": "CTO", "industry": "toys"}
        assert one.absorbed == ("other",)


def test_else_the_newer_value_wins() -> None:
    """Two chats of one person: the later word counts, and what only one of them knows is kept."""
    early, late = person(name="Dan", phone="+49301"), person(name="Dana", updated_at=later(NOON, hours=1))
    assert joined(early, late, "x", at=AT).name == joined(late, early, "x", at=AT).name == "Dana"
    assert joined(early, late, "x", at=AT).phone == "+49301"


statuses = st.sampled_from(["granted", "denied", "unknown"])


@given(statuses, statuses)
def test_an_opt_out_always_wins(one: Any, other: Any) -> None:
    """Denied on either side is denied; granted counts only where nobody denied."""
    wins = stricter(Consent(status=one), Consent(status=other)).status
    assert wins == ("denied" if "denied" in {one, other} else "granted" if "granted" in {one, other} else "unknown")


def test_suppressions_add_up() -> None:
    """What stops mail to one address stops mail to the human."""
    stopped = Suppression(channel=Channel.EMAIL, reason="unsubscribe", at=AT)
    both = joined(person(), person(suppressions=(stopped,)), "x", at=AT)
    assert both.suppressions == (stopped,)
    assert joined(both, person(suppressions=(stopped,)), "y", at=AT).suppressions == (stopped,)


words = st.frozensets(st.sampled_from("abcde"))


@given(st.dictionaries(st.sampled_from("LMN"), words), st.dictionaries(st.sampled_from("LMN"), words))
def test_search_words_follow(before: dict[str, frozenset[str]], after: dict[str, frozenset[str]]) -> None:
    """From what was found to what shall be found, each word written or taken away once."""
    stored = {f"{word}:{lead}" for lead, its in before.items() for word in its}
    for change in reworded(before, after):
        assert isinstance(change, Insert | Delete)
        assert (change.id in stored) is isinstance(change, Delete)
        stored ^= {change.id}
    assert stored == {f"{word}:{lead}" for lead, its in after.items() for word in its}


def test_times_are_instants() -> None:
    """The window of WhatsApp is the later one of the two."""
    early, late = later(NOON, hours=-3), later(NOON, hours=-1)
    assert joined(person(whatsapp_seen_at=early), person(whatsapp_seen_at=late), "x", at=AT).whatsapp_seen_at == late
    assert joined(person(), person(), "x", at=AT).whatsapp_seen_at is None
    assert Instant(early) < late
