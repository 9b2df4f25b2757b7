"""A server's parts over a real store, made as the server makes them, which a test may close and open as it likes."""

import itertools
import os
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import Phase, settings

from channels.replies import HumanReplyOutbox
from channels.states import WAITING
from channels.templates import NewTemplate
from config.app import Server, build
from config.settings import Settings
from tests.conftest import Opener
from tests.fakes import Clock
from tests.strategies import NOON
from tracker.contacts import Contacts, NewLead
from tracker.events import Channel, EventType, Happening
from tracker.handoffs import Handoffs
from tracker.lead import Lead
from tracker.logins import LoginResult, read_login
from tracker.merges import Merges
from tracker.person import Person
from tracker.product import ProductConfig
from tracker.recorder import Loaded, Recorded
from tracker.score_report import explained_score
from tracker.store.port import Document, Store
from tracker.store.schema import (
    AUDIT_BY_LEAD,
    EVENTS_BY_LEAD,
    HANDOFFS_BY_LEAD,
    MESSAGES_BY_LEAD,
    Index,
    Kind,
)
from tracker.times import Instant, instant

KEY = "a-key-of-the-property-tests"
MUTATED = "LEADLINE_MUTATED" in os.environ
"""Set while a mutation of the code is tried: the first failing example is enough, nobody reads a smaller one."""

PHASES = tuple(p for p in Phase if not (MUTATED and p in {Phase.shrink, Phase.explain}))


def examples(*, least: int = 100, most: int = 5000) -> settings:
    """As many examples as the profile asks for. Args: least: at least so many. most: for slow tests."""
    profile = settings.default
    assert profile is not None
    return settings(max_examples=min(most, max(least, profile.max_examples)), phases=PHASES)


_marks = itertools.count()


def mark() -> str:
    """The beginning of ids of one example, which shares its store with the others."""
    return f"x{next(_marks):06}"


class World:
    """A server over the store that `opener` opens. Its workers do not run by themselves, its clock stands still."""

    def __init__(self, opener: Opener):
        self._open = opener
        self.clock = Clock(NOON)
        self.store: Store
        self.server: Server

    async def start(self) -> "World":
        self.store = await self._open()
        self.plug()
        return self

    def plug(self) -> None:
        """Make all parts anew: what they remembered is forgotten."""
        self.server = build(
            Settings(data=Path(os.devnull), api_key=KEY),
            self.store,
            secrets=["the-secret-of-the-property-tests"],
            base_url="http://leadline.test",
            clock=self.clock,
        )
        self.recorder, self.ingestion = self.server.recorder, self.server.ingestion
        self.contacts, self.merges = Contacts(self.recorder), Merges(self.recorder)
        self.handoffs = Handoffs(self.recorder, HumanReplyOutbox(frozenset({Channel.EMAIL})))

    def twin(self) -> "World":
        """Another server over the same store: it remembers other things than this one."""
        twin = World(self._open)
        twin.clock, twin.store = self.clock, self.store
        twin.plug()
        return twin

    async def restart(self) -> None:
        """Close the store and open it again, with new parts."""
        await self.store.close()
        await self.start()

    async def stop(self) -> None:
        await self.store.close()

    async def product(self, product_id: str = "flow", **config: Any) -> None:
        given = {"product_id": product_id, "name": product_id.title(), **config}
        await self.server.catalog.put(ProductConfig.model_validate(given), author="tests")

    async def template(self, template_id: str, channel: str = Channel.CHATBOT, **more: Any) -> None:
        words: dict[str, Any] = {"text": f"{template_id} for {{{{ person.first_name }}}}", **more}
        if channel == Channel.EMAIL:
            words |= {"subject": "Hello"}
        given = {"template_id": template_id, "channel": channel, **words}
        await self.server.templates.add(NewTemplate.model_validate(given))

    async def login(self, *records: dict[str, Any]) -> list[LoginResult]:
        """Count records that are known to be good."""
        reads = [read_login(record, now=self.clock()) for record in records]
        assert all(read.login and not read.faults for read in reads), reads
        return await self.ingestion.record([read.login for read in reads if read.login])

    async def lead(self, product_id: str = "flow", **fields: Any) -> str:
        given = NewLead.model_validate({"product_id": product_id, **fields})
        return (await self.contacts.create(given, actor="tests", record=lambda: None)).lead_id

    async def happen(self, lead_id: str, happening: Happening) -> Recorded:
        return await self.recorder.event(lead_id, happening)

    async def stored(self, kind: Kind, id: str) -> Document | None:
        (found,) = await self.store.get(kind, id)
        return found

    async def each(self, index: Index, *ids: str) -> list[Document]:
        """Every document of these leads."""
        return [d for id in ids for d in (await self.store.find(index, id, limit=1000)).items]

    async def score(self, loaded: Loaded, at: Instant | None = None) -> dict[str, Any]:
        now = instant(self.clock())
        return await explained_score(self.store, loaded, now=now, at=at)


