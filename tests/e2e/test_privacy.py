"""What is held about a person is told whole, and removed whole."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from channels.outbox import OutboxSender
from channels.sending import Outgoing, SendOutcome
from tests.e2e.client import Api, login
from tracker.errors import NotFound
from tracker.privacy import BY_ID, OF_LEAD, OF_NOBODY, OF_PERSON, SEARCHED, Erasure
from tracker.store import sqlite
from tracker.store.mongo import MongoStore
from tracker.store.port import Insert, Replace, Store
from tracker.store.schema import Kind
from tracker.store.sqlite import SqliteStore
from tracker.store.sqlite_backup import snapshot
from tracker.times import instant, now

CANARY = "canary7f3"
MAIL = f"{CANARY}@acme.example"
NUMBER = "+4915155507373"


async def dump(store: Store) -> str:
    """Everything in a store as one text."""
    if isinstance(store, SqliteStore):
        tables = store._read("SELECT name FROM sqlite_schema WHERE type = 'table'", ())
        return "\n".join(str(row) for (table,) in tables for row in store._read(f"SELECT * FROM {table}", ()))
    assert isinstance(store, MongoStore)
    kinds = [[str(d) async for d in store._database[str(kind)].find()] for kind in Kind]
    return "\n".join(text for its in kinds for text in its)


async def canary(api: Api) -> dict[str, Any]:
    """A person whose every field, and whatever it said and was sent, carries the canary."""
    step = {"delay_hours": 0, "channel": "email", "template_id": "hello"}
    template = {
        "template_id": "hello",
        "channel": "email",
        "subject": "Hi {{ person.name }}",
        "text": "{{ person.name }}",
    }
    assert (await api.post("/templates", template)).status < 300
    await api.post(
        "/subscriptions", {"url": "https://hooks.example.com/x", "types": ["lead.created", "lead.stage_changed"]}
    )
    await api.product(nurturing_sequences=[{"stage": "User", "messages": [step]}])
    fields = {name: f"{CANARY} {name}" for name in ("name", "job_title", "company_size", "industry", "trial_status")}
    known = {"crm_user_id": f"u-{CANARY}", "email": MAIL, "phone": NUMBER, "organization_name": CANARY}
    await api.post("/events/logins", login(event_id="c1", **known, **fields, feature_usage=[CANARY]))
    (lead,) = (await api.get(f"/leads?q={MAIL}")).body["items"]
    bad = login(event_id=f"c2-{CANARY}", **known, **fields) | {"occurred_at": "never"}
    assert (await api.post("/events/logins", bad, Idempotency_Key="key-3")).body["quarantined"] == 1
    await api.post("/dead-letters", {"workflow": "w", "record": {"email": MAIL, "note": CANARY}, "error": "no"})
    metadata = {"response_data": CANARY}
    await api.event(lead["id"], id="c3", event_type="email_click", channel="email", metadata=metadata)
    await api.put(f"/leads/{lead['id']}", {"demographics": {"city": CANARY}}, Idempotency_Key="k")
    await api.put(f"/leads/{lead['id']}", {"name": f"{CANARY} corrected"})
    await api.post("/leads", {"product_id": "flowdesk", "email": MAIL}, Idempotency_Key="key-1")
    body = {"lead_id": lead["id"], "channel": "email", "text": f"Dear {CANARY}"}
    assert (await api.post("/messages/send", body, Idempotency_Key="key-2")).status == 202
    await api.server.delivery.work()
    for text in (f"I am {CANARY}", "talk to a human please"):
        said = await api.post("/webhooks/rest/webhook", {"sender": CANARY, "message": text,
                                                         "metadata": {"product_id": "flowdesk"}})  # fmt: skip
        assert said.status == 200
    (chat,) = (one for one in (await api.get("/leads")).body["items"] if one["crm_user_id"] is None)
    await api.post(f"/persons/{chat['person_id']}/merge", {"into": lead["person_id"]})
    await api.put(f"/persons/{lead['person_id']}/consent", {"email": {"status": "denied"}})
    for stage in ("Engaged_Lead", "Qualified_Lead"):
        await api.post(f"/leads/{lead['id']}/stage", {"stage": stage, "reason": CANARY})
    return dict((await api.get(f"/leads/{lead['id']}")).body)


@pytest.fixture
async def bystander(api: Api) -> dict[str, Any]:
    """Somebody else, of whom nothing may be touched."""
    await api.post("/events/logins", login(event_id="o1", crm_user_id="other", email="other@acme.example"))
    return dict((await api.get("/leads?q=other")).body["items"][0])


async def test_the_export_tells_everything(api: Api) -> None:
    """Each kind that holds something of the person is in the export, texts opened, merges covered."""
    lead = await canary(api)
    told = (await api.get(f"/leads/{lead['id']}/export")).body
    assert told["person_id"] == lead["person_id"]
    kinds = {"persons", "leads", "lead_events", "lead_audit", "messages", "turns", "conversations", "review", "merges"}
    assert [(e["actor"], *e["fields"]) for e in told["corrections"]] == [
        ("LEADLINE_API_KEY", "demographics/city"),
        ("LEADLINE_API_KEY", "name"),
    ]
    assert told["corrections"][1]["fields"]["name"]["before"] == f"{CANARY} name"
    assert kinds <= told.keys(), told.keys()
    assert len(told["persons"]) == 2
    assert CANARY in str(told["turns"])
    assert {e["event_id"] for e in told["lead_events"]} >= {"c1", "c3"}
    assert (await api.get("/leads/nobody/export")).status == 404


async def test_an_erasure_leaves_nothing_behind(api: Api, bystander: dict[str, Any], store: Store) -> None:
    """The canary was everywhere, and is nowhere: not in the store, not in an answer; the receipt says what went."""
    lead = await canary(api)
    assert (await dump(store)).count(CANARY) > 30
    gone = await api.call("DELETE", f"/leads/{lead['id']}")
    assert gone.status == 200
    assert gone.body["done_at"] is not None
    assert gone.body["counts"]["lead_events"] >= 3
    assert gone.body["counts"]["review"] >= 2
    assert gone.body["counts"]["corrections"] == 2
    (noted,) = [e for e in (await api.get("/audit")).body["items"] if e["action"] == "person.erase"]
    assert (noted["subject"], set(noted["detail"].split(", "))) == (gone.body["erasure_id"], set(gone.body["persons"]))
    rest = await dump(store)
    left = [line[:300] for line in rest.splitlines() if CANARY in line or NUMBER.removeprefix("+") in line]
    assert left == []
    assert (await api.get(f"/leads/{lead['id']}")).status == 404
    assert (await api.call("DELETE", f"/leads/{lead['id']}")).status == 404
    assert (await api.get("/leads")).body["items"] == [bystander]
    assert (await api.get(f"/leads/{bystander['id']}/timeline")).body["items"]


async def test_an_erasure_by_an_old_etag_removes_nobody(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where something happens to the lead while the erasure begins: it goes as its caller knew it, or stays."""
    lead = await api.lead()
    whole = api.server.privacy.whole

    async def late(person_id: str) -> Any:
        await api.event(lead["id"], id="late")
        return await whole(person_id)

    monkeypatch.setattr(api.server.privacy, "whole", late)
    assert (await api.call("DELETE", f"/leads/{lead['id']}", If_Match='"1"')).status == 412
    monkeypatch.undo()
    assert (await api.get(f"/leads/{lead['id']}")).body["version"] == 2
    assert (await api.call("DELETE", f"/leads/{lead['id']}", If_Match='"2"')).status == 200


