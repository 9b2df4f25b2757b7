"""What needs a human, as pages: read, correct, replay, discard."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from pydantic import BeforeValidator, Field, StringConstraints

from tracker.desk import forms, words
from tracker.desk.forms import Form
from tracker.desk.layout import Desk, Visit, redirect
from tracker.errors import LeadlineError, Malformed, NotFound
from tracker.model import Line, Name
from tracker.review import ReviewKind, ReviewStatus, told
from tracker.reviews import AS_IT_CAME, ONE_BY_ONE, Review, Wanted
from tracker.web import Answer, Paging, Route, parse_json

LIST = "/desk/review"
PAGE_ITEMS = 30
AT_ONCE = 100
"""Items that one press of a button replays."""

SHORT_INPUT, LONGEST_INPUT = 4000, 200_000
"""Characters of an input that the list and an item's own page show; the API shows all of it."""

CORRECTABLE = frozenset({ReviewKind.QUARANTINE, ReviewKind.DEAD_LETTER, ReviewKind.DROPPED_FIELD})
"""Records of somebody else, which may be put right before they are replayed."""

TOLD_ON_PAGE = {HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY}
"""What an action is refused with on the item's own page, so that no correction is lost."""

Kind = Annotated[ReviewKind | None, BeforeValidator(lambda value: value or None)]
Count = Annotated[int, Field(ge=0, le=AT_ONCE)]


class ReviewPaging(Paging):
    """Attributes: done: an item that was just settled. replayed, failed, more: what replaying many came to."""

    status: ReviewStatus = ReviewStatus.OPEN
    kind: Kind = None
    done: Name | None = None
    replayed: Count | None = None
    failed: Count = 0
    more: bool = False


class ReplayForm(Form):
    """Attributes: input: JSON as somebody left it in the text area. kind: how the list was narrowed."""

    input: Annotated[str, StringConstraints(max_length=2 * LONGEST_INPUT)] | None = None
    kind: Kind = None


class DiscardForm(Form):
    reason: Line = ""
    kind: Kind = None


class ReplayAllForm(Form):
    kind: ReviewKind


