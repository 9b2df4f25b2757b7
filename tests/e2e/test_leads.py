"""Leads over HTTP: creating, reading, correcting, finding, moving, and the story of each."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.client import Api, login
from tracker import reading
from tracker.keys import Scope
from tracker.times import instant, now

FIELDS = {
    "id", "person_id", "crm_user_id", "organization_id", "product_id", "stage", "engagement_score", "created_at",
    "updated_at", "last_login_at", "contact_info", "demographics", "product_context", "version",
}  # fmt: skip


# create


async def test_a_new_lead_has_the_documented_shape(api: Api) -> None:
    """201, an ETag, and exactly the lead that api.md names, in every field that was given."""
    reply = await api.post(
        "/leads",
        {
            "product_id": "flowdesk",
            "crm_user_id": "u1",
            "organization_id": "org1",
            "name": "Dana Doe",
            "contact_info": {"email": "Dana@Example.com", "phone": "+49 151 12345678", "preferred_channel": "whatsapp"},
            "demographics": {"job_title": "CTO", "$where": "x", "a.b": "y"},
            "product_context": {"feature_usage": ["reports"], "trial_status": "active"},
        },
    )
    assert (reply.status, reply.etag) == (201, '"1"')
    lead = reply.body
    assert lead.keys() == FIELDS
    assert (lead["crm_user_id"], lead["organization_id"], lead["stage"]) == ("u1", "org1", "User")
    assert (lead["engagement_score"], lead["last_login_at"], lead["version"]) == (0, None, 1)
    assert lead["contact_info"] == {
        "email": "dana@example.com",
        "phone": "+4915112345678",
        "preferred_channel": "whatsapp",
    }
    assert lead["demographics"] == {"job_title": "CTO", "$where": "x", "a.b": "y", "name": "Dana Doe"}
    assert lead["product_context"] == {"login_frequency": 0, "feature_usage": ["reports"], "trial_status": "active"}
    got = await api.get(f"/leads/{lead['id']}")
    assert (got.status, got.etag, got.body) == (200, '"1"', lead)


@pytest.mark.parametrize(
    "known_by", [{"crm_user_id": "u1"}, {"email": "DANA@example.com"}, {"contact_info": {"phone": "+49 151 12345678"}}]
)
async def test_the_same_person_and_product_have_one_lead(api: Api, known_by: dict[str, Any]) -> None:
    """Whoever is known by any of its keys gets the lead that exists, with 200; another product makes another lead."""
    await api.product("gridwise")
    lead = await api.lead(crm_user_id="u1", email="dana@example.com", phone="+4915112345678")
    again = await api.post("/leads", {"product_id": "flowdesk", **known_by})
    assert (again.status, again.body) == (200, lead)
    other = await api.post("/leads", {"product_id": "gridwise", **known_by})
    assert (other.status, other.body["person_id"]) == (201, lead["person_id"])
    assert other.body["id"] != lead["id"]


async def test_who_is_recognised_by_one_key_is_known_by_the_others_from_then_on(api: Api) -> None:
    """As if all had been told at first: the next login of that CRM user, and a form with that number, find the lead."""
    lead = await api.lead(email="dana@example.com")
    more = {"crm_user_id": "u1", "email": "dana@example.com", "phone": "+4915112345678"}
    again = await api.post("/leads", {"product_id": "flowdesk", **more})
    assert (again.status, again.body["id"], again.body["crm_user_id"]) == (200, lead["id"], "u1")
    assert again.body["contact_info"]["phone"] == "+4915112345678"
    assert again.body == (await api.get(f"/leads/{lead['id']}")).body
    counted = (await api.post("/events/logins", login(crm_user_id="u1"))).body["results"][0]
    by_phone = await api.post(
        "/leads", {"product_id": "flowdesk", "phone": "+4915112345678", "email": "new@example.com"}
    )
    assert counted["lead_id"] == by_phone.body["id"] == lead["id"]
    assert by_phone.body["contact_info"]["email"] == "dana@example.com"


async def test_a_login_finds_the_lead_that_was_created_by_hand(api: Api) -> None:
    """A lead from a form and the login of the same address are one."""
    lead = await api.lead(email="dana@example.com")
    result = (await api.post("/events/logins", login(email="dana@example.com"))).body["results"][0]
    assert result["lead_id"] == lead["id"]
    assert (await api.get(f"/leads/{lead['id']}")).body["crm_user_id"] == "u1"


async def test_a_shared_mailbox_gives_nobody_anothers_lead(api: Api) -> None:
    """Asked for CRM user u2, the server does not answer with u1's lead, nor does it take u1's address."""
    one = await api.lead(crm_user_id="u1", email="team@example.com")
    reply = await api.post("/leads", {"product_id": "flowdesk", "crm_user_id": "u2", "email": "team@example.com"})
    assert (reply.status, reply.body["crm_user_id"]) == (201, "u2")
    assert reply.body["person_id"] != one["person_id"]
    assert reply.body["contact_info"]["email"] is None
    found = (await api.post("/events/logins", login(crm_user_id="u2", event_id="l2"))).body["results"][0]
    assert found["lead_id"] == reply.body["id"]


async def test_an_address_of_somebody_else_is_not_taken(api: Api) -> None:
    """Known by one address, a person does not become the owner of another's number."""
    await api.product("gridwise")
    await api.lead(phone="+4915112345678", email="bob@example.com")
    lead = await api.lead(email="dana@example.com")
    other = await api.lead(product_id="gridwise", email="dana@example.com", phone="+4915112345678")
    assert other["person_id"] == lead["person_id"]
    assert other["contact_info"]["phone"] is None