async def test_who_goes_while_somebody_looks_is_not_there(api: Api, store: Store) -> None:
    """Between a lead and its person another process may erase both: that is nothing that went wrong."""
    lead = await api.lead()
    (found,) = await store.get(Kind.LEADS, lead["id"])
    assert found is not None
    await api.call("DELETE", f"/leads/{lead['id']}")
    with pytest.raises(NotFound):
        await api.server.recorder.loaded(found)


async def test_nothing_waits_for_who_is_gone(api: Api, store: Store) -> None:
    """Events on their way go with their lanes, which nobody would look at again; those of others stay."""
    types = ["lead.created", "engagement.recorded"]
    made = await api.post("/subscriptions", {"url": "https://hooks.example.com/x", "types": types})
    leads = [await api.lead(), await api.lead()]
    for lead in leads:
        await api.event(lead["id"], id=lead["id"])
    lanes = [f"{made.body['id']}:{lead['id']}" for lead in leads]
    assert None not in await store.get(Kind.OUTBOUND_LANES, *lanes)
    gone = await api.call("DELETE", f"/leads/{leads[0]['id']}")
    assert gone.body["counts"]["outbound"] == 2
    assert [lane is None for lane in await store.get(Kind.OUTBOUND_LANES, *lanes)] == [True, False]


