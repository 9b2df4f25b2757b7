"""The audit over HTTP: who changed what of the server itself."""

from tracker.audit import shown
from tracker.keys import Scope
from tracker.model import Output
from tracker.store.port import Store
from tracker.store.schema import AUDIT_ALL
from tracker.times import Instant
from tracker.web import Answer, Call, Paging, Route, listed


class AuditView(Output):
    """Attributes: action: a noun and a verb, `product.put`. subject: the id of what was changed."""

    id: str
    at: Instant
    actor: str
    action: str
    subject: str
    detail: str


class AuditList(Output):
    items: list[AuditView]
    next_cursor: str | None


class AuditRoutes:
    def __init__(self, store: Store):
        self._store = store

    def routes(self) -> list[Route]:
        text = "Who changed configuration, keys and access, newest first"
        return [Route("GET", "/audit", Scope.ADMIN, self.list, text, {200: AuditList}, query=Paging)]

    async def list(self, call: Call[None, Paging]) -> Answer:
        page = await self._store.find(AUDIT_ALL, reverse=True, after=call.query.after, limit=call.query.limit)
        return listed(page, [shown(found) for found in page.items])