async def test_who_is_met_again_is_known_by_what_is_new(api: Api) -> None:
    """A known address and a new CRM id, then a new number: each of them alone means the same lead from then on. What
    was known of it is not overwritten; an address beside the first one is another key, and does not take its place.
    """
    lead = await api.lead(email="dana@example.com", name="Dana")
    more = {"email": "dana@example.com", "crm_user_id": "u7", "phone": "+4915112345678", "name": "D."}
    again = await api.post("/leads", {"product_id": "flowdesk", **more})
    assert (again.status, again.body["id"], again.etag) == (200, lead["id"], '"2"')
    assert (again.body["crm_user_id"], again.body["contact_info"]["phone"]) == ("u7", "+4915112345678")
    assert again.body["demographics"]["name"] == "Dana"
    assert (await api.get(f"/leads/{lead['id']}")).body == again.body
    await api.lead(crm_user_id="u7", email="d@example.com")
    for known_by in ({"crm_user_id": "u7"}, {"phone": "+4915112345678"}, {"email": "d@example.com"}):
        same = await api.post("/leads", {"product_id": "flowdesk", **known_by})
        assert (same.status, same.body["id"]) == (200, lead["id"])
    assert same.body["contact_info"]["email"] == "dana@example.com"
    assert len((await api.get("/leads")).body["items"]) == 1


async def test_fifty_creations_of_one_address_at_once_make_one_lead(api: Api) -> None:
    """A form that is sent fifty times makes one lead: one 201, and 200 for the others."""
    body = {"product_id": "flowdesk", "email": "dana@example.com"}
    replies = await asyncio.gather(*(api.post("/leads", body) for _ in range(50)))
    assert sorted(reply.status for reply in replies) == [*[200] * 49, 201]
    assert len({reply.body["id"] for reply in replies}) == 1
    assert len(await api.everything("/leads")) == 1


# correct


async def test_given_fields_are_merged(api: Api) -> None:
    """What a PUT leaves out stays; what it names is new, also when the lead is read again."""
    lead = await api.lead(email="dana@example.com", name="Dana", demographics={"job_title": "CTO", "industry": "toys"})
    path = f"/leads/{lead['id']}"
    reply = await api.put(path, {"demographics": {"industry": "games"}, "product_context": {"trial_status": "over"}})
    assert reply.status == 200
    assert reply.body["demographics"] == {"name": "Dana", "job_title": "CTO", "industry": "games"}
    assert reply.body["product_context"]["trial_status"] == "over"
    assert (reply.body["contact_info"], reply.body["version"]) == (lead["contact_info"], 2)
    reply = await api.put(path, {"contact_info": {"email": "d@new.example"}, "organization_id": "org2"})
    assert (await api.get(path)).body == reply.body
    assert (reply.body["contact_info"]["email"], reply.body["organization_id"]) == ("d@new.example", "org2")
    for email in ("dana@example.com", "d@new.example"):
        assert (await api.post("/leads", {"product_id": "flowdesk", "email": email})).body["id"] == lead["id"]


async def corrections(api: Api, lead: dict[str, Any]) -> list[tuple[str, dict[str, tuple[Any, Any]]]]:
    """Who corrected the lead, and each field before and after."""
    items = [e for e in await api.everything(f"/leads/{lead['id']}/timeline") if e["kind"] == "correction"]
    return [(e["actor"], {name: (its["before"], its["after"]) for name, its in e["fields"].items()}) for e in items]


async def test_a_correction_keeps_what_it_replaced(api: Api) -> None:
    """Who changed what from what to what, once for each PUT that changes something."""
    lead = await api.lead(email="dana@example.com", name="Dana", demographics={"email": "d@home.example", "$a.b": "x"})
    path, key = f"/leads/{lead['id']}", await api.key(Scope.LEADS_WRITE, name="crm-sync")
    usage = {"feature_usage": ["api"], "trial_status": "paid"}
    given = {"name": "Dana Fox", "email": "d@new.example", "phone": "+4915112345678", "time_zone": "Europe/Berlin"}
    more = {"demographics": {"email": "d@work.example", "$a.b": "y"}, "organization_id": "org2"}
    preferred = {"contact_info": {"preferred_channel": "whatsapp"}}
    assert await corrections(api, lead) == []
    assert (await api.put(path, given | more | {"product_context": usage}, key=key)).status == 200
    await api.put(path, {"name": "Dana Fox"})
    await api.put(path, preferred)
    assert await corrections(api, lead) == [
        (
            "crm-sync",
            {
                "name": ("Dana", "Dana Fox"),
                "email": ("dana@example.com", "d@new.example"),
                "phone": (None, "+4915112345678"),
                "time_zone": (None, "Europe/Berlin"),
                "demographics/email": ("d@home.example", "d@work.example"),
                "demographics/$a.b": ("x", "y"),
                "organization_id": (None, "org2"),
                "trial_status": (None, "paid"),
                "feature_usage": ([], ["api"]),
            },
        ),
        ("LEADLINE_API_KEY", {"preferred_channel": ("email", "whatsapp")}),
    ]


