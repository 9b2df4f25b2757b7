"""Logins over HTTP: a result per record, each counted once, nothing lost."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from tests.e2e.client import Api, login


def statuses(body: dict[str, Any]) -> list[str]:
    return [result["status"] for result in body["results"]]


async def review(api: Api, kind: str = "quarantine") -> list[dict[str, Any]]:
    return await api.everything(f"/review?kind={kind}")


@pytest.mark.parametrize(
    "wrapped", [lambda x: x, lambda x: [x], lambda x: {"events": [x]}], ids=["one", "array", "batch"]
)
async def test_a_login_may_come_alone_or_in_company(api: Api, wrapped: Any) -> None:
    """One event, an array or a batch: the same answer, and a lead with the login's words on it."""
    sent = login(email="Dana@Example.com", name="Dana", organization_name="Acme", feature_usage=["a"], job_title="CTO")
    reply = await api.post("/events/logins", wrapped(sent))
    assert reply.status == 202
    (result,) = reply.body["results"]
    assert result.keys() <= {"event_id", "status", "lead_id", "reason", "review_id"}
    assert (result["event_id"], result["status"]) == ("l1", "accepted")
    assert {key: reply.body[key] for key in ("accepted", "duplicate", "quarantined")} == {
        "accepted": 1,
        "duplicate": 0,
        "quarantined": 0,
    }
    lead = (await api.get(f"/leads/{result['lead_id']}")).body
    assert (lead["crm_user_id"], lead["organization_id"], lead["product_id"]) == ("u1", "org1", "flowdesk")
    assert (lead["stage"], lead["engagement_score"]) == ("User", 5)
    assert lead["contact_info"]["email"] == "dana@example.com"
    assert lead["demographics"] == {"name": "Dana", "company": "Acme", "job_title": "CTO"}
    assert lead["product_context"]["feature_usage"] == ["a"]
    assert lead["last_login_at"] == "2026-01-05T10:00:00.000Z"


async def test_one_bad_record_never_costs_the_others(api: Api) -> None:
    """Results stand in the order sent; what is bad is quarantined with its reason, what is good is counted."""
    batch: list[Any] = [
        login(),
        login(event_id="l2", occurred_at="2026-01-05T10:00:00"),
        login(event_id="l1"),
        "no login at all",
        login(event_id="l3", crm_user_id="u2", email="nonsense"),
        login(event_id="l4", product_id="nowhere"),
        None,
    ]
    body = (await api.post("/events/logins", batch)).body
    assert statuses(body) == [
        "accepted",
        "quarantined",
        "duplicate",
        "quarantined",
        "accepted",
        "quarantined",
        "quarantined",
    ]
    assert (body["accepted"], body["duplicate"], body["quarantined"]) == (2, 1, 4)
    assert [result["event_id"] for result in body["results"]] == ["l1", "l2", "l1", None, "l3", "l4", None]
    reasons = [result.get("reason") or "" for result in body["results"]]
    for index, path in ((1, "occurred_at"), (4, "email"), (5, "product_id")):
        assert path in reasons[index]
    assert "there is no such product" in reasons[5]
    assert len(await api.everything("/leads")) == 2


async def test_what_is_no_record_at_all_is_told_in_words_of_json(api: Api) -> None:
    """Whoever reads the review item need not know what the server is written in."""
    results = (await api.post("/events/logins", [None, 5, "x", []])).body["results"]
    assert {result["reason"] for result in results} == {"Input should be an object"}


async def test_what_is_quarantined_lands_in_review_as_it_came(api: Api) -> None:
    """A person sees the very record that the source sent, why it is no login, and that nobody has looked at it yet."""
    sent: list[Any] = [
        {"event_id": "l9", "nested": {"a": [1, 2.5, None, True]}, "text": "<b>&\x00\u2028"},
        [1, "two"],
        "text",
        12345678901234567,
        None,
        login(occurred_at="1 May"),
    ]
    results = (await api.post("/events/logins", sent)).body["results"]
    items = {item["id"]: item for item in await review(api)}
    assert [items[result["review_id"]]["input"] for result in results] == sent
    for item in items.values():
        assert item.keys() == {
            "id", "kind", "status", "reason", "lead_id", "message_id", "input", "error", "last_error",
            "attempts", "created_at",
        }  # fmt: skip
        assert (item["kind"], item["status"], item["attempts"]) == ("quarantine", "open", 0)
    one = await api.get(f"/review/{results[5]['review_id']}")
    assert one.body["input"] == sent[5]
    assert "occurred_at" in one.body["error"]


