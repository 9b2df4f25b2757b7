"""Persons over HTTP: two of them are one, and are two again."""

import csv
from typing import Any

import pytest

from tests.e2e.client import Api, login
from tracker.ports import Facts
from tracker.recorder import Effect, Loaded, Recorder
from tracker.store.port import Change, Increment, Store
from tracker.store.schema import Kind
from tracker.times import now


async def two(api: Api) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two leads of one product, of persons who share nothing yet; each has events of its own."""
    await api.product(engaged_threshold=1000)
    logins = [login(event_id=f"a{n}", crm_user_id="a", email="a@acme.example", name="Ann Older") for n in range(3)]
    logins += [login(event_id=f"b{n}", crm_user_id="b", email="b@acme.example", name="Bea Younger") for n in range(2)]
    for one in logins:
        assert (await api.post("/events/logins", one)).body["accepted"] == 1
    found = {lead["crm_user_id"]: lead for lead in (await api.get("/leads")).body["items"]}
    return found["a"], found["b"]


async def merge(api: Api, person: str, into: str) -> dict[str, Any]:
    reply = await api.post(f"/persons/{person}/merge", {"into": into})
    assert reply.status == 200
    return dict(reply.body)


async def stories(api: Api, lead_id: str) -> list[str]:
    items = (await api.get(f"/leads/{lead_id}/timeline")).body["items"]
    return sorted(item["event_id"] for item in items if item["kind"] == "event")


async def test_what_is_read_of_consent_may_be_put_back(api: Api) -> None:
    """As it was read it changes nothing; a suppression in it is added, audited, and none goes by being left out."""
    lead = await api.lead()
    path = f"/persons/{lead['person_id']}/consent"
    await api.event(lead["id"], "unsubscribe", channel="email")
    await api.put(path, {"email": {"status": "granted", "basis": "form"}})
    read = (await api.get(path)).body
    entries = len((await api.get("/audit")).body["items"])
    assert (await api.put(path, read)).body == read
    assert len((await api.get("/audit")).body["items"]) == entries
    more = {"suppressed": [{"channel": "whatsapp", "reason": "asked us by phone", "at": "2026-01-05T10:00:00Z"}]}
    both = (await api.put(path, more)).body
    assert [(s["channel"], s["scope"]) for s in both["suppressed"]] == [("email", "nurture"), ("whatsapp", "nurture")]
    assert both | {"suppressed": read["suppressed"]} == read
    assert (await api.get("/audit")).body["items"][0]["detail"] == "whatsapp suppressed"
    assert (await api.put(path, {"suppressed": []})).body == both
    assert (await api.put(path, {"suppressed": [{"channel": "sms"}]})).status == 422


async def test_a_bounce_that_is_read_and_put_back_is_still_of_its_address(api: Api) -> None:
    """What is shown does not name the address: sent back, it must not become a word of the person."""
    lead = await api.lead(email="typo@acme.example")
    path = f"/persons/{lead['person_id']}/consent"
    await api.event(lead["id"], "email_bounce", channel="email")
    read = (await api.get(path)).body
    assert [list(stop) for stop in read["suppressed"]] == [["channel", "reason", "at", "scope"]]
    assert (await api.put(path, read)).body == read


async def test_the_survivor_covers_both(api: Api) -> None:
    """One lead is left: its score, story and search are those of both; the absorbed id redirects."""
    older, younger = await two(api)
    done = await merge(api, older["person_id"], younger["person_id"])
    assert (done["survivor"], done["absorbed"]) == (older["person_id"], younger["person_id"])
    lead = (await api.get(f"/leads/{older['id']}")).body
    assert lead["engagement_score"] == older["engagement_score"] + younger["engagement_score"]
    assert [one["id"] for one in (await api.get("/leads")).body["items"]] == [older["id"]]
    assert [one["id"] for one in (await api.get("/leads?q=b@acme.example")).body["items"]] in ([], [older["id"]])
    assert await stories(api, older["id"]) == ["a0", "a1", "a2", "b0", "b1"]
    score = (await api.get(f"/leads/{older['id']}/score")).body
    assert score["total"] == lead["engagement_score"]
    moved = await api.get(f"/leads/{younger['id']}")
    assert (moved.status, moved.headers["Location"]) == (308, f"/leads/{older['id']}")
    assert (await api.get(f"/persons/{younger['person_id']}/consent")).status == 200


async def test_what_comes_later_goes_to_the_survivor(api: Api) -> None:
    """A login of the absorbed user, and an event on its old lead, count on the survivor's lead, once."""
    older, younger = await two(api)
    await merge(api, younger["person_id"], older["person_id"])
    late = await api.post("/events/logins", login(event_id="b9", crm_user_id="b", email="b@acme.example"))
    assert late.body["results"][0]["lead_id"] == older["id"]
    await api.event(younger["id"], id="click", event_type="email_click", channel="email")
    assert await stories(api, older["id"]) == ["a0", "a1", "a2", "b0", "b1", "b9", "click"]
    again = await api.post("/events/logins", login(event_id="b0", crm_user_id="b", email="b@acme.example"))
    assert again.body["results"] == [{"event_id": "b0", "status": "duplicate", "lead_id": older["id"]}]


