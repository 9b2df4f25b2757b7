"""The review queue: a person looks, corrects, replays once or discards."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from tracker import audit, review
from tracker.errors import LeadlineError, NotFound, Refused
from tracker.ports import Discarded, Discarder, Mended, Mender, Reactor, ToMend
from tracker.review import ReviewItem, ReviewKind, ReviewStatus, Trial, told
from tracker.store.port import Cursor, Document, Page, Replace, Store, StoreError
from tracker.store.schema import REVIEW_ALL, REVIEW_BY_KIND, REVIEW_BY_STATUS, Index, Kind
from tracker.times import instant, later
from tracker.unit import Decision, run

TRIAL_SECONDS = 30
"""How long a replay with one input keeps away those with another; after that it has ended, or its process has."""

EXAMINED = 1000
"""Items that one call by filter may look at."""

ONE_BY_ONE = frozenset({ReviewKind.UNCERTAIN})
"""What may have happened already: replayed or discarded by filter only where the kind is named."""

AS_IT_CAME: Any = object()
"""Stands for the input that an item has."""

NO_DISCARDERS: Mapping[ReviewKind, Discarder] = {}
"""Most items are only taken from the queue."""


Act = Callable[[str], Awaitable[Mapping[str, Any]]]
"""What is done with one of many items; returns it in full."""


class Wanted(NamedTuple):
    """Which open items are replayed or discarded together."""

    kind: ReviewKind | None = None
    product_id: str | None = None
    lead_id: str | None = None

    def matches(self, item: ReviewItem) -> bool:
        return (
            (self.kind is item.kind or (self.kind is None and item.kind not in ONE_BY_ONE))
            and self.product_id in (None, item.product_id)
            and self.lead_id in (None, item.lead_id)
        )


class Review:
    """Every method that returns one item returns it in full: `ReviewFull`."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        menders: Mapping[ReviewKind, Mender],
        after: Callable[[], None] = lambda: None,
        *,
        discarders: Mapping[ReviewKind, Discarder] = NO_DISCARDERS,
        reactors: Sequence[Reactor] = (),
    ):
        """Args: menders: who tries again what; a kind without one can only be discarded. after: called when something
        may be to be done. discarders: for whom something follows when what is discarded. reactors: to what follows.
        """
        self._store, self._clock, self._menders, self._after = store, clock, menders, after
        self._discarders, self._reactors = discarders, reactors

    async def list(
        self,
        status: ReviewStatus | None = None,
        kind: ReviewKind | None = None,
        *,
        after: Cursor | None = None,
        limit: int = 100,
        newest: bool = False,
    ) -> tuple[Sequence[dict[str, Any]], Page]:
        """Return items as `ReviewView`, oldest first, and the page with the next cursor.

        A kind without a status means what is open.
        """
        index, prefix = _index(status, kind)
        page = await self._store.find(index, *prefix, reverse=newest, after=after, limit=limit)
        return [review.view(document) for document in page.items], page

    async def get(self, id: str) -> dict[str, Any]:
        """Raises: NotFound."""
        return review.full(id, ReviewItem.read((await self._found(id)).body))

    def can_replay(self, kind: ReviewKind) -> bool:
        return kind in self._menders

    async def replay(self, id: str, by: str, input: Any = AS_IT_CAME) -> dict[str, Any]:
        """Try again what an item is about, once: a repeat returns what the first one made of it.

        Args: by: who wants it. input: a corrected one.
        Raises: NotFound. Invalid: it is still no good. Refused: it was discarded, or there is nothing that could be
            tried again. Where the item stays open, it tells that too.
        """
        item = ReviewItem.read((await self._found(id)).body)
        mender = self._menders.get(item.kind)
        if mender is None and item.status is ReviewStatus.OPEN:
            raise Refused(f"an item of the kind {item.kind} cannot be replayed, only discarded")
        digest = _digest(orjson.loads(item.input) if input is AS_IT_CAME else input)
        if mender is not None and mender.acts_itself:
            await self._begin(id, digest)
        try:
            done = await self._mended(id, by, input, mender)
        except StoreError:
            raise
        except LeadlineError as error:
            first = await self._in_vain(id, by, digest, error)
            if first is None:
                raise
            return first
        self._after()
        return done

    async def _mended(self, id: str, by: str, input: Any, mender: Mender | None) -> dict[str, Any]:
        async def read() -> tuple[Document, ReviewItem, Mended | None]:
            found = await self._found(id)
            item = ReviewItem.read(found.body)
            if item.status is not ReviewStatus.OPEN or mender is None:
                return found, item, None
            return found, item, await mender.mend(_to_mend(id, by, item, input))

        def decide(known: tuple[Document, ReviewItem, Mended | None]) -> Decision[dict[str, Any]]:
            found, item, mended = known
            if item.status is ReviewStatus.DISCARDED:
                raise Refused("the item was discarded")
            if mended is None:
                return Decision(review.full(id, item))
            corrected = input is not AS_IT_CAME
            after = item.noted(
                by,
                f"{mended.did}, with a corrected input" if corrected else mended.did,
                at=instant(self._clock()),
                status=ReviewStatus.REPLAYED,
                attempts=item.attempts + 1,
                lead_id=mended.lead_id or item.lead_id,
                corrected=orjson.dumps(input).decode() if corrected else None,
                trial=None,
            )
            noted = audit.entry(by, "review.replay", id, at=instant(self._clock()), detail=mended.did)
            changes = [Replace(Kind.REVIEW, id, found.version, after.body()), *mended.changes, noted]
            return Decision(review.full(id, after), changes)

        return await run(self._store, read, decide)

    async def _begin(self, id: str, digest: str) -> None:
        """Keep replays with another input away, so that no two corrections of one record are both counted.

        Raises: Refused: one is under way.
        """

        def decide(found: Document) -> Decision[None]:
            item, now = ReviewItem.read(found.body), self._clock()
            if item.status is not ReviewStatus.OPEN:
                return Decision(None)
            if item.trial is not None and item.trial.until > instant(now):
                if item.trial.input != digest:
                    raise Refused("the item is being replayed with another input; look again in half a minute")
                return Decision(None)
            trial = Trial(input=digest, until=later(now, seconds=TRIAL_SECONDS))
            return Decision(None, [Replace(Kind.REVIEW, id, found.version, item.but(trial=trial).body())])

        await run(self._store, lambda: self._found(id), decide)

    async def _in_vain(self, id: str, by: str, digest: str, error: LeadlineError) -> dict[str, Any] | None:
        """Note that a replay failed. Return what another made of the item meanwhile, which may be why, or None."""
        text = told(error.faults) or error.detail

        def decide(found: Document) -> Decision[dict[str, Any] | None]:
            item = ReviewItem.read(found.body)
            if item.status is not ReviewStatus.OPEN:
                return Decision(review.full(id, item) if item.status is ReviewStatus.REPLAYED else None)
            under_way = item.trial if item.trial is not None and item.trial.input != digest else None
            after = item.noted(
                by,
                f"replayed in vain: {text}",
                at=instant(self._clock()),
                last_error=text,
                attempts=item.attempts + 1,
                trial=under_way,
            )
            return Decision(None, [Replace(Kind.REVIEW, id, found.version, after.body())])

        return await run(self._store, lambda: self._found(id), decide)

    async def discard(self, id: str, by: str, reason: str = "") -> dict[str, Any]:
        """Take an item from the queue, with what follows from that for its room. A repeat changes nothing.

        Raises: NotFound. Refused: it was replayed, or is being replayed.
        """

        async def read() -> tuple[Document, Discarded | None]:
            found = await self._found(id)
            item = ReviewItem.read(found.body)
            discarder = self._discarders.get(item.kind)
            if discarder is None or item.status is not ReviewStatus.OPEN:
                return found, None
            return found, await discarder.discarded(_to_mend(id, by, item, AS_IT_CAME), reason)

        def decide(known: tuple[Document, Discarded | None]) -> Decision[dict[str, Any]]:
            found, done = known
            item, at = ReviewItem.read(found.body), instant(self._clock())
            if item.status is ReviewStatus.REPLAYED:
                raise Refused("the item was replayed")
            if item.status is ReviewStatus.DISCARDED:
                return Decision(review.full(id, item))
            if item.trial is not None and item.trial.until > at:
                raise Refused("the item is being replayed; look again in half a minute")
            why = "; ".join(filter(None, (reason, done.did if done else "")))
            did = f"discarded: {why}" if why else "discarded"
            after = item.noted(by, did, at=at, status=ReviewStatus.DISCARDED, trial=None)
            noted = audit.entry(by, "review.discard", id, at=at, detail=done.did if done else "")
            changes = [Replace(Kind.REVIEW, id, found.version, after.body()), *(done.changes if done else ()), noted]
            return Decision(review.full(id, after), changes, done.facts if done else ())

        discarded = await run(self._store, read, decide, reactors=self._reactors)
        self._after()
        return discarded

    async def replay_all(
        self, wanted: Wanted, by: str, *, limit: int = 100, after: Cursor | None = None
    ) -> tuple[Sequence[dict[str, Any]], Cursor | None]:
        """Replay open items, oldest first, at most `limit`.

        Returns: for each `{id, kind, status, lead_id, error}`, and where to go on; None at the end.
        Raises: Unavailable: the store is away.
        """
        return await self._each(wanted, lambda id: self.replay(id, by), limit, after)

    async def discard_all(
        self, wanted: Wanted, by: str, reason: str = "", *, limit: int = 100, after: Cursor | None = None
    ) -> tuple[Sequence[dict[str, Any]], Cursor | None]:
        """Discard open items, oldest first, at most `limit`. Returns, raises: as `replay_all`."""
        return await self._each(wanted, lambda id: self.discard(id, by, reason), limit, after)

    async def _each(
        self, wanted: Wanted, act: Act, limit: int, after: Cursor | None
    ) -> tuple[Sequence[dict[str, Any]], Cursor | None]:
        results, examined = [], 0
        index, prefix = _index(ReviewStatus.OPEN, wanted.kind)
        while examined < EXAMINED:
            page = await self._store.find(index, *prefix, after=after, limit=100)
            for found in page.items:
                after = Cursor(found.body["created_at"], found.id)
                item = ReviewItem.read(found.body)
                if wanted.matches(item):
                    results.append(await _result(found.id, item, act))
                    if len(results) == limit:
                        return results, after
            examined += len(page.items)
            if page.next is None:
                return results, None
        return results, after

    async def _found(self, id: str) -> Document:
        (found,) = await self._store.get(Kind.REVIEW, id)
        if found is None:
            raise NotFound(f"there is no review item {id}")
        return found


async def _result(id: str, item: ReviewItem, act: Act) -> dict[str, Any]:
    try:
        done = await act(id)
    except StoreError:
        raise
    except LeadlineError as error:
        text = told(error.faults) or error.detail
        return {"id": id, "kind": item.kind, "status": "open", "lead_id": item.lead_id, "error": text}
    return {"id": id, "kind": item.kind, "status": done["status"], "lead_id": done["lead_id"], "error": None}


def _index(status: ReviewStatus | None, kind: ReviewKind | None) -> tuple[Index, tuple[str, ...]]:
    if kind is not None:
        return REVIEW_BY_KIND, (status or ReviewStatus.OPEN, kind)
    return (REVIEW_BY_STATUS, (status,)) if status else (REVIEW_ALL, ())


def _to_mend(id: str, by: str, item: ReviewItem, input: Any) -> ToMend:
    original = orjson.loads(item.input)
    corrected = input is not AS_IT_CAME
    return ToMend(id, by, original, input if corrected else original, corrected, item.lead_id, item.message_id)


def _digest(input: Any) -> str:
    return hashlib.blake2b(orjson.dumps(input, option=orjson.OPT_SORT_KEYS), digest_size=13).hexdigest()