async def test_the_same_content_is_quarantined_once(api: Api) -> None:
    """A CRM that sends the same malformed record every minute makes one item, also within one batch."""
    bad, other = login(occurred_at="x"), login(occurred_at="y")
    first = (await api.post("/events/logins", [bad, bad])).body["results"]
    again = (await api.post("/events/logins", dict(reversed(bad.items())))).body["results"]
    await api.post("/events/logins", other)
    assert len({result["review_id"] for result in first + again}) == 1
    assert sorted(item["input"]["occurred_at"] for item in await review(api)) == ["x", "y"]


async def test_a_login_without_a_bad_field_is_kept_with_a_note(api: Api) -> None:
    """A mistyped phone number costs the phone number, not the buying signal; the note shows what was left out."""
    sent = login(phone="call me", email="dana@example.com")
    (result,) = (await api.post("/events/logins", sent)).body["results"]
    assert (result["status"], result["reason"].split(":")[0]) == ("accepted", "left out")
    lead = (await api.get(f"/leads/{result['lead_id']}")).body
    assert lead["contact_info"] == {"email": "dana@example.com", "phone": None, "preferred_channel": "email"}
    (item,) = await review(api, "dropped_field")
    assert (item["id"], item["input"], item["lead_id"]) == (result["review_id"], sent, result["lead_id"])
    again = (await api.post("/events/logins", sent)).body["results"][0]
    assert (again["status"], again["review_id"]) == ("duplicate", result["review_id"])


@pytest.mark.parametrize("body", [[login()] * 1001, {"events": [1] * 1001}, 5, "text", None, True])
async def test_a_broken_envelope_is_refused_whole(api: Api, body: Any) -> None:
    """More than a thousand records, or no container of records at all: nothing is counted, and the answer says why."""
    reply = await api.post("/events/logins", raw=orjson.dumps(body))
    assert reply.status == 422
    assert reply.paths
    assert await api.everything("/leads") == []


async def test_a_thousand_logins_are_one_request(api: Api) -> None:
    """The largest batch is counted whole; sent again, it is all duplicates."""
    batch = [login(event_id=f"l{n}", crm_user_id=f"u{n % 300}") for n in range(1000)]
    first, again = [(await api.post("/events/logins", batch)).body for _ in range(2)]
    assert (first["accepted"], again["duplicate"]) == (1000, 1000)
    assert [r["lead_id"] for r in first["results"]] == [r["lead_id"] for r in again["results"]]
    leads = await api.everything("/leads", limit=100)
    assert len(leads) == 300
    assert sum(lead["engagement_score"] for lead in leads) == 5000


@pytest.mark.parametrize("raw", [b"[]", b'{"events": []}'])
async def test_nothing_is_counted_of_an_empty_batch(api: Api, raw: bytes) -> None:
    """No records, no results: a poll without news is no error."""
    reply = await api.post("/events/logins", raw=raw)
    assert (reply.status, reply.body["results"], reply.body["accepted"]) == (202, [], 0)


async def test_a_person_keeps_its_lead_in_each_product(api: Api) -> None:
    """Two products share the human and nothing else: score and stage are each lead's own."""
    await api.product("grid.wise", engaged_threshold=5)
    batch = [login(email="d@example.com"), login(event_id="l2", product_id="grid.wise"), login(event_id="l3")]
    results = (await api.post("/events/logins", batch)).body["results"]
    one, two = [(await api.get(f"/leads/{results[n]['lead_id']}")).body for n in (0, 1)]
    assert results[2]["lead_id"] == one["id"] != two["id"]
    assert one["person_id"] == two["person_id"]
    assert (one["engagement_score"], one["stage"], two["engagement_score"], two["stage"]) == (
        10,
        "User",
        5,
        "Engaged_Lead",
    )
    assert two["contact_info"]["email"] == "d@example.com"


