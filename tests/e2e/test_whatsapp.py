"""WhatsApp over HTTP: signed in, answered out, and what became of it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from channels.answering import STARTED
from channels.states import State
from channels.tokens import Tokens
from channels.tracking import Addresses
from channels.twilio_routes import Signatures
from config.app import Server, build
from config.settings import Settings
from tests.channels.twilio import CUT, SENDER, SID, TOKEN, FakeTwilio, Says, encoded, inbound, serve_twilio, signed
from tests.e2e.client import ADMIN, Api, Reply, login
from tests.fakes import Clock
from tests.talking import Parrot
from tracker.errors import Forbidden, Malformed
from tracker.events import Channel
from tracker.person import Person
from tracker.store.port import Insert, Store
from tracker.store.schema import (
    EVENTS_BY_LEAD,
    INBOX_WAITING,
    LEADS_ALL,
    MESSAGES_BY_LEAD,
    REVIEW_ALL,
    TURNS_BY_LEAD,
    Kind,
)

BASE = "http://leadline.test"
IN, STATUS = "/webhooks/twilio/whatsapp", "/webhooks/twilio/status"
PHONE = "+4915112345678"
EMPTY = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'


@pytest.fixture
async def twilio() -> AsyncIterator[FakeTwilio]:
    async with serve_twilio() as fake:
        yield fake


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def server(store: Store, tmp_path: Path, twilio: FakeTwilio, clock: Clock) -> AsyncIterator[Server]:
    """A server with a Twilio account and an engine that repeats. Its workers run when a test says so."""
    given = Settings(
        data=tmp_path,
        api_key=ADMIN,
        twilio_account_sid=SID,
        twilio_auth_token=TOKEN,
        twilio_whatsapp_from=SENDER,
        twilio_api_url=twilio.url,
    )
    made = build(given, store, secrets=["s" * 20], base_url=BASE, clock=clock, engine=Parrot())
    yield made
    for sender in made.senders.values():
        await sender.close()


async def write(api: Api, text: str = "Hi", sid: str = "SM" + "1" * 32, **more: str) -> Reply:
    """Write to the server by WhatsApp."""
    return await tell(api, IN, inbound(text, sid, **more))


async def tell(api: Api, path: str, form: Mapping[str, Any], *, token: str = TOKEN) -> Reply:
    headers = {name.replace("-", "_"): value for name, value in signed(BASE + path, form, token=token).items()}
    return await api.call("POST", path, raw=encoded(form), key=None, **headers)


async def answer(api: Api) -> None:
    """Answer what came in, and send what is due."""
    while await api.server.inbox.work() or await api.server.delivery.work():
        pass


async def lead_of(api: Api) -> str:
    (lead,) = (await api.server.store.find(LEADS_ALL)).items
    return lead.id


async def person_of(api: Api) -> Person:
    return (await api.server.recorder.load(await lead_of(api))).person


async def events_of(api: Api) -> list[str]:
    found = await api.server.store.find(EVENTS_BY_LEAD, await lead_of(api))
    return [event.body["event_type"] for event in found.items]


def said(twilio: FakeTwilio) -> list[str]:
    return [form["Body"] for form in twilio.taken]


# Signatures


@pytest.mark.parametrize("path", [IN, STATUS])
async def test_what_twilio_did_not_sign_is_refused(api: Api, path: str):
    """No signature, another token's, another address's, another form's: 403, and nothing is kept."""
    form = inbound("Hi")
    good = RequestValidator(TOKEN).compute_signature(BASE + path, form)
    for signature, sent, where in (
        (None, form, path),
        ("", form, path),
        ("bm90IGl0", form, path),
        ("é" * 20, form, path),
        (good[:-2] + "x=", form, path),
        (RequestValidator("another-token").compute_signature(BASE + path, form), form, path),
        (good, {**form, "Body": "Ho"}, path),
        (good, {**form, "More": ""}, path),
        (good, form, path + "?x=1"),
        (good, form, path + "?"),
    ):
        headers = {"Content_Type": "application/x-www-form-urlencoded"}
        if signature is not None:
            headers["X_Twilio_Signature"] = signature
        reply = await api.call("POST", where, raw=encoded(sent), key=None, **headers)
        if where.endswith("?"):  # no part of the address
            assert reply.status in {HTTPStatus.OK, HTTPStatus.FORBIDDEN}
            continue
        assert reply.status == HTTPStatus.FORBIDDEN, (signature, where)
    assert len((await api.server.store.find(INBOX_WAITING)).items) <= 1


