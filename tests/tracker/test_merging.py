"""Merging two persons: nothing moves, nothing is lost, and an undo is exact."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import NOON
from tests.tracker.test_logins import PRODUCTS, is_told, newest_of, sent_as, tellings
from tracker.events import Channel
from tracker.lead import Lead
from tracker.logins import KnownLead, KnownPerson
from tracker.merging import Merged, Side, added, joined, kept_since, merged, parted, refused_since, stricter, undone
from tracker.person import Consent, CrmIdentity, Person, Suppression
from tracker.product import ProductConfig
from tracker.search_words import reworded
from tracker.store.port import Delete, Document, Insert, Replace
from tracker.store.schema import Kind
from tracker.times import instant, later

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


def test_what_came_since_stays_with_the_survivor() -> None:
    """Sends that a cap counts, when and about what the person wrote, another CRM's id; what the other had goes."""
    hubspot, theirs = CrmIdentity(source="hubspot", user_id="h1"), CrmIdentity(source="crm", user_id="u2")
    before = person(crm=CRM, nurtured=(AT,), whatsapp_seen_at=AT)
    other = person(crm=(theirs,), nurtured=(later(NOON, hours=1),), visitor="v2", whatsapp_seen_at=later(NOON, hours=1))
    both = joined(before, other, "other", at=AT)
    assert kept_since(before, other, both) == before
    since = {"whatsapp_seen_at": later(NOON, hours=3), "whatsapp_id": "wa", "whatsapp_lead": "l1"}
    now = both.but(**since, crm=(*both.crm, hubspot), nurtured=(*both.nurtured, later(NOON, hours=2)))
    after = before.but(**since, crm=(*CRM, hubspot), nurtured=(AT, later(NOON, hours=2)))
    assert kept_since(before, other, now) == after
    assert refused_since(other, before, now) == other


def test_whatsapp_goes_on_about_what_it_was_about() -> None:
    """That of whoever wrote last, as the survivor's lead where the two had one each; an undo gives each its own."""
    early, late = AT, later(NOON, hours=1)
    one = person(leads={"flow": "l1", "grid": "l2"}, whatsapp_lead="l2", whatsapp_seen_at=early)
    other = person(leads={"flow": "m1"}, whatsapp_lead="m1", whatsapp_seen_at=late)
    for survivor, absorbed, about in (
        (one, other, "l1"),
        (other, one, "m1"),
        (one, person(), "l2"),
        (person(), other, "m1"),
    ):
        both = joined(survivor, absorbed, "other", at=AT)
        assert both.whatsapp_lead == about
        assert kept_since(survivor, absorbed, both).whatsapp_lead == survivor.whatsapp_lead
        assert kept_since(survivor, absorbed, both.but(whatsapp_lead="l9")).whatsapp_lead == "l9"


def test_one_who_wrote_is_answered_there_after_a_merge() -> None:
    """Where the newer of the two words came, whichever lead is left."""
    base: dict[str, Any] = {
        "person_id": "p",
        "product_id": "flow",
        "config_number": 1,
        "created_at": AT,
        "updated_at": AT,
    }
    silent = Lead(**base)
    chat = silent.but(wrote_on=Channel.CHATBOT, seen={"chatbot_interaction": AT})
    whatsapp = silent.but(wrote_on=Channel.WHATSAPP, seen={"whatsapp_reply": later(NOON, hours=1)})
    for one, two, wrote_on in ((silent, chat, Channel.CHATBOT), (chat, whatsapp, Channel.WHATSAPP)):
        for lead, other in ((one, two), (two, one)):
            assert added(lead, other, "other", at=AT).wrote_on is wrote_on


def test_what_is_refused_again_is_both_persons() -> None:
    """Whoever of the two refused it first, and however many merges lie between; what nobody repeats is one's own."""
    stop = Suppression(channel=Channel.EMAIL, reason="unsubscribe", at=AT)
    denied = Consent(status="denied", basis="unsubscribe", at=AT)
    refusing, other = person(suppressions=(stop,), whatsapp_consent=denied), person()
    for survivor, absorbed in ((refusing, other), (other, refusing)):
        both = joined(survivor, absorbed, "other", at=AT)
        once_more = both.suppress(stop).refuse_again("whatsapp_consent")
        more = joined(once_more, person(), "third", at=AT)
        assert (more.refused_again, kept_since(once_more, person(), more)) == ((), once_more)
        for now in (once_more, kept_since(once_more, person(), more), kept_since(both, person(), more.suppress(stop))):
            parts = kept_since(survivor, absorbed, now), refused_since(absorbed, survivor, now)
            assert [part.suppressions for part in parts] == [(stop,), (stop,)]
        parts = kept_since(survivor, absorbed, once_more), refused_since(absorbed, survivor, once_more)
        assert [part.whatsapp_consent for part in parts] == [denied, denied]
        assert (kept_since(survivor, absorbed, both), refused_since(absorbed, survivor, both)) == (survivor, absorbed)
        granted = once_more.but(whatsapp_consent=Consent(status="granted", at=MERGED_AT))
        assert refused_since(absorbed, survivor, granted).whatsapp_consent == absorbed.whatsapp_consent


