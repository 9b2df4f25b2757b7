"""The review queue over HTTP: correct, replay once, discard, singly and by filter."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from channels.messages import Message, write
from channels.states import State
from tests.e2e.client import Api, login
from tracker import review
from tracker.keys import Scope
from tracker.review import ReviewKind
from tracker.store.schema import Kind
from tracker.times import now


async def quarantined(api: Api, **fields: Any) -> str:
    (result,) = (await api.post("/events/logins", login(**fields))).body["results"]
    assert result["status"] == "quarantined"
    return str(result["review_id"])


async def test_a_corrected_record_becomes_a_login(api: Api) -> None:
    """422 with the path while it is bad, then a lead; the item shows what came and what was made of it."""
    sent = login(occurred_at="1 May")
    id = await quarantined(api, occurred_at="1 May")
    bad = await api.post(f"/review/{id}/replay")
    assert (bad.status, bad.paths) == (422, ["occurred_at"])
    worse = await api.post(f"/review/{id}/replay", {"input": {**sent, "event_id": "", "occurred_at": "2 May"}})
    assert (worse.status, worse.paths) == (422, ["event_id", "occurred_at"])
    item = (await api.get(f"/review/{id}")).body
    assert (item["status"], item["attempts"], item["input"]) == ("open", 2, sent)
    assert item["error"].startswith("occurred_at: ")
    assert item["last_error"].startswith("event_id: ")
    assert (await api.get("/review")).body["items"][0]["last_error"] == item["last_error"]
    done = await api.post(f"/review/{id}/replay", {"input": login()})
    assert (done.status, done.body["status"], done.body["corrected"]) == (200, "replayed", login())
    lead = (await api.get(f"/leads/{done.body['lead_id']}")).body
    assert lead["engagement_score"] == 5
    assert [line["by"] for line in done.body["history"]] == ["LEADLINE_API_KEY"] * 3
    assert (await api.get(f"/review/{id}")).body == done.body


async def test_a_replay_happens_once(api: Api) -> None:
    """Many at once, and later ones, all get the same answer; the login counts once."""
    id = await quarantined(api, product_id="later")
    await api.product("later")
    replies = await asyncio.gather(*(api.post(f"/review/{id}/replay") for _ in range(20)))
    replies.append(await api.post(f"/review/{id}/replay", {"input": login(event_id="another")}))
    assert {reply.status for reply in replies} == {200}
    assert all(reply.body == replies[0].body for reply in replies)
    (lead,) = await api.everything("/leads")
    assert (lead["id"], lead["engagement_score"]) == (replies[0].body["lead_id"], 5)


async def test_a_dead_letter_may_hold_several_logins(api: Api) -> None:
    """What ingestion understands is counted; anything else stays, with the reason."""
    batch = {"events": [login(), login(event_id="l2")]}
    records: list[Any] = [batch, {"deal": 7}, []]
    ids = [
        (await api.post("/dead-letters", {"workflow": "crm", "record": record, "error": "x"})).body["review_id"]
        for record in records
    ]
    done = await api.post(f"/review/{ids[0]}/replay")
    assert (await api.get(f"/leads/{done.body['lead_id']}")).body["engagement_score"] == 10
    for id in ids[1:]:
        reply = await api.post(f"/review/{id}/replay")
        assert reply.status == 422
        assert reply.paths
        assert (await api.get(f"/review/{id}")).body["status"] == "open"


async def test_a_correction_that_is_refused_leaves_the_item_free(api: Api) -> None:
    """The address turns out to be somebody else's: the item tells that, and may be discarded at once."""
    await api.post("/events/logins", login(event_id="l1", crm_user_id="u1", email="ann@acme.example"))
    bad = login(event_id="l2", crm_user_id="u2", email="nonsense")
    (counted,) = (await api.post("/events/logins", bad)).body["results"]
    path = f"/review/{counted['review_id']}"
    for _ in range(2):
        refused = await api.post(f"{path}/replay", {"input": {**bad, "email": "ann@acme.example"}})
        assert refused.status == 409
    item = (await api.get(path)).body
    assert (item["status"], item["attempts"], item["last_error"]) == ("open", 2, refused.body["detail"])
    assert (await api.post(f"{path}/discard", {"reason": "a shared mailbox"})).status == 200