@pytest.mark.parametrize(
    ("raw", "kind", "status"),
    [
        (b"\xff\xfe=1", "application/x-www-form-urlencoded", 400),
        (b"Body=%ff%fe", "application/x-www-form-urlencoded", 400),
        (b"a=1&" * 2000, "application/x-www-form-urlencoded", 400),
        (b"", "application/x-www-form-urlencoded", 403),
        (b"{}", "application/json", 403),
        (b"Hi", "text/plain", 415),
        (b"x" * (2 * 1024 * 1024 + 1), "application/x-www-form-urlencoded", 413),
    ],
)
@pytest.mark.parametrize("path", [IN, STATUS])
async def test_what_is_no_form_is_refused(api: Api, path: str, raw: bytes, kind: str, status: int):
    """With a plain 4xx, and never because it broke something."""
    reply = await api.call("POST", path, raw=raw or b" ", key=None, Content_Type=kind, X_Twilio_Signature="c2ln")
    assert reply.status == status


async def test_a_signed_form_of_no_message_is_refused(api: Api):
    """It is Twilio's, and yet nothing to keep."""
    assert (await tell(api, IN, {"Body": "Hi"})).status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert (await tell(api, STATUS, {"MessageStatus": "sent"})).status == HTTPStatus.OK


async def test_a_json_body_is_signed_by_its_hash(api: Api):
    """The address names the hash of the body; without it, or with another body's, it is refused."""
    raw = orjson.dumps(inbound("Hi"))
    path = f"{IN}?bodySHA256={hashlib.sha256(raw).hexdigest()}"
    signature = RequestValidator(TOKEN).compute_signature(BASE + path, {})
    assert (await api.call("POST", path, raw=raw, key=None, X_Twilio_Signature=signature)).status == HTTPStatus.OK
    assert (await api.call("POST", path, raw=raw + b" ", key=None, X_Twilio_Signature=signature)).status == 403
    unhashed = RequestValidator(TOKEN).compute_signature(BASE + IN, {})
    assert (await api.call("POST", IN, raw=raw, key=None, X_Twilio_Signature=unhashed)).status == 403
    await answer(api)
    assert "whatsapp_reply" in await events_of(api)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
forms = st.dictionaries(texts, st.one_of(texts, st.lists(texts, min_size=1, max_size=3)), max_size=8)


@settings(max_examples=100)
@given(forms, st.from_regex(r"[a-c/%=&]{0,5}([?]q=[a-c/%=&?]{0,5})?", fullmatch=True))
def test_what_twilio_signs_is_taken_whole(form: dict[str, Any], path: str):
    """Whatever the fields: what the SDK signs is taken, field by field; changed in any way it is not."""
    from multidict import MultiDict

    pairs = [(k, v) for k, vs in form.items() for v in (vs if isinstance(vs, list) else [vs])]
    signature = RequestValidator(TOKEN).compute_signature(BASE + "/" + path, MultiDict(pairs))
    checks, text = Signatures(TOKEN, BASE), urlencode(pairs)
    assert list(checks.of_form("/" + path, text, signature).items()) == pairs
    for other, url in ((urlencode([*pairs, ("added", "x")]), path), (text, path + "b")):
        with pytest.raises((Forbidden, Malformed)):
            checks.of_form("/" + url, other, signature)
    with pytest.raises(Forbidden):
        Signatures("another", BASE).of_form("/" + path, text, signature)


async def test_without_settings_everything_is_refused(store: Store, bare: Api, tmp_path: Path):
    """A server without a Twilio account has nobody who may call."""
    off = build(Settings(data=tmp_path), store, secrets=["s" * 20], base_url=BASE)
    assert [r.path for r in off.routes if "twilio" in r.path] == [IN, STATUS]
    (readiness,) = [r.handler for r in off.routes if r.path == "/readyz"]
    shown: Any = await readiness(None)
    assert shown.body["checks"]["whatsapp"].startswith("off: LEADLINE_TWILIO_ACCOUNT_SID")
    assert (await bare.get("/readyz")).body["checks"]["whatsapp"] == "on"