async def test_both_addresses_of_a_merged_person_are_in_use(api: Api) -> None:
    """Only one of them shows, yet no third user of the CRM takes the other: that stands in review."""
    older, younger = await two(api)
    await merge(api, younger["person_id"], older["person_id"])
    for number, email in enumerate(("a@acme.example", "b@acme.example")):
        third = login(event_id=f"c{number}", crm_user_id="c", email=email)
        (result,) = (await api.post("/events/logins", third)).body["results"]
        assert (await api.get(f"/leads/{result['lead_id']}")).body["contact_info"]["email"] is None
    assert len((await api.get("/review?kind=identity")).body["items"]) == 2


async def test_everything_names_the_survivor(api: Api) -> None:
    """The audit trail has the moves of both; other products' leads, the lists and the exports name who is left."""
    older, younger = await two(api)
    await api.product("orbit")
    elsewhere = (await api.post("/leads", {"product_id": "orbit", "email": "b@acme.example"})).body
    assert elsewhere["person_id"] == younger["person_id"]
    for lead, reason in ((younger, "called"), (older, "wrote")):
        assert (await api.post(f"/leads/{lead['id']}/stage", {"stage": "Engaged_Lead", "reason": reason})).status == 200
    await merge(api, younger["person_id"], older["person_id"])
    assert [entry["reason"] for entry in await api.everything(f"/leads/{older['id']}/audit", limit=1)][:2] == [
        "called",
        "wrote",
    ]
    assert (await api.get(f"/leads/{elsewhere['id']}")).body["person_id"] == older["person_id"]
    listed = (await api.get("/leads")).body["items"]
    assert {lead["person_id"] for lead in listed} == {older["person_id"]}
    rows = list(csv.DictReader((await api.get("/exports/events.csv")).raw.decode().splitlines()))
    assert {row["lead_id"] for row in rows} == {older["id"]}


async def test_an_undo_is_exact(api: Api) -> None:
    """Both persons and leads are as they were, whether or not something happened since; a second undo is 409."""
    older, younger = await two(api)
    for busy in (False, True):
        done = await merge(api, younger["person_id"], older["person_id"])
        if busy:
            await api.event(older["id"], id="since", event_type="login")
        assert (await api.post(f"/persons/merges/{done['merge_id']}/undo")).status == 200
        assert (await api.post(f"/persons/merges/{done['merge_id']}/undo")).status == 409
        now = {lead["id"]: lead for lead in (await api.get("/leads")).body["items"]}
        assert now.keys() == {older["id"], younger["id"]}
        for before in (older, younger):
            after = now[before["id"]]
            extra = 5 if busy and before is older else 0
            assert after["engagement_score"] == before["engagement_score"] + extra
            for field in ("stage", "contact_info", "demographics", "person_id", "crm_user_id"):
                assert after[field] == before[field]
            assert (await api.get(f"/leads/{before['id']}/score")).body["total"] == after["engagement_score"]
        assert [one["id"] for one in (await api.get("/leads?q=bea")).body["items"]] == [younger["id"]]
        assert [one["id"] for one in (await api.get("/leads?q=ann")).body["items"]] == [older["id"]]


