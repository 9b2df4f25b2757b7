"""Handoffs: the queue of leads that need a person, who holds which, and what a salesperson says to the lead."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from tracker.errors import NotFound, Refused
from tracker.events import Event
from tracker.handoff import Handoff, HandoffStatus, Verb, act, demand_holder, led
from tracker.handoff_view import Facts, full, head, line
from tracker.lead import StageChange
from tracker.model import Note, new_id
from tracker.people import followed
from tracker.ports import HumanReplies, Spoken, Teller
from tracker.qualification import missing
from tracker.reading import of_lead, with_persons
from tracker.recorder import Loaded, Recorder
from tracker.score_report import explained_score
from tracker.store.port import Change, Cursor, Document, Page, Replace
from tracker.store.schema import AUDIT_BY_LEAD, EVENTS_BY_LEAD, HANDOFFS_ALL, HANDOFFS_BY_STATUS, Kind
from tracker.times import instant
from tracker.unit import Decision, run

LINES = 200
"""How much of the conversation a handoff shows."""


class _Held(NamedTuple):
    """A handoff and its lead as they were read."""

    found: Document
    handoff: Handoff
    loaded: Loaded


class Handoffs:
    """Every method that returns one handoff returns it in full: `HandoffView` of `tracker/routes/handoffs.py`."""

    def __init__(self, recorder: Recorder, replies: HumanReplies, tell: Sequence[Teller] = ()):
        """Args: replies: brings a reply to the lead. tell: who knows what was said."""
        self._recorder, self._store = recorder, recorder.store
        self._replies, self._tell = replies, tell

    async def list(
        self, status: str | None = None, *, after: Cursor | None = None, limit: int = 100
    ) -> tuple[list[dict[str, Any]], Page]:
        """Return handoffs in short (`HandoffLine`) and the page with the next cursor.

        Newest first; those of status `open` oldest first: who has waited longest comes first.
        """
        index, prefix = (HANDOFFS_BY_STATUS, (status,)) if status else (HANDOFFS_ALL, ())
        newest_first = status != HandoffStatus.OPEN
        page = await self._store.find(index, *prefix, reverse=newest_first, after=after, limit=limit)
        ids = [document.body["lead_id"] for document in page.items]
        leads = await followed(self._store, ids, Kind.LEADS)
        found = await with_persons(self._store, [leads.get(id) for id in ids])
        now = self._recorder.clock()
        way = self._replies.way
        items = [
            head(d.id, Handoff.read(d.body), its.lead, its.person, way(its.lead, its.person, now=now))
            for d, its in zip(page.items, found, strict=True)
            if its is not None
        ]
        return items, page

    async def get(self, id: str) -> dict[str, Any]:
        """Raises: NotFound."""
        held = await self._held(id)
        loaded, config = held.loaded, held.loaded.config.config
        now = self._recorder.clock()
        facts = Facts(
            way=self._replies.way(loaded.lead, loaded.person, now=now),
            lead=loaded.view(now),
            score=await explained_score(self._store, loaded, now=instant(now)),
            events=[Event.read(d.body) async for d in of_lead(self._store, EVENTS_BY_LEAD, loaded.ids)],
            transcript=[line(spoken) for spoken in await self._spoken(loaded)],
            moves=await self._moves(held),
            unanswered=missing(loaded.lead, loaded.person, config),
        )
        return full(id, held.handoff, loaded.lead, loaded.person, facts)

    async def transcript(self, id: str) -> Sequence[dict[str, Any]]:
        """Return what was said, oldest first, as in the full view; cheap enough to be asked for every second.

        Raises: NotFound.
        """
        held = await self._held(id)
        return [line(spoken) for spoken in await self._spoken(held.loaded)]

    async def claim(self, id: str, by: str) -> dict[str, Any]:
        """Take the thread: the bot and the drips are silent from now on. A repeat by the same changes nothing.

        Raises: NotFound. Refused: somebody else holds it, or it is resolved.
        """
        return await self._act(id, Verb.CLAIM, by)

    async def release(self, id: str, by: str) -> dict[str, Any]:
        """Give the thread back: the handoff is open again, and the bot takes over.

        Raises: NotFound. Refused: somebody else holds it, or it is resolved.
        """
        return await self._act(id, Verb.RELEASE, by)

    async def resolve(self, id: str, by: str) -> dict[str, Any]:
        """End it, whoever holds it: the bot takes over, and the next wish opens another handoff.

        Raises: NotFound.
        """
        return await self._act(id, Verb.RESOLVE, by)

    async def _act(self, id: str, verb: Verb, by: str) -> dict[str, Any]:
        def decide(held: _Held) -> Decision[None]:
            after = act(held.handoff, verb, by, at=instant(self._recorder.clock()))
            if after is held.handoff:
                return Decision(None)
            loaded = held.loaded
            return Decision(
                None,
                [
                    Replace(Kind.HANDOFFS, id, held.found.version, after.body()),
                    # The lead says who holds the thread, so that every turn and every send is guarded by its version.
                    Replace(Kind.LEADS, loaded.id, loaded.version, led(loaded.lead, id, after).body()),
                ],
            )

        await run(self._store, lambda: self._held(id), decide)
        self._recorder.after()
        return await self.get(id)

    async def reply(self, id: str, text: str, by: str, *, reply_id: str | None = None) -> dict[str, Any]:
        """Write to the lead, on the channel that the view names.

        Args: reply_id: the same one is the same reply, however often it comes.
        Raises: NotFound. Refused: `by` does not hold the handoff, or nothing would arrive.
        """
        message_id = _message_id(id, reply_id)

        async def read() -> tuple[_Held, Document | None]:
            (sent,) = await self._store.get(Kind.MESSAGES, message_id)
            return await self._held(id), sent

        def decide(known: tuple[_Held, Document | None]) -> Decision[None]:
            held, sent = known
            return Decision(None, [] if sent else self._written(held, message_id, text, by))

        await run(self._store, read, decide)
        self._recorder.after()
        return await self.get(id)

    def _written(self, held: _Held, message_id: str, text: str, by: str) -> Sequence[Change]:
        """Raises: Refused."""
        demand_holder(held.handoff, by)
        now, loaded = self._recorder.clock(), held.loaded
        way = self._replies.way(loaded.lead, loaded.person, now=now)
        if way.obstacle is not None:
            raise Refused(f"nothing would arrive by {way.channel}: {way.obstacle}")
        at = instant(now)
        planned = self._replies.planned(
            message_id, lead_id=loaded.id, lead=loaded.lead, channel=way.channel, text=text, author=by, at=at
        )
        # Whoever takes the thread away at this moment makes this write stale, and the reply is refused.
        touched = Replace(Kind.HANDOFFS, held.found.id, held.found.version, held.handoff.but(updated_at=at).body())
        return [touched, *planned]

    async def _held(self, id: str) -> _Held:
        (found,) = await self._store.get(Kind.HANDOFFS, id)
        if found is None:
            raise NotFound(f"there is no handoff {id}")
        handoff = Handoff.read(found.body)
        return _Held(found, handoff, await self._recorder.load(handoff.lead_id))

    async def _spoken(self, loaded: Loaded) -> Sequence[Spoken]:
        """What was said stays with the lead with whom it was said, also where another one absorbed it."""
        spoken = [
            line
            for teller in self._tell
            for lead_id in loaded.ids
            for line in await teller.spoken(self._store, lead_id, limit=LINES)
        ]
        return sorted(spoken, key=lambda line: line.at)[-LINES:]

    async def _moves(self, held: _Held) -> Sequence[Note]:
        """What happened to the lead's stage while the handoff was there."""
        handoff = held.handoff
        ended = handoff.status is HandoffStatus.RESOLVED
        changes = []
        for lead_id in held.loaded.ids:
            page = await self._store.find(AUDIT_BY_LEAD, lead_id, low=handoff.created_at, limit=LINES)
            changes += [StageChange.read(document.body) for document in page.items]
        return [
            Note(
                at=change.at,
                by=change.actor,
                did=f"moved the lead from {change.before} to {change.to}: {change.reason}",
            )
            for change in sorted(changes, key=lambda change: change.at)
            if change.at > handoff.created_at and (not ended or change.at <= handoff.updated_at)
        ]


def _message_id(handoff_id: str, reply_id: str | None) -> str:
    if reply_id is None:
        return new_id()
    return f"{handoff_id}.{hashlib.blake2b(reply_id.encode(), digest_size=10).hexdigest()}"


def told(found: Document) -> dict[str, Any]:
    """A handoff as a lead's timeline tells it."""
    handoff = Handoff.read(found.body)
    body = handoff.body()
    return {name: body[name] for name in ("reason", "status", "claimed_by", "history")}
