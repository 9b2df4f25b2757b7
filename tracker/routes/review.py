"""The review queue over HTTP."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from tracker.keys import Scope
from tracker.model import Input, Line, Output, Slug
from tracker.review import ReviewFull, ReviewKind, ReviewStatus, ReviewView
from tracker.reviews import AS_IT_CAME, Review, Wanted
from tracker.store.port import Cursor
from tracker.web import Answer, Call, Paging, Route, listed


class ReviewQuery(Paging):
    status: ReviewStatus | None = None
    kind: ReviewKind | None = None


class ReviewList(Output):
    items: list[ReviewView]
    next_cursor: str | None


class Replay(Input):
    """Attributes: input: a corrected one; null for the one that the item has."""

    input: Any = None


class Discard(Input):
    """Why. A message that may have been sent (`uncertain`) counts as sent then, and its sequence goes on."""

    reason: Line | None = None


class Filter(Paging):
    """Which open items are meant. Those that may have happened already only where `kind` says `uncertain`."""

    kind: ReviewKind | None = None
    status: Literal[ReviewStatus.OPEN] = ReviewStatus.OPEN
    product_id: Slug | None = None
    lead_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    limit: int = Field(100, ge=1, le=500)

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.kind, self.product_id, self.lead_id)


class DiscardAll(Filter):
    """Which open items are discarded, and why. Without a filter all that have not perhaps happened already."""

    reason: Line | None = None


class SettledItem(Output):
    id: str
    kind: ReviewKind
    status: ReviewStatus
    lead_id: str | None
    error: str | None


class ReplayResults(Output):
    """Attributes: replayed, failed: how many of `results`. next_cursor: where the next call goes on."""

    replayed: int
    failed: int
    results: list[SettledItem]
    next_cursor: str | None


class DiscardResults(Output):
    """Attributes: discarded, failed: how many of `results`. next_cursor: where the next call goes on."""

    discarded: int
    failed: int
    results: list[SettledItem]
    next_cursor: str | None


class ReviewRoutes:
    def __init__(self, review: Review):
        self._review = review

    def routes(self) -> list[Route]:
        one, scope = "/review/{id}", Scope.REVIEW
        return [
            Route("GET", "/review", scope, self.list, "What needs a human", {200: ReviewList}, query=ReviewQuery),
            Route("POST", "/review/replay", scope, self.replay_all, "Try open items again, by filter",
                  {200: ReplayResults}, body=Filter, optional=True),
            Route("POST", "/review/discard", scope, self.discard_all, "Take open items from the queue, by filter",
                  {200: DiscardResults}, body=DiscardAll),
            Route("GET", one, scope, self.get, "One item", {200: ReviewFull}),
            Route("POST", f"{one}/replay", scope, self.replay, "Try an item again, once; its input may be corrected",
                  {200: ReviewFull}, body=Replay, optional=True, errors=(409,)),
            Route("POST", f"{one}/discard", scope, self.discard, "Take an item from the queue", {200: ReviewFull},
                  body=Discard, optional=True, errors=(409,)),
        ]  # fmt: skip

    async def list(self, call: Call[None, ReviewQuery]) -> Answer:
        query = call.query
        items, page = await self._review.list(query.status, query.kind, after=query.after, limit=query.limit)
        return listed(page, items)

    async def get(self, call: Call[None, Any]) -> Answer:
        return Answer(body=await self._review.get(call.path["id"]))

    async def replay(self, call: Call[Replay, Any]) -> Answer:
        given = AS_IT_CAME if call.body.input is None else call.body.input
        return Answer(body=await self._review.replay(call.path["id"], call.principal.name, given))

    async def discard(self, call: Call[Discard, Any]) -> Answer:
        reason = call.body.reason or ""
        return Answer(body=await self._review.discard(call.path["id"], call.principal.name, reason))

    async def replay_all(self, call: Call[Filter, Any]) -> Answer:
        given, by = call.body, call.principal.name
        done = await self._review.replay_all(given.wanted, by, limit=given.limit, after=given.after)
        return _settled(ReviewStatus.REPLAYED, *done)

    async def discard_all(self, call: Call[DiscardAll, Any]) -> Answer:
        given, by, reason = call.body, call.principal.name, call.body.reason or ""
        done = await self._review.discard_all(given.wanted, by, reason, limit=given.limit, after=given.after)
        return _settled(ReviewStatus.DISCARDED, *done)


def _settled(status: ReviewStatus, results: Sequence[Mapping[str, Any]], after: Cursor | None) -> Answer:
    """Return what became of many items. Args: status: how those are by now that did not fail."""
    count = sum(result["error"] is None for result in results)
    body = {str(status): count, "failed": len(results) - count, "results": results}
    return Answer(body={**body, "next_cursor": after.encode() if after else None})