async def test_counts_stay_and_say_nothing(api: Api, store: Store) -> None:
    """The analytics keep their anonymous counts."""
    lead = await canary(api)
    before = [line for line in (await dump(store)).splitlines() if "events.email_click" in line]
    await api.call("DELETE", f"/leads/{lead['id']}")
    after = [line for line in (await dump(store)).splitlines() if "events.email_click" in line]
    assert len(before) == len(after) > 0


async def test_an_opt_out_outlives_the_erasure(api: Api) -> None:
    """The same address comes back as a new person, and is still not written to; another address is."""
    lead = await canary(api)
    await api.call("DELETE", f"/leads/{lead['id']}")
    await api.post("/events/logins", login(event_id="n1", crm_user_id="new", email=MAIL))
    await api.post("/events/logins", login(event_id="n2", crm_user_id="fresh", email="fresh@acme.example"))
    came = {one["crm_user_id"]: one for one in (await api.get("/leads")).body["items"]}
    consents = {
        name: (await api.get(f"/persons/{one['person_id']}/consent")).body["email"]["status"]
        for name, one in came.items()
    }
    assert consents == {"new": "denied", "fresh": "unknown"}
    made = (await api.post("/leads", {"product_id": "flowdesk", "crm_user_id": "third"})).body
    await api.call("DELETE", f"/leads/{came['new']['id']}")
    await api.put(f"/leads/{made['id']}", {"email": MAIL})
    assert (await api.get(f"/persons/{made['person_id']}/consent")).body["email"]["status"] == "denied"


async def refused(api: Api, **fields: str) -> tuple[list[str], str, str]:
    """Return what somebody with these addresses, who is met now, does not want: suppressed channels, consents."""
    lead = await api.lead(**{"email": None, **fields})
    kept = (await api.get(f"/persons/{lead['person_id']}/consent")).body
    return [s["channel"] for s in kept["suppressed"]], kept["email"]["status"], kept["whatsapp"]["status"]


async def unsubscribe(api: Api, lead: dict[str, Any], channel: str = "email") -> None:
    assert (await api.event(lead["id"], "unsubscribe", channel=channel)).status == 202


async def test_an_opt_out_holds_for_former_addresses(api: Api) -> None:
    """Who said no and then changed the address comes back with either one, and is not written to."""
    for number, mail in enumerate(("e1@acme.example", "e2@acme.example")):
        await api.post("/events/logins", login(event_id=f"m{number}", email=mail))
        (lead,) = (await api.get("/leads")).body["items"]
        if mail.startswith("e1"):
            await unsubscribe(api, lead)
    await api.call("DELETE", f"/leads/{lead['id']}")
    await api.post("/events/logins", login(event_id="m3", crm_user_id="new", email="e1@acme.example"))
    (back,) = (await api.get("/leads")).body["items"]
    kept = (await api.get(f"/persons/{back['person_id']}/consent")).body
    assert [s["channel"] for s in kept["suppressed"]] == ["email"]
    assert (await refused(api, email="e2@acme.example"))[0] == ["email"]
    assert (await refused(api, email="e3@acme.example"))[0] == []