async def test_a_shared_mailbox_does_not_make_two_users_one(api: Api) -> None:
    """Two ids of one CRM are two people, whatever address they share; the address stays with whom it was first."""
    batch = [login(email="team@example.com"), login(event_id="l2", crm_user_id="u2", email="team@example.com")]
    results = (await api.post("/events/logins", batch)).body["results"]
    one, two = [(await api.get(f"/leads/{result['lead_id']}")).body for result in results]
    assert one["person_id"] != two["person_id"]
    assert sorted([one["contact_info"]["email"] or "", two["contact_info"]["email"] or ""]) == ["", "team@example.com"]


async def test_another_crm_may_know_the_same_human(api: Api) -> None:
    """A second source with the same address adds to the same person and the same lead."""
    batch = [login(email="d@example.com"), login(source="hubspot", crm_user_id="h7", email="D@EXAMPLE.com")]
    results = []
    for one in batch:
        results += (await api.post("/events/logins", one)).body["results"]
    assert statuses({"results": results}) == ["accepted", "accepted"]
    assert len({result["lead_id"] for result in results}) == 1


async def test_old_history_scores_and_greets_nobody(api: Api) -> None:
    """A first import of last year's logins plans no mail; today's login does."""
    await api.post(
        "/templates",
        {"template_id": "hi", "channel": "email", "subject": "Hi", "text": "Hello {{ person.first_name }}"},
    )
    step = {"delay_hours": 0, "channel": "email", "template_id": "hi"}
    await api.product("greeter", nurturing_sequences=[{"stage": "User", "messages": [step]}])
    now = "2026-01-05T10:00:00Z", datetime.now(UTC).isoformat()
    batch = [
        login(event_id=f"l{n}", crm_user_id=f"u{n}", product_id="greeter", occurred_at=at) for n, at in enumerate(now)
    ]
    results = (await api.post("/events/logins", batch)).body["results"]
    kinds = [{e["kind"] for e in await api.everything(f"/leads/{result['lead_id']}/timeline")} for result in results]
    assert kinds == [{"event"}, {"event", "message"}]


async def test_fifty_identical_logins_at_once_are_one(api: Api) -> None:
    """A new user whose event is delivered fifty times at once is one person, one lead, one event."""
    replies = await asyncio.gather(*(api.post("/events/logins", login(email="d@example.com")) for _ in range(50)))
    outcomes = [reply.body["results"][0] for reply in replies]
    assert sorted(outcome["status"] for outcome in outcomes) == ["accepted", *["duplicate"] * 49]
    (lead,) = await api.everything("/leads")
    assert {outcome["lead_id"] for outcome in outcomes} == {lead["id"]}
    assert (lead["engagement_score"], lead["product_context"]["login_frequency"] >= 0) == (5, True)
    assert len(await api.everything(f"/leads/{lead['id']}/timeline")) == 1


async def test_a_hundred_logins_of_one_user_at_once_all_count(api: Api) -> None:
    """Many workers at the same lead: every login is counted, each once."""
    replies = await asyncio.gather(*(api.post("/events/logins", login(event_id=f"l{n}")) for n in range(100)))
    assert {reply.body["results"][0]["status"] for reply in replies} == {"accepted"}
    (lead,) = await api.everything("/leads")
    score = (await api.get(f"/leads/{lead['id']}/score")).body
    assert (lead["engagement_score"], score["total"], score["by_type"]) == (500, 500, {"login": 500})
    timeline = await api.everything(f"/leads/{lead['id']}/timeline", limit=40)
    assert {e["event_id"] for e in timeline if e["kind"] == "event"} == {f"l{n}" for n in range(100)}


