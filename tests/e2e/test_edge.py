"""The edge: who may come in, what is refused and how it is told, for every route of the table."""

import asyncio
import gzip
import re
from collections.abc import Iterator
from itertools import product as every
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from config.app import build
from config.settings import Settings
from tests.e2e.client import ADMIN, Api, login
from tracker.keys import Scope
from tracker.web import MAX_BODY, Paging, Route

ROUTES: list[Route] = list(build(Settings(), None, secrets=["s" * 20], base_url="http://leadline.test").routes)  # type: ignore[arg-type]
CLOSED = [route for route in ROUTES if route.scope is not None]
WITH_BODY = [route for route in ROUTES if route.body is not None]


def name(value: Any) -> str:
    return f"{value.method} {value.path}" if isinstance(value, Route) else repr(value)[:30]


def address(route: Route, id: str = "flowdesk") -> str:
    return re.sub(r"\{\w+(:[^}]*)?\}", id, route.path)


# who


async def test_every_route_asks_for_its_scope(api: Api) -> None:
    """Without a key 401, with any other scope 403, with its own or admin neither: the whole table, every scope."""
    keys = {scope: await api.key(scope, name=scope) for scope in Scope}
    for route in CLOSED:
        path = address(route, "nobody")
        nobody = await api.call(route.method, path, key=None)
        assert (nobody.status, nobody.headers.get("WWW-Authenticate")) == (401, "Bearer"), name(route)
        assert (await api.call(route.method, path, key="ll_guessed")).status == 401, name(route)
        for scope, key in keys.items():
            status = (await api.call(route.method, path, key=key)).status
            if scope in {route.scope, Scope.ADMIN}:
                assert status not in {401, 403}, (name(route), scope)
            else:
                assert status == 403, (name(route), scope)


def test_only_these_are_open_to_everybody() -> None:
    """A new route without a scope is a decision, not an accident."""
    open_to_all = {route.path for route in ROUTES if route.scope is None}
    operation = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/style.css"}
    operation |= {"/", "/start.css", "/favicon.ico"}
    assert {path for path in open_to_all if not re.match(r"/(t|u|p|chat|webhooks|desk)\b", path)} == operation | (
        open_to_all & {"/webhook"}
    )


DESK_DOOR = {"/desk", "/desk/sign-in", "/desk/desk.css", "/desk/desk.js", "/desk/icon.svg"}


async def test_the_desk_asks_everybody_to_sign_in(api: Api) -> None:
    """Every page but the door: a browser without a session is sent there, and an API key opens no page."""
    behind = [route for route in ROUTES if route.path.startswith("/desk") and route.path not in DESK_DOOR]
    assert len(behind) > 5
    for route in behind:
        assert route.session, name(route)
        for key in (None, ADMIN):
            reply = await api.call(route.method, address(route, "nobody"), key=key)
            assert reply.status == 303, name(route)
            assert reply.headers["Location"].startswith("/desk/sign-in"), name(route)


def test_every_list_is_read_page_by_page() -> None:
    """Whatever answers `next_cursor` takes `limit` and `cursor`: who can read one list can read them all."""
    lists = [
        route
        for route in ROUTES
        for answer in route.answers.values()
        if isinstance(answer, type) and "next_cursor" in answer.model_fields and route.method == "GET"
    ]
    assert len(lists) > 9
    assert [route.path for route in lists if not issubclass(route.query, Paging)] == []


@pytest.mark.parametrize("path", ["/products", "/products/flowdesk/versions", "/subscriptions"])
async def test_a_list_of_configuration_is_whole_over_its_pages(api: Api, path: str) -> None:
    """Short lists too: each item once, in the order of a single page."""
    for number in range(4):
        await api.product(f"product-{number}")
        await api.product(name=f"Version {number}")
        await api.post("/subscriptions", {"url": f"https://{number}.example.com/", "types": ["lead.created"]})
    whole = (await api.get(path)).body["items"]
    assert len(whole) >= 4
    assert await api.everything(path, limit=2) == whole


