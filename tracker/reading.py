"""Reading side: lists, search, timelines, exports. Nothing here changes anything. Scores: `tracker/score_report.py`."""

import heapq
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from tracker.events import Event
from tracker.lead import Lead, view, words
from tracker.people import followed
from tracker.person import Person
from tracker.points import points, thousandths
from tracker.search_words import searched
from tracker.stages import Stage
from tracker.store.port import Cursor, Document, Page, Scalar, Store
from tracker.store.schema import (
    EVENTS_ALL,
    LEADS_ALL,
    LEADS_BY_ORGANIZATION,
    LEADS_BY_PRODUCT,
    LEADS_BY_STAGE,
    LEADS_BY_WORD,
    Index,
    Kind,
)

EXAMINED = 1000
"""Documents that one page of a filtered list may look at; the page may be short."""

NEWEST = 20
"""Leads that are read together to find an organization's name: mostly the first has it."""


class Filter(NamedTuple):
    """What a list of leads is narrowed to. `min_score`: points. `q`: beginnings of words of the lead."""

    product_id: str | None = None
    stage: Stage | None = None
    min_score: float | None = None
    q: str | None = None


class Found(NamedTuple):
    document: Document
    lead: Lead
    person: Person


async def leads(
    store: Store, wanted: Filter, *, after: Cursor | None, limit: int, newest: bool = False
) -> tuple[list[Found], Page]:
    """Return leads, oldest first, or by matching word when searching; the page carries the next cursor.

    Args: newest: newest first, where nothing is searched.
    """
    tokens = searched(wanted.q or "")
    index, prefix = _index(wanted) if not tokens else (LEADS_BY_WORD, ())
    low, high = (tokens[0], tokens[0] + "\U0010ffff") if tokens else (None, None)
    reverse = newest and not tokens
    found: list[Found] = []
    examined = 0
    while True:
        page = await store.find(index, *prefix, low=low, high=high, reverse=reverse, after=after, limit=limit)
        candidates = await with_persons(store, page.items if not tokens else await _of_words(store, page.items))
        for source, candidate in zip(page.items, candidates, strict=True):
            after = Cursor(source.body["word"] if tokens else source.id, source.id)
            if candidate and _wanted(candidate, wanted) and _matches(candidate, tokens, source):
                found.append(candidate)
                if len(found) == limit:
                    more = page.next is not None or source is not page.items[-1]
                    return found, Page([], after if more else None)
        examined += len(page.items)
        if page.next is None:
            return found, Page([], None)
        if examined >= EXAMINED:
            return found, page


async def of_organization(
    store: Store, organization_id: str, *, after: Cursor | None, limit: int, newest: bool = False
) -> tuple[list[Found], Page]:
    """Return a page of an organization's leads, whatever their product, oldest or newest first."""
    page = await store.find(LEADS_BY_ORGANIZATION, organization_id, reverse=newest, after=after, limit=limit)
    found = [one for one in await with_persons(store, page.items) if one and one.lead.merged_into is None]
    return found, page