async def test_an_opt_out_survives_merge_and_undo(api: Api) -> None:
    """Who said no on either address is not written to, also when the no came between merge and undo."""
    older, younger = await two(api)
    await api.put(f"/persons/{younger['person_id']}/consent", {"email": {"status": "denied"}})
    done = await merge(api, younger["person_id"], older["person_id"])
    assert (await api.get(f"/persons/{older['person_id']}/consent")).body["email"]["status"] == "denied"
    await api.put(f"/persons/{younger['person_id']}/consent", {"whatsapp": {"status": "denied"}})
    await api.post(f"/persons/merges/{done['merge_id']}/undo")
    kept = (await api.get(f"/persons/{older['person_id']}/consent")).body
    assert (kept["email"]["status"], kept["whatsapp"]["status"]) == ("unknown", "denied")


async def test_a_no_that_came_since_a_merge_is_both_persons(api: Api) -> None:
    """However old it is said to be: after the undo neither is written to, and the story of each says so."""
    older, younger = await two(api)
    done = await merge(api, younger["person_id"], older["person_id"])
    long_ago = "2026-01-01T00:00:00Z"
    no = {"email": {"status": "denied", "at": long_ago}}
    assert (await api.put(f"/persons/{older['person_id']}/consent", no)).status == 200
    told = login(event_id="b9", crm_user_id="b", whatsapp_opt_in=False, occurred_at=long_ago)
    assert (await api.post("/events/logins", told)).body["accepted"] == 1
    await api.event(older["id"], "unsubscribe", channel="email", timestamp=long_ago)
    assert (await api.post(f"/persons/merges/{done['merge_id']}/undo")).status == 200
    for lead in (older, younger):
        kept = (await api.get(f"/persons/{lead['person_id']}/consent")).body
        assert (kept["email"]["status"], kept["whatsapp"]["status"]) == ("denied", "denied")
        assert [one["reason"] for one in kept["suppressed"]] == ["unsubscribe"]
        items = (await api.get(f"/leads/{lead['id']}/timeline")).body["items"]
        story = {item["channel"]: item["status"] for item in items if item["kind"] == "consent"}
        assert story == {"email": "denied", "whatsapp": "denied"}


@pytest.mark.parametrize("first", ["older", "younger"])
async def test_a_no_that_is_said_again_after_a_merge_is_both_persons(api: Api, first: str) -> None:
    """One of them had refused it before: whose word the second is nobody knows, and neither is written to."""
    older, younger = await two(api)
    who = older if first == "older" else younger
    crm_id = "a" if who is older else "b"

    async def refuse(lead: dict[str, Any], name: str) -> None:
        await api.event(lead["id"], "unsubscribe", channel="email", id=name)
        await api.event(lead["id"], "unsubscribe", channel="whatsapp", id=f"{name}w")
        await api.put(f"/persons/{lead['person_id']}/consent", {"suppressed": [{"channel": "chatbot", "reason": "no"}]})

    await refuse(who, "first")
    alone = (await api.get(f"/persons/{who['person_id']}/consent")).body
    done = await merge(api, younger["person_id"], older["person_id"])
    assert (await api.get(f"/persons/{older['person_id']}/consent")).body == alone
    await refuse(older, "again")
    told = login(event_id="b9", crm_user_id=crm_id, whatsapp_opt_in=False)
    assert (await api.post("/events/logins", told)).body["accepted"] == 1
    assert (await api.post(f"/persons/merges/{done['merge_id']}/undo")).status == 200
    for lead in (older, younger):
        kept = (await api.get(f"/persons/{lead['person_id']}/consent")).body
        assert (kept["whatsapp"], kept["suppressed"]) == (alone["whatsapp"], alone["suppressed"])
    items = (await api.get("/audit")).body["items"]
    assert [item["detail"] for item in items if item["action"] == "person.consent"] == ["chatbot suppressed"] * 2