async def test_a_discarded_item_is_done_with(api: Api) -> None:
    """With a reason, once; afterwards it cannot be replayed."""
    id = await quarantined(api, occurred_at="x")
    done = await api.post(f"/review/{id}/discard", {"reason": "a test"})
    assert (done.status, done.body["status"], done.body["history"][0]["did"]) == (200, "discarded", "discarded: a test")
    assert (await api.post(f"/review/{id}/discard")).body == done.body
    assert (await api.post(f"/review/{id}/replay")).status == 409
    assert await api.everything("/review?status=open") == []
    assert [item["id"] for item in await api.everything("/review?status=discarded")] == [id]


@pytest.mark.parametrize("settle", ["replay", "discard"])
async def test_a_dead_letter_that_comes_again_is_open_again(api: Api, settle: str) -> None:
    """The workflow has failed once more: the item that was settled is back in the queue, and what was done is told."""
    letter = {"workflow": "crm", "record": login(), "error": "no answer"}
    first = (await api.post("/dead-letters", letter)).body["review_id"]
    assert (await api.post("/dead-letters", letter)).body["review_id"] == first
    await api.post(f"/review/{first}/{settle}")
    assert await api.everything("/review?status=open") == []
    replies = await asyncio.gather(*(api.post("/dead-letters", letter, Idempotency_Key="k") for _ in range(5)))
    assert {reply.body["review_id"] for reply in replies if reply.status == 202} == {first}
    (item,) = await api.everything("/review?status=open")
    assert (item["id"], item["input"], item["error"]) == (first, login(), "no answer")
    history = (await api.get(f"/review/{first}")).body["history"]
    assert [line["did"] for line in history][1:] == ["given up again"]
    assert (await api.get("/audit")).body["items"][0]["action"] == "review.reopen"
    assert (await api.post(f"/review/{first}/replay")).body["status"] == "replayed"


async def test_many_are_discarded_at_once(api: Api) -> None:
    """By the filter of a replay, with a reason; the answer counts them, and says where to go on."""
    for n in range(3):
        await quarantined(api, event_id=f"l{n}", occurred_at="x")
    other = await quarantined(api, event_id="other", product_id="never")
    filtered = {"kind": "quarantine", "status": "open", "product_id": "flowdesk", "reason": "a test"}
    first = (await api.post("/review/discard", {**filtered, "limit": 2})).body
    assert (first["discarded"], first["failed"], len(first["results"])) == (2, 0, 2)
    second = (await api.post("/review/discard", {**filtered, "cursor": first["next_cursor"]})).body
    assert (second["discarded"], second["failed"], second["next_cursor"]) == (1, 0, None)
    assert [item["id"] for item in await api.everything("/review?status=open")] == [other]
    done = (await api.get(f"/review/{first['results'][0]['id']}")).body
    assert done["history"][-1]["did"] == "discarded: a test"
    assert (await api.post("/review/discard", {"status": "replayed"})).paths == ["status"]
    assert (await api.post("/review/discard")).status == 415


@pytest.mark.parametrize("what", ["replay", "discard"])
async def test_what_is_not_there_is_not_found(api: Api, what: str) -> None:
    """404, for a body or none."""
    assert (await api.post(f"/review/nothing/{what}")).status == 404
    assert (await api.post(f"/review/nothing/{what}", {})).status == 404


async def test_many_are_replayed_at_once(api: Api) -> None:
    """A product that was missing is made, and all its records go in; what is still bad stays and is named."""
    for n in range(5):
        await quarantined(api, event_id=f"l{n}", crm_user_id=f"u{n}", product_id="later")
    other = await quarantined(api, event_id="other", product_id="never")
    bad = await quarantined(api, event_id="bad", product_id="later", occurred_at="x")
    await api.product("later")
    filtered = {"kind": "quarantine", "status": "open", "product_id": "later"}
    first = (await api.post("/review/replay", {**filtered, "limit": 3})).body
    assert (first["replayed"], first["failed"], len(first["results"])) == (3, 0, 3)
    second = (await api.post("/review/replay", {**filtered, "cursor": first["next_cursor"]})).body
    assert (second["replayed"], second["failed"], second["next_cursor"]) == (2, 1, None)
    (failed,) = [result for result in second["results"] if result["error"]]
    assert (failed["id"], failed["status"], failed["error"].split(":")[0]) == (bad, "open", "occurred_at")
    assert len(await api.everything("/leads")) == 5
    assert {item["id"] for item in await api.everything("/review?status=open")} == {other, bad}
    assert (await api.post("/review/replay")).body["failed"] == 2