# The way in and out


async def test_somebody_writes_and_is_answered(api: Api, twilio: FakeTwilio):
    """A person and a lead are made, the answer goes to whoever wrote, and the ledger tells both."""
    reply = await write(api, "What does it cost?")
    assert (reply.status, reply.raw, reply.headers["Content-Type"]) == (200, EMPTY, "text/xml")
    await answer(api)
    (form,) = twilio.taken
    assert (form["To"], form["Body"]) == (f"whatsapp:{PHONE}", "You said: What does it cost?")
    person = await person_of(api)
    assert (person.whatsapp_id, person.phone) == (PHONE[1:], PHONE)
    assert (person.whatsapp_consent.status, person.whatsapp_consent.basis) == ("granted", "wrote first")
    assert sorted(await events_of(api)) == ["whatsapp_reply", "whatsapp_sent"]


async def test_a_repeat_is_answered_alike_and_does_nothing(api: Api, twilio: FakeTwilio):
    """Twilio tells a message again when our answer was lost."""
    for _ in range(3):
        assert (await write(api)).raw == EMPTY
        await answer(api)
    assert said(twilio) == ["You said: Hi"]


async def test_quick_messages_are_answered_in_order(api: Api, twilio: FakeTwilio):
    """One after the other, once each."""
    for n in range(5):
        await write(api, f"Number {n}", f"SM{n * 7 % 5:032x}")
    await answer(api)
    turns = await api.server.store.find(TURNS_BY_LEAD, await lead_of(api))
    assert sorted(turns.items, key=lambda turn: turn.body["number"]) == sorted(
        turns.items, key=lambda turn: turn.body["text"]
    )
    assert sorted(said(twilio)) == [f"You said: Number {n}" for n in range(5)]


async def test_a_lead_of_the_crm_is_known_by_its_number(api: Api):
    """Who writes from a number that the CRM told is that lead, not a stranger."""
    lead = await api.lead(phone=PHONE)
    await write(api)
    await answer(api)
    assert await lead_of(api) == lead["id"]


async def test_what_it_is_about_is_the_lead_last_written_to(api: Api, clock: Clock):
    """The lead that WhatsApp was last about, else the newest one."""
    await api.product("gridwise")
    first = await api.lead(email="dana@example.com", phone=PHONE)
    second = await api.lead(email="dana@example.com", product_id="gridwise")
    assert first["person_id"] == second["person_id"]
    await write(api, sid="SM" + "1" * 32)
    await answer(api)
    turns = api.server.store
    assert len((await turns.find(TURNS_BY_LEAD, second["id"])).items) == 1

    await api.post("/messages/send", {"lead_id": first["id"], "channel": "whatsapp", "text": "About Flowdesk"})
    await answer(api)
    await write(api, sid="SM" + "2" * 32)
    await answer(api)
    assert len((await turns.find(TURNS_BY_LEAD, first["id"])).items) == 1
    await write(api, sid="SM" + "3" * 32)
    await answer(api)
    assert len((await turns.find(TURNS_BY_LEAD, first["id"])).items) == 2


async def test_without_a_product_a_person_looks_at_it(api: Api):
    """Two products, no default, nobody knows which is meant: kept, acknowledged, and put before a person."""
    await api.product("gridwise")
    assert (await write(api)).status == HTTPStatus.OK
    await answer(api)
    (item,) = (await api.server.store.find(REVIEW_ALL)).items
    assert item.body["kind"] == "inbound"
    assert "LEADLINE_DEFAULT_PRODUCT" in item.body["error"]
    reviews = await api.everything("/review?status=open")
    assert reviews[0]["input"]["Body"] == "Hi"