def test_of_each_field_the_newer_word_wins() -> None:
    """Whichever of the two is older or newer as a whole; what has a time wins over what was said in a chat."""
    one = person(name="Dan", crm=CRM, demographics={"job_title": "Dev", "industry": "toys"})
    other = person(name="Dana", crm=CRM, demographics={"job_title": "CTO", "industry": "cars"}, time_zone="UTC")
    early, late = later(NOON, hours=-2), later(NOON, hours=-1)
    times = {"name": early, "job_title": late, "industry": early}, {"name": late, "job_title": early}
    for survivor, absorbed, told in ((one, other, times), (other, one, times[::-1])):
        both = joined(survivor, absorbed, "x", told=told, at=AT)
        assert (both.name, both.time_zone) == ("Dana", "UTC")
        assert both.demographics == {"job_title": "Dev", "industry": "toys"}
    by_api = one.but(told={"name": early, "phone": late}), other.but(told={"name": late, "phone": early})
    assert joined(*by_api, "x", told=times, at=AT).told == {"name": late, "phone": late}


# what logins tell, before and after

MERGED_AT = later(NOON, hours=12)
CONFIGS = {product: ProductConfig(product_id=product, name=product) for product in PRODUCTS}


def side(known: KnownPerson, who: str) -> Side:
    """Return a person under ids of its own, as it is stored."""
    ids = {product: f"{who}-{product}" for product in known.leads}
    one = known.person.but(leads=ids, crm=(CrmIdentity(source="crm", user_id=who),))
    leads = {}
    for product, its in known.leads.items():
        lead = its.lead.but(person_id=who)
        leads[product] = (Document(Kind.LEADS, ids[product], 1, lead.body()), lead)
    return Side(Document(Kind.PERSONS, who, 1, one.body()), one, leads)


def put_together(survivor: Side, absorbed: Side) -> tuple[Merged, dict[str, Document]]:
    """Merge, and return the leads as they are stored then, by id."""
    made = merged(survivor, absorbed, "m", configs=CONFIGS, ledgers={}, handoffs={}, by="tests", at=MERGED_AT)
    written = {c.id: c for c in made.changes if isinstance(c, Replace) and c.kind is Kind.LEADS}
    leads = {found.id: found for its in (survivor, absorbed) for found, _ in its.leads.values()}
    return made, {
        id: Document(Kind.LEADS, id, 2, written[id].body) if id in written else found for id, found in leads.items()
    }


def of(one: Person, leads: Mapping[str, Document]) -> KnownPerson:
    """Return a person as the next login finds it."""
    its = {p: KnownLead(id, leads[id].version, Lead.read(leads[id].body)) for p, id in one.leads.items()}
    return KnownPerson("a", 2, one, its)


@st.composite
def told_to_both(draw: st.DrawFn, products: tuple[str, ...] = PRODUCTS) -> tuple[list[dict[str, Any]], list[list[int]]]:
    """Logins by what they tell, and which of them come to one person, to the other, and after the merge."""
    records = draw(st.lists(tellings, min_size=2, max_size=8))
    records = [{**r, "product_id": r["product_id"] if r["product_id"] in products else products[0]} for r in records]
    order = draw(st.permutations(range(len(records))))
    first = draw(st.integers(1, len(order) - 1))
    second = draw(st.integers(first + 1, len(order)))
    return records, [order[:first], order[first:second], order[second:]]