async def test_what_was_read_of_two_in_one_may_be_put_back(api: Api) -> None:
    """It is no word of either: after the undo each has refused what it refused itself."""
    older, younger = await two(api)
    await api.event(younger["id"], "unsubscribe", channel="email")
    await api.event(younger["id"], "unsubscribe", channel="whatsapp")
    done = await merge(api, younger["person_id"], older["person_id"])
    path = f"/persons/{older['person_id']}/consent"
    assert (await api.put(path, (await api.get(path)).body)).status == 200
    await api.post(f"/persons/merges/{done['merge_id']}/undo")
    kept = (await api.get(path)).body
    assert (kept["whatsapp"]["status"], kept["suppressed"]) == ("unknown", [])


async def test_the_story_tells_what_a_merge_did_to_consents(api: Api) -> None:
    """What the absorbed person refused is the survivor's from the merge to its undo."""
    older, younger = await two(api)
    await api.put(f"/persons/{younger['person_id']}/consent", {"email": {"status": "denied"}})
    done = await merge(api, younger["person_id"], older["person_id"])
    await api.post(f"/persons/merges/{done['merge_id']}/undo")
    items = (await api.get(f"/leads/{older['id']}/timeline")).body["items"]
    assert [item["status"] for item in items if item["kind"] == "consent"] == ["denied", "unknown"]


async def test_what_cannot_be_merged(api: Api) -> None:
    """With itself, with nobody, twice."""
    older, younger = await two(api)
    assert (await api.post(f"/persons/{older['person_id']}/merge", {"into": older["person_id"]})).status == 409
    assert (await api.post(f"/persons/{older['person_id']}/merge", {"into": "nobody"})).status == 404
    assert (await api.post(f"/persons/{older['person_id']}/merge", {})).status == 422
    await merge(api, younger["person_id"], older["person_id"])
    assert (await api.post(f"/persons/{younger['person_id']}/merge", {"into": older["person_id"]})).status == 409
    assert (await api.post("/persons/merges/nobody/undo")).status == 404


async def test_a_chain_is_undone_from_its_end(api: Api) -> None:
    """Of three persons who became one, the last merge has to be undone first."""
    older, younger = await two(api)
    await api.post("/events/logins", login(event_id="c0", crm_user_id="c", email="c@acme.example"))
    third = next(one for one in (await api.get("/leads")).body["items"] if one["crm_user_id"] == "c")
    first = await merge(api, third["person_id"], younger["person_id"])
    second = await merge(api, younger["person_id"], older["person_id"])
    assert (await api.get(f"/leads/{older['id']}")).body["engagement_score"] == 30
    assert await stories(api, older["id"]) == ["a0", "a1", "a2", "b0", "b1", "c0"]
    late = await api.post("/events/logins", login(event_id="c1", crm_user_id="c", email="c@acme.example"))
    assert late.body["results"][0]["lead_id"] == older["id"]
    assert (await api.post(f"/persons/merges/{first['merge_id']}/undo")).status == 409
    assert (await api.post(f"/persons/merges/{second['merge_id']}/undo")).status == 200
    assert (await api.post(f"/persons/merges/{first['merge_id']}/undo")).status == 200
    scores = {one["crm_user_id"]: one["engagement_score"] for one in (await api.get("/leads")).body["items"]}
    assert scores == {"a": 20, "b": 10, "c": 5}


async def chatted(api: Api, email: str) -> dict[str, Any]:
    """A prospect who chatted and said its address, and its lead."""
    for message in ("I'd like a demo", "Ann Older", email):
        body = {"sender": "ann", "message": message, "metadata": {"product_id": "flowdesk"}}
        assert (await api.post("/webhooks/rest/webhook", body)).status == 200
    (lead,) = (await api.get("/leads")).body["items"]
    assert lead["contact_info"]["email"] == email
    return dict(lead)