async def test_two_sources_meeting_at_one_address_make_one_person(api: Api) -> None:
    """Thirty CRMs that announce the same human at once end with one person and one lead."""
    sent = [login(source=f"crm{n}", crm_user_id=f"x{n}", email="d@example.com") for n in range(30)]
    replies = await asyncio.gather(*(api.post("/events/logins", one) for one in sent))
    assert {reply.body["results"][0]["status"] for reply in replies} == {"accepted"}
    (lead,) = await api.everything("/leads")
    assert lead["engagement_score"] == 150


async def test_a_dead_letter_is_queued(api: Api) -> None:
    """What a workflow gave up on waits for a person, with the workflow's words and the record as it was."""
    letter = {"workflow": "crm", "node": "Map", "record": {"a": [1]}, "error": "no such\nfield", "execution_id": "77"}
    reply = await api.post("/dead-letters", letter)
    assert reply.status == 202
    (item,) = await review(api, "dead_letter")
    assert item["id"] == reply.body["review_id"]
    assert (item["reason"], item["error"], item["input"]) == ("crm / Map (execution 77)", "no such\nfield", {"a": [1]})
    await api.post("/dead-letters", {"workflow": "crm", "record": None, "error": "x"})
    assert len(await review(api, "dead_letter")) == 2


async def test_a_dead_letter_is_queued_once_under_its_key(api: Api) -> None:
    """A workflow that repeats its request gets the same id."""
    letter = {"workflow": "crm", "record": 1, "error": "x"}
    ids = [(await api.post("/dead-letters", letter, Idempotency_Key="e1")).body["review_id"] for _ in range(3)]
    assert len(set(ids)) == len(await review(api, "dead_letter")) == 1


async def told(api: Api, **fields: Any) -> dict[str, Any]:
    """Post a login of a user and return the lead."""
    reply = await api.post("/events/logins", login(**fields))
    assert reply.body["accepted"] == 1, reply
    return dict((await api.get(f"/leads/{reply.body['results'][0]['lead_id']}")).body)


async def test_an_address_that_its_owner_left_goes_to_the_next_user(api: Api) -> None:
    """A mailbox is given to a colleague: mail reaches who has it now, and what it refused is still refused."""
    first = await told(api, event_id="1", crm_user_id="a", email="team@acme.example")
    assert (await api.event(first["id"], "unsubscribe", channel="email")).status == 202
    await told(api, event_id="2", crm_user_id="a", email="ann@acme.example", occurred_at="2026-01-06T10:00:00Z")
    second = await told(api, event_id="3", crm_user_id="b", email="team@acme.example")
    assert second["person_id"] != first["person_id"]
    assert second["contact_info"]["email"] == "team@acme.example"
    consent = (await api.get(f"/persons/{second['person_id']}/consent")).body
    assert [refused["channel"] for refused in consent["suppressed"]] == ["email"]
    assert (await told(api, event_id="4", crm_user_id="b", email="team@acme.example"))["id"] == second["id"]
    assert (await api.get("/review")).body["items"] == []


async def test_a_shared_phone_stays_with_its_first_user_and_is_noted_once(api: Api) -> None:
    """Users of one CRM are never taken for one human; that one of them cannot be reached there is told once."""
    one = await told(api, event_id="1", crm_user_id="a", phone="+4915112345678")
    for n in range(3):
        other = await told(api, event_id=f"2{n}", crm_user_id=f"b{n}", phone="+4915112345678")
        again = await told(api, event_id=f"3{n}", crm_user_id=f"b{n}", phone="+4915112345678")
        assert (other["contact_info"]["phone"], again["contact_info"]["phone"]) == (None, None)
        assert len({one["person_id"], other["person_id"]}) == 2
    (item,) = (await api.get("/review")).body["items"]
    assert (item["kind"], item["reason"]) == ("identity", "users of one CRM share an address")
    assert "+49" not in item["error"]


async def seen(api: Api, lead_id: str) -> tuple[str | None, str | None]:
    """A lead's job title and trial status."""
    lead = (await api.get(f"/leads/{lead_id}")).body
    return lead["demographics"].get("job_title"), lead["product_context"]["trial_status"]


async def at(api: Api, occurred_at: str, **told: Any) -> str:
    (result,) = (await api.post("/events/logins", login(event_id=occurred_at, occurred_at=occurred_at, **told))).body[
        "results"
    ]
    return str(result["lead_id"])


