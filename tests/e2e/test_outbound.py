"""Outbound events over HTTP: registered, signed, delivered; private addresses refused."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from config.app import build
from config.settings import Settings
from tests.e2e.client import ADMIN, Api, login
from tests.e2e.conftest import SECRETS
from tests.n8n.rig import verified
from tracker.keys import Scope
from tracker.store.port import Store

SECRET = "the-outbound-secret-of-the-tests"


class Receiver:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.secret, self.status, self.port = SECRET, 200, 0

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        assert verified(request.headers["X-Leadline-Signature"], body, self.secret)
        self.events.append(orjson.loads(body))
        return web.Response(status=self.status)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/hook"

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.port = runner.addresses[0][1]
    yield receiver
    await runner.cleanup()


async def served(store: Store, folder: Path, **settings: Any) -> AsyncIterator[Api]:
    given = Settings(data=folder, api_key=ADMIN, **settings)
    server = build(given, store, secrets=SECRETS, base_url="http://leadline.test", outbox=folder / "outbox")
    await server.outbound.start()
    runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield Api(server, f"http://127.0.0.1:{runner.addresses[0][1]}", session)
    await runner.cleanup()
    await server.outbound.close()


@pytest.fixture
async def open_api(store: Store, tmp_path: Path) -> AsyncIterator[Api]:
    """A server that may post to this machine."""
    async for api in served(store, tmp_path, outbound_secret=SECRET, outbound_allow="localhost"):
        await api.product(engaged_threshold=5)
        yield api


async def test_a_subscriber_is_told_in_order(open_api: Api, receiver: Receiver) -> None:
    """Registered once, signed with the server's secret, one event after the other, with what a workflow needs."""
    api = open_api
    made = await api.post("/subscriptions", {"url": receiver.url, "types": ["lead.created", "lead.stage_changed"]})
    assert (made.status, made.body["url"], made.body["secret"]) == (201, receiver.url, None)
    (result,) = (await api.post("/events/logins", login(email="dana@example.com"))).body["results"]
    await api.post(f"/leads/{result['lead_id']}/stage", {"stage": "Qualified_Lead", "reason": "spoke"})
    await api.server.outbound.deliverer.work()
    assert receiver.types == ["lead.created", "lead.stage_changed", "lead.stage_changed"]
    event = receiver.events[2]
    assert event.keys() == {"id", "type", "created_at", "data"}
    assert {name: event["data"][name] for name in ("lead_id", "product_id", "from", "to", "reason")} == {
        "lead_id": result["lead_id"],
        "product_id": "flowdesk",
        "from": "Engaged_Lead",
        "to": "Qualified_Lead",
        "reason": "spoke",
    }


async def test_a_subscription_is_listed_changed_and_removed(open_api: Api, receiver: Receiver) -> None:
    """An address has one; its secret is shown by no answer; what was removed gets nothing more."""
    api, secret = open_api, "a-secret-of-the-receiver"
    receiver.secret = secret
    body = {"url": receiver.url, "types": ["lead.created"], "secret": secret}
    made = await api.post("/subscriptions", body)
    again = await api.post("/subscriptions", {**body, "types": ["lead.updated", "lead.created"]})
    assert (made.status, again.status, again.body["id"]) == (201, 200, made.body["id"])
    (item,) = (await api.get("/subscriptions")).body["items"]
    assert item == {name: value for name, value in again.body.items() if name != "secret"}
    assert secret.encode() not in made.raw + again.raw
    await api.lead()
    await api.server.outbound.deliverer.work()
    assert receiver.types == ["lead.created"]
    assert (await api.call("DELETE", f"/subscriptions/{item['id']}")).status == 204
    assert (await api.call("DELETE", f"/subscriptions/{item['id']}")).status == 404
    await api.lead()
    await api.server.outbound.deliverer.work()
    assert len(receiver.events) == 1
    assert (await api.get("/subscriptions")).body["items"] == []