async def test_who_chatted_first_and_logs_in_later_is_one(api: Api) -> None:
    """The CRM's first login with the address joins the chat-born lead: one lead, one story, one score."""
    lead = await chatted(api, "ann@acme.example")
    counted = await api.post("/events/logins", login(crm_user_id="a", email="ann@acme.example"))
    assert counted.body["results"][0]["lead_id"] == lead["id"]
    (now,) = (await api.get("/leads")).body["items"]
    assert (now["id"], now["crm_user_id"]) == (lead["id"], "a")
    assert now["engagement_score"] == lead["engagement_score"] + 5


async def test_an_address_that_the_crm_tells_late_joins_them_too(api: Api) -> None:
    """The user was known without an address; the login that brings it makes the two one, with the score once."""
    lead = await chatted(api, "ann@acme.example")
    await api.post("/events/logins", login(event_id="l1", crm_user_id="a"))
    assert len((await api.get("/leads")).body["items"]) == 2
    counted = await api.post("/events/logins", login(event_id="l2", crm_user_id="a", email="ann@acme.example"))
    (now,) = (await api.get("/leads")).body["items"]
    assert now["id"] == lead["id"] == counted.body["results"][0]["lead_id"]
    assert now["engagement_score"] == lead["engagement_score"] + 10
    assert {"l1", "l2"} < set(await stories(api, now["id"]))
    again = await api.post("/events/logins", login(event_id="l3", crm_user_id="a", email="ann@acme.example"))
    assert again.body["results"] == [{"event_id": "l3", "status": "accepted", "lead_id": lead["id"]}]


async def test_who_types_the_address_of_somebody_else_does_not_get_it(api: Api) -> None:
    """Their mail would go to somebody who may have refused it. The pair stands in review; merged, they are one."""
    await api.post("/events/logins", login(crm_user_id="a", email="ann@acme.example"))
    (known,) = (await api.get("/leads")).body["items"]
    for message in ("I'd like a demo", "Ann Older", "ann@acme.example"):
        body = {"sender": "ann", "message": message, "metadata": {"product_id": "flowdesk"}}
        assert (await api.post("/webhooks/rest/webhook", body)).status == 200
    (chat,) = [lead for lead in (await api.get("/leads")).body["items"] if lead["id"] != known["id"]]
    assert (chat["contact_info"]["email"], chat["demographics"]["name"]) == (None, "Ann Older")
    (item,) = (await api.get("/review?kind=identity")).body["items"]
    assert item["input"] == {"persons": [chat["person_id"], known["person_id"]], "key": "email"}
    await merge(api, chat["person_id"], known["person_id"])
    (one,) = (await api.get("/leads")).body["items"]
    assert (one["id"], one["contact_info"]["email"]) == (known["id"], "ann@acme.example")


async def test_whom_somebody_took_apart_no_login_joins_again(api: Api) -> None:
    """The address made them one by itself, a person took that back: the next login with it leaves them two."""
    lead = await chatted(api, "ann@acme.example")
    told = {"crm_user_id": "a", "email": "ann@acme.example"}
    logins = [login(event_id="l0", crm_user_id="a"), login(event_id="l1", **told), login(event_id="l2", **told)]
    for one in logins[:2]:
        counted = (await api.post("/events/logins", one)).body["results"][0]
    assert counted["lead_id"] == lead["id"]
    noted = next(item for item in (await api.get("/audit")).body["items"] if item["action"] == "person.merge")
    assert (await api.post(f"/persons/merges/{noted['detail']}/undo")).status == 200
    counted = (await api.post("/events/logins", logins[2])).body["results"][0]
    assert counted["lead_id"] != lead["id"]
    now = {one["id"]: one["engagement_score"] for one in (await api.get("/leads")).body["items"]}
    assert now == {lead["id"]: lead["engagement_score"], counted["lead_id"]: 15}


async def test_a_login_that_joins_two_prospects_names_the_lead_that_is_left(api: Api) -> None:
    """The address was one prospect's, the number an older one's: all three are one, told by the id that stays."""
    first = (await api.post("/leads", {"product_id": "flowdesk", "phone": "+4915112345678"})).body
    second = (await api.post("/leads", {"product_id": "flowdesk", "email": "ann@acme.example"})).body
    await api.post("/events/logins", login(event_id="l1", crm_user_id="a"))
    both = login(event_id="l2", crm_user_id="a", email="ann@acme.example", phone="+4915112345678")
    counted = await api.post("/events/logins", both)
    (left,) = (await api.get("/leads")).body["items"]
    assert left["id"] in {first["id"], second["id"]}
    assert counted.body["results"][0]["lead_id"] == left["id"]