async def test_an_opt_out_holds_for_who_types_the_address_in_a_chat(api: Api) -> None:
    """Saying one's address again to the assistant is no consent."""
    lead = await api.lead(email="gone@acme.example")
    await unsubscribe(api, lead)
    await api.call("DELETE", f"/leads/{lead['id']}")
    for text in ("I want a demo", "my email is gone@acme.example"):
        body = {"sender": "visitor", "message": text, "metadata": {"product_id": "flowdesk"}}
        assert (await api.post("/webhooks/rest/webhook", body)).status == 200
    (back,) = (await api.get("/leads")).body["items"]
    person = (await api.server.recorder.load(back["id"])).person
    assert person.email == "gone@acme.example"
    assert [stop.channel for stop in person.suppressions] == ["email"]


async def test_of_a_bad_address_only_that_is_remembered(api: Api) -> None:
    """Who comes back with it is not written to there, and may be at any other address, as before."""
    lead = await api.lead(email="typo@acme.example")
    await api.event(lead["id"], "email_bounce", channel="email")
    await api.put(f"/leads/{lead['id']}", {"email": "right@acme.example"})
    await api.call("DELETE", f"/leads/{lead['id']}")
    assert (await refused(api, email="right@acme.example"))[0] == []
    assert (await refused(api, email="typo@acme.example"))[0] == ["email"]
    back = await api.lead(email="typo@acme.example")
    (stop,) = (await api.server.recorder.load(back["id"])).person.suppressions
    assert (stop.scope, stop.address) == ("all", "typo@acme.example")


async def test_an_opt_out_holds_for_the_addresses_of_both_who_were_merged(api: Api) -> None:
    """Also for the one that lost against the CRM's newer word."""
    one = await api.lead(email="ea@acme.example")
    await unsubscribe(api, one)
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    await api.post("/events/logins", login(event_id="m1", email="eb@acme.example", occurred_at=ahead))
    other = next(lead for lead in (await api.get("/leads")).body["items"] if lead["crm_user_id"])
    done = (await api.post(f"/persons/{one['person_id']}/merge", {"into": other["person_id"]})).body
    lead = (await api.get(f"/leads/{one['id']}")).body
    assert (done["survivor"], lead["contact_info"]["email"]) == (one["person_id"], "eb@acme.example")
    await api.call("DELETE", f"/leads/{lead['id']}")
    for mail in ("ea@acme.example", "eb@acme.example"):
        assert (await refused(api, email=mail))[0] == ["email"]


async def test_an_opt_out_holds_for_each_number(api: Api, store: Store) -> None:
    """A phone, and another number on WhatsApp: a no on WhatsApp is one for both."""
    lead = await api.lead(email="w@acme.example", phone="+4915155500001")
    (found,) = await store.get(Kind.PERSONS, lead["person_id"])
    assert found is not None
    key = {"person_id": lead["person_id"]}
    await store.commit(
        Replace(found.kind, found.id, found.version, {**found.body, "whatsapp_id": "4915155500002"}),
        Insert(Kind.PERSON_KEYS, "whatsapp:4915155500002", key),
    )
    await unsubscribe(api, lead, "whatsapp")
    await api.call("DELETE", f"/leads/{lead['id']}")
    for number in ("+4915155500001", "+4915155500002"):
        assert (await refused(api, phone=number))[2] == "denied"


ABOUT: dict[str, dict[str, Any]] = {
    "a former address": {"record": {"mail": "e1@acme.example"}},
    "a number as it was typed": {"record": {"phone": "+49 (151) 1234 0777"}},
    "an address in a sentence": {"record": {"text": "mail e2@acme.example bounced"}},
    "an address with its name": {"record": {"to": "Zed <E1@acme.example>"}},
    "an address in the error": {"record": {}, "error": "550 e1@acme.example: no such user"},
}
"""Dead letters that tell of one person."""