@given(told_to_both())
def test_the_newest_word_wins_over_a_merge(told: tuple[list[dict[str, Any]], list[list[int]]]) -> None:
    """Whichever person the logins came to, in whatever order, before the merge and after it."""
    records, (one, other, since) = told
    sides = [side(sent_as(records, order, ()), who) for order, who in ((one, "a"), (other, "b"))]
    made, leads = put_together(*sides)
    before = [records[n] for n in sorted([*one, *other])]
    assert is_told(of(made.person, leads)) == newest_of(before)
    after = sent_as(records, since, (), of(made.person, leads)) if since else of(made.person, leads)
    assert is_told(after) == newest_of(records)


@given(told_to_both(PRODUCTS[:1]), st.booleans())
def test_an_undo_gives_back_what_each_was_told(
    told: tuple[list[dict[str, Any]], list[list[int]]], touched: bool
) -> None:
    """Both are as they were, to the last field; what was told since stays with the survivor."""
    records, (one, other, _) = told
    sides = [side(sent_as(records, order, ()), who) for order, who in ((one, "a"), (other, "b"))]
    made, leads = put_together(*sides)
    now, more = of(made.person, leads), [{"product_id": "flowdesk", "organization_id": "org9", "job_title": "Boss"}]
    ledgers = {}
    if touched:
        now = sent_as([*records, *more], [len(records)], (), now)
        its = now.leads["flowdesk"]
        before, gone = sides[0].leads["flowdesk"][1], sides[1].leads["flowdesk"][1]
        ledgers = {"a-flowdesk": parted(its.lead, before, gone), "b-flowdesk": gone}
        leads["a-flowdesk"] = Document(Kind.LEADS, its.id, its.version, its.lead.body())
    person = Document(Kind.PERSONS, "a", 3, now.person.body())
    done = undone("m", made.merge, person, sides[1].found, leads, ledgers, {}, by="tests", at=MERGED_AT)
    written = {c.id: c.body for c in done.changes if isinstance(c, Replace)}
    for who, order in (("a", one), ("b", other)):
        expected = newest_of([*(records[n] for n in sorted(order)), *(more if touched and who == "a" else [])])
        its_lead = Document(Kind.LEADS, f"{who}-flowdesk", 4, written[f"{who}-flowdesk"])
        parted_one = of(Person.read(written[who]), {its_lead.id: its_lead})
        assert is_told(parted_one) == expected
        if not touched:
            stood = sides["ab".index(who)]
            was = stood.leads["flowdesk"][1]
            assert Lead.read(its_lead.body).but(updated_at=was.updated_at, staged_at=was.staged_at) == was
            assert parted_one.person.but(updated_at=stood.person.updated_at) == stood.person


def test_what_was_told_since_goes_with_the_leads_on_which_it_came() -> None:
    """A login of the absorbed person's other product tells of that person; an address stays where its key is."""
    sides = [
        side(sent_as([{"product_id": product, "organization_id": "o", "job_title": title}], [0], ()), who)
        for product, title, who in (("flowdesk", "Dev", "a"), ("gridwise", "CTO", "b"))
    ]
    made, leads = put_together(*sides)
    fields = {"job_title": "CEO", "email": "c@d.example", "organization_id": "o"}
    records = [
        {},
        {"product_id": "gridwise", **fields},
        {"product_id": "flowdesk", "name": "Ann", "organization_id": "o"},
    ]
    now = sent_as(records, [1, 2], (), of(made.person, leads))
    leads |= {k.id: Document(Kind.LEADS, k.id, k.version, k.lead.body()) for k in now.leads.values()}
    person = Document(Kind.PERSONS, "a", 3, now.person.body())
    done = undone("m", made.merge, person, sides[1].found, leads, {}, {}, by="tests", at=MERGED_AT)
    written = {c.id: Person.read(c.body) for c in done.changes if isinstance(c, Replace) and c.kind is Kind.PERSONS}
    assert [(p.name, p.email, p.demographics) for p in (written["a"], written["b"])] == [
        ("Ann", "c@d.example", {"job_title": "Dev"}),
        (None, None, {"job_title": "CEO"}),
    ]


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


def test_the_window_of_whatsapp_is_the_later_one_of_the_two() -> None:
    """`whatsapp_seen_at`, whichever of them it is; none where neither has written there."""
    early, late = later(NOON, hours=-3), later(NOON, hours=-1)
    assert joined(person(whatsapp_seen_at=early), person(whatsapp_seen_at=late), "x", at=AT).whatsapp_seen_at == late
    assert joined(person(whatsapp_seen_at=late), person(whatsapp_seen_at=early), "x", at=AT).whatsapp_seen_at == late
    assert joined(person(), person(), "x", at=AT).whatsapp_seen_at is None