async def test_what_a_creation_changes_of_a_known_person_is_kept(api: Api) -> None:
    """Under the lead that is new; of what is said for the first time, and of people who are new, nothing is."""
    await api.product("gridwise")
    key = await api.key(Scope.LEADS_WRITE, name="form")
    known = {"email": "dana@example.com", "name": "Dana", "demographics": {"job_title": "CTO", "city": "Ulm"}}
    lead = await api.lead(**known, crm_user_id="u7")
    more = {
        "name": "D.",
        "email": "d@new.example",
        "demographics": {"job_title": "CEO", "city": "Ulm"},
        "source": "hub",
    }
    given = {"product_id": "gridwise", "crm_user_id": "h7", "phone": "+4915112345678", "organization_id": "org2"}
    assert (await api.post("/leads", {**known, **given, "source": "hub"}, key=key)).body["person_id"] == lead[
        "person_id"
    ]
    other = (await api.get("/leads?product_id=gridwise")).body["items"][0]
    told = [("form", {"phone": (None, "+4915112345678"), "crm_user_id/hub": (None, "h7")})]
    assert (await corrections(api, lead), await corrections(api, other)) == ([], told)
    await api.product("third")
    third = (await api.post("/leads", {**more, "product_id": "third", "crm_user_id": "h7"}, key=key)).body
    replaced = {"name": ("Dana", "D."), "email": ("dana@example.com", "d@new.example")}
    assert await corrections(api, third) == [("form", replaced | {"demographics/job_title": ("CTO", "CEO")})]
    assert len((await api.get(f"/leads/{lead['id']}/export")).body["corrections"]) == 2
    assert (await api.call("DELETE", f"/leads/{lead['id']}")).body["counts"]["corrections"] == 2


async def test_what_a_repeated_creation_adds_is_kept(api: Api) -> None:
    """Who made a lead known by a number and by an id of the CRM; a repetition that adds nothing leaves no entry."""
    key = await api.key(Scope.LEADS_WRITE, name="form")
    lead = await api.lead(email="dana@example.com", name="Dana")
    more = {"email": "dana@example.com", "crm_user_id": "u7", "phone": "+4915112345678", "name": "D."}
    for _ in range(2):
        assert (await api.post("/leads", {"product_id": "flowdesk", **more}, key=key)).status == 200
    added = {"phone": (None, "+4915112345678"), "crm_user_id/crm": (None, "u7")}
    assert await corrections(api, lead) == [("form", added)]


async def test_what_was_read_may_be_put_back(api: Api) -> None:
    """It corrects nothing, and nothing is kept of it."""
    await api.lead(email="bob@example.com")
    lead = await api.lead(name="Dana", demographics={"job_title": "CTO"}, product_context={"trial_status": "on"})
    read = {name: lead[name] for name in ("contact_info", "demographics", "organization_id", "product_context")}
    read["product_context"].pop("login_frequency")
    assert (await api.put(f"/leads/{lead['id']}", read)).status == 200
    assert await corrections(api, lead) == []


async def test_of_a_correction_that_is_refused_nothing_is_kept(api: Api) -> None:
    """The entry is in the commit of what it tells of."""
    await api.lead(email="bob@example.com")
    lead = await api.lead()
    await api.put(f"/leads/{lead['id']}", {"email": "bob@example.com", "name": "X"})
    await api.put(f"/leads/{lead['id']}", {"name": "Late"}, If_Match='"7"')
    puts = (api.put(f"/leads/{lead['id']}", {"name": f"N{n}"}) for n in range(5))
    await asyncio.gather(*puts)
    names = [fields["name"] for _, fields in await corrections(api, lead)]
    assert [before for before, _ in names] == [None, *(after for _, after in names[:-1])]
    assert {after for _, after in names} == {f"N{n}" for n in range(5)}


async def test_the_story_of_a_merge_tells_the_corrections_of_both(api: Api) -> None:
    """Those of the absorbed lead too, under either id."""
    one, other = await api.lead(), await api.lead()
    for lead, name in ((one, "Dana"), (other, "Dana Fox")):
        await api.put(f"/leads/{lead['id']}", {"name": name})
    await api.post(f"/persons/{one['person_id']}/merge", {"into": other["person_id"]})
    for lead in (one, other):
        told = await corrections(api, lead)
        assert [fields["name"] for _, fields in told] == [(None, "Dana"), (None, "Dana Fox")]


async def test_an_old_etag_changes_nothing(api: Api) -> None:
    """Whoever read an older version is told so with 412; the current one, or `*`, goes through."""
    lead = await api.lead()
    path, first = f"/leads/{lead['id']}", '"1"'
    second = await api.put(path, {"name": "Dana"}, If_Match=first)
    assert (second.status, second.etag) == (200, '"2"')
    assert (await api.put(path, {"name": "Late"}, If_Match=first)).status == 412
    assert (await api.post(f"{path}/stage", {"stage": "Engaged_Lead"}, If_Match=first)).status == 412
    assert (await api.get(path)).body == second.body
    assert (await api.put(path, {"name": "Any"}, If_Match="*")).status == 200
    assert (await api.put(path, {"name": "Weak"}, If_Match='W/"3"')).status == 200
    bad = await api.put(path, {"name": "Bad"}, If_Match="yesterday")
    assert (bad.status, bad.paths) == (422, ["If-Match"])


async def test_of_many_writers_with_one_etag_one_wins(api: Api) -> None:
    """Optimistic locking holds under a race: one 200, the others 412."""
    lead = await api.lead()
    puts = (api.put(f"/leads/{lead['id']}", {"name": f"N{n}"}, If_Match='"1"') for n in range(20))
    assert sorted(reply.status for reply in await asyncio.gather(*puts)) == [200, *[412] * 19]


