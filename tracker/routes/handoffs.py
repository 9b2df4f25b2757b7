"""Handoffs over HTTP."""

from typing import Any, Literal

from tracker.events import Channel
from tracker.handoff import HandoffStatus, Reason
from tracker.handoffs import Handoffs
from tracker.keys import Scope
from tracker.lead import LeadView
from tracker.model import Input, Lines, Name, Output
from tracker.review import HistoryLine
from tracker.routes.leads import Score
from tracker.times import Instant
from tracker.web import Answer, Call, Paging, Route, listed


class HandoffQuery(Paging):
    status: HandoffStatus | None = None


class By(Input):
    """Who acts; by default the key's name."""

    by: Name | None = None


class HumanReply(By):
    text: Lines


class HandoffLine(Output):
    id: str
    lead_id: str
    person_id: str
    product_id: str
    name: str
    reason: Reason
    status: HandoffStatus
    channel: Channel
    claimed_by: str | None
    created_at: Instant
    updated_at: Instant


class SpokenLine(Output):
    """Attributes: author: the salesperson's name. status: of a message that a person wrote."""

    at: Instant
    by: Literal["visitor", "bot", "human"]
    author: str | None
    text: str
    status: str | None


class HandoffView(HandoffLine):
    """Attributes: channel: where a reply goes. window_open: whether WhatsApp takes free text; null elsewhere."""

    lead: LeadView
    answers: dict[str, Any]
    score: Score
    why: list[str]
    transcript: list[SpokenLine]
    next_step: str
    window_open: bool | None
    history: list[HistoryLine]


class HandoffList(Output):
    items: list[HandoffLine]
    next_cursor: str | None


class HandoffRoutes:
    def __init__(self, handoffs: Handoffs):
        self._handoffs = handoffs

    def routes(self) -> list[Route]:
        one, read, write = "/handoffs/{id}", Scope.LEADS_READ, Scope.LEADS_WRITE
        answers = {200: HandoffView}
        return [
            Route("GET", "/handoffs", read, self.list, "Leads that need a person", {200: HandoffList},
                  query=HandoffQuery),
            Route("GET", one, read, self.get, "One handoff, with all that is known", answers),
            Route("POST", f"{one}/claim", write, self.claim, "Take the thread; the bot is silent then", answers,
                  body=By, optional=True, errors=(409,)),
            Route("POST", f"{one}/reply", write, self.reply, "Write to the lead as the person who holds the thread",
                  answers, body=HumanReply, creates=True, errors=(409,)),
            Route("POST", f"{one}/release", write, self.release, "Give the thread back to the bot", answers,
                  body=By, optional=True, errors=(409,)),
            Route("POST", f"{one}/resolve", write, self.resolve, "End a handoff", answers, body=By, optional=True,
                  errors=(409,)),
        ]  # fmt: skip

    async def list(self, call: Call[None, HandoffQuery]) -> Answer:
        query = call.query
        items, page = await self._handoffs.list(query.status, after=query.after, limit=query.limit)
        return listed(page, items)

    async def get(self, call: Call[None, Any]) -> Answer:
        return Answer(body=await self._handoffs.get(call.path["id"]))

    async def claim(self, call: Call[By, Any]) -> Answer:
        return Answer(body=await self._handoffs.claim(call.path["id"], _who(call)))

    async def release(self, call: Call[By, Any]) -> Answer:
        return Answer(body=await self._handoffs.release(call.path["id"], _who(call)))

    async def resolve(self, call: Call[By, Any]) -> Answer:
        return Answer(body=await self._handoffs.resolve(call.path["id"], _who(call)))

    async def reply(self, call: Call[HumanReply, Any]) -> Answer:
        # With the key's own id the message is found again by a repeat whose first answer was lost.
        reply_id = call.once.id if call.once else None
        return Answer(body=await self._handoffs.reply(call.path["id"], call.body.text, _who(call), reply_id=reply_id))


def _who(call: Call[Any, Any]) -> str:
    return call.body.by or call.principal.name