async def uncertain(api: Api) -> tuple[str, str, str]:
    """Let a message get lost while it is sent; return its lead, it, and the review item of it."""
    lead = await api.lead()
    sent = await api.post("/messages/send", {"lead_id": lead["id"], "channel": "email", "text": "Hello"})
    id: str = sent.body["message_id"]
    store = api.server.store
    (found,) = await store.get(Kind.MESSAGES, id)
    assert found is not None
    message = Message.read(found.body)
    at = message.updated_at
    unsure = message.moved(State.SENDING, at=at).moved(State.UNCERTAIN, at=at)
    item = review.item(
        ReviewKind.UNCERTAIN, reason="r", error="e", input={"message_id": id}, at=at, lead_id=lead["id"], message_id=id
    )
    await store.commit(write(found, unsure), item)
    return lead["id"], id, item.id


async def test_an_uncertain_message_that_is_discarded_counts_as_sent(api: Api) -> None:
    """The running server's review does it, and says by whom and why in the message's record."""
    _, id, item = await uncertain(api)
    assert (await api.post(f"/review/{item}/discard", {"reason": "it arrived"})).body["status"] == "discarded"
    shown = (await api.get(f"/messages/{id}/status")).body
    assert (shown["status"], shown["decision"][-1]["outcome"]) == ("sent", "taken for sent")
    assert shown["decision"][-1]["input"].endswith(": it arrived")


async def test_an_uncertain_message_goes_again_only_by_name(api: Api) -> None:
    """Replaying everything leaves it; naming it makes it due."""
    lead_id, id, item = await uncertain(api)
    assert (await api.post("/review/replay")).body["results"] == []
    done = await api.post(f"/review/{item}/replay")
    assert (done.body["status"], done.body["lead_id"]) == ("replayed", lead_id)
    assert (await api.get(f"/messages/{id}/status")).body["status"] == "due"
    await api.server.delivery.work()
    assert (await api.get(f"/messages/{id}/status")).body["status"] == "sent"
    assert (await api.post(f"/review/{item}/replay", {"input": {}})).body == done.body


async def test_who_may_review(api: Api) -> None:
    """The scope `review`, for all of it; the history names the key."""
    id = await quarantined(api, occurred_at="x")
    key = await api.key(Scope.REVIEW, name="ana")
    assert (await api.post(f"/review/{id}/discard", key=key)).body["history"][0]["by"] == "ana"
    assert (await api.post(f"/review/{id}/discard", key=await api.key(Scope.LEADS_WRITE, name="bob"))).status == 403


async def test_a_threshold_that_nobody_answers_waits_for_a_person(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The running server keeps it with the login, the tick brings it up; once the stage is posted, Replay closes it."""
    await api.product(stage_policy="n8n", engaged_threshold=5)
    (result,) = (await api.post("/events/logins", login())).body["results"]
    assert await api.server.thresholds.tick() == 0
    monkeypatch.setattr(api.server.recorder, "clock", lambda: now() + timedelta(minutes=15))
    assert await api.server.thresholds.tick() == 1
    (item,) = (await api.get("/review?kind=threshold")).body["items"]
    assert item["lead_id"] == result["lead_id"]
    assert (await api.post(f"/review/{item['id']}/replay")).status == 409
    await api.post(f"/leads/{result['lead_id']}/stage", {"stage": "Engaged_Lead"})
    done = await api.post(f"/review/{item['id']}/replay")
    assert (done.status, done.body["status"]) == (200, "replayed")


async def test_a_threshold_that_a_merge_reaches_is_told_as_any_other(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where n8n decides on the stage, it would never hear of it: the next event starts above the threshold."""
    await api.product(stage_policy="n8n", engaged_threshold=10)
    for user in ("a", "b"):
        await api.post("/events/logins", login(event_id=user, crm_user_id=user))
    one, other = (lead["person_id"] for lead in (await api.get("/leads")).body["items"])
    assert (await api.post(f"/persons/{other}/merge", {"into": one})).status == 200
    monkeypatch.setattr(api.server.recorder, "clock", lambda: now() + timedelta(minutes=15))
    assert await api.server.thresholds.tick() == 1
    (item,) = (await api.get("/review?kind=threshold")).body["items"]
    assert item["input"]["event"]["data"]["engagement_score"] == 10