async def test_an_address_of_another_person_is_refused(api: Api) -> None:
    """Correcting a lead never merges two people by accident."""
    await api.lead(email="bob@example.com")
    lead = await api.lead(email="dana@example.com")
    reply = await api.put(f"/leads/{lead['id']}", {"email": "bob@example.com", "name": "X"})
    assert reply.status == 409
    assert (await api.get(f"/leads/{lead['id']}")).body == lead


# find


async def test_every_lead_is_on_one_page_exactly(api: Api) -> None:
    """Pages of any size show each lead once, oldest first, also while others are being added."""
    made = [(await api.lead())["id"] for _ in range(11)]
    for limit in (1, 4, 11, 100):
        assert [lead["id"] for lead in await api.everything("/leads", limit)] == made
    first = (await api.get("/leads?limit=4")).body
    await api.lead()
    rest = (await api.get(f"/leads?limit=7&cursor={first['next_cursor']}")).body
    assert [lead["id"] for lead in first["items"] + rest["items"]] == made


async def test_filters_narrow_the_list(api: Api) -> None:
    """Product, stage and score narrow the list alone and together, page by page."""
    await api.product("gridwise")
    by_points = [await api.lead() for _ in range(5)]
    for n, lead in enumerate(by_points):
        for m in range(n):
            await api.event(lead["id"], id=f"{n}.{m}")
    await api.lead(product_id="gridwise")

    async def ids(query: str) -> list[str]:
        return [lead["id"] for lead in await api.everything(f"/leads?{query}", limit=2)]

    points = [lead["id"] for lead in by_points]
    assert await ids("product_id=flowdesk") == points
    assert await ids("min_score=10") == points[2:]
    assert await ids("min_score=10.001&product_id=flowdesk") == points[3:]
    assert await ids("stage=Engaged_Lead") == points[4:]
    assert await ids("stage=User&product_id=flowdesk&min_score=5") == points[1:4]
    assert await ids("product_id=nowhere") == []
    assert len(await ids("min_score=-1e9")) == 6


async def test_a_long_address_is_found_whole(api: Api) -> None:
    """As much of a word as is kept is compared, however long it is."""
    email = f"{'d' * 60}@{'mail.' * 20}example.com"
    lead = await api.lead(email=email)
    assert [found["id"] for found in await api.everything(f"/leads?q={email}")] == [lead["id"]]


async def test_a_lead_is_found_by_the_beginning_of_any_word(api: Api) -> None:
    """E-mail, name, company and phone, in any case, each lead once, page by page."""
    lead = await api.lead(
        email="dana.doe@mail.acme.com",
        name="Dana O'Dell",
        phone="+4915112345678",
        demographics={"company": "Über & Co"},
    )
    others = [await api.lead(name=f"Dan Number{n}", email=f"dan{n}@other.example") for n in range(5)]

    async def ids(query: str, limit: int = 2) -> list[str]:
        return [found["id"] for found in await api.everything(f"/leads?q={query}", limit)]

    found = [
        "dana.doe@mail",
        "DANA",
        "o'd",
        "dell",
        "acme.com",
        "%2B49151",
        "4915112",
        "%2B49%20(151)%2012-34",
        "%C3%BCber",
        "dana%20%C3%BCb",
        "doe@",
    ]
    for query in found:
        assert await ids(query) == [lead["id"]], query
    for limit in (1, 2, 4, 50):
        assert sorted(await ids("dan", limit)) == sorted([lead["id"], *(other["id"] for other in others)])
    for query in ("ana", "12345", "dana%20nobody", "%25", "_", "*", "x" * 90):
        assert await ids(query) == [], query
    assert len(await ids("")) == len(await ids("%20")) == len(await ids("%00")) == 6
    assert await ids("dan%20number3&product_id=flowdesk&stage=User") == [others[3]["id"]]


async def test_a_search_follows_the_persons_changes(api: Api) -> None:
    """A new name is found at once and the old one no more, in every product of the person."""
    await api.product("gridwise")
    lead = await api.lead(email="dana@example.com", name="Before")
    await api.lead(product_id="gridwise", email="dana@example.com")
    assert len(await api.everything("/leads?q=before")) == 2
    await api.put(f"/leads/{lead['id']}", {"name": "After"})
    assert len(await api.everything("/leads?q=after")) == 2
    assert await api.everything("/leads?q=before") == []


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("limit=" + "9" * 400, "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=%C3%A4", "cursor"),
        ("cursor=WzE4NDQ2NzQ0MDczNzA5NTUxNjE1LCJhIl0", "cursor"),
        ("stage=Boss", "stage"),
        ("min_score=nan", "min_score"),
        ("min_score=inf", "min_score"),
        ("min_score=1e308", "min_score"),
        ("product_id=a/b", "product_id"),
        ("q=" + "x" * 201, "q"),
        ("colour=red", "colour"),
        ("stage=User&stage=Customer", "stage"),
    ],
)
async def test_a_bad_query_names_its_parameter(api: Api, query: str, path: str) -> None:
    """A misspelt or impossible parameter is told, never ignored."""
    reply = await api.get(f"/leads?{query}")
    assert (reply.status, reply.paths) == (422, [path])