async def test_a_picture_is_thanked_for(api: Api, twilio: FakeTwilio):
    """It is kept, opens the window, is no answer to a question, and is thanked for in words."""
    await write(api, "", NumMedia="1", MediaUrl0="https://x/1", MediaContentType0="image/jpeg")
    await answer(api)
    assert said(twilio) == ["Thank you for the picture! I can only read text here: would you tell me in words?"]
    (event,) = [
        e.body
        for e in (await api.server.store.find(EVENTS_BY_LEAD, await lead_of(api))).items
        if e.body["event_type"] == "whatsapp_reply"
    ]
    assert orjson.loads(event["metadata"])["media"] == [{"url": "https://x/1", "type": "image/jpeg"}]
    assert api.server.engine.heard == []  # type: ignore[attr-defined]


async def test_a_picture_with_words_is_talked_about(api: Api, twilio: FakeTwilio):
    await write(api, "Is this yours?", NumMedia="1", MediaUrl0="https://x/1", MediaContentType0="image/jpeg")
    await answer(api)
    assert said(twilio) == ["You said: Is this yours?"]


async def test_a_button_reaches_the_assistant_as_its_payload(api: Api):
    await write(api, "Yes, please", ButtonText="Yes, please", ButtonPayload="/affirm")
    await answer(api)
    assert api.server.engine.heard == ["/affirm"]  # type: ignore[attr-defined]


# Consent and window


async def test_stop_ends_it_for_every_category(api: Api, twilio: FakeTwilio, clock: Clock):
    """One confirmation, then nothing, whatever it is for; START brings it back."""
    await write(api, "Hi", "SM" + "1" * 32)
    await answer(api)
    await write(api, "STOP", "SM" + "2" * 32)
    await write(api, "Stop!", "SM" + "3" * 32)
    await answer(api)
    lead_id, person = await lead_of(api), await person_of(api)
    consent = (await api.get(f"/persons/{person.leads and (await _person_id(api))}/consent")).body["whatsapp"]
    assert (consent["status"], consent["basis"]) == ("denied", "unsubscribe")
    assert "unsubscribe" in await events_of(api)
    assert len(twilio.taken) == 2
    assert "START" in twilio.taken[1]["Body"]

    clock.forward(seconds=1)
    for category in ("reply", "transactional", "nurture"):
        body = {"lead_id": lead_id, "channel": "whatsapp", "text": "More!", "category": category}
        assert (await api.post("/messages/send", body)).body["status"] == "skipped"
    await write(api, "Why?", "SM" + "4" * 32)
    await answer(api)
    assert len(twilio.taken) == 2

    await write(api, "START", "SM" + "5" * 32)
    await answer(api)
    assert (await person_of(api)).whatsapp_consent.status == "granted"
    assert len(twilio.taken) == 3
    items = (await api.get(f"/leads/{lead_id}/timeline")).body["items"]
    assert [(e["status"], e["basis"], e["source"]) for e in items if e["kind"] == "consent"] == [
        ("granted", "wrote first", "bot"),
        ("denied", "unsubscribe", "leadline"),
        ("granted", "opt_in", "whatsapp"),
    ]


async def _person_id(api: Api) -> str:
    return (await api.server.recorder.load(await lead_of(api))).person_id


async def test_an_unsubscribe_link_ends_each_consent(api: Api, clock: Clock):
    """The link stays in the chat: after a START it ends the messages again; a mere repeat is one refusal."""
    await write(api, "Hi", "SM" + "1" * 32)
    await answer(api)
    words = {"template_id": "visit", "channel": "whatsapp", "text": "To stop: {{ unsubscribe_url }}"}
    await api.post("/templates", words)
    body = {"lead_id": await lead_of(api), "channel": "whatsapp", "template_id": "visit"}
    message_id = (await api.post("/messages/send", body)).body["message_id"]
    link = urlsplit(Addresses("", Tokens(["s" * 20])).unsubscribe(message_id, body["lead_id"], Channel.WHATSAPP)).path
    for round in (1, 2, 3):
        clock.forward(seconds=1)
        await write(api, "START", f"SM{round}" + "5" * 31)
        await answer(api)
        assert (await person_of(api)).whatsapp_consent.status == "granted"
        for _ in range(2):
            clock.forward(seconds=1)
            page = await api.post(link, key=None)
            assert page.status == HTTPStatus.OK
            assert b"no more messages on WhatsApp" in page.raw
            assert (await person_of(api)).whatsapp_consent.status == "denied"
        assert (await events_of(api)).count("unsubscribe") == round


