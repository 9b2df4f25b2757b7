"""Products, templates and messages over HTTP."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.e2e.client import Api, Reply
from tracker.errors import Invalid
from tracker.product import ProductConfig
from tracker.routes.products import ProductBody, ProductView
from tracker.store.port import Replace
from tracker.store.schema import Kind

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
    """All faults at once, shapes and templates that do not exist, each place told once; nothing is kept."""
    reply = await api.put(
        "/products/grid",
        {
            "product_id": "grid",
            "name": "",
            "colour": 1,
            "nurturing_sequences": [
                sequence({**STEP, "channel": "pigeon"}),
                sequence({**STEP, "delay_hours": "soon"}, {**STEP, "template_id": "../x"}, stage="Boss"),
            ],
            "re_engagement": {"after_days": 3, "messages": [STEP]},
            "progression": {"engaged": [{"score_at_least": 1}, {"event_seen": {"type": "email_open", "message": "m"}}]},
            "experiments": [
                {"experiment_id": "e", "stage": "User", "step": 3,
                 "variants": [{"name": "a", "template_id": "one"}, {"name": "b", "template_id": "two"}]}
            ],
            "scoring_rules": {"login_points": None, "answer_points": {"budget": 5, "bugdet": 5, "shoe_size": None}},
            "holdout": 200,
            "quiet_hours": {"start": "09:00", "end": "09:00"},
        },
    )  # fmt: skip
    assert reply.status == 422
    assert sorted(reply.paths) == sorted(
        [
            "name",
            "colour",
            "nurturing_sequences/0/messages/0/channel",
            "nurturing_sequences/0/messages/0/template_id",
            "nurturing_sequences/1/stage",
            "nurturing_sequences/1/messages/0/delay_hours",
            "nurturing_sequences/1/messages/0/template_id",
            "nurturing_sequences/1/messages/1/template_id",
            "re_engagement/messages/0/template_id",
            "progression/engaged/1/event_seen/message",
            "experiments/0/step",
            "experiments/0/variants/0/template_id",
            "experiments/0/variants/1/template_id",
            "scoring_rules/login_points",
            "scoring_rules/answer_points/bugdet",
            "scoring_rules/answer_points/shoe_size",
            "holdout",
            "quiet_hours/end",
        ]
    )
    missing = [sequence(STEP, {**STEP, "channel": "whatsapp"}, {**STEP, "template_id": "gone"})]
    await api.post("/templates", MAIL)
    reply = await api.put("/products/grid", {"product_id": "grid", "name": "G", "nurturing_sequences": missing})
    assert (reply.status, reply.paths) == (
        422,
        ["nurturing_sequences/0/messages/1/template_id", "nurturing_sequences/0/messages/2/template_id"],
    )
    assert (await api.get("/products/grid")).status == 404


async def test_what_is_not_put_over_http_is_checked_too(api: Api) -> None:
    """A file that seeds the store is held to the same."""
    variants = [{"name": "a", "template_id": "one"}, {"name": "b", "template_id": "two"}]
    experiment = {"experiment_id": "e", "stage": "User", "step": "3", "variants": variants}
    given = {
        "experiments": [experiment],
        "scoring_rules": {"answer_points": {"bugdet": 5}},
        "quiet_hours": {"start": "09:00", "end": "09:00"},
    }
    config = ProductConfig.model_validate({"product_id": "grid", "name": "Grid", **given})
    with pytest.raises(Invalid) as raised:
        await api.server.catalog.put(config, author="a file")
    assert [fault.path for fault in raised.value.faults] == [
        "experiments/0/step",
        "scoring_rules/answer_points/bugdet",
        "quiet_hours/end",
        "experiments/0/variants/0/template_id",
        "experiments/0/variants/1/template_id",
    ]


async def test_a_version_in_use_is_read_though_it_would_be_refused_by_now(api: Api) -> None:
    """An earlier Leadline took points for answers that nobody asks for: its products go on, and so do their leads."""
    (found,) = await api.server.store.get(Kind.PRODUCT_CONFIGS, "flowdesk:1")
    assert found is not None
    config = orjson.loads(found.body["config"]) | {"scoring_rules": {"answer_points": {"bugdet": 5}}}
    body = {**found.body, "config": orjson.dumps(config).decode()}
    await api.server.store.commit(Replace(found.kind, found.id, found.version, body))
    api.server.catalog._versions.clear()
    assert (await api.get("/products/flowdesk")).body["scoring_rules"]["answer_points"] == {"bugdet": 5}
    assert (await api.lead())["stage"] == "User"


async def test_what_was_read_can_be_put_back(api: Api) -> None:
    """What GET adds is ignored, and marked as read-only; anything else that is unknown is refused."""
    await api.post("/templates", MAIL)
    conditions = [{"score_at_least": 1}, {"event_seen": {"type": "email_open", "message": "welcome"}}]
    await api.product(nurturing_sequences=[sequence({**STEP, "conditions": conditions})], retention_days=30)
    await api.put("/products/flowdesk?draft=true", {"product_id": "flowdesk", "name": "Draft"})
    shown = (await api.post("/products/flowdesk/rollout", {"version": 3, "percent": 5})).body
    assert (shown["version"], shown["rollout"]["version"]) == (2, 3)
    again = await api.put("/products/flowdesk", {**shown, "name": "Edited"}, If_Match='"2"')
    assert (again.status, again.body["version"], again.body["name"]) == (200, 4, "Edited")
    read = await api.get("/products/flowdesk")
    assert read.body == {**{k: v for k, v in shown.items() if k != "rollout"}, "name": "Edited", "version": 4}
    assert (await api.put("/products/flowdesk", read.body)).body == read.body
    assert (await api.put("/products/flowdesk", {**read.body, "versions": 1})).paths == ["versions"]
    assert (await api.put("/products/flowdesk", read.body, If_Match='"2"')).status == 412
    added = ProductView.model_fields.keys() - ProductConfig.model_fields.keys()
    assert ProductBody.model_fields.keys() - ProductConfig.model_fields.keys() == added
    described = (await api.get("/openapi.json")).body["components"]["schemas"]["ProductBody"]["properties"]
    assert {name for name, field in described.items() if field.get("readOnly")} == added


async def test_a_product_is_put_under_its_own_id(api: Api) -> None:
    """A body that names another product is a mistake, and is told as one."""
    reply = await api.put("/products/grid", {"product_id": "flowdesk", "name": "X"})
    assert (reply.status, reply.paths) == (422, ["product_id"])
    reply = await api.put("/products/grid", {"product_id": "flowdesk", "name": ""})
    assert (reply.status, set(reply.paths)) == (422, {"product_id", "name"})


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
    assert (await api.post("/products/nobody/rollback")).status == 404


async def test_a_rollback_goes_to_an_older_version_that_was_live(api: Api) -> None:
    """Never forwards, to itself or to a draft, which changes nothing; what was live before that one comes next."""
    for version, name in enumerate(["Two", "Draft", "Four", "Five"], start=2):
        query = "?draft=true" if name == "Draft" else ""
        body = {"product_id": "flowdesk", "name": name}
        assert (await api.put(f"/products/flowdesk{query}", body)).body["version"] == version
    audited = await api.everything("/audit")
    for number in (5, 3, 6):
        reply = await api.post("/products/flowdesk/rollback", {"version": number})
        assert (reply.status, str(number) in reply.body["detail"]) == (404 if number == 6 else 409, True)
    assert await api.everything("/audit") == audited
    assert (await api.post("/products/flowdesk/rollback", {"version": 2})).body["name"] == "Two"
    assert (await api.post("/products/flowdesk/rollback", {"version": 4})).status == 409
    await api.put("/products/flowdesk", {"product_id": "flowdesk", "name": "Six"})
    assert (await api.post("/products/flowdesk/rollback", {})).body["version"] == 2
    await api.put("/products/flowdesk", {"product_id": "flowdesk", "name": "Seven"})
    assert (await api.post("/products/flowdesk/rollback", {"version": 4})).body["version"] == 4
    assert (await api.post("/products/flowdesk/rollback", {})).body["version"] == 2
    assert (await api.post("/products/flowdesk/rollback", {})).body["version"] == 1


async def test_a_rollback_ends_every_rollout(api: Api) -> None:
    """Also one that returns to an older version; before the first there is none, so there only the rollout ends."""
    await api.put("/products/flowdesk", {"product_id": "flowdesk", "name": "Two"})
    await api.put("/products/flowdesk?draft=true", {"product_id": "flowdesk", "name": "Draft"})
    for live in (1, 1):
        await api.post("/products/flowdesk/rollout", {"version": 3, "percent": 50})
        ended = await api.post("/products/flowdesk/rollback", {})
        assert (ended.status, ended.body["version"], "rollout" in ended.body) == (200, live, False)
    assert (await api.post("/products/flowdesk/rollback", {})).status == 409


async def test_what_is_only_a_draft_is_neither_rolled_out_nor_back(api: Api) -> None:
    """Nothing is live that the others could enter with: refused, and nothing is changed."""
    await api.put("/products/young?draft=true", {"product_id": "young", "name": "Young"})
    audited = await api.everything("/audit")
    bodies: dict[str, list[dict[str, Any]]] = {
        "rollout": [{"version": 1, "percent": 50}],
        "rollback": [{}, {"version": 1}],
    }
    for what, sent in bodies.items():
        for body in sent:
            reply = await api.post(f"/products/young/{what}", body)
            assert (reply.status, "nothing of young is live yet" in reply.body["detail"]) == (409, True)
    assert await api.everything("/audit") == audited
    assert (await api.get("/products/young")).status == 404
    assert (await api.put("/products/young", {"product_id": "young", "name": "Young"})).status == 200


async def points_of(api: Api, lead: dict[str, Any]) -> Any:
    return (await api.event(lead["id"])).body["score_impact"]


async def put_worth(api: Api, points: int, query: str = "", **more: Any) -> Reply:
    rules = {"login_points": points, **more}
    return await api.put(
        f"/products/flowdesk{query}", {"product_id": "flowdesk", "name": "Flowdesk", "scoring_rules": rules}
    )


async def test_a_version_may_take_over_leads_in_flight(api: Api) -> None:
    """Those that entered with the versions it names, and those who follow these; points that they have stay."""
    first = await api.lead()
    await points_of(api, first)
    await put_worth(api, 10)
    second = await api.lead()
    took = await put_worth(api, 20, "?takes_over=2")
    assert (took.status, took.body["version"]) == (200, 3)
    assert [await points_of(api, lead) for lead in (first, second, await api.lead())] == [5, 20, 20]
    await put_worth(api, 30, "?takes_over=1,3")
    assert [await points_of(api, lead) for lead in (first, second)] == [30, 30]
    score = (await api.get(f"/leads/{first['id']}/score")).body["total"]
    assert (score, (await api.get(f"/leads/{first['id']}")).body["engagement_score"]) == (40, 40)
    versions = (await api.get("/products/flowdesk/versions")).body["items"]
    assert [version.get("takes_over") for version in versions] == [[1, 3], [2], None, None]
    assert "takes over 1, 3" in (await api.get("/audit")).body["items"][0]["detail"]
    assert (await put_worth(api, 30, "?takes_over=3")).body["version"] == 4
    assert (await put_worth(api, 30, "?takes_over=all")).body["version"] == 5
    assert (await put_worth(api, 30, "?takes_over=all")).body["version"] == 5


async def test_a_rollback_gives_leads_back(api: Api) -> None:
    """What was taken over since goes by what it went by before; another process sees it within a second."""
    first = await api.lead()
    await put_worth(api, 10, "?takes_over=all")
    await put_worth(api, 20, "?takes_over=all")
    newest = await api.lead()
    assert [await points_of(api, lead) for lead in (first, newest)] == [20, 20]
    await api.post("/products/flowdesk/rollback")
    assert [await points_of(api, lead) for lead in (first, newest)] == [10, 20]
    await api.post("/products/flowdesk/rollback")
    assert [await points_of(api, lead) for lead in (first, newest)] == [5, 20]


async def test_what_cannot_be_taken_over_is_refused_with_its_path(api: Api) -> None:
    """No such version, a draft that would take over, points that fade otherwise; nothing is kept."""
    before = await api.everything("/audit")
    assert (await put_worth(api, 10, "?takes_over=1,2,0")).paths == ["takes_over"]
    assert (await put_worth(api, 10, "?takes_over=1,2,7")).paths == ["takes_over/1", "takes_over/2"]
    assert (await put_worth(api, 10, "?takes_over=1&draft=true")).paths == ["takes_over"]
    assert (await put_worth(api, 10, "?takes_over=all", half_life_days=7)).paths == ["scoring_rules/half_life_days"]
    assert await api.everything("/audit") == before
    await put_worth(api, 10, "?draft=true")
    await put_worth(api, 20, "?takes_over=all")
    reply = await api.post("/products/flowdesk/rollout", {"version": 2, "percent": 5})
    assert (reply.status, reply.body["detail"]) == (409, "version 3 has taken over the leads of version 2")


async def test_a_shorter_sequence_takes_over_in_peace(api: Api) -> None:
    """A message whose step is no more is skipped with the reason, the sequence ends, and no call fails."""
    await api.post("/templates", MAIL)
    await api.product(nurturing_sequences=[sequence(STEP, STEP)])
    lead = await api.lead()
    none = {"product_id": "flowdesk", "name": "Flowdesk", "nurturing_sequences": []}
    assert (await api.put("/products/flowdesk?takes_over=all", none)).status == 200
    await api.server.delivery.work()
    (message,) = [item for item in await api.everything(f"/leads/{lead['id']}/timeline") if item["kind"] == "message"]
    shown = (await api.get(f"/messages/{message['id']}/status")).body
    assert shown["status"] == "skipped"
    assert shown["decision"][-1]["outcome"] == "skipped: the sequence of User has no such step by now"
    (enrolment,) = await api.server.store.get(Kind.ENROLMENTS, lead["id"])
    assert enrolment is not None
    assert enrolment.body["ended"] == "the sequence has become shorter"