async def test_a_refusal_comes_before_the_body(api: Api) -> None:
    """Nobody learns from our faults what a body should look like before showing a key."""
    assert (await api.post("/leads", raw=b"nope", key=None)).status == 401


async def test_a_revoked_key_opens_nothing(api: Api) -> None:
    """A key that was revoked is as good as none."""
    key = await api.key(Scope.LEADS_READ, name="gone")
    await api.server.keys.revoke("gone")
    assert (await api.get("/leads", key=key)).status == 401


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", f"Basic {ADMIN}", ADMIN, f"Bearer {ADMIN}x", f"Bearer {ADMIN} x", "Bearer \xff"]
)
async def test_half_a_header_is_no_key(api: Api, header: str) -> None:
    """A header that is cut, padded or of another scheme is 401, and never an error of ours."""
    assert (await api.get("/leads", key=None, Authorization=header)).status == 401


# what is not there


async def test_errors_of_the_frame_are_problems_too(api: Api) -> None:
    """Wrong address, wrong method, wrong type, too large: problem+json (the client checks it on every answer)."""
    assert (await api.get("/nowhere")).status == 404
    assert (await api.get("/leads/x/y/z")).status == 404
    wrong = await api.call("PATCH", "/leads")
    assert (wrong.status, set(wrong.headers["Allow"].split(","))) == (405, {"GET", "POST"})
    assert (await api.call("DELETE", "/healthz")).status == 405
    assert (await api.post("/leads", raw=b"{}", Content_Type="text/plain")).status == 415
    assert (await api.post("/leads", raw=b"a=1", Content_Type="application/x-www-form-urlencoded")).status == 415
    assert (await api.post("/leads")).status == 415
    assert (await api.post("/leads", raw=b"{}", Content_Type="application/vnd.x+json; charset=utf-8")).status == 422


async def test_two_megabytes_are_the_limit(api: Api) -> None:
    """A body over 2 MB is 413; one just below it is read."""
    around = b'{"text": "%s"}'
    large = around % (b"x" * MAX_BODY)
    assert (await api.post("/leads", raw=large)).status == 413
    assert (await api.post("/events/logins", raw=large)).status == 413
    fits = around % (b"x" * (MAX_BODY - 100))
    assert (await api.post("/events/logins", raw=fits)).body["quarantined"] == 1