@pytest.mark.parametrize("value", ["WzEsImEiXQ", "W251bGwsImEiXQ", "W3RydWUsImEiXQ", "WzEuNSwiYSJd", "WyIiLCIiXQ"])
async def test_a_cursor_of_another_list_harms_nothing(api: Api, value: str) -> None:
    """A well-formed cursor that points nowhere gives a page, perhaps an empty one."""
    lead = await api.lead()
    story = f"/leads/{lead['id']}/timeline"
    for path in ("/leads", "/leads?q=p", "/leads?product_id=flowdesk", "/review", story, "/templates"):
        assert (await api.get(f"{path}{'&' if '?' in path else '?'}cursor={value}")).status == 200


# count


async def test_an_event_says_what_it_did(api: Api) -> None:
    """202 with the points it gave, the score and the stage after it."""
    lead = await api.lead()
    reply = await api.event(lead["id"], "chatbot_interaction", channel="chatbot", id="c1")
    assert reply.status == 202
    assert reply.body == {
        "event_id": "c1",
        "lead_id": lead["id"],
        "duplicate": False,
        "score_impact": 2,
        "engagement_score": 2,
        "stage": "Engaged_Lead",
    }


async def test_a_repeated_event_counts_once(api: Api) -> None:
    """The same id of the same source answers 200 with the first outcome; another source is another event."""
    lead = await api.lead()
    first = await api.event(lead["id"], id="e1")
    again = await api.event(lead["id"], id="e1", timestamp="2026-01-06T10:00:00Z")
    assert (again.status, again.body) == (200, {**first.body, "duplicate": True})
    assert (await api.event(lead["id"], id="e1", source="other")).body["engagement_score"] == 10
    without_id = [(await api.event(lead["id"])).body["event_id"] for _ in range(2)]
    assert len(set(without_id)) == 2
    assert (await api.get(f"/leads/{lead['id']}")).body["engagement_score"] == 20


async def test_the_score_is_explained_by_the_ledger(api: Api) -> None:
    """Total, per type and per day are each the sum of the events, and the words say what is missing."""
    await api.product(
        scoring_rules={"email_click_points": 3, "email_engagement_multiplier": 1.5, "answer_points": {"budget": 7}}
    )
    lead = await api.lead()
    sent: list[tuple[str, dict[str, Any]]] = [
        ("login", {}),
        ("login", {"timestamp": "2026-01-06T23:59:59.999+00:00"}),
        ("email_click", {"channel": "email"}),
        ("email_sent", {"channel": "email"}),
        ("qualification_answer", {"channel": "chatbot", "metadata": {"slot": "budget", "value": "10k"}}),
        ("qualification_answer", {"channel": "chatbot", "metadata": {"slot": ["budget"]}}),
    ]
    for event_type, more in sent:
        await api.event(lead["id"], event_type, **more)
    score = (await api.get(f"/leads/{lead['id']}/score")).body
    assert score.keys() == {"total", "by_type", "by_day", "thresholds", "explanation"}
    assert score["total"] == (await api.get(f"/leads/{lead['id']}")).body["engagement_score"] == 21.5
    assert score["by_type"] == {"login": 10, "email_click": 4.5, "email_sent": 0, "qualification_answer": 7}
    assert score["by_day"] == {"2026-01-05": 16.5, "2026-01-06": 5}
    assert sum(score["by_type"].values()) == sum(score["by_day"].values()) == score["total"]
    assert score["thresholds"] == {"engaged": 20, "qualified": 100}
    assert score["explanation"] == (
        "21.5 points: 10 from login, 7 from qualification_answer, 4.5 from email_click."
        " Stage Engaged_Lead. 78.5 more would reach 100 (qualified)."
    )
    timeline = await api.everything(f"/leads/{lead['id']}/timeline")
    assert sum(e["score_impact"] for e in timeline if e["kind"] == "event") == score["total"]


async def test_events_from_the_beginning_of_time_are_counted(api: Api) -> None:
    """A system that says the year 1 for "unknown" loses nothing."""
    lead = await api.lead()
    assert (await api.event(lead["id"], timestamp="0001-01-01T00:00:00Z")).status == 202
    assert (await api.post("/events/logins", login(occurred_at="0001-01-02T00:00:00Z"))).body["accepted"] == 1


# move


async def test_a_lead_moves_one_stage_at_a_time(api: Api) -> None:
    """Anything but the next stage is 409 and changes nothing: no version, no audit entry."""
    lead = await api.lead()
    path = f"/leads/{lead['id']}"
    for stage in ("User", "Qualified_Lead", "Customer"):
        reply = await api.post(f"{path}/stage", {"stage": stage})
        assert (reply.status, "the next stage is Engaged_Lead" in reply.body["detail"]) == (409, True)
    assert (await api.get(path)).body == lead
    assert await api.everything(f"{path}/audit") == []
    for n, stage in enumerate(("Engaged_Lead", "Qualified_Lead", "Customer")):
        reply = await api.post(f"{path}/stage", {"stage": stage})
        assert (reply.status, reply.body["stage"], reply.etag) == (200, stage, f'"{n + 2}"')
    assert (await api.post(f"{path}/stage", {"stage": "Customer"})).status == 409


