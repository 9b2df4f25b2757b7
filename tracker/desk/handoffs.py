"""Handoffs at the desk: who waits, and the page from which a person answers."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import BeforeValidator

from tracker.desk import forms
from tracker.desk.forms import Form
from tracker.desk.layout import Desk, Visit, redirect
from tracker.errors import LeadlineError, NotFound
from tracker.handoff import LEAD, HandoffStatus
from tracker.handoff_view import name
from tracker.handoffs import Handoffs
from tracker.model import Lines, Name, new_id
from tracker.points import points
from tracker.recorder import Recorder
from tracker.store.schema import Kind
from tracker.web import Answer, Paging, Route

LIST = "/desk/handoffs"
PAGE_HANDOFFS, FEW = 30, 10
TOLD_ON_PAGE = {HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY}
"""What goes wrong with an action and is told on the handoff's own page, so that nothing typed is lost."""

View = Mapping[str, Any]


class HandoffPaging(Paging):
    status: Annotated[HandoffStatus | None, BeforeValidator(lambda value: value or None)] = None


class ReplyForm(Form):
    """Attributes: reply_id: made with the form, so that a reply sent twice arrives once."""

    text: Lines
    reply_id: Name


class HandoffPages:
    def __init__(self, desk: Desk, recorder: Recorder, handoffs: Handoffs):
        self._desk, self._recorder, self._handoffs = desk, recorder, handoffs

    def routes(self) -> list[Route]:
        page, action, one = self._desk.page, self._desk.action, f"{LIST}/{{id}}"
        return [
            page(LIST, self.queue, "Who waits for a person", query=HandoffPaging),
            page(one, self.one, "One handoff"),
            page(f"{one}/thread", self.thread, "The messages of a handoff, as a part of its page", noted=False),
            action(f"{one}/claim", self.claim, "Take a handoff"),
            action(f"{one}/reply", self.reply, "Answer as a person", form=ReplyForm),
            action(f"{one}/release", self.release, "Give a handoff back"),
            action(f"{one}/resolve", self.resolve, "End a handoff"),
        ]

    async def queue(self, visit: Visit[HandoffPaging]) -> Answer:
        query = visit.query
        groups = await (self._one_status(query.status, query) if query.status else self._every_status())
        return self._desk.show(
            visit.request,
            "handoffs.html",
            wanted=query.status,
            groups=groups,
            statuses=list(HandoffStatus),
            first=f"{LIST}?{urlencode({'status': str(query.status)})}" if query.after and query.status else None,
        )

    async def _every_status(self) -> list[dict[str, Any]]:
        limits = {
            HandoffStatus.OPEN: PAGE_HANDOFFS,
            HandoffStatus.CLAIMED: PAGE_HANDOFFS,
            HandoffStatus.RESOLVED: FEW,
        }
        return [await self._group(status, Paging(limit=limit)) for status, limit in limits.items()]

    async def _one_status(self, status: HandoffStatus, paging: Paging) -> list[dict[str, Any]]:
        return [await self._group(status, paging.model_copy(update={"limit": min(paging.limit, PAGE_HANDOFFS)}))]

    async def _group(self, status: HandoffStatus, paging: Paging) -> dict[str, Any]:
        """A status with its handoffs; `further`: where the list goes on."""
        items, page = await self._handoffs.list(status, after=paging.after, limit=paging.limit)
        query = {"status": str(status)} | ({"cursor": page.next.encode()} if page.next else {})
        return {
            "status": status,
            "rows": await self._rows(items),
            "further": f"{LIST}?{urlencode(query)}" if page.next else None,
        }

    async def _rows(self, items: Iterable[View]) -> list[dict[str, Any]]:
        items = list(items)
        ids = list(dict.fromkeys(item["lead_id"] for item in items))
        scores = {d.id: points(d.body["score"]) for d in await self._desk.store.get(Kind.LEADS, *ids) if d}
        names = {id: await self._product(id) for id in {item["product_id"] for item in items}}
        return [{**i, "product": names[i["product_id"]], "score": scores.get(i["lead_id"], 0)} for i in items]

    async def _product(self, id: str) -> str:
        live = await self._recorder.catalog.live(id)
        return live.config.name if live else id

    async def one(self, visit: Visit[Any]) -> Answer:
        return await self._shown(visit, await self._handoffs.get(visit.path["id"]))

    async def _shown(
        self, visit: Visit[Any], view: View, *, status: int = 200, problem: str | None = None, text: str = ""
    ) -> Answer:
        """Return the page. Args: problem: what an action was refused with. text: a reply that was not sent."""
        return self._desk.show(
            visit.request,
            "handoff.html",
            status=status,
            handoff=view,
            product=await self._product(view["product_id"]),
            history=[
                {**entry, "by": view["name"] if entry["by"] == LEAD else entry["by"]} for entry in view["history"]
            ],
            is_mine=view["status"] == HandoffStatus.CLAIMED and view["claimed_by"] == visit.name,
            may_act=visit.visitor.user.role.may_act,
            state=standing(view),
            problem=problem,
            text=text,
            reply_id=new_id(),
        )

    async def thread(self, visit: Visit[Any]) -> Answer:
        """Asked for again and again, so it reads no more than it shows."""
        id = visit.path["id"]
        transcript = await self._handoffs.transcript(id)
        (found,) = await self._desk.store.get(Kind.HANDOFFS, id)
        if found is None:
            raise NotFound(f"there is no handoff {id}")
        loaded = await self._recorder.load(found.body["lead_id"])
        view = {"name": name(loaded.lead, loaded.person), "transcript": transcript}
        return self._desk.show(visit.request, "thread.html", handoff=view, state=standing(found.body))

    async def claim(self, visit: Visit[Any]) -> Answer:
        return await self._act(visit, lambda id: self._handoffs.claim(id, visit.name), "#reply")

    async def release(self, visit: Visit[Any]) -> Answer:
        return await self._act(visit, lambda id: self._handoffs.release(id, visit.name))

    async def resolve(self, visit: Visit[Any]) -> Answer:
        return await self._act(visit, lambda id: self._handoffs.resolve(id, visit.name))

    async def reply(self, visit: Visit[Any]) -> Answer:
        async def send(id: str) -> object:
            given = forms.read(ReplyForm, dict(visit.fields))
            return await self._handoffs.reply(id, given.text, visit.name, reply_id=given.reply_id)

        return await self._act(visit, send, "#reply")

    async def _act(self, visit: Visit[Any], act: Callable[[str], Awaitable[object]], place: str = "") -> Answer:
        """Do it and go back to the page; when the handoff has moved on meanwhile, show it and say so."""
        id = visit.path["id"]
        try:
            await act(id)
        except LeadlineError as error:
            if error.status not in TOLD_ON_PAGE:
                raise
            faults = [fault.message for fault in error.faults]
            problem = "; ".join(faults) or error.detail
            view = await self._handoffs.get(id)
            text = visit.fields.get("text", "")
            return await self._shown(visit, view, status=error.status, problem=problem, text=text)
        return redirect(f"{LIST}/{id}{place}")


def standing(view: View) -> str:
    """Status and holder as one word, so that an open page notices when they change."""
    return f"{view['status']} {view['claimed_by'] or ''}".strip()
