"""The review queue over HTTP."""

from typing import Any

from tracker import review
from tracker.errors import NotFound
from tracker.keys import Scope
from tracker.model import Output
from tracker.review import ReviewKind, ReviewStatus, ReviewView
from tracker.store.port import Store
from tracker.store.schema import REVIEW_ALL, REVIEW_BY_KIND, REVIEW_BY_STATUS, Index, Kind
from tracker.web import Answer, Call, Paging, Route, listed


class ReviewQuery(Paging):
    status: ReviewStatus | None = None
    kind: ReviewKind | None = None


class ReviewList(Output):
    items: list[ReviewView]
    next_cursor: str | None


class ReviewRoutes:
    def __init__(self, store: Store):
        self._store = store

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET", "/review", Scope.REVIEW, self.list, "What needs a human", {200: ReviewList}, query=ReviewQuery
            ),
            Route("GET", "/review/{id}", Scope.REVIEW, self.get, "One item", {200: ReviewView}),
        ]

    async def list(self, call: Call[None, ReviewQuery]) -> Answer:
        query = call.query
        index, prefix = _index(query)
        page = await self._store.find(index, *prefix, after=query.after, limit=query.limit)
        return listed(page, [review.view(document) for document in page.items])

    async def get(self, call: Call[None, Any]) -> Answer:
        (found,) = await self._store.get(Kind.REVIEW, call.path["id"])
        if found is None:
            raise NotFound(f"there is no review item {call.path['id']}")
        return Answer(body=review.view(found))


def _index(query: ReviewQuery) -> tuple[Index, tuple[str, ...]]:
    """A kind without a status means what is open."""
    if query.kind is not None:
        return REVIEW_BY_KIND, (query.status or ReviewStatus.OPEN, query.kind)
    return (REVIEW_BY_STATUS, (query.status,)) if query.status else (REVIEW_ALL, ())