async def test_a_stranger_may_stop(api: Api, twilio: FakeTwilio):
    """Also as the very first word, and a repeat of it adds nothing."""
    for _ in range(2):
        await write(api, "STOP")
        await answer(api)
    assert (await person_of(api)).whatsapp_consent.status == "denied"
    assert len(twilio.taken) == 1


async def test_one_start_is_enough_after_an_erasure(api: Api, twilio: FakeTwilio):
    """What is left of them is that they refused; START takes that back, and is answered as such."""
    await write(api, "STOP", "SM" + "1" * 32)
    await answer(api)
    assert (await api.call("DELETE", f"/leads/{await lead_of(api)}")).status == HTTPStatus.OK
    await write(api, "START", "SM" + "2" * 32)
    await answer(api)
    assert (await person_of(api)).whatsapp_consent.status == "granted"
    assert said(twilio)[1:] == [STARTED]


async def test_who_refused_before_an_erasure_is_not_written_to_for_writing(api: Api, twilio: FakeTwilio):
    """Somebody new writes from the number, and the refusal is theirs from the first word on; only START ends it."""
    await write(api, "STOP", "SM" + "1" * 32)
    await answer(api)
    assert (await api.call("DELETE", f"/leads/{await lead_of(api)}")).status == HTTPStatus.OK
    await write(api, "What does it cost?", "SM" + "2" * 32)
    await answer(api)
    assert (await person_of(api)).whatsapp_consent.status == "denied"
    assert len(twilio.taken) == 1


async def test_start_is_no_order_from_who_never_refused(api: Api):
    """That their number was bad before an erasure is nothing that they said."""
    message_id, sid = await sent(api)
    await told(api, message_id, "failed", sid, ErrorCode="63024")
    assert (await api.call("DELETE", f"/leads/{await lead_of(api)}")).status == HTTPStatus.OK
    await write(api, "START", "SM" + "2" * 32)
    await answer(api)
    (found,) = await api.server.store.get(Kind.INBOX, "SM" + "2" * 32)
    assert found is not None
    assert found.body["outcome"] == "talked"


async def test_a_stop_counts_though_it_is_about_no_product(bare: Api, twilio: FakeTwilio):
    """It waits in review, since nobody could confirm it; whoever is known by the number later gets nothing there."""
    for product_id in ("flowdesk", "gridwise"):
        await bare.product(product_id)
    for sid in ("SM" + "1" * 32, "SM" + "2" * 32):
        await write(bare, "STOP", sid)
        await answer(bare)
    errors = [item["error"] for item in await bare.everything("/review?kind=inbound")]
    assert len(errors) == 2
    assert "the STOP is kept" in errors[0]
    reply = await bare.post("/events/logins", login(phone=PHONE, whatsapp_opt_in=True))
    assert reply.body["accepted"] == 1
    consent = (await person_of(bare)).whatsapp_consent
    assert (consent.status, consent.basis) == ("denied", "opted out earlier")
    body = {"lead_id": await lead_of(bare), "channel": "whatsapp", "text": "More!"}
    assert (await bare.post("/messages/send", body)).body["status"] == "skipped"
    assert twilio.taken == []


def told_later(clock: Clock, user: str, phone: str) -> dict[str, Any]:
    """A login, an hour after what came before."""
    clock.forward(hours=1)
    at = f"{clock():%Y-%m-%dT%H:%M:%SZ}"
    of_user = {"crm_user_id": user, "email": f"{user}@example.com", "phone": phone, "whatsapp_opt_in": True}
    return login(event_id=f"{user}-{at}", occurred_at=at, **of_user)


async def _of_user(api: Api, user: str) -> tuple[str, Person]:
    leads = (await api.server.store.find(LEADS_ALL)).items
    (lead,) = [found for found in leads if found.body["crm_user_id"] == user]
    return lead.id, (await api.server.recorder.load(lead.id)).person