async def test_the_newest_word_on_each_field_wins(api: Api) -> None:
    """Whatever came in between without a word on it; the timeline keeps what lost."""
    lead_id = await at(api, "2026-01-05T10:00:00Z", job_title="Dev", trial_status="active")
    await at(api, "2026-01-05T12:00:00Z", name="Dana")
    await at(api, "2026-01-05T11:00:00Z", job_title="CTO", trial_status="over")
    assert await seen(api, lead_id) == ("CTO", "over")
    await at(api, "2026-01-05T10:30:00Z", job_title="Boss", trial_status="longer")
    assert await seen(api, lead_id) == ("CTO", "over")
    items = (await api.get(f"/leads/{lead_id}/timeline")).body["items"]
    assert {e["event_id"][11:16]: e["metadata"] for e in items if e["kind"] == "event"} == {
        "10:00": {},
        "10:30": {"outdated": {"job_title": "Boss", "trial_status": "longer"}},
        "11:00": {"replaced": {"job_title": "Dev", "trial_status": "active"}},
        "12:00": {},
    }


async def test_what_the_api_says_is_a_word_too(api: Api) -> None:
    """A login from before it does not take it back, one from afterwards does; so it is for a lead that the API made."""
    made = (await api.post("/leads", {"product_id": "flowdesk", "crm_user_id": "u1", "organization_id": "org2"})).body
    lead_id = await at(api, "2026-01-05T10:00:00Z", job_title="Dev", trial_status="active")
    assert (made["id"], (await api.get(f"/leads/{lead_id}")).body["organization_id"]) == (lead_id, "org2")
    given = {"demographics": {"job_title": "CTO"}, "product_context": {"trial_status": "longer"}}
    await api.put(f"/leads/{lead_id}", given)
    await at(api, "2026-01-05T11:00:00Z", job_title="Boss", trial_status="over")
    assert await seen(api, lead_id) == ("CTO", "longer")
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    await at(api, ahead, job_title="CEO", trial_status="over")
    assert await seen(api, lead_id) == ("CEO", "over")
    assert (await api.get(f"/leads/{lead_id}")).body["organization_id"] == "org1"


async def test_a_word_said_elsewhere_is_seen_by_the_next_login(api: Api) -> None:
    """Over another product's lead, or on the consent alone: what the server remembers of the last login is not all."""
    await api.product("orbit")
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    known: dict[str, Any] = {"job_title": "Dev", "whatsapp_opt_in": False}
    lead_id = await at(api, "2026-01-05T10:00:00Z", **known)
    person_id = (await api.get(f"/leads/{lead_id}")).body["person_id"]
    await api.put(f"/persons/{person_id}/consent", {"whatsapp": {"status": "granted"}})
    await at(api, "2026-01-05T11:00:00Z", **known)
    assert (await api.get(f"/persons/{person_id}/consent")).body["whatsapp"]["status"] == "denied"
    elsewhere = (await api.post("/events/logins", login(event_id="o1", product_id="orbit", job_title="Dev"))).body
    await api.put(f"/leads/{elsewhere['results'][0]['lead_id']}", {"demographics": {"job_title": "CTO"}})
    await at(api, ahead, job_title="Dev")
    assert (await seen(api, lead_id))[0] == "Dev"


async def test_a_login_that_tells_of_nothing_keeps_no_word_out(api: Api) -> None:
    """One that was recorded as an event, without a record of the CRM, is newer and says nothing of the title."""
    lead_id = await at(api, "2026-01-05T10:00:00Z", job_title="Dev", trial_status="active")
    await api.event(lead_id, event_type="login", channel="product", timestamp="2026-01-05T12:00:00Z")
    await at(api, "2026-01-05T11:00:00Z", job_title="CTO", trial_status="over")
    assert await seen(api, lead_id) == ("CTO", "over")
    await at(api, "2026-01-05T10:30:00Z", job_title="Boss", trial_status="longer")
    assert await seen(api, lead_id) == ("CTO", "over")
