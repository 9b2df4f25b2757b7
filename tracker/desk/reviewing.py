"""What needs a human, as a page."""

from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from pydantic import BeforeValidator

from tracker.desk.layout import Desk, Visit
from tracker.review import ReviewItem, ReviewKind, ReviewStatus
from tracker.store.port import Document
from tracker.store.schema import REVIEW_BY_KIND, REVIEW_BY_STATUS
from tracker.web import Answer, Paging, Route

LIST = "/desk/review"
PAGE_ITEMS = 30
LONGEST_INPUT = 4000
"""Characters of an input that a page shows; the API shows all of it."""


class ReviewPaging(Paging):
    status: ReviewStatus = ReviewStatus.OPEN
    kind: Annotated[ReviewKind | None, BeforeValidator(lambda value: value or None)] = None


class ReviewPages:
    def __init__(self, desk: Desk):
        self._desk, self._store = desk, desk.store

    def routes(self) -> list[Route]:
        return [self._desk.page(LIST, self.queue, "What needs a human", query=ReviewPaging)]

    async def queue(self, visit: Visit[ReviewPaging]) -> Answer:
        query = visit.query
        index = REVIEW_BY_KIND if query.kind else REVIEW_BY_STATUS
        prefix = (query.status, query.kind) if query.kind else (query.status,)
        limit = min(query.limit, PAGE_ITEMS)
        page = await self._store.find(index, *prefix, reverse=True, after=query.after, limit=limit)
        address = _address(query)
        return self._desk.show(
            visit.request,
            "review.html",
            items=[shown(document) for document in page.items],
            query=query,
            statuses=list(ReviewStatus),
            kinds=list(ReviewKind),
            first=address if query.cursor else None,
            further=f"{address}&{urlencode({'cursor': page.next.encode()})}" if page.next else None,
        )


def shown(found: Document) -> dict[str, Any]:
    """A review item as the page shows it: its input as text, which may be cut."""
    item = ReviewItem.read(found.body)
    text = orjson.dumps(orjson.loads(item.input), option=orjson.OPT_INDENT_2).decode()
    return {"id": found.id, **item.body(), "input": text[:LONGEST_INPUT], "is_cut": len(text) > LONGEST_INPUT}


def _address(query: ReviewPaging) -> str:
    kind = {"kind": str(query.kind)} if query.kind else {}
    return f"{LIST}?{urlencode({'status': str(query.status)} | kind)}"