async def test_every_change_of_stage_is_in_the_audit_trail(api: Api) -> None:
    """Who, when, why, from where to where, and which event; by hand or earned, oldest first, page by page."""
    await api.product(engaged_threshold=5)
    lead = await api.lead()
    path = f"/leads/{lead['id']}"
    await api.event(lead["id"], id="e1")
    await api.post(f"{path}/stage", {"stage": "Qualified_Lead", "reason": "a good call", "actor": "mia"})
    await api.post(f"{path}/stage", {"stage": "Customer"})
    audit = await api.everything(f"{path}/audit", limit=1)
    assert [entry.keys() for entry in audit] == [{"from", "to", "at", "actor", "reason", "event_id"}] * 3
    assert [(e["from"], e["to"], e["actor"], e["reason"], e["event_id"]) for e in audit] == [
        ("User", "Engaged_Lead", "leadline", "score 5 reached 5", "api:e1"),
        ("Engaged_Lead", "Qualified_Lead", "mia", "a good call", None),
        ("Qualified_Lead", "Customer", "LEADLINE_API_KEY", "moved by hand", None),
    ]
    assert [e["at"] for e in audit] == sorted(e["at"] for e in audit)


async def test_of_many_moves_at_once_one_wins(api: Api) -> None:
    """Twenty people push the same button: the lead moves one stage."""
    lead = await api.lead()
    moves = (api.post(f"/leads/{lead['id']}/stage", {"stage": "Engaged_Lead"}) for _ in range(20))
    assert sorted(reply.status for reply in await asyncio.gather(*moves)) == [200, *[409] * 19]
    assert len(await api.everything(f"/leads/{lead['id']}/audit")) == 1


async def test_a_reverted_stage_waits_for_a_scoring_event(api: Api) -> None:
    """Also where a condition of the product's own, which holds all the time, has lifted the lead."""
    await api.product(progression={"engaged": {"logins_at_least": {"days": 30, "count": 1}}})
    lead = await api.lead()
    moment = datetime.now(UTC).isoformat()
    assert (await api.event(lead["id"], "login", timestamp=moment)).body["stage"] == "Engaged_Lead"
    assert (await api.post(f"/leads/{lead['id']}/stage/revert")).body["stage"] == "User"
    for event_type, stage in (("email_delivered", "User"), ("whatsapp_read", "User"), ("login", "Engaged_Lead")):
        assert (await api.event(lead["id"], event_type, timestamp=moment)).body["stage"] == stage


async def test_the_timeline_is_one_story_in_order(api: Api) -> None:
    """Events, stages and messages by the time they happened, however they arrived, each once over all pages."""
    await api.product(engaged_threshold=5)
    lead = await api.lead()
    path = f"/leads/{lead['id']}"
    for n in (3, 1, 5, 2, 4):
        await api.event(lead["id"], id=f"e{n}", timestamp=f"2026-01-0{n}T10:00:00Z")
    await api.event(lead["id"], id="\U0001f600" * 200, timestamp="2026-01-05T11:00:00Z")
    sent = (await api.post("/messages/send", {"lead_id": lead["id"], "text": "Hello"})).body
    for limit in (1, 2, 5, 50):
        story = await api.everything(f"{path}/timeline", limit)
        assert [entry["at"] for entry in story] == sorted(entry["at"] for entry in story)
        events = [entry["event_id"] for entry in story if entry["kind"] == "event"]
        assert events == ["e1", "e2", "e3", "e4", "e5", "\U0001f600" * 200]
        assert [e["to"] for e in story if e["kind"] == "stage"] == ["Engaged_Lead"]
        assert [e["message_id"] for e in story if e["kind"] == "message"] == [sent["message_id"]]
        assert len({(e["kind"], e["id"]) for e in story}) == len(story) == 8


async def test_a_conversion_makes_a_customer(api: Api) -> None:
    """An event that names one of the product's goals leads to the end, through every stage."""
    await api.product(conversion_goals=["paid"])
    lead = await api.lead()
    other = await api.event(lead["id"], "conversion", metadata={"goal": ["paid"]})
    assert other.body["stage"] == "User"
    done = await api.event(lead["id"], "conversion", metadata={"goal": "paid"})
    assert done.body["stage"] == "Customer"
    assert len(await api.everything(f"/leads/{lead['id']}/audit")) == 3


@pytest.mark.parametrize("path", ["", "/score", "/audit", "/timeline"])
@pytest.mark.parametrize(
    "id", ["nobody", "01JD0000000000000000000000", "%00", "a%2Fb", "%FF", "x" * 600, "%F0%9F%98%80"]
)
async def test_there_is_nothing_under_a_wrong_id(api: Api, path: str, id: str) -> None:
    """An unknown, broken or endless id is 404, whatever it looks like."""
    assert (await api.get(f"/leads/{id}{path}")).status == 404


async def test_an_event_may_be_called_a_machines(api: Api) -> None:
    """What a scanner did is kept and worth nothing, and comes back when a person did it after all; 404 for no event."""
    lead = await api.lead()
    await api.event(lead["id"], id="e1", event_type="email_click", channel="email")
    before = (await api.get(f"/leads/{lead['id']}")).body["engagement_score"]
    gone = await api.post("/events/e1/reclassify", {"machine": True})
    assert (gone.status, gone.body["score_impact"], gone.body["engagement_score"]) == (200, 0, 0)
    assert (await api.post("/events/api:e1/reclassify", {"machine": True})).body["engagement_score"] == 0
    back = await api.post("/events/api:e1/reclassify", {"machine": False})
    assert (back.body["engagement_score"], back.body["lead_id"]) == (before, lead["id"])
    assert (await api.post("/events/nobody/reclassify", {"machine": False})).status == 404


def last_minutes(count: int) -> list[str]:
    """The moments some minutes ago, the newest last."""
    return [instant(now() - timedelta(minutes=n)) for n in range(count, 0, -1)]


