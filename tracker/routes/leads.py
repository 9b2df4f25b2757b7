"""Leads over HTTP."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from tracker import consent_history, corrections, csv_stream, reading
from tracker.contacts import Contacts, Created, LeadFields, NewLead
from tracker.errors import NotFound
from tracker.events import Channel, EventType, Happening
from tracker.keys import Scope
from tracker.lead import LeadView, StageChange, view
from tracker.logins import Source as EventSource
from tracker.model import AnyTime, Input, Line, Metadata, Name, Output, PastTime, Points, Slug, clean, new_id
from tracker.points import points
from tracker.reading import Filter, Source
from tracker.recorder import Loaded, Recorded, Recorder, shown
from tracker.score_report import explained_score
from tracker.stages import Stage
from tracker.store.schema import AUDIT_BY_LEAD, CONSENTS_BY_PERSON, CORRECTIONS_BY_LEAD, EVENTS_BY_LEAD
from tracker.times import Instant, instant
from tracker.web import Answer, Call, Media, Paging, Route, etag, listed


class LeadQuery(Paging):
    product_id: Slug | None = None
    stage: Stage | None = None
    min_score: Points | None = None
    q: Annotated[str, Field(max_length=200), AfterValidator(clean)] | None = None


class LeadList(Output):
    items: list[LeadView]
    next_cursor: str | None


class OrganizationView(Output):
    """An organization, as its leads tell of it. Attributes: name: as the newest that knows it says."""

    organization_id: str
    name: str | None
    items: list[LeadView]
    next_cursor: str | None


class NewEvent(Input):
    event_type: EventType
    channel: Channel
    timestamp: PastTime
    id: Name | None = None
    source: EventSource = "api"
    metadata: Metadata = {}


class EventResult(Output):
    event_id: str
    lead_id: str
    duplicate: bool
    score_impact: float
    engagement_score: float
    stage: Stage


class Reclassify(Input):
    machine: bool


class Reclassified(Output):
    """An event as it counts now, and what that makes of its lead."""

    event_id: str
    source: str
    lead_id: str
    machine: bool
    score_impact: float
    engagement_score: float
    stage: Stage


class ScoreQuery(Input):
    """`at`: the score as it was then."""

    at: AnyTime | None = None


class Score(Output):
    total: float
    by_type: dict[str, float]
    by_day: dict[str, float]
    thresholds: dict[str, float]
    explanation: str


class StageMove(Input):
    stage: Stage
    reason: Line | None = None
    actor: Line | None = None


class StageRevert(Input):
    reason: Line | None = None
    actor: Line | None = None


class AuditEntry(Output):
    from_: Annotated[Stage, Field(alias="from")]
    to: Stage
    at: Instant
    actor: str
    reason: str
    event_id: str | None


class AuditList(Output):
    items: list[AuditEntry]
    next_cursor: str | None


class TimelineEntry(Output):
    model_config = {"extra": "allow"}

    at: Instant
    kind: str
    id: str


class TimelineList(Output):
    items: list[TimelineEntry]
    next_cursor: str | None


AUDIT = Source(AUDIT_BY_LEAD, "stage", lambda d: shown(StageChange.read(d.body)))
TIMELINE: tuple[Source, ...] = (
    Source(EVENTS_BY_LEAD, "event", reading.shown_event),
    AUDIT,
    Source(CONSENTS_BY_PERSON, "consent", consent_history.shown, of_person=True),
    Source(CORRECTIONS_BY_LEAD, "correction", corrections.shown),
)
"""What the tracker itself tells; other rooms add theirs."""


class LeadRoutes:
    def __init__(self, recorder: Recorder, timeline: Sequence[Source] = ()):
        """Args: timeline: what other rooms tell of a lead."""
        self._recorder, self._store = recorder, recorder.store
        self._contacts = Contacts(recorder)
        self._timeline = (*TIMELINE, *timeline)

    def routes(self) -> list[Route]:
        one, read, write = "/leads/{id}", Scope.LEADS_READ, Scope.LEADS_WRITE
        return [
            Route("POST", "/leads", write, self.create, "Create a lead, or get the one that is there",
                  {200: LeadView, 201: LeadView}, body=NewLead, creates=True),
            Route("GET", "/leads", read, self.list, "List and search leads", {200: LeadList}, query=LeadQuery),
            Route("GET", one, read, self.get, "One lead; an absorbed one redirects", {200: LeadView, 308: None}),
            Route("PUT", one, write, self.update, "Merge the given fields into a lead", {200: LeadView},
                  body=LeadFields, errors=(409, 412)),
            Route("POST", one + "/events", write, self.record, "Record an engagement event",
                  {200: EventResult, 202: EventResult}, body=NewEvent, creates=True, errors=(409, 412)),
            Route("GET", "/organizations/{id}", read, self.organization, "An organization's leads",
                  {200: OrganizationView}, query=Paging),
            Route("POST", "/events/{id}/reclassify", write, self.reclassify, "Say whether an event was a machine's",
                  {200: Reclassified}, body=Reclassify),
            Route("GET", one + "/score", read, self.score, "The score, explained", {200: Score},
                  query=ScoreQuery),
            Route("POST", one + "/stage", write, self.move, "Move a lead to its next stage", {200: LeadView},
                  body=StageMove, errors=(409, 412), creates=True),
            Route("POST", one + "/stage/revert", write, self.revert, "Undo the last stage change", {200: LeadView},
                  body=StageRevert, optional=True, errors=(409, 412), creates=True),
            Route("GET", one + "/audit", read, self.audit, "Every stage change", {200: AuditList}, query=Paging),
            Route("GET", one + "/timeline", read, self.timeline, "The one story of a lead", {200: TimelineList},
                  query=Paging),
            Route("GET", "/exports/events.csv", Scope.ANALYTICS_READ, self.export_events, "The ledger as CSV",
                  {200: Media("text/csv")}),
            Route("GET", "/exports/leads.csv", Scope.ANALYTICS_READ, self.export_leads, "Every lead as CSV",
                  {200: Media("text/csv")}),
        ]  # fmt: skip

    async def create(self, call: Call[NewLead, Any]) -> Answer:
        def answer(created: Created) -> Answer:
            body = view(created.lead_id, created.version, created.lead, created.person, now=self._recorder.clock())
            return Answer(201 if created.new else 200, body, etag(created.version))

        actor = call.principal.name
        return answer(await self._contacts.create(call.body, actor=actor, record=lambda: call.remember(answer)))

    async def list(self, call: Call[None, LeadQuery]) -> Answer:
        query = call.query
        wanted = Filter(query.product_id, query.stage, query.min_score, query.q)
        found, page = await reading.leads(self._store, wanted, after=query.after, limit=query.limit)
        now = self._recorder.clock()
        return listed(page, [view(d.id, d.version, lead, person, now=now) for d, lead, person in found])

    async def get(self, call: Call[None, Any]) -> Answer:
        loaded = await self._recorder.load(call.path["id"])
        if loaded.id != call.path["id"]:  # it was absorbed by another
            return Answer(308, headers={"Location": f"/leads/{loaded.id}"})
        return self._shown(loaded)

    async def update(self, call: Call[LeadFields, Any]) -> Answer:
        actor = call.principal.name
        return self._shown(await self._contacts.update(call.path["id"], call.body, actor=actor, expected=call.if_match))

    async def record(self, call: Call[NewEvent, Any]) -> Answer:
        given, loaded = call.body, await self._recorder.load(call.path["id"])
        happening = Happening(
            given.source, given.id or new_id(), given.event_type, given.channel, given.timestamp, given.metadata
        )

        def answer(done: Recorded) -> Answer:
            body = {
                "event_id": happening.event_id,
                "lead_id": loaded.id,
                "duplicate": done.duplicate,
                "score_impact": points(done.event.score_impact),
                "engagement_score": points(done.event.score_after),
                "stage": done.event.stage_after,
            }
            return Answer(200 if done.duplicate else 202, body)

        return answer(
            await self._recorder.event(loaded.id, happening, expected=call.if_match, record=call.remember(answer))
        )

    async def organization(self, call: Call[None, Paging]) -> Answer:
        id, query, now = call.path["id"], call.query, self._recorder.clock()
        found, page = await reading.of_organization(self._store, id, after=query.after, limit=query.limit)
        if not found and query.cursor is None:
            raise NotFound(f"there is no organization {id}")
        items = [view(d.id, d.version, lead, person, now=now) for d, lead, person in found]
        shown = {"organization_id": id, "name": await reading.organization_name(self._store, id), "items": items}
        return Answer(body={**shown, "next_cursor": page.next.encode() if page.next else None})

    async def reclassify(self, call: Call[Reclassify, Any]) -> Answer:
        event = await self._recorder.reclassify(call.path["id"], machine=call.body.machine)
        loaded = await self._recorder.load(event.lead_id)
        shown = {"event_id": event.event_id, "source": event.source, "machine": event.machine}
        gained = {"score_impact": points(event.score_impact), "engagement_score": points(loaded.lead.score)}
        return Answer(body={**shown, **gained, "lead_id": event.lead_id, "stage": loaded.lead.stage})

    async def score(self, call: Call[None, ScoreQuery]) -> Answer:
        loaded = await self._recorder.load(call.path["id"])
        now = instant(self._recorder.clock())
        return Answer(body=await explained_score(self._store, loaded, now=now, at=call.query.at))

    async def move(self, call: Call[StageMove, Any]) -> Answer:
        given = call.body
        moved = await self._recorder.move(
            call.path["id"],
            given.stage,
            actor=given.actor or call.principal.name,
            reason=given.reason or "moved by hand",
            expected=call.if_match,
            record=call.remember(self._shown),
        )
        return self._shown(moved)

    async def revert(self, call: Call[StageRevert, Any]) -> Answer:
        given = call.body
        reverted = await self._recorder.revert(
            call.path["id"],
            actor=given.actor or call.principal.name,
            reason=given.reason or "reverted by hand",
            expected=call.if_match,
            record=call.remember(self._shown),
        )
        return self._shown(reverted)

    async def audit(self, call: Call[None, Paging]) -> Answer:
        loaded = await self._recorder.load(call.path["id"])
        entries, cursor = await reading.timeline(
            self._store, [AUDIT], loaded.ids, loaded.person_ids, after=call.query.after, limit=call.query.limit
        )
        items = [{name: value for name, value in entry.items() if name not in {"id", "kind"}} for entry in entries]
        return Answer(body={"items": items, "next_cursor": cursor.encode() if cursor else None})

    async def timeline(self, call: Call[None, Paging]) -> Answer:
        loaded = await self._recorder.load(call.path["id"])
        items, cursor = await reading.timeline(
            self._store,
            self._timeline,
            loaded.ids,
            loaded.person_ids,
            after=call.query.after,
            limit=call.query.limit,
        )
        return Answer(body={"items": items, "next_cursor": cursor.encode() if cursor else None})

    async def export_events(self, call: Call[None, Any]) -> Any:
        rows = reading.event_rows(self._store)
        return await csv_stream.stream(call.request, "events.csv", reading.EVENT_COLUMNS, rows)

    async def export_leads(self, call: Call[None, Any]) -> Any:
        rows = reading.lead_rows(self._store, Filter(), now=self._recorder.clock())
        return await csv_stream.stream(call.request, "leads.csv", reading.LEAD_COLUMNS, rows)

    def _shown(self, loaded: Loaded) -> Answer:
        return Answer(body=loaded.view(self._recorder.clock()), headers=etag(loaded.version))
