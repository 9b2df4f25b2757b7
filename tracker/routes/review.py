"""The review queue over HTTP."""

from typing import Annotated, Any, Literal

from pydantic import Field

from tracker.keys import Scope
from tracker.model import Input, Line, Output, Slug
from tracker.review import ReviewFull, ReviewKind, ReviewStatus, ReviewView
from tracker.reviews import AS_IT_CAME, Review, Wanted
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
    reason: Line | None = None


class ReplayAll(Paging):
    """Which open items are replayed. Those that may have happened already only where `kind` says `uncertain`."""

    kind: ReviewKind | None = None
    status: Literal[ReviewStatus.OPEN] = ReviewStatus.OPEN
    product_id: Slug | None = None
    lead_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    limit: int = Field(100, ge=1, le=500)


class ReplayResult(Output):
    id: str
    kind: ReviewKind
    status: ReviewStatus
    lead_id: str | None
    error: str | None


class ReplayResults(Output):
    """Attributes: replayed, failed: how many of `results`. next_cursor: where the next call goes on."""

    replayed: int
    failed: int
    results: list[ReplayResult]
    next_cursor: str | None


class ReviewRoutes:
    def __init__(self, review: Review):
        self._review = review

    def routes(self) -> list[Route]:
        one, scope = "/review/{id}", Scope.REVIEW
        return [
            Route("GET", "/review", scope, self.list, "What needs a human", {200: ReviewList}, query=ReviewQuery),
            Route("POST", "/review/replay", scope, self.replay_all, "Try open items again, by filter",
                  {200: ReplayResults}, body=ReplayAll, optional=True),
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

    async def replay_all(self, call: Call[ReplayAll, Any]) -> Answer:
        given = call.body
        wanted = Wanted(given.kind, given.product_id, given.lead_id)
        results, after = await self._review.replay_all(
            wanted, call.principal.name, limit=given.limit, after=given.after
        )
        replayed = sum(result["status"] == ReviewStatus.REPLAYED for result in results)
        body = {"replayed": replayed, "failed": len(results) - replayed, "results": results}
        return Answer(body={**body, "next_cursor": after.encode() if after else None})