async def test_a_login_may_be_called_a_machines(api: Api) -> None:
    """It is in no count of logins and is not the last one; after all a person's, it counts as before."""
    day = {"crm_user_id": "u7", "email": "dana@example.com"}
    times = last_minutes(2)
    for name, at in zip(("first", "second"), times, strict=True):
        await api.post("/events/logins", login(**day, event_id=name, occurred_at=at))
    (lead,) = (await api.get("/leads")).body["items"]

    async def counted() -> tuple[int, str | None, float]:
        found = (await api.get(f"/leads/{lead['id']}")).body
        total = (await api.get(f"/leads/{lead['id']}/score")).body["total"]
        assert total == found["engagement_score"]
        return found["product_context"]["login_frequency"], found["last_login_at"], total

    both = await counted()
    assert both[:2] == (2, lead["last_login_at"])
    for name in ("second", "first"):
        await api.post(f"/events/{name}/reclassify", {"machine": True})
    assert await counted() == (0, None, 0)
    await api.post("/events/first/reclassify", {"machine": False})
    assert await counted() == (1, times[0], both[2] / 2)
    await api.post("/events/second/reclassify", {"machine": False})
    assert await counted() == both


async def test_a_machines_login_stays_one_over_a_merge_and_its_undo(api: Api) -> None:
    """Whoever of the two it belongs to."""
    (at,) = last_minutes(1)
    for name in "ab":
        await api.post("/events/logins", login(crm_user_id=name, event_id=name, occurred_at=at))
    leads = (await api.get("/leads")).body["items"]
    ids = [lead["person_id"] for lead in leads]
    done = (await api.post(f"/persons/{ids[0]}/merge", {"into": ids[1]})).body
    assert (await api.post("/events/a/reclassify", {"machine": True})).status == 200
    one = (await api.get("/leads")).body["items"]
    assert [lead["product_context"]["login_frequency"] for lead in one] == [1]
    assert (await api.post(f"/persons/merges/{done['merge_id']}/undo")).status == 200
    apart = {lead["crm_user_id"]: lead for lead in (await api.get("/leads")).body["items"]}
    assert {name: lead["product_context"]["login_frequency"] for name, lead in apart.items()} == {"a": 0, "b": 1}
    assert {name: lead["last_login_at"] for name, lead in apart.items()} == {"a": None, "b": at}


async def test_the_score_of_any_moment(api: Api) -> None:
    """`?at=` tells the score of what had happened by then."""
    lead = await api.lead()
    for number, at in enumerate(["2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z"]):
        await api.event(lead["id"], id=f"e{number}", event_type="login", timestamp=at)
    totals = [
        (await api.get(f"/leads/{lead['id']}/score?at={at}")).body["total"]
        for at in (
            "2025-12-31T00:00:00Z",
            "2026-01-01T00:00:00Z",
            "2026-01-02T12:00:00%2B02:00",
            "2026-02-01T00:00:00Z",
        )
    ]
    assert totals == [0, 5, 5, 10]
    assert (await api.get(f"/leads/{lead['id']}/score?at=yesterday")).status == 422


async def test_the_explanation_says_what_is_still_wanting(api: Api) -> None:
    """Answers that the product demands, or its own condition, not only points; of a moment, its stage then."""
    rules = {"login_points": 5, "qualification_threshold": 10}
    kinds: list[tuple[dict[str, Any], str]] = [
        (
            {"qualification": {"required": ["budget", "timeline"]}},
            "The score has reached the threshold of 10 (qualified). Not answered yet: budget, timeline.",
        ),
        (
            {"progression": {"qualified": {"logins_at_least": {"days": 30, "count": 4}}}},
            "The next stage, Qualified_Lead, wants: at least 4 logins in 30 days.",
        ),
    ]
    for config, wanting in kinds:
        await api.product(engaged_threshold=1, scoring_rules=rules, **config)
        lead = await api.lead()
        await api.event(lead["id"], "login")
        await api.event(lead["id"], "login")
        told = (await api.get(f"/leads/{lead['id']}/score")).body["explanation"]
        assert told == f"10 points: 10 from login. Stage Engaged_Lead. {wanting}"
    then = (await api.get(f"/leads/{lead['id']}/score?at=2026-01-06T00:00:00Z")).body["explanation"]
    assert then == "10 points: 10 from login. Stage User. The score has reached the threshold of 1 (engaged)."


async def test_the_explanation_of_any_moment_names_the_stage_of_then(api: Api) -> None:
    """What was missing then was missing for the next stage of then."""
    lead = await api.lead()
    await api.post(f"/leads/{lead['id']}/stage", {"stage": "Engaged_Lead"})
    texts = [
        (await api.get(f"/leads/{lead['id']}/score{at}")).body["explanation"]
        for at in ("", f"?at={lead['created_at']}", "?at=2020-01-01T00:00:00Z", "?at=2999-01-01T00:00:00Z")
    ]
    user, engaged = "Stage User. 20 more", "Stage Engaged_Lead. 100 more"
    assert [user in text for text in texts] == [False, True, True, False]
    assert [engaged in text for text in texts] == [True, False, False, True]