NOT_ABOUT = {"record": {"mail": "jane1@acme.example", "phone": "+49 151 1234 07777"}}
"""A dead letter that tells of somebody else."""


async def test_what_names_the_person_in_any_way_is_told_and_removed(api: Api) -> None:
    """By a former or a losing address, typed anyhow, inside other text; what names somebody else stays."""
    known = {"email": "e1@acme.example", "phone": "+4915112340777"}
    await api.post("/events/logins", login(event_id="m1", **known))
    bad = login(event_id="m2", email="e1@acme.example") | {"occurred_at": "never"}
    ids = [(await api.post("/events/logins", bad)).body["results"][0]["review_id"]]
    for letter in (*ABOUT.values(), NOT_ABOUT):
        reply = await api.post("/dead-letters", {"workflow": "w", "error": "failed", **letter})
        ids.append(reply.body["review_id"])
    lost = await api.lead(email="lost@acme.example")
    await api.post("/events/logins", login(event_id="m3", email="e2@acme.example"))
    lead = next(lead for lead in (await api.get("/leads")).body["items"] if lead["crm_user_id"])
    await api.post(f"/persons/{lost['person_id']}/merge", {"into": lead["person_id"]})
    letter = {"workflow": "w", "record": {"mail": "lost@acme.example"}, "error": "failed"}
    ids.insert(0, (await api.post("/dead-letters", letter)).body["review_id"])
    told = (await api.get(f"/leads/{lead['id']}/export")).body
    *mine, other = ids
    assert {item["id"] for item in told["review"]} == set(mine)
    assert (await api.call("DELETE", f"/leads/{lead['id']}")).body["counts"]["review"] == len(mine)
    assert [(await api.get(f"/review/{id}")).status for id in ids] == [404] * len(mine) + [200]
    assert (await api.get(f"/review/{other}")).body["input"] == NOT_ABOUT["record"]


async def test_who_has_a_short_id_in_the_crm_is_told_of_nobody_else(api: Api) -> None:
    """To a CRM its users may be 1, 2, 3, and so are versions and counts. Of such a person nothing of others is told or
    removed; a record that has this id for its user is theirs.
    """
    one = await api.lead(crm_user_id="1", email="one@acme.example")
    await api.post("/leads", {"product_id": "flowdesk", "email": "two@acme.example"}, Idempotency_Key="k-2")
    await api.post("/events/logins", login(crm_user_id="3", email="three@acme.example"), Idempotency_Key="k-3")
    seats = {"workflow": "w", "record": {"mail": "four@acme.example", "seats": 1, "event_id": "1"}, "error": "no"}
    other = (await api.post("/dead-letters", seats)).body["review_id"]
    bad = login(crm_user_id="1", event_id="x") | {"occurred_at": "never"}
    (mine,) = (await api.post("/events/logins", bad)).body["results"]
    told = (await api.get(f"/leads/{one['id']}/export")).body
    assert [item["id"] for item in told["review"]] == [mine["review_id"]]
    assert "idempotency" not in told
    assert (await api.call("DELETE", f"/leads/{one['id']}")).body["counts"]["review"] == 1
    assert (await api.get(f"/review/{other}")).status == 200


async def test_users_of_two_crms_with_one_id_are_told_apart(api: Api) -> None:
    """What names the CRM is its user's alone, in the export and for the erasure; what names none may be either's."""
    one = await api.lead(crm_user_id="7", source="hubspot", email="one@acme.example")
    other = await api.lead(crm_user_id="7", source="zoho", email="other@acme.example")
    ids = {}
    for source in ("hubspot", "zoho", None):
        bad = login(crm_user_id="7", event_id="x", email=None) | {"occurred_at": "never", "source": source}
        letter = {"workflow": "w", "record": {"source": source, "crm_user_id": 7}, "error": "no"}
        (kept,) = (await api.post("/events/logins", bad)).body["results"]
        ids[source] = {kept["review_id"], (await api.post("/dead-letters", letter)).body["review_id"]}
    told = (await api.get(f"/leads/{one['id']}/export")).body
    assert {item["id"] for item in told["review"]} == ids["hubspot"] | ids[None]
    assert (await api.call("DELETE", f"/leads/{one['id']}")).body["counts"]["review"] == 4
    told = (await api.get(f"/leads/{other['id']}/export")).body
    assert {item["id"] for item in told["review"]} == ids["zoho"]