async def test_who_has_a_number_now_can_stop_it(api: Api, twilio: FakeTwilio, clock: Clock):
    """A number that was handed over is its new owner's on WhatsApp too: their STOP is theirs, and the one who had it
    is not written to there.
    """
    await api.post("/events/logins", told_later(clock, "u1", PHONE))
    await write(api)
    await answer(api)
    assert (await _of_user(api, "u1"))[1].whatsapp_id == PHONE[1:]
    await api.post("/events/logins", told_later(clock, "u1", "+4915187654321"))
    await api.post("/events/logins", told_later(clock, "u2", PHONE))
    old_lead, old = await _of_user(api, "u1")
    assert (old.phone, old.whatsapp_id) == ("+4915187654321", None)
    await write(api, "STOP", "SM" + "2" * 32)
    await answer(api)
    lead_id, new = await _of_user(api, "u2")
    assert (new.whatsapp_consent.status, new.whatsapp_id) == ("denied", PHONE[1:])
    assert (await _of_user(api, "u1"))[1].whatsapp_consent.status == "granted"
    clock.forward(seconds=1)
    for lead, status in ((lead_id, "skipped"), (old_lead, "due")):
        body = {"lead_id": lead, "channel": "whatsapp", "text": "More!", "category": "nurture"}
        assert (await api.post("/messages/send", body)).body["status"] == status
    await answer(api)
    assert [form["To"] for form in twilio.taken] == [f"whatsapp:{PHONE}"] * 2 + ["whatsapp:+4915187654321"]


async def test_a_stop_holds_for_everybody_the_sender_may_be(api: Api, twilio: FakeTwilio, clock: Clock):
    """Where WhatsApp's id and the number are known as two persons', neither is written to; one is told so, once."""
    await api.post("/events/logins", told_later(clock, "u1", PHONE))
    await api.post("/events/logins", told_later(clock, "u2", "+4915187654321"))
    second = await api.server.recorder.load((await _of_user(api, "u2"))[0])
    assert second.person.whatsapp_consent.status == "granted"
    await api.server.store.commit(Insert(Kind.PERSON_KEYS, f"whatsapp:{PHONE[1:]}", {"person_id": second.person_id}))
    for sid in ("SM" + "1" * 32, "SM" + "2" * 32):
        await write(api, "STOP", sid)
        await answer(api)
    for user in ("u1", "u2"):
        consent = (await _of_user(api, user))[1].whatsapp_consent
        assert (consent.status, consent.basis) == ("denied", "unsubscribe")
    assert len(twilio.taken) == 1


async def test_yes_is_an_answer_unless_it_brings_messages_back(api: Api):
    """YES means START only to who has stopped."""
    await write(api, "Yes", "SM" + "1" * 32)
    await write(api, "stop", "SM" + "2" * 32)
    await write(api, "yes", "SM" + "3" * 32)
    await answer(api)
    assert api.server.engine.heard == ["Yes"]  # type: ignore[attr-defined]
    assert (await person_of(api)).whatsapp_consent.basis == "opt_in"


async def test_help_is_answered_by_the_channel(api: Api, twilio: FakeTwilio):
    await write(api, "Help")
    await answer(api)
    assert "Flowdesk" in said(twilio)[0]
    assert "STOP" in said(twilio)[0]


async def test_outside_the_window_only_an_approved_template_goes(api: Api, twilio: FakeTwilio, clock: Clock):
    """A day after the last message free text is skipped, with the reason; a template with a content_sid goes."""
    await write(api)
    await answer(api)
    lead_id, sid = await lead_of(api), "HX" + "c" * 32
    words = {"template_id": "visit", "channel": "whatsapp", "variables": {"1": "{{ product.name }}", "2": "x"}}
    assert (await api.post("/templates", {**words, "content_sid": sid})).status == HTTPStatus.CREATED
    assert (await api.post("/templates", {"template_id": "plain", "channel": "whatsapp", "text": "Hi"})).status == 201
    clock.forward(hours=23)
    message = {"lead_id": lead_id, "channel": "whatsapp"}
    assert (await api.post("/messages/send", {**message, "text": "Still there?"})).body["status"] == "due"
    await answer(api)
    clock.forward(hours=1)
    for more in ({"text": "Too late"}, {"template_id": "plain"}):
        skipped = (await api.post("/messages/send", {**message, **more})).body
        assert (skipped["status"], skipped["decision"][-1]["check"]) == ("skipped", "window")
    assert (await api.post("/messages/send", {**message, "template_id": "visit"})).body["status"] == "due"
    chosen = {**message, "template_id": "visit", "variables": {"2": "{{ yours }}\nnow"}}
    assert (await api.post("/messages/send", chosen)).body["status"] == "due"
    await answer(api)
    assert said_or_sid(twilio) == ["You said: Hi", "Still there?", sid, sid]
    assert orjson.loads(twilio.taken[2]["ContentVariables"]) == {"1": "Flowdesk", "2": "x"}
    assert orjson.loads(twilio.taken[3]["ContentVariables"]) == {"1": "Flowdesk", "2": "{{ yours }} now"}