async def organization_name(store: Store, organization_id: str) -> str | None:
    """Return the company of an organization's newest lead that has one; None where none of the newest has."""
    after: Cursor | None = None
    for _ in range(EXAMINED // NEWEST):
        found, page = await of_organization(store, organization_id, after=after, limit=NEWEST, newest=True)
        for one in found:
            if company := one.person.demographics.get("company"):
                return company
        if page.next is None:
            return None
        after = page.next
    return None


def _index(wanted: Filter) -> tuple[Index, tuple[Scalar, ...]]:
    if wanted.product_id is None:
        return LEADS_ALL, ()
    if wanted.stage is None:
        return LEADS_BY_PRODUCT, (wanted.product_id,)
    return LEADS_BY_STAGE, (wanted.product_id, wanted.stage)


async def _of_words(store: Store, entries: Sequence[Document]) -> list[Document | None]:
    return await store.get(Kind.LEADS, *(entry.body["lead_id"] for entry in entries))


async def with_persons(store: Store, documents: Sequence[Document | None]) -> list[Found | None]:
    found = await followed(store, dict.fromkeys(d.body["person_id"] for d in documents if d))
    persons = {id: Person.read(d.body) for id, d in found.items()}
    return [
        Found(d, Lead.read(d.body).but(person_id=found[whose].id), persons[whose])
        if d and (whose := d.body["person_id"]) in persons
        else None
        for d in documents
    ]


def _wanted(found: Found, wanted: Filter) -> bool:
    return (
        found.lead.merged_into is None
        and (wanted.product_id is None or found.lead.product_id == wanted.product_id)
        and (wanted.stage is None or found.lead.stage is wanted.stage)
        and (wanted.min_score is None or found.lead.score >= thousandths(wanted.min_score))
    )


def _matches(found: Found, tokens: Sequence[str], source: Document) -> bool:
    """Whether every token begins a word of the lead, and `source` is the first of the words that the search meets."""
    if not tokens:
        return True
    known = words(found.person)
    first = min((word for word in known if word.startswith(tokens[0])), default=None)
    return source.body["word"] == first and all(any(w.startswith(t) for w in known) for t in tokens[1:])


@dataclass(frozen=True, slots=True)
class Source:
    """A kind that tells a part of a lead's story. `of_person`: its index goes by person instead of by lead."""

    index: Index
    kind: str
    show: Callable[[Document], dict[str, Any]]
    of_person: bool = False


async def timeline(
    store: Store,
    sources: Sequence[Source],
    lead_ids: Sequence[str],
    person_ids: Sequence[str],
    *,
    after: Cursor | None,
    limit: int,
    newest: bool = False,
) -> tuple[list[dict[str, Any]], Cursor | None]:
    """Return a page of the one story of a lead, oldest or newest first, merged from all sources.

    Args: lead_ids, person_ids: the lead's and its person's own, and those that they absorbed.
    """
    pages = [
        (source, await store.find(source.index, id, reverse=newest, after=after, limit=limit + 1))
        for source in sources
        for id in (person_ids if source.of_person else lead_ids)
    ]
    rows = ((d.body[s.index.range], d.id, n, s, d) for n, (s, page) in enumerate(pages) for d in page.items)
    choose = heapq.nlargest if newest else heapq.nsmallest
    first = choose(limit + 1, rows, key=lambda row: row[:3])
    items = [{"at": at, "kind": s.kind, "id": id, **s.show(d)} for at, id, _, s, d in first[:limit]]
    return items, Cursor(first[limit - 1][0], first[limit - 1][1]) if len(first) > limit else None


async def of_lead(
    store: Store, index: Index, lead_ids: Sequence[str], *, high: Scalar = None
) -> AsyncIterator[Document]:
    """Yield every document of a lead and of those that it absorbed."""
    for lead_id in lead_ids:
        async for document in everything(store, index, lead_id, high=high):
            yield document


async def everything(
    store: Store, index: Index, *prefix: Scalar, high: Scalar = None, chunk: int = 500
) -> AsyncIterator[Document]:
    """Yield every document of an index, read a page at a time. Args: high: only those below it."""
    async for page in pages(store, index, *prefix, high=high, chunk=chunk):
        for document in page:
            yield document


async def pages(
    store: Store, index: Index, *prefix: Scalar, high: Scalar = None, chunk: int = 500
) -> AsyncIterator[Sequence[Document]]:
    """Yield every document of an index in pages of `chunk`. Args: high: only those below it."""
    after: Cursor | None = None
    while True:
        page = await store.find(index, *prefix, high=high, after=after, limit=chunk)
        yield page.items
        if page.next is None:
            return
        after = page.next


EVENT_COLUMNS = (
    "event_id",
    "lead_id",
    "event_type",
    "channel",
    "timestamp",
    "score_impact",
    "product_id",
    "source",
    "received_at",
    "machine",
    "metadata",
)


async def event_rows(store: Store) -> AsyncIterator[tuple[Any, ...]]:
    """Yield the ledger as rows of `EVENT_COLUMNS`. What happened to an absorbed lead is shown on its survivor."""
    async for page in pages(store, EVENTS_ALL):
        leads = await followed(store, {d.body["lead_id"] for d in page}, Kind.LEADS)
        for document in page:
            body = document.body
            shown = {
                "lead_id": leads[body["lead_id"]].id if body["lead_id"] in leads else body["lead_id"],
                "score_impact": points(body["score_impact"]),
            }
            yield tuple(shown.get(column, body[column]) for column in EVENT_COLUMNS)


LEAD_COLUMNS = (
    "lead_id",
    "product_id",
    "stage",
    "engagement_score",
    "name",
    "email",
    "phone",
    "company",
    "company_size",
    "job_title",
    "industry",
    "organization_id",
    "crm_user_id",
    "preferred_channel",
    "trial_status",
    "login_frequency",
    "last_login_at",
    "created_at",
    "updated_at",
    "person_id",
)


async def lead_rows(store: Store, wanted: Filter, *, now: datetime) -> AsyncIterator[tuple[Any, ...]]:
    """Yield leads as rows of `LEAD_COLUMNS`. Args: now: what the login frequency is counted back from."""
    after: Cursor | None = None
    while True:
        found, page = await leads(store, wanted, after=after, limit=500)
        for document, lead, person in found:
            shown = view(document.id, document.version, lead, person, now=now)
            flat = {
                **shown["demographics"],
                **shown["contact_info"],
                **shown["product_context"],
                **shown,
                "lead_id": document.id,
            }
            yield tuple(flat.get(column) for column in LEAD_COLUMNS)
        if page.next is None:
            return
        after = page.next


def shown_event(document: Document) -> dict[str, Any]:
    event = Event.read(document.body)
    return {
        "event_id": event.event_id,
        "source": event.source,
        "event_type": event.event_type,
        "channel": event.channel,
        "score_impact": points(event.score_impact),
        "rule": event.rule,
        "machine": event.machine,
        "metadata": orjson.loads(event.metadata),
    }
