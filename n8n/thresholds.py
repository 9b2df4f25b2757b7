"""Thresholds that wait for n8n's answer, and the alert about those that nobody answers in time.

Where n8n decides on stages the service only announces. Each announcement leaves a document that says when an answer is
late; it is looked at then, once, and is gone whatever is found: nothing has to be done when an answer comes.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson
import structlog

from n8n.outbound import Planned, changes, receivers
from n8n.outbound_events import OutboundEvent, OutboundType, about, alert, happened, made
from n8n.subscriptions import Subscriptions
from tracker import review
from tracker.errors import NotFound
from tracker.lead import Lead, StageChange
from tracker.model import Document
from tracker.person import Person
from tracker.points import thousandths
from tracker.ports import Facts
from tracker.product import ProductConfig
from tracker.qualification import missing
from tracker.recorder import Loaded, Recorder
from tracker.review import ReviewKind
from tracker.stages import ORDER, Stage
from tracker.store.port import Change, Delete, Expect, Insert, Store, StoreError
from tracker.store.port import Document as Stored
from tracker.store.schema import AUDIT_BY_LEAD, THRESHOLDS_DUE, Kind
from tracker.times import Instant, instant, just_after, later, moment
from tracker.unit import Decision, run

log = structlog.get_logger()

ANSWER_MINUTES = 15
"""How long the stage-management workflow may take to decide."""

AT_ONCE = 500
"""Thresholds that one tick looks at."""

REACHED = frozenset({OutboundType.LEAD_THRESHOLD_REACHED})


class Threshold(Document, frozen=True, kw_only=True):
    """A threshold that was announced; its document id is the announcement's.

    Attributes: to: the stage that it leads to. text: the announcement, as JSON text. at: when it was made. due_at: from
    when on an answer is late.
    """

    lead_id: str
    product_id: str
    to: Stage
    text: str
    at: Instant
    due_at: Instant


def awaited(to: Stage, lead: Lead, person: Person | None, config: ProductConfig) -> bool:
    """Whether n8n has to decide on a stage: the lead has come to it by what it did, and is not there."""
    if config.stage_policy != "n8n" or ORDER.index(lead.stage) >= ORDER.index(to):
        return False
    if to is Stage.QUALIFIED:
        needed = thousandths(config.scoring_rules.qualification_threshold)
        return lead.score >= needed and not missing(lead, person, config)
    return lead.score >= thousandths(config.engaged_threshold) or lead.wrote_on is not None


def decided(to: Stage, since: Iterable[StageChange]) -> bool:
    """Whether anybody has decided on a stage: brought the lead to it, also where it was taken back afterwards."""
    return any(change.to is to for change in since)


def waiting(event: OutboundEvent, *, lead_id: str, product_id: str) -> Insert:
    """The change that remembers an announcement until an answer would be late."""
    threshold = Threshold(
        lead_id=lead_id,
        product_id=product_id,
        to=Stage(event.data["to"]),
        text=event.text(),
        at=event.created_at,
        due_at=later(moment(event.created_at), seconds=60 * ANSWER_MINUTES),
    )
    return Insert(Kind.THRESHOLDS, event.id, threshold.body())


class OpenThresholds:
    """The reactor that remembers which thresholds were announced, whether or not anybody subscribes to them."""

    def concerns(self, facts: Facts) -> bool:
        return facts.config.stage_policy == "n8n"

    async def read(self, store: Store, facts: Facts) -> None:
        return None

    def decide(self, facts: Facts, known: None) -> Iterable[Change]:
        for event in happened(facts, REACHED, base_url=""):
            if awaited(Stage(event.data["to"]), facts.lead, facts.person, facts.config):
                yield waiting(event, lead_id=facts.lead_id, product_id=facts.lead.product_id)


class _Late(NamedTuple):
    """A threshold whose time is over. Attributes: lead: None when there is nothing to answer any more."""

    found: Stored | None
    lead: Loaded | None = None
    alerts: Sequence[Planned] = ()


class Thresholds:
    """Raises the alerts. A threshold is dropped in the commit that raises its own, so that nobody raises it twice."""

    def __init__(self, recorder: Recorder, subscriptions: Subscriptions):
        self._recorder, self._store, self._subscriptions = recorder, recorder.store, subscriptions

    async def tick(self) -> int:
        """Look at the thresholds whose time is over, and return how many alerts were raised."""
        high = just_after(instant(self._recorder.clock()))
        page = await self._store.find(THRESHOLDS_DUE, high=high, limit=AT_ONCE)
        raised = 0
        for found in page.items:
            try:
                raised += await self._settle(found.id)
            except StoreError:
                raise
            except Exception:
                log.exception("a threshold could not be looked at", threshold_id=found.id)
        return raised

    async def _settle(self, id: str) -> bool:
        async def read() -> _Late:
            (found,) = await self._store.get(Kind.THRESHOLDS, id)
            if found is None:  # another process was faster, or the lead was erased
                return _Late(None)
            threshold = Threshold.read(found.body)
            lead = await unanswered(self._recorder, threshold.lead_id, threshold.to, since=threshold.at)
            if lead is None:
                return _Late(found)
            known = await self._subscriptions.known()
            event = _alert(id, threshold, lead, at=instant(self._recorder.clock()))
            return _Late(found, lead, await receivers(self._store, known, [event], lead_id=lead.id))

        def decide(late: _Late) -> Decision[bool]:
            if late.found is None:
                return Decision(False)
            gone = Delete(Kind.THRESHOLDS, id, late.found.version)
            return Decision(late.lead is not None, [gone, *self._raised(late)])

        return await run(self._store, read, decide)

    def _raised(self, late: _Late) -> list[Change]:
        """What tells of a threshold without an answer: an item in review, and the event for whoever subscribes."""
        if late.found is None or late.lead is None:
            return []
        at, lead, threshold = instant(self._recorder.clock()), late.lead, Threshold.read(late.found.body)
        item = review.item(
            ReviewKind.THRESHOLD,
            reason=f"nobody has decided on {threshold.to} for {ANSWER_MINUTES} minutes",
            error=f"the lead is still at {lead.lead.stage}; look at the stage-management workflow, or move the lead",
            input={"event": orjson.loads(threshold.text)},
            at=at,
            lead_id=lead.id,
            product_id=threshold.product_id,
            id=f"threshold-{late.found.id}",
        )
        guard = Expect(Kind.LEADS, lead.id, lead.version)
        return [guard, item, *changes(late.alerts, lead_id=lead.id, product_id=threshold.product_id, at=at)]


async def unanswered(recorder: Recorder, lead_id: str, to: Stage, *, since: Instant) -> Loaded | None:
    """Return the lead if nobody has decided on a stage that it has come to; merges are followed."""
    try:
        lead = await recorder.load(lead_id)
    except NotFound:
        return None
    if not awaited(to, lead.lead, lead.person, lead.config.config):
        return None
    pages = [await recorder.store.find(AUDIT_BY_LEAD, id, low=since) for id in lead.ids]
    return None if decided(to, (StageChange.read(d.body) for page in pages for d in page.items)) else lead


def _alert(id: str, threshold: Threshold, lead: Loaded, *, at: Instant) -> OutboundEvent:
    announced = orjson.loads(threshold.text)["data"]
    text = (
        f"the threshold {announced['threshold']} was reached ({announced['reason']}), "
        f"and nobody has decided on {threshold.to} for {ANSWER_MINUTES} minutes"
    )
    more = {name: announced[name] for name in ("threshold", "to", "reason")}
    data = alert("threshold_unanswered", text, **more, event_id=id, reached_at=threshold.at)
    return made(OutboundType.ALERT_RAISED, [id], {**about(lead.id, lead.lead), **data}, at=at)