async def test_compressed_bodies_are_held_to_the_same_limit(api: Api) -> None:
    """A small body that unpacks to a large one is 413, one that does not unpack is 400, a fair one is read."""
    bomb = gzip.compress(b'"' + b"x" * (8 * MAX_BODY) + b'"')
    assert (await api.post("/events/logins", raw=bomb, Content_Encoding="gzip")).status == 413
    fair = gzip.compress(orjson.dumps(login()))
    assert (await api.post("/events/logins", raw=fair, Content_Encoding="gzip")).body["accepted"] == 1
    for broken in (b"not gzip", fair[: len(fair) // 2]):
        reply = await api.post("/events/logins", raw=broken, Content_Encoding="gzip", Connection="close")
        assert reply.status == 400


# what is wrong

NOT_JSON = [
    b"",
    b"{",
    b"nope",
    b"NaN",
    b'{"a": Infinity}',
    b'"\\ud800"',
    b"\xff\xfe",
    b"[" * 300 + b"]" * 300,
    b'{"a":' * 250 + b"1" + b"}" * 250,
]
WRONG_SHAPES = [b"null", b"[]", b"5", b'"text"', b"true", b"[[]]"]


@pytest.mark.parametrize("route", WITH_BODY, ids=name)
async def test_what_is_not_json_is_told_as_such(api: Api, route: Route) -> None:
    """Broken JSON, NaN, lone surrogates, endless nesting: 400 on every route that takes a body."""
    for raw in NOT_JSON:
        if raw or not route.optional:
            reply = await api.call(route.method, address(route), raw=raw)
            assert reply.status == 400, (raw[:20], reply)


@pytest.mark.parametrize("route", [route for route in WITH_BODY if route.body is not Any], ids=name)
async def test_a_wrong_shape_is_told_as_such(api: Api, route: Route) -> None:
    """No object, unknown fields: 422 on every route whose body has a model, with the path of the fault."""
    for raw in WRONG_SHAPES:
        assert (await api.call(route.method, address(route), raw=raw)).status == 422, raw
    reply = await api.call(route.method, address(route), {"no_such_field": 1})
    assert reply.status == 422
    assert "no_such_field" in reply.paths


BAD_VALUES: list[Any] = [
    None, True, -1, 2**63, 2**64 - 1, 10**40, 1.5e308, "", " ", "\x00", "x" * 100_000, "2026-01-05T10:00:00", [], {},
    [None], {"": ""}, {"a/b": {"c": 1}}, [[[[]]]], "😀", "=1+1", "../../etc", "{{ 7*7 }}", "\u202e", "NaN",
]  # fmt: skip

STEP = {"delay_hours": 1, "channel": "email", "template_id": "t"}

GOOD: dict[str, dict[str, Any]] = {
    "POST /leads": {
        "product_id": "flowdesk",
        "crm_user_id": "u1",
        "organization_id": "org",
        "name": "D",
        "email": "d@example.com",
        "phone": "+4915112345678",
        "source": "crm",
        "time_zone": "Europe/Berlin",
        "contact_info": {"email": "d@example.com", "phone": "+4915112345678", "preferred_channel": "email"},
        "demographics": {"job_title": "CTO"},
        "product_context": {"feature_usage": ["x"], "trial_status": "y"},
    },
    "PUT /leads/{id}": {
        "organization_id": "org",
        "name": "D",
        "email": "d@example.com",
        "phone": "+4915112345678",
        "time_zone": "Europe/Berlin",
        "contact_info": {"email": "d@example.com", "preferred_channel": "email"},
        "demographics": {"job_title": "CTO"},
        "product_context": {"feature_usage": ["x"], "trial_status": "y"},
    },
    "POST /leads/{id}/events": {
        "id": "e",
        "event_type": "qualification_answer",
        "channel": "chatbot",
        "timestamp": "2026-01-05T10:00:00Z",
        "source": "api",
        "metadata": {"slot": "budget", "goal": "paid"},
    },
    "POST /subscriptions": {"url": "https://93.184.215.14/x", "types": ["lead.created"], "secret": "0123456789abcdef"},
    "POST /leads/{id}/stage": {"stage": "Engaged_Lead", "reason": "r", "actor": "a"},
    "PUT /products/{id}": {
        "product_id": "flowdesk",
        "name": "F",
        "engaged_threshold": 5,
        "nurture_after_hours": 5,
        "conversion_goals": ["paid"],
        "stage_policy": "n8n",
        "facts": {"pricing": "x"},
        "qualification": {"required": ["email", "budget"]},
        "sender": {"from": "a@b.example", "reply_to": "a@b.example"},
        "scoring_rules": {
            "login_points": 1,
            "email_engagement_multiplier": 2,
            "answer_points": {"budget": 1},
            "half_life_days": 7,
            "daily_caps": {"login": 5},
        },
        "nurturing_sequences": [{"stage": "User", "messages": [STEP], "goal": {"stage_is": "Customer"}}],
        "progression": {"engaged": {"any": [{"score_at_least": 5}, {"not": {"event_seen": {"type": "login"}}}]}},
        "quiet_hours": {"start": "22:00", "end": "07:00", "time_zone": "Europe/Berlin"},
        "frequency_cap": {"messages": 3, "hours": 24},
        "channels": ["email", "whatsapp"],
        "re_engagement": {"after_days": 14, "every_days": 30, "messages": [STEP]},
        "holdout": 5,
        "utm": {"utm_source": "leadline"},
        "booking_url": "https://flowdesk.example/book",
        "retention_days": 90,
        "guardrails": {"max_unsubscribe_rate": 0.05, "min_sends": 10},
        "workflow": {"crm": {"url": "https://crm.example", "poll_seconds": 60}, "retry": {"attempts": 3}},
    },
    "POST /templates": {
        "template_id": "t",
        "channel": "email",
        "product_id": "flowdesk",
        "locale": "de",
        "subject": "s",
        "text": "t",
        "html": "<p>h</p>",
        "variables": {"a": "b"},
    },
    "POST /messages/send": {
        "lead_id": "ID",
        "channel": "email",
        "text": "t",
        "send_at": "2026-01-05T10:00:00Z",
        "category": "nurture",
        "variables": {"a": "b"},
    },
    "POST /dead-letters": {"workflow": "w", "node": "n", "record": {"a": 1}, "error": "e", "execution_id": "x"},
    "PUT /persons/{id}/consent": {
        "email": {"status": "granted", "basis": "b", "source": "s", "at": "2026-01-05T10:00:00Z"},
        "whatsapp": {"status": "denied"},
        "suppressed": [{"channel": "whatsapp", "reason": "r", "at": "2026-01-05T10:00:00Z", "scope": "all"}],
    },
    "POST /products/{id}/rollout": {"version": 2, "percent": 5},
    "POST /events/{id}/reclassify": {"machine": True},
    "POST /persons/{id}/merge": {"into": "PERSON"},
    "POST /handoffs/{id}/reply": {"text": "t", "by": "ana"},
    "POST /review/discard": {"kind": "quarantine", "product_id": "flowdesk", "lead_id": "ID", "reason": "r"},
}  # fmt: skip


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a body, containers included."""
    if path:
        yield path
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from leaves(inner, (*path, key))


def replaced(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    copy: Any = orjson.loads(orjson.dumps(value))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return copy


async def ids(api: Api, lead: dict[str, Any]) -> dict[str, str]:
    """What stands for `{id}` in a path, where it is not the lead; the lead gets a handoff that Ana holds."""
    for stage in ("Engaged_Lead", "Qualified_Lead"):
        await api.post(f"/leads/{lead['id']}/stage", {"stage": stage})
    await api.event(lead["id"], id="known", event_type="email_click", channel="email")
    draft = {"product_id": "flowdesk", "name": "Draft"}
    await api.put("/products/flowdesk?draft=true", draft)
    handoff = next(h for h in (await api.get("/handoffs")).body["items"] if h["lead_id"] == lead["id"])
    await api.post(f"/handoffs/{handoff['id']}/claim", {"by": "ana"})
    return {
        "/products/{id}": "flowdesk",
        "/products/{id}/rollout": "flowdesk",
        "/events/{id}/reclassify": "known",
        "/persons/{id}/consent": lead["person_id"],
        "/persons/{id}/merge": lead["person_id"],
        "/handoffs/{id}/reply": handoff["id"],
    }


@pytest.mark.parametrize("where", list(GOOD))
async def test_a_bad_value_anywhere_is_the_callers_fault(api: Api, where: str) -> None:
    """Whatever stands at any place of a body, the answer is no 5xx, and a 422 names that place or one around it."""
    lead = await api.lead(email="known@example.com")
    await api.post("/templates", {"template_id": "t", "channel": "email", "subject": "s", "text": "t"})
    method, _, path = where.partition(" ")
    id = (await ids(api, lead)).get(path, lead["id"])
    good = orjson.loads(orjson.dumps(GOOD[where]).replace(b'"ID"', orjson.dumps(lead["id"])))
    for at, bad in every(leaves(good), BAD_VALUES):
        try:
            raw = orjson.dumps(replaced(good, at, bad))
        except TypeError:  # an integer that only text can carry
            raw = orjson.dumps(replaced(good, at, "BIG")).replace(b'"BIG"', str(bad).encode())
        reply = await api.call(method, path.replace("{id}", id), raw=raw)
        assert reply.status < 500
        if reply.status == 422 and reply.paths != [""]:
            told = "/".join(map(str, at))
            assert any(p.startswith(told) or told.startswith(p) for p in reply.paths), (told, bad, reply.body)


def test_every_route_with_a_body_has_a_good_one_here() -> None:
    """A new route of the floor's rooms joins the table above."""
    rooms = [r for r in WITH_BODY if r.body is not Any and r.tag in {"tracker", "n8n"}]
    all_optional = {"POST /leads/{id}/stage/revert"} | {f"{r.method} {r.path}" for r in rooms if r.optional}
    assert {f"{r.method} {r.path}" for r in rooms} - GOOD.keys() <= all_optional


async def test_the_good_bodies_are_good(api: Api) -> None:
    """The table above would prove nothing if its bodies were refused anyway."""
    lead = await api.lead(email="known@example.com")
    await api.post("/templates", {**GOOD["POST /templates"], "product_id": None, "locale": None})
    known = await ids(api, await api.lead(email="other@example.com"))
    known["/persons/{id}/consent"] = lead["person_id"]
    for where, body in GOOD.items():
        method, _, path = where.partition(" ")
        id = known.get(path, lead["id"])
        named = {"lead_id": lead["id"], "into": lead["person_id"]}
        sent = {**body, **{field: named[field] for field in named.keys() & body.keys()}}
        reply = await api.call(method, path.replace("{id}", id), sent)
        assert reply.status < 300 or (where, reply.status) == ("PUT /leads/{id}", 409), (where, reply)


@pytest.mark.parametrize("bad", BAD_VALUES, ids=name)
async def test_bad_logins_lose_nothing(api: Api, bad: Any) -> None:
    """Each bad value at each place of a login: a result for every record, in order, and the good one counts."""
    full = login(
        email="d@example.com", phone="+4915112345678", name="D", feature_usage=["x"], time_zone="UTC", source="crm"
    )
    if isinstance(bad, int) and bad > 2**64:
        bad = float(bad)
    records = [replaced(full, at, bad) for at in leaves(full)]
    body = (await api.post("/events/logins", [*records, bad, login(event_id="good", crm_user_id="good")])).body
    assert len(body["results"]) == len(records) + 2
    assert body["accepted"] + body["duplicate"] + body["quarantined"] == len(records) + 2
    assert body["results"][-1]["status"] == "accepted"
    for result in body["results"]:
        assert result["status"] != "quarantined" or (await api.get(f"/review/{result['review_id']}")).status == 200
    assert (await api.get("/review")).status == 200


async def test_deep_records_can_be_kept_and_shown(api: Api) -> None:
    """What is nested as deeply as we take it is quarantined, and the queue can still be read."""
    for depth in (150, 195, 198, 199):
        raw = b'{"a":' * depth + b"1" + b"}" * depth
        reply = await api.post("/events/logins", raw=raw)
        assert reply.body["quarantined"] == 1
        reply = await api.post("/dead-letters", raw=b'{"workflow":"w","error":"e","record":%s}' % raw)
        assert reply.status == 202
    assert len(await api.everything("/review")) == 8
    lead = await api.lead()
    deep: Any = 1
    for _ in range(190):
        deep = {"a": deep}
    assert (await api.event(lead["id"], metadata=deep)).status == 202
    assert len(await api.everything(f"/leads/{lead['id']}/timeline")) == 1


async def test_all_faults_are_told_at_once(api: Api) -> None:
    """A form shows every mistake after one request."""
    reply = await api.post("/leads", {"product_id": "a/b", "email": "x", "demographics": {"a": [1]}, "colour": 1})
    assert (reply.status, set(reply.paths)) == (422, {"product_id", "email", "demographics/a", "colour"})
    assert all(fault["message"] for fault in reply.body["errors"])


async def test_times_need_a_zone_and_a_past(api: Api) -> None:
    """A naive time or one more than a day ahead is refused, at its path."""
    lead = await api.lead()
    for timestamp in ("2026-01-05T10:00:00", "2999-01-01T00:00:00Z", "yesterday", 5, None):
        reply = await api.event(lead["id"], timestamp=timestamp)
        assert (reply.status, reply.paths) == (422, ["timestamp"])


# the same answer


@pytest.mark.parametrize("path", ["/leads", "/templates", "/events/logins", "/dead-letters", "/leads/{id}/events"])
async def test_a_key_gives_the_same_answer_again(api: Api, path: str) -> None:
    """Same key and body: status, body and ETag of the first answer, and nothing done twice. Another body: 422."""
    lead = await api.lead()
    bodies: dict[str, Any] = {
        "/leads": {"product_id": "flowdesk", "email": "new@example.com"},
        "/templates": {"template_id": "t", "channel": "chatbot", "text": "Hi"},
        "/events/logins": [login()],
        "/dead-letters": {"workflow": "w", "record": 1, "error": "e"},
        "/leads/{id}/events": {"event_type": "login", "channel": "product", "timestamp": "2026-01-05T10:00:00Z"},
    }
    body = bodies[path]
    path = path.format(id=lead["id"])
    first = await api.post(path, body, Idempotency_Key="k1")
    again = await api.post(path, body, Idempotency_Key="k1")
    assert first.status in {201, 202}
    assert (again.status, again.body, again.headers.get("ETag")) == (
        first.status,
        first.body,
        first.headers.get("ETag"),
    )
    other = [*body, login(event_id="l2")] if isinstance(body, list) else {**body, "extra": 1}
    changed = await api.post(path, other, Idempotency_Key="k1")
    assert changed.status == 422
    another = await api.post(path, body, Idempotency_Key="k2")
    assert another.status < 300


async def test_a_refused_request_may_be_corrected_under_its_key(api: Api) -> None:
    """Only answers to what was done are kept: a 422 leaves the key free."""
    assert (await api.post("/leads", {"product_id": "flowdesk"}, Idempotency_Key="k")).status == 422
    good = {"product_id": "flowdesk", "email": "d@example.com"}
    assert (await api.post("/leads", good, Idempotency_Key="k")).status == 201


async def test_two_callers_may_use_the_same_key(api: Api) -> None:
    """A key belongs to the caller who sends it."""
    one, two = await api.key(Scope.LEADS_WRITE, name="one"), await api.key(Scope.LEADS_WRITE, name="two")
    for n, key in enumerate((one, two)):
        body = {"product_id": "flowdesk", "email": f"d{n}@example.com"}
        assert (await api.post("/leads", body, key=key, Idempotency_Key="1")).status == 201


async def test_the_answer_is_kept_with_what_was_done(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lead and the answer are one commit: when it fails, neither is there, and the repeat starts from nothing."""
    store, commits = api.server.store, []
    commit = store.commit

    async def counted(*changes: Any) -> None:
        commits.append({str(change.kind) for change in changes})
        await commit(*changes)

    monkeypatch.setattr(store, "commit", counted)
    assert (
        await api.post("/leads", {"product_id": "flowdesk", "email": "d@example.com"}, Idempotency_Key="k")
    ).status == 201
    (kinds,) = commits
    assert {"leads", "persons", "idempotency"} <= kinds


async def test_fifty_repeats_at_once_do_it_once(api: Api) -> None:
    """A client that lost patience gets one answer, or is told that the first is under way."""
    import asyncio

    body = {"template_id": "t", "channel": "chatbot", "text": "Hi"}
    replies = await asyncio.gather(*(api.post("/templates", body, Idempotency_Key="k") for _ in range(50)))
    assert {reply.status for reply in replies} <= {201, 422}
    assert {reply.body["version"] for reply in replies if reply.status == 201} == {1}
    assert (await api.get("/templates/t")).body["version"] == 1


@pytest.mark.parametrize("path", ["stage", "stage/revert"])
async def test_one_key_moves_a_lead_once_however_many_ask_at_once(api: Api, path: str) -> None:
    """Everyone gets the one answer, and the trail has one entry more."""
    lead = await api.lead(email="dana@example.com")
    body = {"stage": "Engaged_Lead"}
    if path == "stage/revert":
        await api.post(f"/leads/{lead['id']}/stage", body)
        body = {}
    before = await api.everything(f"/leads/{lead['id']}/audit")
    asked = (api.post(f"/leads/{lead['id']}/{path}", body, Idempotency_Key="once") for _ in range(6))
    replies = await asyncio.gather(*asked)
    assert [reply.status for reply in replies] == [200] * 6
    assert len({reply.raw for reply in replies}) == 1
    assert len(await api.everything(f"/leads/{lead['id']}/audit")) == len(before) + 1


async def test_a_revert_needs_no_body_and_something_to_revert(api: Api) -> None:
    """Without a body it undoes the last change; where there is none it is refused and changes nothing."""
    lead = await api.lead(email="dana@example.com")
    assert (await api.post(f"/leads/{lead['id']}/stage/revert")).status == 409
    await api.post(f"/leads/{lead['id']}/stage", {"stage": "Engaged_Lead"})
    reverted = await api.post(f"/leads/{lead['id']}/stage/revert")
    assert (reverted.status, reverted.body["stage"]) == (200, "User")
    assert (await api.post("/leads/nobody/stage/revert")).status == 404


@pytest.mark.parametrize("name", ["50%41 a/b", "100%", "a%2Fb", "ä b+c", "%2541"])
async def test_ids_in_addresses_are_decoded_once(api: Api, name: str) -> None:
    """Whatever an id is made of, its quoted form finds it."""
    assert (await api.post("/events/logins", login(organization_id=name))).body["accepted"] == 1
    found = await api.get(f"/organizations/{quote(name, safe='')}")
    assert (found.status, found.body["organization_id"]) == (200, name)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/leads/{id}", {"name": "Dana"}),
        ("POST", "/leads/{id}/stage", {"stage": "Engaged_Lead"}),
        (
            "POST",
            "/leads/{id}/events",
            {"event_type": "login", "channel": "product", "timestamp": "2026-01-05T10:00:00Z"},
        ),
        ("DELETE", "/leads/{id}", None),
        ("PUT", "/products/flowdesk", None),
        ("POST", "/products/flowdesk/rollout", {"version": 1, "percent": 5}),
        ("POST", "/products/flowdesk/rollback", {}),
    ],
)
async def test_what_was_changed_since_it_was_read_is_not_changed_again(
    api: Api, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """Any change to a lead or a configuration under an old If-Match is 412 and changes nothing."""
    await api.product(engaged_threshold=7)
    lead = await api.lead(email="dana@example.com")
    known = [f"/leads/{lead['id']}", "/products/flowdesk"]
    if path == "/products/flowdesk":
        body = {**(await api.get(path)).body, "name": "Another"}
    before = [(await api.get(one)).body for one in known]
    at = path.replace("{id}", lead["id"])
    assert (await api.call(method, at, body, If_Match='"99"')).status == 412
    assert [(await api.get(one)).body for one in known] == before
    etag = (await api.get(known["/products" in path])).etag
    assert (await api.call(method, at, body, If_Match=etag)).status in {200, 202}


async def test_a_number_is_as_good_as_its_text_in_demographics(api: Api) -> None:
    """And an address is trimmed, as everywhere."""
    lead = await api.lead(contact_info={"email": " Dana@example.com "}, demographics={"company_size": 50})
    assert lead["demographics"]["company_size"] == "50"
    assert lead["contact_info"]["email"] == "dana@example.com"