async def test_points_fade_on_the_lead_and_in_its_explanation(api: Api) -> None:
    """A product with a half-life: `/score` counts as of now, and its parts come to the total."""
    await api.product(scoring_rules={"login_points": 8, "half_life_days": 10})
    lead = await api.lead()
    day = timedelta(days=1)
    for number, ago in enumerate([20, 10]):
        await api.event(
            lead["id"], id=f"e{number}", event_type="login", timestamp=(datetime.now(UTC) - ago * day).isoformat()
        )
    assert (await api.get(f"/leads/{lead['id']}")).body["engagement_score"] == pytest.approx(12, abs=0.01)
    told = (await api.get(f"/leads/{lead['id']}/score")).body
    assert told["total"] == pytest.approx(6, abs=0.01)
    assert sum(told["by_type"].values()) == pytest.approx(told["total"], abs=0.002)


async def test_points_that_a_days_cap_cut_are_explained(api: Api) -> None:
    """In the timeline, in `/score`, and to who reclassifies one of them."""
    await api.product(scoring_rules={"email_click_points": 4, "daily_caps": {"email_click": 6}})
    lead = await api.lead()
    for number in range(3):
        at = f"2026-01-05T10:0{number}:00Z"
        await api.event(lead["id"], "email_click", channel="email", id=f"e{number}", timestamp=at)
    rule = "email_click_points × email_engagement_multiplier"

    async def told() -> list[tuple[float, str]]:
        items = await api.everything(f"/leads/{lead['id']}/timeline")
        events = sorted((item for item in items if item["kind"] == "event"), key=lambda item: str(item["event_id"]))
        return [(event["score_impact"], event["rule"]) for event in events]

    assert await told() == [(4, rule), (2, f"{rule}, cut by daily_caps"), (0, f"{rule}, cut by daily_caps")]
    score = (await api.get(f"/leads/{lead['id']}/score")).body
    assert score["explanation"].startswith("6 points: 6 from email_click; daily_caps cut the points of 2 events. Stage")
    assert (await api.post("/events/e2/reclassify", {"machine": True})).status == 200
    assert (await told())[2] == (0, "machine")


async def test_an_organization_lists_its_leads(api: Api) -> None:
    """Of every product, page by page, with the name that the CRM gave it; 404 for one that nobody is of."""
    await api.product("gridwise")
    for number in range(5):
        product_id = "gridwise" if number % 2 else "flowdesk"
        given = login(event_id=f"e{number}", crm_user_id=f"u{number}", product_id=product_id, organization_name="Acme")
        await api.post("/events/logins", given | {"organization_id": "acme" if number < 4 else "other"})
    shown = (await api.get("/organizations/acme?limit=3")).body
    assert (shown["organization_id"], shown["name"], len(shown["items"])) == ("acme", "Acme", 3)
    rest = (await api.get(f"/organizations/acme?limit=3&cursor={shown['next_cursor']}")).body
    users = [lead["crm_user_id"] for lead in (*shown["items"], *rest["items"])]
    assert (sorted(users), rest["next_cursor"]) == (["u0", "u1", "u2", "u3"], None)
    assert (await api.get("/organizations/nobody")).status == 404


async def test_an_organization_has_one_name_on_every_page(api: Api) -> None:
    """That which its newest lead tells that tells one, wherever in the list that stands."""
    names = ["Acme", *[None] * 5, "Acme Corporation", *[None] * reading.NEWEST]
    for number, name in enumerate(names):
        given = login(event_id=f"e{number}", crm_user_id=f"u{number}", organization_id="acme", organization_name=name)
        await api.post("/events/logins", given)
    told, page = [], (await api.get("/organizations/acme?limit=10")).body
    while page["next_cursor"] is not None:
        told.append(page["name"])
        page = (await api.get(f"/organizations/acme?limit=10&cursor={page['next_cursor']}")).body
    assert [*told, page["name"]] == ["Acme Corporation"] * 3
    await api.post("/events/logins", login(event_id="other", crm_user_id="x", organization_id="nameless"))
    assert (await api.get("/organizations/nameless")).body["name"] is None


async def test_a_form_that_names_two_people_merges_nobody_and_says_so(api: Api) -> None:
    """The e-mail decides; that the phone is somebody else's waits in review, once."""
    ann = await api.lead(email="ann@example.com")
    ben = await api.lead(phone="+4915112345678")
    for _ in range(2):
        both = {"product_id": "flowdesk", "email": "ann@example.com", "phone": "+4915112345678"}
        assert (await api.post("/leads", both)).body["id"] == ann["id"]
    await api.product("orbit")
    reply = await api.post("/leads", {**both, "product_id": "orbit"})
    assert reply.body["person_id"] == ann["person_id"]
    assert reply.body["contact_info"]["phone"] is None
    (item,) = (await api.get("/review")).body["items"]
    assert (item["kind"], sorted(item["input"]["persons"])) == (
        "identity",
        sorted((ann["person_id"], ben["person_id"])),
    )


async def test_what_a_machine_did_was_not_seen(api: Api) -> None:
    """A click that turns out to be a scanner's meets no condition any more; taken back, it does again."""
    await api.product(engaged_threshold=1000, progression={"engaged": {"event_seen": {"type": "email_click"}}})
    lead = await api.lead(email="dana@example.com")
    assert (await api.event(lead["id"], "email_click", channel="email", id="click")).body["stage"] == "Engaged_Lead"
    await api.post(f"/leads/{lead['id']}/stage/revert")
    for machine, stage in ((True, "User"), (False, "Engaged_Lead")):
        await api.post("/events/api:click/reclassify", {"machine": machine})
        assert (await api.event(lead["id"], "email_open", channel="email")).body["stage"] == stage