async def test_answers_kept_for_repeats_are_told(api: Api) -> None:
    """What an erasure removes, an export has told."""
    made = await api.post("/leads", {"product_id": "flowdesk", "email": "ann@acme.example"}, Idempotency_Key="k-1")
    await api.post("/leads", {"product_id": "flowdesk", "email": "joann@acme.example"}, Idempotency_Key="k-2")
    told = (await api.get(f"/leads/{made.body['id']}/export")).body
    assert [kept["answer"]["id"] for kept in told["idempotency"]] == [made.body["id"]]
    assert (await api.call("DELETE", f"/leads/{made.body['id']}")).body["counts"]["idempotency"] == 1


async def test_messages_in_the_outbox_go_too(api: Api, tmp_path: Path) -> None:
    """The demo wrote them as files: those of the person are gone, those of others stay."""
    leads = [await api.lead(email=f"{CANARY}@acme.example", phone=NUMBER), await api.lead(email="other@acme.example")]
    await api.put(f"/persons/{leads[0]['person_id']}/consent", {"whatsapp": {"status": "granted"}})
    await api.event(leads[0]["id"], "whatsapp_reply", channel="whatsapp", timestamp=instant(now()))
    for lead, channel in ((leads[0], "email"), (leads[0], "whatsapp"), (leads[1], "email")):
        body = {"lead_id": lead["id"], "channel": channel, "text": "Hello"}
        assert (await api.post("/messages/send", body)).status == 202
    await api.server.delivery.work()
    outbox = tmp_path / "outbox"
    assert sorted(file.suffix for file in outbox.iterdir()) == [".eml", ".eml", ".json"]
    await api.call("DELETE", f"/leads/{leads[0]['id']}")
    (left,) = outbox.iterdir()
    assert b"other@acme.example" in left.read_bytes()