class ReviewPages:
    def __init__(self, desk: Desk, review: Review):
        self._desk, self._review = desk, review

    def routes(self) -> list[Route]:
        page, action, one = self._desk.page, self._desk.action, f"{LIST}/{{id}}"
        return [
            page(LIST, self.queue, "What needs a human", query=ReviewPaging),
            action(f"{LIST}/replay", self.replay_all, "Replay the open items of a kind", form=ReplayAllForm),
            page(one, self.one, "One item"),
            action(f"{one}/replay", self.replay, "Replay an item, perhaps corrected", form=ReplayForm),
            action(f"{one}/discard", self.discard, "Discard an item", form=DiscardForm),
        ]

    async def queue(self, visit: Visit[ReviewPaging]) -> Answer:
        query = visit.query
        limit = min(query.limit, PAGE_ITEMS)
        items, page = await self._review.list(query.status, query.kind, after=query.after, limit=limit, newest=True)
        address = _address(query.status, query.kind)
        return self._desk.show(
            visit.request,
            "review.html",
            items=[self._shown(visit, item, SHORT_INPUT) for item in items],
            query=query,
            statuses=list(ReviewStatus),
            kinds=list(ReviewKind),
            done=await self._settled(query.done),
            all_at_once=bool(items) and self._may_replay_all(visit),
            first=address if query.cursor else None,
            further=f"{address}&{urlencode({'cursor': page.next.encode()})}" if page.next else None,
        )

    def _may_replay_all(self, visit: Visit[ReviewPaging]) -> bool:
        kind, is_open = visit.query.kind, visit.query.status is ReviewStatus.OPEN
        return (
            is_open
            and kind is not None
            and kind not in ONE_BY_ONE
            and self._review.can_replay(kind)
            and visit.visitor.user.role.may_act
        )

    async def _settled(self, id: str | None) -> Mapping[str, Any] | None:
        """Return an item that was just replayed or discarded, to say so."""
        try:
            item = await self._review.get(id) if id else None
        except NotFound:
            return None
        return item if item and item["status"] != ReviewStatus.OPEN and item["history"] else None

    def _shown(self, visit: Visit[Any], item: Mapping[str, Any], longest: int) -> dict[str, Any]:
        """Return an item for a page: its input as text, which may be cut, and what may be done with it."""
        text, kind = _text(item["input"]), ReviewKind(item["kind"])
        may_act = item["status"] == ReviewStatus.OPEN and visit.visitor.user.role.may_act
        return {
            **item,
            "input": text[:longest],
            "is_cut": len(text) > longest,
            "may_discard": may_act,
            "may_replay": may_act and self._review.can_replay(kind),
            "may_correct": may_act and kind in CORRECTABLE and len(text) <= longest,
            "hint": words.REPLAYED.get(kind, ""),
        }

    async def one(self, visit: Visit[Any]) -> Answer:
        return await self._page(visit)

    async def _page(
        self, visit: Visit[Any], *, status: int = 200, problem: str | None = None, text: str | None = None
    ) -> Answer:
        """Return an item's own page. Args: problem: what an action was refused with. text: a correction to keep."""
        item = await self._review.get(visit.path["id"])
        shown = self._shown(visit, item, LONGEST_INPUT)
        return self._desk.show(
            visit.request,
            "review_item.html",
            status=status,
            item=shown,
            text=shown["input"] if text is None else text,
            corrected=None if item["corrected"] is None else _text(item["corrected"]),
            problem=problem,
            unsaved=text if text is not None and not shown["may_correct"] else None,
        )

    async def replay(self, visit: Visit[Any]) -> Answer:
        id, text = visit.path["id"], visit.fields.get("input")
        try:
            given = forms.read(ReplayForm, dict(visit.fields))
            await self._review.replay(id, visit.name, await self._input(id, given.input))
        except LeadlineError as error:
            return await self._refused(visit, error, text)
        return redirect(_address(ReviewStatus.OPEN, given.kind, done=id))

    async def _input(self, id: str, text: str | None) -> Any:
        """Return what is to be replayed. Raises: Malformed: no JSON. NotFound."""
        if text is None:
            return AS_IT_CAME
        try:
            given = parse_json(text.encode())
        except Malformed as error:
            raise Malformed(error.detail.replace("the body", "the text", 1)) from error
        came = (await self._review.get(id))["input"]
        return AS_IT_CAME if _sorted(given) == _sorted(came) else given

    async def discard(self, visit: Visit[Any]) -> Answer:
        id = visit.path["id"]
        try:
            given = forms.read(DiscardForm, dict(visit.fields))
            await self._review.discard(id, visit.name, given.reason)
        except LeadlineError as error:
            return await self._refused(visit, error, None)
        return redirect(_address(ReviewStatus.OPEN, given.kind, done=id))

    async def _refused(self, visit: Visit[Any], error: LeadlineError, text: str | None) -> Answer:
        if error.status not in TOLD_ON_PAGE:
            raise error
        return await self._page(visit, status=error.status, problem=told(error.faults) or error.detail, text=text)

    async def replay_all(self, visit: Visit[Any]) -> Answer:
        kind = forms.read(ReplayAllForm, dict(visit.fields)).kind
        results, after = await self._review.replay_all(Wanted(kind), visit.name, limit=AT_ONCE)
        replayed = sum(result["status"] == ReviewStatus.REPLAYED for result in results)
        came_to = {"replayed": replayed, "failed": len(results) - replayed} | ({"more": "true"} if after else {})
        return redirect(_address(ReviewStatus.OPEN, kind, **came_to))


def _text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _sorted(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _address(status: ReviewStatus, kind: ReviewKind | None, **more: object) -> str:
    narrowed = {"kind": str(kind)} if kind else {}
    return f"{LIST}?{urlencode({'status': str(status)} | narrowed | more)}"