async def test_users_of_two_crms_with_one_address_are_a_persons_decision(api: Api) -> None:
    """Nobody is merged by guess: the pair stands in review once, however many logins tell of it."""
    first = {"crm_user_id": "a", "email": "ann@acme.example"}
    await api.post("/events/logins", login(event_id="l0", **first))
    await api.post("/events/logins", login(event_id="l1", crm_user_id="x", source="other"))
    for number in (2, 3):
        late = login(event_id=f"l{number}", crm_user_id="x", source="other", email="ann@acme.example")
        await api.post("/events/logins", late)
    (item,) = (await api.get("/review?kind=identity")).body["items"]
    persons = {lead["person_id"] for lead in (await api.get("/leads")).body["items"]}
    assert set(item["input"]["persons"]) == persons


@pytest.mark.parametrize("fading", [(True, True), (False, True), (True, False)])
async def test_points_that_fade_are_summed_from_both_ledgers(api: Api, fading: tuple[bool, bool]) -> None:
    """Also where the two leads entered with versions of which only one fades: the score is what the ledgers come to."""
    days = {"a": "2026-01-01T00:00:00Z", "b": "2026-01-08T00:00:00Z"}
    for (user, day), fades in zip(days.items(), fading, strict=True):
        rules = {"login_points": 8, **({"half_life_days": 7} if fades else {})}
        await api.product(scoring_rules=rules, engaged_threshold=1000)
        await api.post("/events/logins", login(event_id=user, crm_user_id=user, occurred_at=day))
    leads = {lead["crm_user_id"]: lead for lead in (await api.get("/leads")).body["items"]}
    await merge(api, leads["b"]["person_id"], leads["a"]["person_id"])
    now = (await api.get(f"/leads/{leads['a']['id']}")).body["engagement_score"]
    told = (await api.get(f"/leads/{leads['a']['id']}/score?at={days['b']}")).body["total"]
    assert now == told == (12 if fading[0] else 16)