def said_or_sid(twilio: FakeTwilio) -> list[str]:
    return [form.get("Body") or form["ContentSid"] for form in twilio.taken]


@pytest.mark.parametrize(
    "wrong",
    [
        {"channel": "email", "subject": "x", "text": "x", "content_sid": "HX" + "c" * 32},
        {"channel": "whatsapp", "content_sid": "HX1"},
        {"channel": "whatsapp"},
        {"channel": "whatsapp", "content_sid": "HX" + "c" * 32, "variables": {"1": "{{ nobody.here }}"}},
    ],
)
async def test_a_template_that_whatsapp_would_refuse_is_not_saved(api: Api, wrong: dict[str, Any]):
    assert (await api.post("/templates", {"template_id": "visit", **wrong})).status == 422


# What becomes of a message


async def sent(api: Api) -> tuple[str, str]:
    """Send one message and return its id and Twilio's."""
    await write(api)
    await answer(api)
    lead_id = await lead_of(api)
    (message,) = (await api.server.store.find(MESSAGES_BY_LEAD, lead_id)).items
    return message.id, message.body["provider_id"]


async def told(api: Api, message_id: str, status: str, sid: str, **more: str) -> Reply:
    path = f"{STATUS}?{urlencode({'message_id': message_id})}"
    return await tell(api, path, {"MessageSid": sid, "MessageStatus": status, "AccountSid": SID, **more})


async def state(api: Api, message_id: str) -> dict[str, Any]:
    body: dict[str, Any] = (await api.get(f"/messages/{message_id}/status")).body
    return body


@pytest.mark.parametrize(
    ("order", "end"),
    [
        (["queued", "sent", "delivered", "read"], "read"),
        (["read", "delivered", "sent", "queued"], "read"),
        (["delivered", "sent", "delivered", "delivered"], "delivered"),
        (["sent", "queued"], "sent"),
        (["read", "failed"], "read"),
        (["sent", "undelivered", "sent"], "failed"),
    ],
)
async def test_callbacks_come_in_any_order(api: Api, order: list[str], end: str):
    """A message only moves forward; each status is kept once, and is one event."""
    message_id, sid = await sent(api)
    for status in order * 2:
        assert (await told(api, message_id, status, sid)).raw == EMPTY
    now = await state(api, message_id)
    assert now["status"] == end
    assert [c["status"] for c in now["callbacks"]] == list(dict.fromkeys(order))
    events = await events_of(api)
    assert events.count("whatsapp_delivered") == ("delivered" in order)
    assert events.count("whatsapp_read") == ("read" in order)


async def test_a_callback_may_be_faster_than_the_answer(api: Api, twilio: FakeTwilio):
    """Twilio tells that the message was delivered before its answer is here: it is sent once, counted once."""
    twilio.script.append("silent")
    await write(api)
    await api.server.inbox.work()
    sending = asyncio.create_task(api.server.delivery.work())
    await twilio.arrived.acquire()
    (message,) = (await api.server.store.find(MESSAGES_BY_LEAD, await lead_of(api))).items
    assert message.body["status"] == State.SENDING
    await told(api, message.id, "delivered", "SM" + "9" * 32)
    twilio.over.set()
    await sending
    now = await state(api, message.id)
    assert (now["status"], now["provider_id"]) == ("delivered", "SM" + "9" * 32)
    assert sorted(await events_of(api)) == ["whatsapp_delivered", "whatsapp_reply", "whatsapp_sent"]


