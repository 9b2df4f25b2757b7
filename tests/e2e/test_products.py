"""Products, templates and messages over HTTP."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Api

MAIL = {"template_id": "welcome", "channel": "email", "subject": "Hi {{ person.first_name }}", "text": "Hello"}
STEP = {"delay_hours": 0, "channel": "email", "template_id": "welcome"}


def sequence(*steps: dict[str, Any], stage: str = "User") -> dict[str, Any]:
    return {"stage": stage, "messages": list(steps)}


async def test_a_put_makes_a_version_and_sets_it_live(api: Api) -> None:
    """Versions count up, the live one is what is read, and each names its author and moment."""
    config = {
        "product_id": "grid",
        "name": "Grid",
        "engaged_threshold": 7,
        "sender": {"from": "Mia <mia@grid.example>"},
    }
    first = await api.put("/products/grid", config)
    assert (first.status, first.etag, first.body["version"]) == (200, '"1"', 1)
    assert config.items() <= first.body.items()
    second = await api.put("/products/grid", {**config, "name": "Grid Two"})
    assert (second.body["version"], second.etag) == (2, '"2"')
    got = await api.get("/products/grid")
    assert (got.body, got.etag) == (second.body, '"2"')
    versions = (await api.get("/products/grid/versions")).body
    assert [v["version"] for v in versions["items"]] == [2, 1]
    assert versions["items"][0].keys() == {"version", "author", "note", "created_at"}
    assert {v["author"] for v in versions["items"]} == {"LEADLINE_API_KEY"}
    listed = (await api.get("/products")).body
    assert [(p["product_id"], p["version"]) for p in listed["items"]] == [("flowdesk", 1), ("grid", 2)]
    assert listed["next_cursor"] is None


async def test_the_same_configuration_again_is_no_new_version(api: Api) -> None:
    """A deployment script may put its files as often as it likes."""
    again = await api.put("/products/flowdesk", {"name": "Flowdesk", "product_id": "flowdesk"})
    assert again.body["version"] == 1
    assert len((await api.get("/products/flowdesk/versions")).body["items"]) == 1


async def test_leads_keep_the_version_they_entered_with(api: Api) -> None:
    """New rules are for new leads; whoever is under way is scored as before."""
    old = await api.lead()
    await api.product(scoring_rules={"login_points": 50})
    new = await api.lead()
    assert (await api.event(old["id"])).body["score_impact"] == 5
    assert (await api.event(new["id"])).body["score_impact"] == 50


async def test_an_old_etag_makes_no_version(api: Api) -> None:
    """Two people edit one product: the second to save is told, and of twenty at once one is kept."""
    body = {"product_id": "flowdesk", "name": "A"}
    assert (await api.put("/products/flowdesk", body, If_Match='"7"')).status == 412
    assert (await api.put("/products/new", {"product_id": "new", "name": "N"}, If_Match='"1"')).status == 412
    assert (await api.get("/products/new")).status == 404
    puts = (api.put("/products/flowdesk", {**body, "name": f"N{n}"}, If_Match='"1"') for n in range(20))
    assert sorted(reply.status for reply in await asyncio.gather(*puts)) == [200, *[412] * 19]
    assert (await api.get("/products/flowdesk")).body["version"] == 2


async def test_every_fault_of_a_configuration_is_told_with_its_path(api: Api) -> None:
    """All faults at once: shapes first, then templates that do not exist; nothing is kept."""
    reply = await api.put(
        "/products/grid",
        {
            "product_id": "grid",
            "name": "",
            "colour": 1,
            "nurturing_sequences": [
                sequence({**STEP, "channel": "pigeon"}),
                sequence({**STEP, "delay_hours": "soon"}, stage="Boss"),
            ],
            "scoring_rules": {"login_points": None},
        },
    )
    assert reply.status == 422
    assert set(reply.paths) == {
        "name",
        "colour",
        "nurturing_sequences/0/messages/0/channel",
        "nurturing_sequences/1/stage",
        "nurturing_sequences/1/messages/0/delay_hours",
        "scoring_rules/login_points",
    }
    missing = [sequence(STEP, {**STEP, "channel": "whatsapp"}, {**STEP, "template_id": "gone"})]
    await api.post("/templates", MAIL)
    reply = await api.put("/products/grid", {"product_id": "grid", "name": "G", "nurturing_sequences": missing})
    assert (reply.status, reply.paths) == (
        422,
        ["nurturing_sequences/0/messages/1/template_id", "nurturing_sequences/0/messages/2/template_id"],
    )
    assert (await api.get("/products/grid")).status == 404


async def test_a_product_is_put_under_its_own_id(api: Api) -> None:
    """A body that names another product is a mistake, and is told as one."""
    reply = await api.put("/products/grid", {"product_id": "flowdesk", "name": "X"})
    assert (reply.status, reply.paths) == (422, ["product_id"])


async def test_templates_are_versioned(api: Api) -> None:
    """Each post is a new version of one content; a template lists what it says where."""
    first = await api.post("/templates", MAIL)
    assert first.status == 201
    assert first.body.keys() == {"template_id", "product_id", "version", "contents", "updated_at"}
    assert (first.body["template_id"], first.body["version"]) == ("welcome", 1)
    second = await api.post("/templates", {"template_id": "welcome", "channel": "whatsapp", "text": "Hi"})
    assert second.body["version"] == 2
    assert set(second.body["contents"].values()) == {1, 2}
    for n in range(4):
        await api.post("/templates", {**MAIL, "template_id": f"t{n}"})
    listed = await api.everything("/templates", limit=2)
    assert sorted(t["template_id"] for t in listed) == ["t0", "t1", "t2", "t3", "welcome"]
    assert (await api.get("/templates/welcome")).body == second.body
    assert (await api.get("/templates/gone")).status == 404


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"subject": "{{ person.shoe_size }}"}, "subject"),
        ({"text": "{{ unclosed"}, "text"),
        ({"text": None, "html": "{% for x in y %}"}, "html"),
        ({"text": None, "mjml": "<mjml><mj-body><nope"}, "mjml"),
        ({"template_id": "a b"}, "template_id"),
        ({"channel": "product"}, "channel"),
        ({"variables": []}, "variables"),
        ({"colour": 1}, "colour"),
    ],
)
async def test_a_template_that_cannot_be_sent_is_refused(api: Api, changes: dict[str, Any], path: str) -> None:
    """A template is rendered when it is saved, so nobody finds out from a prospect."""
    reply = await api.post("/templates", {**MAIL, **changes})
    assert (reply.status, reply.paths) == (422, [path])
    assert await api.everything("/templates") == []


async def test_a_message_goes_from_request_to_provider(api: Api, tmp_path: Path) -> None:
    """202 with a decision record, then the provider gets it, then the status tells all of it."""
    await api.post("/templates", MAIL)
    lead = await api.lead(name="Dana Doe")
    reply = await api.post("/messages/send", {"lead_id": lead["id"], "template_id": "welcome"})
    assert (reply.status, reply.body.keys()) == (202, {"message_id", "status", "decision"})
    assert reply.body["status"] == "due"
    assert [check["outcome"] for check in reply.body["decision"]] == ["ok"] * len(reply.body["decision"])
    await api.server.delivery.work()
    status = (await api.get(f"/messages/{reply.body['message_id']}/status")).body
    assert status.keys() == {
        "message_id", "lead_id", "channel", "template_id", "category", "status", "attempts", "callbacks", "decision",
        "provider_id", "failover_of", "failover_to",
    }  # fmt: skip
    assert (status["status"], status["channel"], status["category"]) == ("sent", "email", "transactional")
    assert [attempt["outcome"] for attempt in status["attempts"]] == ["sent"]
    mail = (tmp_path / "outbox" / f"{reply.body['message_id']}.eml").read_text()
    assert "Subject: Hi Dana" in mail
    story = await api.everything(f"/leads/{lead['id']}/timeline")
    assert sorted(entry["kind"] for entry in story) == ["event", "message"]


async def test_what_may_not_be_sent_says_why(api: Api) -> None:
    """No address, no consent, a channel that is off: 202 with the check that stopped it, and nothing goes out."""
    lead = await api.lead()
    whatsapp = (await api.post("/messages/send", {"lead_id": lead["id"], "channel": "whatsapp", "text": "Hi"})).body
    assert whatsapp["status"] == "skipped"
    assert whatsapp["decision"][-1] == {
        "check": "consent",
        "input": "unknown",
        "outcome": "skipped: consent is unknown",
    }
    chat = (await api.post("/messages/send", {"lead_id": lead["id"], "channel": "chatbot", "text": "Hi"})).body
    assert (chat["status"], chat["decision"][-1]["check"]) == ("skipped", "channel")
    assert await api.server.delivery.work() == 0


async def test_after_an_unsubscribe_only_transactional_mail_goes_out(api: Api) -> None:
    """An unsubscribe stops nurture, a hard bounce stops everything."""
    lead = await api.lead()

    async def send(category: str) -> str:
        body = {"lead_id": lead["id"], "text": "Hi", "category": category}
        return str((await api.post("/messages/send", body)).body["status"])

    await api.event(lead["id"], "unsubscribe", channel="email")
    assert (await send("nurture"), await send("transactional")) == ("skipped", "due")
    await api.event(lead["id"], "email_bounce", channel="email")
    assert (await send("nurture"), await send("transactional")) == ("skipped", "skipped")


async def test_a_message_may_wait_and_be_cancelled(api: Api) -> None:
    """What is planned for later can be taken back, once; what is over cannot."""
    lead = await api.lead()
    later = {"lead_id": lead["id"], "text": "Hi", "send_at": "2099-01-01T00:00:00Z"}
    sent = (await api.post("/messages/send", later)).body
    assert sent["status"] == "planned"
    assert await api.server.delivery.work() == 0
    cancelled = await api.post(f"/messages/{sent['message_id']}/cancel")
    assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
    assert (await api.post(f"/messages/{sent['message_id']}/cancel")).status == 409


@pytest.mark.parametrize(
    ("changes", "status", "paths"),
    [
        ({"lead_id": "nobody"}, 404, []),
        ({"template_id": "gone", "text": None}, 422, ["template_id"]),
        ({"channel": "product"}, 422, ["channel"]),
        ({"send_at": "tomorrow"}, 422, ["send_at"]),
        ({"text": "\x00"}, 422, ["text"]),
        ({"category": "spam"}, 422, ["category"]),
        ({"lead_id": ""}, 422, ["lead_id"]),
    ],
)
async def test_a_message_that_cannot_be_meant_is_refused(
    api: Api, changes: dict[str, Any], status: int, paths: list[str]
) -> None:
    """An unknown lead or template, a channel or a time that is none: told, and nothing is kept."""
    lead = await api.lead()
    reply = await api.post("/messages/send", {"lead_id": lead["id"], "text": "Hi", **changes})
    assert (reply.status, reply.paths) == (status, paths)
    assert await api.everything(f"/leads/{lead['id']}/timeline") == []


async def test_a_message_is_sent_once_under_its_key(api: Api) -> None:
    """A client that repeats after a cut connection sends one message."""
    lead = await api.lead()
    body = {"lead_id": lead["id"], "text": "Hi"}
    replies = await asyncio.gather(*(api.post("/messages/send", body, Idempotency_Key="k") for _ in range(10)))
    ids = {reply.body["message_id"] for reply in replies if reply.status == 202}
    assert len(ids) == 1
    assert {reply.status for reply in replies} <= {202, 422}
    assert (await api.post("/messages/send", body, Idempotency_Key="k")).body["message_id"] in ids
    assert len(await api.everything(f"/leads/{lead['id']}/timeline")) == 1


async def test_a_draft_is_kept_and_not_live(api: Api) -> None:
    """`?draft=true` adds a version that nobody enters with until it is rolled out."""
    draft = await api.put("/products/flowdesk?draft=true&note=try", {"product_id": "flowdesk", "name": "Draft"})
    assert (draft.status, draft.body["version"]) == (200, 2)
    assert (await api.get("/products/flowdesk")).body["version"] == 1
    assert (await api.get("/products/flowdesk/versions")).body["items"][0]["note"] == "try"
    never = await api.put("/products/young?draft=true", {"product_id": "young", "name": "Young"})
    assert never.status == 200
    assert (await api.get("/products/young")).status == 404


async def test_a_rollout_gives_a_share_of_new_leads_the_candidate(api: Api) -> None:
    """Half of the new leads enter with the candidate, whoever came before stays; a rollback ends it."""
    old = await api.lead()
    await api.put(
        "/products/flowdesk?draft=true",
        {"product_id": "flowdesk", "name": "Flowdesk", "scoring_rules": {"login_points": 50}},
    )
    assert (await api.post("/products/flowdesk/rollout", {"version": 3, "percent": 50})).status == 404
    assert (await api.post("/products/flowdesk/rollout", {"version": 1, "percent": 50})).status == 409
    assert (await api.post("/products/flowdesk/rollout", {"version": 2, "percent": 101})).status == 422
    shown = (await api.post("/products/flowdesk/rollout", {"version": 2, "percent": 50})).body
    assert (shown["version"], shown["rollout"]) == (1, {"version": 2, "percent": 50})
    gains = [(await api.event((await api.lead())["id"])).body["score_impact"] for _ in range(60)]
    assert 10 < gains.count(50) < 50
    assert (await api.event(old["id"])).body["score_impact"] == 5
    ended = (await api.post("/products/flowdesk/rollback")).body
    assert (ended["version"], "rollout" in ended) == (1, False)
    assert {(await api.event((await api.lead())["id"])).body["score_impact"] for _ in range(8)} == {5}


async def test_a_rollback_returns_to_what_was_live(api: Api) -> None:
    """One call: to the version before, or to a named one; 409 when there is none, 404 when it never was."""
    for name in ("Two", "Three"):
        await api.put("/products/flowdesk", {"product_id": "flowdesk", "name": name})
    assert (await api.post("/products/flowdesk/rollback", {})).body["version"] == 2
    assert (await api.post("/products/flowdesk/rollback")).body["version"] == 1
    assert (await api.post("/products/flowdesk/rollback")).status == 409
    assert (await api.post("/products/flowdesk/rollback", {"version": 9})).status == 404
    assert (await api.post("/products/flowdesk/rollback", {"version": 3})).body["name"] == "Three"
    assert (await api.post("/products/nobody/rollback")).status == 404