async def test_a_merge_takes_the_newer_word_and_an_undo_gives_each_its_own(api: Api) -> None:
    """Field by field; what a login told since then stays with the survivor, the rest is as it was."""
    await api.product(engaged_threshold=1000)
    told = (
        ("a", "01", {"job_title": "Dev", "industry": "toys", "trial_status": "active"}),
        ("b", "02", {"job_title": "CTO", "trial_status": "over"}),
        ("a", "03", {"industry": "cars"}),
    )

    async def log_in(user: str, day: str, fields: dict[str, str]) -> None:
        record = login(event_id=day, crm_user_id=user, occurred_at=f"2026-01-{day}T10:00:00Z", **fields)
        assert (await api.post("/events/logins", record)).body["accepted"] == 1

    for one in told:
        await log_in(*one)
    leads = {lead["crm_user_id"]: lead for lead in (await api.get("/leads")).body["items"]}
    older, younger = leads["a"], leads["b"]

    async def shown(lead: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
        body = (await api.get(f"/leads/{lead['id']}")).body
        said = body["demographics"]
        return said.get("job_title"), said.get("industry"), body["product_context"]["trial_status"]

    for since, after in ((None, ("Dev", "cars", "active")), ({"industry": "art"}, ("Dev", "art", "active"))):
        done = await merge(api, older["person_id"], younger["person_id"])
        assert await shown(older) == ("CTO", "cars", "over")
        if since:
            await log_in("b", "05", since)
        await api.post(f"/persons/merges/{done['merge_id']}/undo")
        assert await shown(older) == after
        assert await shown(younger) == ("CTO", None, "over")
    await log_in("a", "04", {"industry": "late", "trial_status": "longer"})
    assert await shown(older) == ("Dev", "art", "longer")


@pytest.mark.parametrize("days", [{"a": 1, "b": 2}, {"a": 2, "b": 1}])
async def test_the_newer_word_counts_after_a_merge_across_products(api: Api, days: dict[str, int]) -> None:
    """Each has a lead of its own, which the merge leaves alone: their next logins tell of the one person."""
    titles = {"a": "Dev", "b": "CTO"}
    leads = {}
    for user, product_id in (("a", "flowdesk"), ("b", "orbit")):
        await api.product(product_id, engaged_threshold=1000)
        at = f"2026-01-0{days[user]}T10:00:00Z"
        told = {"crm_user_id": user, "product_id": product_id, "job_title": titles[user]}
        counted = await api.post("/events/logins", login(event_id=user, occurred_at=at, **told))
        leads[user] = (await api.get(f"/leads/{counted.body['results'][0]['lead_id']}")).body, told
    await merge(api, leads["b"][0]["person_id"], leads["a"][0]["person_id"])
    for number, user in enumerate(("a", "b", "a"), 3):
        again = login(event_id=f"again{number}", occurred_at=f"2026-01-0{number}T10:00:00Z", **leads[user][1])
        assert (await api.post("/events/logins", again)).body["accepted"] == 1
        for lead, _ in leads.values():
            shown = (await api.get(f"/leads/{lead['id']}")).body["demographics"]["job_title"]
            assert shown == titles[user], (number, user)


async def test_nothing_that_the_other_brought_stays_after_an_undo(api: Api) -> None:
    """Neither ids nor what the other used, though something happened since; what the survivor agreed to since stays."""
    await api.product()
    form = (await api.post("/leads", {"product_id": "flowdesk", "email": "ann@acme.example"})).body
    used = {"feature_usage": ["reports"], "trial_status": "active"}
    await api.post("/events/logins", login(crm_user_id="b", email="b@acme.example", organization_id="org-b", **used))
    (other,) = [lead for lead in (await api.get("/leads")).body["items"] if lead["crm_user_id"] == "b"]
    done = await merge(api, other["person_id"], form["person_id"])
    await api.event(form["id"], "email_open", channel="email", id="since")
    agreed = {"whatsapp": {"status": "granted", "source": "phone call"}}
    assert (await api.call("PUT", f"/persons/{form['person_id']}/consent", agreed)).status == 200
    assert (await api.post(f"/persons/merges/{done['merge_id']}/undo")).status == 200
    after = (await api.get(f"/leads/{form['id']}")).body
    for field in ("crm_user_id", "organization_id", "product_context", "contact_info"):
        assert after[field] == form[field], field
    assert (await api.get(f"/persons/{form['person_id']}/consent")).body["whatsapp"]["status"] == "granted"
    assert (await api.get(f"/persons/{other['person_id']}/consent")).body["whatsapp"]["status"] == "unknown"


async def test_a_stage_that_a_merge_gave_goes_with_it(api: Api) -> None:
    """Also when somebody took it back by a step in the meantime: the survivor is left where it was."""
    older, younger = await two(api)
    for stage in ("Engaged_Lead", "Qualified_Lead"):
        assert (await api.post(f"/leads/{younger['id']}/stage", {"stage": stage})).status == 200
    done = await merge(api, younger["person_id"], older["person_id"])
    assert (await api.post(f"/leads/{older['id']}/stage/revert")).body["stage"] == "Engaged_Lead"
    assert (await api.post(f"/persons/merges/{done['merge_id']}/undo")).status == 200
    assert (await api.get(f"/leads/{older['id']}")).body["stage"] == "User"
    assert (await api.get(f"/leads/{younger['id']}")).body["stage"] == "Qualified_Lead"


async def test_two_whose_points_together_reach_a_threshold_are_lifted_by_the_merge(api: Api) -> None:
    """With its handoff, as any event would; the undo lowers, and the counts are as they were."""
    older, younger = await two(api)
    rules = {"login_points": 5, "qualification_threshold": 25}
    await api.product("orbit", engaged_threshold=15, scoring_rules=rules)
    leads = []
    for user, count in (("a", 3), ("b", 2)):
        for number in range(count):
            one = login(event_id=f"o{user}{number}", crm_user_id=user, product_id="orbit")
            counted = (await api.post("/events/logins", one)).body["results"][0]
        leads.append(counted["lead_id"])
    path, funnel = f"/leads/{leads[0]}", "/analytics/funnel?product_id=orbit"
    counted_before = (await api.get(funnel)).body
    done = await merge(api, younger["person_id"], older["person_id"])
    assert (await api.get(path)).body["stage"] == "Qualified_Lead"
    last = (await api.get(f"{path}/audit")).body["items"][-1]
    assert (last["to"], last["reason"]) == ("Qualified_Lead", "merged with another lead: together their score is 25")
    assert len((await api.get("/handoffs")).body["items"]) == 1
    assert (await api.post(f"/persons/merges/{done['merge_id']}/undo")).status == 200
    stages = [(await api.get(f"/leads/{id}")).body["stage"] for id in leads]
    assert stages == ["Engaged_Lead", "User"]
    assert (await api.get(funnel)).body == counted_before


async def clicked(api: Api, email: str, *ids: str) -> dict[str, Any]:
    """A lead with clicks."""
    lead = (await api.post("/leads", {"product_id": "flowdesk", "email": email})).body
    for id in ids:
        assert (await api.event(lead["id"], "email_click", channel="email", id=id)).status == 202
    return dict(lead)


async def judged(api: Api, event_id: str) -> list[float]:
    """The score of the event's lead when the event is called a machine's, and when that is taken back."""
    path = f"/events/api:{event_id}/reclassify"
    return [(await api.post(path, {"machine": machine})).body["engagement_score"] for machine in (True, False)]


async def test_after_a_merge_each_event_counts_by_the_rules_of_its_own_lead(api: Api) -> None:
    """Calling a click a machine's and taking that back leads to the same score, whatever the leads' versions."""
    rules = {"email_engagement_multiplier": 1, "qualification_threshold": 1000}
    await api.product(engaged_threshold=1000, scoring_rules={**rules, "email_click_points": 6})
    older = await clicked(api, "a@acme.example", "a")
    await api.product(engaged_threshold=1000, scoring_rules={**rules, "email_click_points": 15})
    younger = await clicked(api, "b@acme.example", "b")
    await merge(api, younger["person_id"], older["person_id"])
    assert (await api.get(f"/leads/{older['id']}")).body["engagement_score"] == 21
    assert await judged(api, "b") == [6, 21]
    assert await judged(api, "a") == [15, 21]


async def test_after_a_merge_each_lead_had_a_days_cap_of_its_own(api: Api) -> None:
    """Counting anew comes to what the merge came to."""
    rules = {"email_click_points": 4, "email_engagement_multiplier": 1, "qualification_threshold": 1000}
    await api.product(engaged_threshold=1000, scoring_rules={**rules, "daily_caps": {"email_click": 6}})
    older = await clicked(api, "a@acme.example", "a1", "a2")
    younger = await clicked(api, "b@acme.example", "b1")
    await merge(api, younger["person_id"], older["person_id"])
    assert (await api.get(f"/leads/{older['id']}")).body["engagement_score"] == 10
    assert await judged(api, "b1") == [6, 10]
    assert await judged(api, "a1") == [8, 10]


async def test_what_befalls_an_absorbed_lead_is_told_of_the_survivor(api: Api) -> None:
    """As all that happens on it from then on, so that who listens hears one lead's story in order."""
    older, younger = await two(api)
    await merge(api, younger["person_id"], older["person_id"])
    server, told = api.server, []

    class Listener:
        def concerns(self, facts: Facts) -> bool:
            told.append((facts.lead_id, facts.lead.absorbed))
            return False

        async def read(self, store: Store, facts: Facts) -> None: ...

        def decide(self, facts: Facts, known: None) -> list[Change]:
            return []

    async def effect(_: Loaded) -> Effect:
        return Effect([Increment(Kind.COUNTERS, "c", 1, {})])

    await Recorder(server.store, server.catalog, now, (Listener(),)).settle(younger["id"], effect)
    assert told == [(older["id"], (younger["id"],))]
