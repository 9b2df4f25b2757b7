"""The audit: whoever changes configuration, keys or access leaves an entry, in the commit of the change."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from config.app import build
from config.settings import Settings
from tests.e2e.client import Api, Reply, login
from tracker.keys import Scope
from tracker.web import Route

ROUTES: list[Route] = list(build(Settings(), None, secrets=["s" * 20], base_url="http://leadline.test").routes)  # type: ignore[arg-type]
READING = {"GET", "HEAD"}
ADDRESS = "https://hooks.example.com/secret-path"


async def draft(api: Api) -> int:
    reply = await api.put("/products/flowdesk?draft=true", {"product_id": "flowdesk", "name": "Another"})
    return int(reply.body["version"])


async def put(api: Api) -> Reply:
    return await api.put("/products/flowdesk", {"product_id": "flowdesk", "name": "Another"})


async def rollout(api: Api) -> Reply:
    return await api.post("/products/flowdesk/rollout", {"version": await draft(api), "percent": 10})


async def rollback(api: Api) -> Reply:
    await put(api)
    return await api.post("/products/flowdesk/rollback")


async def template(api: Api) -> Reply:
    return await api.post("/templates", {"template_id": "hi", "channel": "chatbot", "text": "Hi"})


async def subscribe(api: Api) -> Reply:
    return await api.post("/subscriptions", {"url": ADDRESS, "types": ["lead.created"]})


async def unsubscribe(api: Api) -> Reply:
    return await api.call("DELETE", f"/subscriptions/{(await subscribe(api)).body['id']}")


async def waiting(api: Api) -> str:
    """Something in review that is good by now."""
    (result,) = (await api.post("/events/logins", login(product_id="later"))).body["results"]
    await api.product("later")
    return str(result["review_id"])


async def replay(api: Api) -> Reply:
    return await api.post(f"/review/{await waiting(api)}/replay")


async def replay_all(api: Api) -> Reply:
    await waiting(api)
    return await api.post("/review/replay", {"kind": "quarantine"})


async def discard_all(api: Api) -> Reply:
    await waiting(api)
    return await api.post("/review/discard", {"kind": "quarantine", "reason": "Dana's own test"})


async def discard(api: Api) -> Reply:
    return await api.post(f"/review/{await waiting(api)}/discard", {"reason": "Dana's own test"})


async def merge(api: Api) -> Reply:
    one, other = await api.lead(), await api.lead()
    return await api.post(f"/persons/{one['person_id']}/merge", {"into": other["person_id"]})


async def unmerge(api: Api) -> Reply:
    return await api.post(f"/persons/merges/{(await merge(api)).body['merge_id']}/undo")


async def erase(api: Api) -> Reply:
    return await api.call("DELETE", f"/leads/{(await api.lead())['id']}")


AUDITED: dict[str, tuple[str, Callable[[Api], Awaitable[Reply]]]] = {
    "PUT /products/{id}": ("product.put", put),
    "POST /products/{id}/rollout": ("product.rollout", rollout),
    "POST /products/{id}/rollback": ("product.rollback", rollback),
    "POST /templates": ("template.put", template),
    "POST /subscriptions": ("subscription.put", subscribe),
    "DELETE /subscriptions/{id}": ("subscription.remove", unsubscribe),
    "POST /review/{id}/replay": ("review.replay", replay),
    "POST /review/replay": ("review.replay", replay_all),
    "POST /review/{id}/discard": ("review.discard", discard),
    "POST /review/discard": ("review.discard", discard_all),
    "POST /persons/{id}/merge": ("person.merge", merge),
    "POST /persons/merges/{id}/undo": ("person.unmerge", unmerge),
    "DELETE /leads/{id}": ("person.erase", erase),
}
"""Per route, its entry and how to have it done."""

NOT_AUDITED: dict[str, str] = {
    "POST /dead-letters": "only adds to review",
}
"""Routes of these scopes that change nothing of configuration or access, and why."""

ADMINISTRATION = {Scope.CONFIG_WRITE, Scope.REVIEW, Scope.ADMIN}
"""What is done with the other scopes is told by the lead, its audit trail, its messages and its handoffs."""


def test_every_route_of_administration_has_its_place() -> None:
    """A new route that changes something says which entry it leaves, or why it leaves none."""
    changing = {
        f"{route.method} {route.path}"
        for route in ROUTES
        if route.scope in ADMINISTRATION and route.method not in READING
    }
    assert changing - AUDITED.keys() - NOT_AUDITED.keys() == set()


@pytest.mark.parametrize("route", AUDITED)
async def test_what_is_done_is_in_the_audit(api: Api, route: str) -> None:
    """Who, what and when, first in the list; neither a secret nor what somebody wrote is in it."""
    action, done = AUDITED[route]
    reply = await done(api)
    assert reply.status < 300, reply
    newest = next(e for e in (await api.get("/audit")).body["items"] if e["action"] != "product.draft")
    assert (newest["action"], newest["actor"]) == (action, "LEADLINE_API_KEY")
    assert newest["subject"]
    assert not any(word in str(newest) for word in ("secret-path", "Dana", "p1@"))


async def test_what_changes_nothing_is_not_in_the_audit(api: Api) -> None:
    """The same configuration again, a second discard, a refusal: nothing happened."""
    before = await api.everything("/audit")
    await api.product()
    await api.post("/products/flowdesk/rollback")
    await api.post("/templates", {"template_id": "hi", "channel": "email", "text": "Hi"})
    await api.call("DELETE", "/subscriptions/none")
    assert await api.everything("/audit") == before


async def test_the_audit_says_which_version_became_live(api: Api) -> None:
    """Also where a rollback named none, and whose share a rollout is."""
    await put(api)
    await api.put("/products/flowdesk?draft=true", {"product_id": "flowdesk", "name": "A third"})
    await api.post("/products/flowdesk/rollout", {"version": 3, "percent": 10})
    await api.post("/products/flowdesk/rollback")
    told = [(e["action"], e["detail"]) for e in (await api.get("/audit")).body["items"][:2]]
    assert told == [
        ("product.rollback", "version 1 is live"),
        ("product.rollout", "version 2 is live, version 3 for 10 % of new leads"),
    ]


async def test_keys_and_users_are_in_the_audit(api: Api) -> None:
    """The keys' names and scopes, the users' names and roles; the newest first, page by page, for admin alone."""
    from tracker.desk.passwords import Cost
    from tracker.desk.users import Role, Users

    users = Users(api.server.store, cost=Cost(n=2))
    key = await api.server.keys.create("crm", (Scope.INGEST, Scope.REVIEW), by="root")
    await api.server.keys.revoke("crm", by="root")
    await users.add("Ana", "correct horse battery", Role.SALES, by="root")
    await users.change_password("ana", "another horse battery", by="root")
    await users.remove("ana", by="root")
    told: list[dict[str, Any]] = await api.everything("/audit", limit=2)
    shown = [(e["action"], e["subject"], e["detail"]) for e in told if e["actor"] == "root"]
    assert set(shown) == {
        ("user.remove", "Ana", ""),
        ("user.passwd", "Ana", ""),
        ("user.add", "Ana", "sales"),
        ("key.revoke", "crm", "1 key"),
        ("key.create", "crm", "ingest, review"),
    }
    assert key not in str(told)
    assert [e["at"] for e in told] == sorted((e["at"] for e in told), reverse=True)
    admin = await api.key(Scope.ADMIN, name="boss")
    assert (await api.get("/audit", key=admin)).status == 200


async def test_addresses_of_the_settings_are_in_the_audit(api: Api) -> None:
    """An address that comes and goes with LEADLINE_OUTBOUND_URLS is told once, by its host."""
    for urls in ([ADDRESS], [ADDRESS], []):
        await api.server.outbound.subscriptions.adopt(urls)
    told = [e for e in (await api.get("/audit")).body["items"] if e["actor"] == "LEADLINE_OUTBOUND_URLS"]
    assert {e["action"] for e in told} == {"subscription.put", "subscription.remove"}
    assert len(told) == 2
    assert {e["detail"] for e in told} == {"hooks.example.com"}