async def test_a_callback_settles_what_was_uncertain(api: Api, twilio: FakeTwilio):
    """The answer was lost; the callback proves that the message went out, and nobody need look for it."""
    twilio.script.append(CUT)
    message_id, _ = await sent(api)
    assert (await state(api, message_id))["status"] == "uncertain"
    assert len(await api.everything("/review?status=open")) == 1
    await told(api, message_id, "queued", "SM" + "9" * 32)
    now = await state(api, message_id)
    assert (now["status"], now["provider_id"]) == ("sent", "SM" + "9" * 32)
    assert await api.everything("/review?status=open") == []
    assert [a["outcome"] for a in now["attempts"]] == ["uncertain", "sent"]
    assert len(twilio.asked) == 1


async def test_a_message_that_does_not_arrive_is_told(api: Api):
    """In words, before a person."""
    message_id, sid = await sent(api)
    await told(api, message_id, "undelivered", sid, ErrorCode="63016")
    assert (await state(api, message_id))["callbacks"][0]["error_code"] == "63016"
    (item,) = await api.everything("/review?status=open")
    assert item["attempts"] == 1
    assert item["message_id"] == message_id
    assert "24 h" in item["error"]


@pytest.mark.parametrize("early", [True, False])
async def test_nobody_is_written_to_at_a_number_that_is_bad(api: Api, twilio: FakeTwilio, early: bool):
    """Whether Twilio says so at once or later."""
    if early:
        twilio.script.append(Says(400, {"code": 63024, "message": "no"}))
    message_id, sid = await sent(api)
    if not early:
        await told(api, message_id, "failed", sid, ErrorCode="63024")
    (suppression,) = (await person_of(api)).suppressions
    assert (suppression.channel, suppression.scope) == ("whatsapp", "all")
    assert "63024" in suppression.reason


async def test_a_number_that_is_bad_is_the_one_that_twilio_names(api: Api):
    """The message may have been sent again since, to another one."""
    message_id, sid = await sent(api)
    await told(api, message_id, "failed", sid, ErrorCode="63024", To="whatsapp:+4915187654321")
    (suppression,) = (await person_of(api)).suppressions
    assert suppression.address == "+4915187654321"


@pytest.mark.parametrize("early", [True, False])
async def test_who_has_blocked_us_has_opted_out(api: Api, twilio: FakeTwilio, early: bool):
    """Twilio knows it before we do."""
    if early:
        twilio.script.append(Says(400, {"code": 21610, "message": "no"}))
    message_id, sid = await sent(api)
    if not early:
        await told(api, message_id, "failed", sid, ErrorCode="63014")
    assert (await person_of(api)).whatsapp_consent.status == "denied"
    assert (await state(api, message_id))["status"] == ("dead" if early else "failed")


@pytest.mark.parametrize("id", ["", "nobody", "x" * 600, "a\u0000b", "ü"])
async def test_a_callback_of_no_message_changes_nothing(api: Api, id: str):
    """It is answered, so that Twilio does not tell it again and again."""
    assert (await told(api, id, "delivered", "SM1")).status == HTTPStatus.OK


async def test_a_callback_of_another_sending_is_only_kept(api: Api):
    """A person had it sent again, and the first sending speaks up late: the second one is what counts."""
    message_id, sid = await sent(api)
    await told(api, message_id, "failed", "SM" + "8" * 32)
    await told(api, message_id, "read", "SM" + "8" * 32)
    now = await state(api, message_id)
    assert (now["status"], now["provider_id"], len(now["callbacks"])) == ("sent", sid, 2)


async def test_the_address_for_callbacks_is_the_one_that_is_served(api: Api, twilio: FakeTwilio):
    """What Twilio is told to call leads to the message."""
    message_id, sid = await sent(api)
    parts = urlsplit(twilio.taken[0]["StatusCallback"])
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == BASE + STATUS
    assert parse_qs(parts.query) == {"message_id": [message_id]}
    form = {"MessageSid": sid, "MessageStatus": "delivered"}
    await tell(api, f"{parts.path}?{parts.query}", form)
    assert (await state(api, message_id))["status"] == "delivered"


async def test_what_came_in_is_kept_as_it_was(api: Api, store: Store):
    """Fields that nobody knows of, too."""
    await write(api, NewField="whatever")
    (found,) = await store.get(Kind.INBOX, "SM" + "1" * 32)
    assert found is not None
    assert orjson.loads(found.body["form"])["NewField"] == "whatever"