def login(id: str, user: str, *, minutes_ago: int = 0, product_id: str = "flow", **more: Any) -> dict[str, Any]:
    """A record of the CRM."""
    return {
        "event_id": id,
        "crm_user_id": user,
        "organization_id": "org",
        "product_id": product_id,
        "occurred_at": instant(NOON - timedelta(minutes=minutes_ago)),
        "email": f"{user}@example.com",
        **more,
    }


def happening(
    id: str, event_type: EventType, *, minutes_ago: int = 0, channel: Channel = Channel.EMAIL, **more: Any
) -> Happening:
    at = instant(NOON - timedelta(minutes=minutes_ago))
    return Happening("api", id, event_type, channel, at, **more)


async def check(world: World, lead_id: str) -> Loaded:
    """Hold a lead to what is always true of one, and return it."""
    loaded = await world.recorder.load(lead_id)
    lead = loaded.lead
    events = await world.each(EVENTS_BY_LEAD, *loaded.ids)
    assert lead.score == sum(d.body["score_impact"] for d in events), "the score is the fold of the ledger"
    assert (await world.score(loaded))["total"] * 1000 == lead.score, "the explanation comes to the same"
    stages = connected(await world.each(AUDIT_BY_LEAD, loaded.id))
    assert stages[-1] == lead.stage, "the audit trail leads to where the lead is"
    open_ones = [d for d in await world.each(HANDOFFS_BY_LEAD, *loaded.ids) if d.body["status"] != "resolved"]
    assert [d.id for d in open_ones] == ([lead.handoff_id] if lead.handoff_id else []), "one open handoff at most"
    holders = [d.body["claimed_by"] for d in open_ones if d.body["status"] == "claimed"]
    assert holders == ([lead.held_by] if lead.held_by else [])
    planned = [d for d in await world.each(MESSAGES_BY_LEAD, *loaded.ids) if d.body["status"] in WAITING]
    assert len(planned) <= 1, "one planned step at a time"
    assert {d.body["stage"] for d in planned} <= {lead.stage}, "and it belongs to the lead's stage"
    return loaded


def connected(trail: Iterable[Document]) -> list[str]:
    """Return the stages that an audit trail passes through: each change begins where the one before it ended."""
    stages = ["User"]
    for entry in trail:
        assert entry.body["before"] == stages[-1], "the audit trail is a connected path"
        stages.append(entry.body["to"])
    return stages


def told_lead(lead: Lead, person: Person) -> dict[str, Any]:
    """What is known of a lead and its person, but for ids, versions and the times of our own clock."""
    ours = {"person_id", "created_at", "updated_at", "absorbed", "merged_into", "leads", "handoff_id", "staged_at"}
    ours |= {"tells", "told"}  # a lead that is made by hand is told of now
    told = {name: value for name, value in lead.body().items() if name not in ours}
    its = {name: value for name, value in person.body().items() if name not in {*ours, "whatsapp_lead"}}
    for name in ("feature_usage", "answered"):
        told[name] = sorted(told[name])
    for name in ("email_consent", "whatsapp_consent"):
        its[name] = its[name]["status"]
    its["suppressions"] = sorted((s["channel"], s["reason"], s["scope"]) for s in its["suppressions"])
    return {"lead": told, "person": its}