async def test_a_mail_that_is_being_written_goes_too(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It becomes a file when its person is gone already, and does not stay one."""
    lead, other = await api.lead(email=MAIL), await api.lead(email="other@acme.example")
    send, at_work, go_on = OutboxSender.send, asyncio.Event(), asyncio.Event()

    async def slowly(sender: OutboxSender, outgoing: Outgoing) -> SendOutcome:
        if outgoing.to == MAIL:
            at_work.set()
            await go_on.wait()
        return await send(sender, outgoing)

    monkeypatch.setattr(OutboxSender, "send", slowly)
    for one in (lead, other):
        body = {"lead_id": one["id"], "channel": "email", "text": "Hello"}
        assert (await api.post("/messages/send", body)).status == 202
    work = asyncio.create_task(api.server.delivery.work())
    await at_work.wait()
    assert (await api.call("DELETE", f"/leads/{lead['id']}")).status == 200
    go_on.set()
    await work
    (left,) = (tmp_path / "outbox").iterdir()
    assert b"other@acme.example" in left.read_bytes()


async def test_the_files_of_the_database_hold_nothing(api: Api, store: Store) -> None:
    """Neither the database nor its log has a trace of what was deleted."""
    if not isinstance(store, SqliteStore):
        pytest.skip("MongoDB's files are its own affair")
    lead = await canary(api)
    files = [store._path, store._path.with_name(f"{store._path.name}-wal")]
    assert any(CANARY.encode() in file.read_bytes() for file in files)
    await api.call("DELETE", f"/leads/{lead['id']}")
    assert [CANARY.encode() in file.read_bytes() for file in files] == [False, False]


async def test_a_log_that_is_in_use_is_emptied_later(
    api: Api, store: Store, sqlite_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that reads meanwhile is left alone: the erasure is complete, and the next look empties the log."""
    if not isinstance(store, SqliteStore):
        pytest.skip("MongoDB's files are its own affair")
    lead = await api.lead(email=MAIL)
    monkeypatch.setattr(sqlite, "SCRUB_MS", 1)
    log = sqlite_path.with_name(f"{sqlite_path.name}-wal")
    with snapshot(sqlite_path):
        assert (await api.call("DELETE", f"/leads/{lead['id']}")).body["done_at"] is not None
        assert CANARY.encode() in log.read_bytes()
        await api.server.privacy.resume()
        assert log.stat().st_size
    await api.server.privacy.resume()
    assert log.stat().st_size == 0


async def test_every_change_of_consent_is_kept(api: Api) -> None:
    """Channel, basis, source and time, in the lead's story, the export and the audit, whatever came after; an erasure
    removes it, and the audit tells of nobody.
    """
    lead = await api.lead(email=MAIL)
    path = f"/persons/{lead['person_id']}/consent"
    denied = {"status": "denied", "basis": f"{CANARY} called", "source": "desk", "at": "2026-01-05T10:00:00Z"}
    await api.put(path, {"email": denied})
    await api.put(path, {"email": {"status": "granted", "basis": "form"}, "whatsapp": {"status": "granted"}})
    items = [e for e in (await api.get(f"/leads/{lead['id']}/timeline")).body["items"] if e["kind"] == "consent"]
    assert [(e["channel"], e["before"], e["status"], e["basis"], e["source"]) for e in items] == [
        ("email", "unknown", "denied", f"{CANARY} called", "desk"),
        ("email", "denied", "granted", "form", "api"),
        ("whatsapp", "unknown", "granted", None, "api"),
    ]
    assert items[0]["given_at"] == "2026-01-05T10:00:00.000Z"
    assert items[0]["at"] <= items[1]["at"]
    told = (await api.get(f"/leads/{lead['id']}/export")).body["consents"]
    assert [(e["channel"], e["after"]["status"], e["before"]["basis"]) for e in told] == [
        ("email", "denied", None),
        ("email", "granted", f"{CANARY} called"),
        ("whatsapp", "granted", None),
    ]
    noted = [e for e in (await api.get("/audit")).body["items"] if e["action"] == "person.consent"]
    assert [(e["subject"], e["actor"], e["detail"]) for e in reversed(noted)] == [
        (lead["person_id"], "LEADLINE_API_KEY", "email denied"),
        (lead["person_id"], "LEADLINE_API_KEY", "email granted, whatsapp granted"),
    ]
    receipt = (await api.call("DELETE", f"/leads/{lead['id']}")).body
    assert receipt["counts"]["consents"] == 3
    assert CANARY not in await dump(api.server.store)


async def test_the_history_of_consent_covers_both_who_were_merged(api: Api) -> None:
    """Neither loses what was said before, and both go with an erasure."""
    one, other = await api.lead(), await api.lead()
    for lead in (one, other):
        await api.event(lead["id"], "unsubscribe", channel="whatsapp")
    await api.post(f"/persons/{one['person_id']}/merge", {"into": other["person_id"]})
    items = (await api.get(f"/leads/{one['id']}/timeline")).body["items"]
    assert [e["basis"] for e in items if e["kind"] == "consent"] == ["unsubscribe", "unsubscribe"]
    assert (await api.call("DELETE", f"/leads/{one['id']}")).body["counts"]["consents"] == 2


@pytest.mark.parametrize("goes", ["whose the values were", "whose the lead is"])
async def test_a_correction_between_a_merge_and_its_undo_goes_with_either(api: Api, store: Store, goes: str) -> None:
    """It tells of the one under the other's lead."""
    await api.product("other")
    one = await api.lead(name=f"{CANARY} before")
    other = await api.lead(product_id="other")
    done = (await api.post(f"/persons/{other['person_id']}/merge", {"into": one["person_id"]})).body
    await api.put(f"/leads/{other['id']}", {"name": "Somebody"})
    assert (await api.post(f"/persons/merges/{done['merge_id']}/undo")).status == 200
    assert (await api.get(f"/leads/{other['id']}")).body["person_id"] == other["person_id"]
    lead = one if goes == "whose the values were" else other
    assert len((await api.get(f"/leads/{lead['id']}/export")).body["corrections"]) == 1
    assert (await api.call("DELETE", f"/leads/{lead['id']}")).body["counts"]["corrections"] == 1
    assert (CANARY in await dump(store)) == (lead is other)  # the name that one of them still has


async def test_an_erasure_that_was_cut_off_goes_on(api: Api, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash in the middle: the person is unreachable at once, and the next tick removes the rest."""
    lead = await canary(api)
    privacy = api.server.privacy
    removed = 0

    async def crash(document: Any, original: Any = privacy._remove) -> int:
        nonlocal removed
        removed += 1
        if removed == 3:
            raise asyncio.CancelledError
        return int(await original(document))

    monkeypatch.setattr(privacy, "_remove", crash)
    with pytest.raises(asyncio.CancelledError):
        await privacy.erase(lead["person_id"], by="tests")
    assert (await api.get(f"/leads/{lead['id']}")).status == 404
    monkeypatch.undo()
    assert await privacy.resume() == 1
    assert await privacy.resume() == 0
    assert CANARY not in await dump(store)


async def test_two_may_finish_one_erasure(api: Api, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick that comes upon an erasure under way helps it on: nobody is in the other's way, and the receipt counts
    what either removed, once.
    """
    lead = await canary(api)
    privacy = api.server.privacy
    told = await privacy.export(lead["person_id"])
    original, calls = privacy._remove, 0

    async def helped(document: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 3:
            assert await privacy.resume() == 1
        return await original(document)

    monkeypatch.setattr(privacy, "_remove", helped)
    receipt = await privacy.erase(lead["person_id"], by="tests")
    assert not receipt.erasure.running
    assert receipt.erasure.counts == {kind: len(its) for kind, its in told.items() if isinstance(its, list)}
    (kept,) = await store.get(Kind.ERASURES, receipt.id)
    assert kept is not None
    assert Erasure.read(kept.body) == receipt.erasure
    assert CANARY not in await dump(store)


def test_every_kind_has_its_place() -> None:
    """A new kind of document says whether it holds something of people, and how that is found."""
    placed = {index.kind for index in (*OF_LEAD, *OF_PERSON, *SEARCHED)} | BY_ID | OF_NOBODY
    assert placed == set(Kind)


async def test_what_others_wrote_meanwhile_is_no_obstacle(api: Api, store: Store) -> None:
    """A document that changes while it is being erased is erased all the same."""
    lead = await canary(api)
    busy = True

    async def writer() -> None:
        number = 0
        while busy:
            number += 1
            await store.commit(
                Insert(Kind.COUNTERS, f"x{number}", {"day": "", "product_id": "", "metric": "", "value": 1})
            )
            await asyncio.sleep(0)

    task = asyncio.create_task(writer())
    assert (await api.call("DELETE", f"/leads/{lead['id']}")).status == 200
    busy = False
    await task
    assert CANARY not in await dump(store)


async def test_somebody_whom_an_earlier_version_wrote_is_told_and_erased(api: Api, store: Store) -> None:
    """Documents from before there were merges lack their fields: that keeps nobody from what they may ask for."""
    lead = await api.lead(email="old@acme.example")
    since = {"absorbed", "merged_into", "nurtured", "seen", "answered", "staged_at", "capped"}
    for kind, id in ((Kind.PERSONS, lead["person_id"]), (Kind.LEADS, lead["id"])):
        (found,) = await store.get(kind, id)
        assert found is not None
        before = {name: value for name, value in found.body.items() if name not in since}
        await store.commit(Replace(kind, id, found.version, before))
    assert (await api.get(f"/leads/{lead['id']}/export")).body["persons"][0]["email"] == "old@acme.example"
    assert (await api.call("DELETE", f"/leads/{lead['id']}")).body["counts"]["persons"] == 1
