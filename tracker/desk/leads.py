"""Leads at the desk: a list to search, one lead's story, and the list as a file."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from aiohttp import web
from pydantic import BeforeValidator, Field

from tracker import csv_stream, reading
from tracker.desk import story
from tracker.desk.layout import Desk, Visit
from tracker.events import Event
from tracker.handoff_view import answers, name
from tracker.lead import view
from tracker.model import Input, Slug, clean
from tracker.reading import Filter, Source
from tracker.recorder import Recorder
from tracker.score_report import explained_score
from tracker.stages import Stage
from tracker.store.schema import EVENTS_BY_LEAD
from tracker.times import instant
from tracker.web import Answer, Media, Paging, Route

LIST = "/desk/leads"
PAGE_LEADS, PAGE_ENTRIES = 30, 40


def _none_if_empty(value: Any) -> Any:
    """A field of a form that was left empty."""
    return value or None


class LeadFilter(Input):
    product_id: Annotated[Slug | None, BeforeValidator(_none_if_empty)] = None
    stage: Annotated[Stage | None, BeforeValidator(_none_if_empty)] = None
    q: Annotated[str, Field(max_length=200), BeforeValidator(lambda q: clean(q) if isinstance(q, str) else q)] = ""

    @property
    def wanted(self) -> Filter:
        return Filter(self.product_id, self.stage, None, self.q or None)

    def address(self, path: str, **more: str) -> str:
        """Return the path with this filter."""
        given = {name: str(value) for name, value in self if name in LeadFilter.model_fields and value}
        query = urlencode(given | more)
        return f"{path}?{query}" if query else path


class LeadPaging(LeadFilter, Paging):
    pass


class LeadPages:
    def __init__(self, desk: Desk, recorder: Recorder, timeline: Sequence[Source]):
        """Args: timeline: every source of a lead's story."""
        self._desk, self._recorder, self._store, self._timeline = desk, recorder, recorder.store, timeline

    def routes(self) -> list[Route]:
        page = self._desk.page
        return [
            page(LIST, self.search, "Leads, to search", query=LeadPaging),
            page(f"{LIST}.csv", self.export, "Leads as a file", query=LeadFilter, answers={200: Media("text/csv")}),
            page(f"{LIST}/{{id}}", self.one, "One lead and its story", query=Paging),
        ]

    async def search(self, visit: Visit[LeadPaging]) -> Answer:
        query = visit.query
        limit = min(query.limit, PAGE_LEADS)
        found, page = await reading.leads(self._store, query.wanted, after=query.after, limit=limit, newest=True)
        now = self._desk.clock()
        products = {
            product.config.product_id: product.config.name for product in await self._recorder.catalog.products()
        }
        return self._desk.show(
            visit.request,
            "leads.html",
            leads=[
                {**view(d.id, d.version, lead, person, now=now), "name": name(lead, person)}
                for d, lead, person in found
            ],
            query=query,
            is_filtered=bool(query.q or query.product_id or query.stage),
            products=products,
            stages=list(Stage),
            export=query.address(f"{LIST}.csv"),
            first=query.address(LIST) if query.cursor else None,
            further=query.address(LIST, cursor=page.next.encode()) if page.next else None,
        )

    async def export(self, visit: Visit[LeadFilter]) -> web.StreamResponse:
        rows: AsyncIterator[Sequence[Any]] = reading.lead_rows(self._store, visit.query.wanted, now=self._desk.clock())
        return await csv_stream.stream(visit.request, "leads.csv", reading.LEAD_COLUMNS, rows)

    async def one(self, visit: Visit[Paging]) -> Answer:
        query, loaded = visit.query, await self._recorder.load(visit.path["id"])
        lead, person, config = loaded.lead, loaded.person, loaded.config.config
        items, cursor = await reading.timeline(
            self._store,
            self._timeline,
            loaded.ids,
            loaded.person_ids,
            after=query.after,
            limit=min(query.limit, PAGE_ENTRIES),
            newest=True,
        )
        events = [Event.read(d.body) async for d in reading.of_lead(self._store, EVENTS_BY_LEAD, loaded.ids)]
        path = f"{LIST}/{loaded.id}"
        return self._desk.show(
            visit.request,
            "lead.html",
            lead=loaded.view(self._desk.clock()),
            person=person,
            name=name(lead, person),
            product=config.name,
            score=await explained_score(self._store, loaded, now=instant(self._desk.clock())),
            answers=answers(events),
            entries=story.told(items),
            first=f"{path}#timeline" if query.cursor else None,
            further=f"{path}?{urlencode({'cursor': cursor.encode()})}#timeline" if cursor else None,
        )