async def test_a_secret_that_was_made_is_shown_once(store: Store, tmp_path: Path, receiver: Receiver) -> None:
    """Without any secret in the settings."""
    async for api in served(store, tmp_path, outbound_allow=f"localhost:{receiver.port}"):
        await api.product()
        made = await api.post("/subscriptions", {"url": receiver.url, "types": ["lead.created"]}, Idempotency_Key="k")
        receiver.secret = made.body["secret"]
        assert "secret" not in (await api.get("/subscriptions")).body["items"][0]
        await api.lead()
        await api.server.outbound.deliverer.work()
        assert receiver.types == ["lead.created"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:5678/x",
        "http://localhost/x",
        "http://169.254.169.254/latest",
        "http://[::1]/x",
        "http://2130706433/",
        "http://10.0.0.1/",
        "ftp://example.com/",
        "https://user:secret@example.com/",
        "example.com",
        "",
    ],
)
async def test_a_private_address_is_refused(api: Api, url: str) -> None:
    """422 that names the field, and how to allow it."""
    reply = await api.post("/subscriptions", {"url": url, "types": ["lead.created"]})
    assert (reply.status, reply.paths) == (422, ["url"])
    assert (await api.get("/subscriptions")).body["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"types": ["lead.exploded"]},
        {"types": []},
        {"types": "lead.created"},
        {},
        {"types": ["lead.created"], "secret": "short"},
    ],
)
async def test_what_is_no_subscription(api: Api, body: dict[str, Any]) -> None:
    """Types by their names, a secret that is one."""
    reply = await api.post("/subscriptions", {"url": "https://93.184.215.14/", **body})
    assert reply.status == 422
    assert reply.paths[0].split("/")[0] in {"types", "secret"}


async def test_who_may_subscribe(api: Api) -> None:
    """Whoever may change the configuration: a subscription sends people's data away."""
    body = {"url": "https://93.184.215.14/", "types": ["lead.created"]}
    assert (await api.post("/subscriptions", body, key=await api.key(Scope.CONFIG_WRITE))).status == 201
    assert (await api.post("/subscriptions", body, key=await api.key(Scope.LEADS_READ, name="r"))).status == 403


async def test_addresses_of_the_settings_get_everything(store: Store, tmp_path: Path, receiver: Receiver) -> None:
    """Every type; a failure in between repeats with the same id; it is listed as what it is."""
    settings = {"outbound_urls": receiver.url, "outbound_secret": SECRET, "outbound_allow": "127.0.0.0/8"}
    async for api in served(store, tmp_path, **settings, retry_base_seconds=0.001):
        await api.product(engaged_threshold=5)
        (item,) = (await api.get("/subscriptions")).body["items"]
        assert (item["from_settings"], len(item["types"])) == (True, 9)
        assert (await api.call("DELETE", f"/subscriptions/{item['id']}")).status == 409
        receiver.status = 503
        await api.post("/events/logins", login(email="dana@example.com"))
        await api.server.outbound.deliverer.work()
        assert set(receiver.types) == {"lead.created"}
        receiver.status = 200
        while receiver.types[-1] != "lead.stage_changed":
            await api.server.outbound.deliverer.work()
        first = [event for event in receiver.events if event["type"] == "lead.created"]
        assert len(first) >= 2
        assert all(event == first[0] for event in first)
        assert receiver.types[len(first) :] == [
            "engagement.recorded",
            "lead.threshold_reached",
            "lead.stage_changed",
        ]


async def test_what_could_not_be_delivered_is_replayed(store: Store, tmp_path: Path, receiver: Receiver) -> None:
    """Six noes, a review item, a person, and it arrives with its first id."""
    settings = {"outbound_secret": SECRET, "outbound_allow": "localhost", "retry_base_seconds": 0.0001}
    async for api in served(store, tmp_path, **settings):
        await api.product()
        await api.post("/subscriptions", {"url": receiver.url, "types": ["lead.created"]})
        receiver.status = 500
        lead = await api.lead()
        while not (items := (await api.get("/review?kind=outbound")).body["items"]):
            await api.server.outbound.deliverer.work()
        assert len(receiver.events) == 6
        (item,) = items
        assert (item["lead_id"], item["error"]) == (lead["id"], "the receiver answered 500")
        receiver.status = 200
        done = await api.post(f"/review/{item['id']}/replay")
        assert done.body["status"] == "replayed"
        await api.server.outbound.deliverer.work()
        assert len(receiver.events) == 7
        assert len({event["id"] for event in receiver.events}) == 1
