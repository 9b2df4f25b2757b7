"""A client of a running server that holds it to its manners: errors are problem+json, and never ours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, NamedTuple

import aiohttp
import orjson

from config.app import Server
from tracker.keys import Scope

ADMIN = "ll_the-key-of-the-end-to-end-tests"
PROBLEM_FIELDS = {"type", "title", "status", "detail"}


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return orjson.loads(self.raw)

    @property
    def etag(self) -> str:
        return self.headers["ETag"]

    @property
    def paths(self) -> list[str]:
        """Where a problem says that the faults are."""
        return [fault["path"] for fault in self.body.get("errors", [])]


@dataclass(slots=True)
class Api:
    server: Server
    base: str
    session: aiohttp.ClientSession
    count: int = field(default=0)

    async def call(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        key: str | None = ADMIN,
        raw: bytes | None = None,
        **headers: str,
    ) -> Reply:
        """Send one request, headers written with underscores. What goes wrong must be told as RFC 9457 says."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent.setdefault("Authorization", f"Bearer {key}")
        if json is not None:
            raw = orjson.dumps(json)
        if raw is not None:
            sent.setdefault("Content-Type", "application/json")
        data = BytesIO(raw) if raw else raw
        async with self.session.request(
            method, self.base + path, data=data, headers=sent, allow_redirects=False
        ) as got:
            reply = Reply(got.status, got.headers, await got.read())
        if reply.status >= 400 and reply.raw:
            assert reply.headers["Content-Type"] == "application/problem+json", (method, path, reply)
            assert reply.body.keys() - {"errors"} == PROBLEM_FIELDS
            assert reply.body["status"] == reply.status
            assert reply.body["detail"]
        assert reply.status < 500, (method, path, raw, reply)
        return reply

    async def get(self, path: str, **more: Any) -> Reply:
        return await self.call("GET", path, **more)

    async def post(self, path: str, json: Any = None, **more: Any) -> Reply:
        return await self.call("POST", path, json, **more)

    async def put(self, path: str, json: Any = None, **more: Any) -> Reply:
        return await self.call("PUT", path, json, **more)

    async def product(self, product_id: str = "flowdesk", **config: Any) -> str:
        """Make a product and return its id."""
        reply = await self.put(
            f"/products/{product_id}", {"product_id": product_id, "name": product_id.title(), **config}
        )
        assert reply.status == 200, reply
        return product_id

    async def lead(self, **fields: Any) -> dict[str, Any]:
        """Make a lead, of a person of its own where nothing else is said, and return it."""
        self.count += 1
        reply = await self.post("/leads", {"product_id": "flowdesk", "email": f"p{self.count}@example.com", **fields})
        assert reply.status in {200, 201}, reply
        lead: dict[str, Any] = reply.body
        return lead

    async def event(self, lead_id: str, event_type: str = "login", **fields: Any) -> Reply:
        body = {"event_type": event_type, "channel": "product", "timestamp": "2026-01-05T10:00:00Z", **fields}
        return await self.post(f"/leads/{lead_id}/events", body)

    async def key(self, *scopes: Scope, name: str | None = None) -> str:
        self.count += 1
        return await self.server.keys.create(name or f"tester {self.count}", scopes)

    async def everything(self, path: str, limit: int = 3) -> list[dict[str, Any]]:
        """Read a list page by page; every page but the last must lead on."""
        items: list[dict[str, Any]] = []
        cursor, sign = None, "&" if "?" in path else "?"
        for _ in range(200):
            reply = await self.get(f"{path}{sign}limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
            assert reply.status == 200, reply
            assert reply.body.keys() == {"items", "next_cursor"}
            assert len(reply.body["items"]) <= limit
            items += reply.body["items"]
            cursor = reply.body["next_cursor"]
            if cursor is None:
                return items
        raise AssertionError("the list never ends")


def login(**fields: Any) -> dict[str, Any]:
    """A good login."""
    return {
        "event_id": "l1",
        "crm_user_id": "u1",
        "organization_id": "org1",
        "product_id": "flowdesk",
        "occurred_at": "2026-01-05T10:00:00Z",
        **fields,
    }
