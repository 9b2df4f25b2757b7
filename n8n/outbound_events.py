"""What the world outside is told: which events a commit gives rise to, and what each says. Pure."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from tracker.events import REPLIES, Channel
from tracker.handoff import Reason
from tracker.lead import Lead, StageChange, view
from tracker.person import Person
from tracker.points import points, thousandths
from tracker.ports import Facts
from tracker.qualification import missing
from tracker.stages import Stage
from tracker.times import Instant, instant


class OutboundType(StrEnum):
    """In the order in which the events of one commit are told."""

    LEAD_CREATED = "lead.created"
    LEAD_UPDATED = "lead.updated"
    ENGAGEMENT_RECORDED = "engagement.recorded"
    LEAD_THRESHOLD_REACHED = "lead.threshold_reached"
    LEAD_STAGE_CHANGED = "lead.stage_changed"
    LEAD_QUALIFIED = "lead.qualified"
    HANDOFF_CREATED = "handoff.created"
    MESSAGE_FAILED = "message.failed"
    ALERT_RAISED = "alert.raised"


class OutboundEvent(NamedTuple):
    """Attributes: id: follows from the cause, so that the same event has the same id however often it is sent."""

    id: str
    type: OutboundType
    created_at: Instant
    data: Mapping[str, Any]

    def text(self) -> str:
        """The JSON that a receiver gets."""
        told = {"id": self.id, "type": self.type, "created_at": self.created_at, "data": self.data}
        return orjson.dumps(told).decode()


class Told(NamedTuple):
    """One event of a type. Attributes: cause: what it comes from, once for each event of this type and lead."""

    cause: str
    data: Mapping[str, Any]


def happened(facts: Facts, wanted: Collection[str], *, base_url: str) -> list[OutboundEvent]:
    """Return the events of the wanted types that a commit gives rise to, in order.

    Args: base_url: how people reach this server.
    """
    at, whose = instant(facts.now), None
    events = []
    for type, tell in TELLERS.items():
        if type in wanted:
            for told in tell(facts, base_url):
                whose = whose or about(facts.lead_id, facts.lead)
                events.append(made(type, [facts.lead_id, told.cause], {**whose, **told.data}, at=at))
    return events


def made(type: OutboundType, cause: Iterable[str], data: Mapping[str, Any], *, at: Instant) -> OutboundEvent:
    digest = hashlib.blake2b("\n".join([type, *cause]).encode(errors="surrogatepass"), digest_size=15)
    return OutboundEvent(f"evt_{digest.hexdigest()}", type, at, data)


def alert(name: str, text: str, **more: Any) -> dict[str, Any]:
    """What an alert says. Args: name: what kind of trouble. text: for people."""
    return {"alert": name, "text": text, **more}


def about(lead_id: str, lead: Lead) -> dict[str, Any]:
    """What every event of a lead says."""
    return {
        "lead_id": lead_id,
        "person_id": lead.person_id,
        "product_id": lead.product_id,
        "stage": lead.stage,
        "engagement_score": points(lead.score),
    }


def _created(facts: Facts, _: str) -> Iterator[Told]:
    if facts.created:
        yield Told("", {"lead": _lead(facts)})


def _updated(facts: Facts, _: str) -> Iterator[Told]:
    """What a person or a CRM says of a lead has changed; logins, scores and stages have events of their own."""
    if facts.lead_before is None or facts.person_before is None:
        return
    if facts.person is facts.person_before and facts.lead is facts.lead_before:
        return
    before, after = _said(facts.lead_before, facts.person_before), _said(facts.lead, facts.person)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        cause = facts.events[-1].key if facts.events else facts.cause
        yield Told(cause, {"changed": changed, "lead": _lead(facts)})


def _said(lead: Lead, person: Person) -> dict[str, Any]:
    """The fields of the API's lead that come from outside, by path, as it shows them."""
    said: dict[str, Any] = {
        "organization_id": lead.organization_id,
        "crm_user_id": lead.crm_user_id,
        "contact_info.email": person.email,
        "contact_info.phone": person.phone,
        "contact_info.preferred_channel": person.preferred_channel or Channel.EMAIL,
        "demographics.name": person.name,
        "product_context.feature_usage": lead.feature_usage,
        "product_context.trial_status": lead.trial_status,
    }
    return said | {f"demographics.{name}": value for name, value in person.demographics.items()}


def _lead(facts: Facts) -> dict[str, Any]:
    """The API's lead, but for its version, which the commit is about to make."""
    shown = view(facts.lead_id, 0, facts.lead, facts.person, now=facts.now)
    del shown["version"]
    return shown


def _recorded(facts: Facts, _: str) -> Iterator[Told]:
    for event in facts.events:
        yield Told(
            event.key,
            {
                "event_id": event.event_id,
                "source": event.source,
                "event_type": event.event_type,
                "channel": event.channel,
                "timestamp": event.timestamp,
                "metadata": orjson.loads(event.metadata),
                "machine": event.machine,
                "score_impact": points(event.score_impact),
                "engagement_score": points(event.score_after),
                "stage": event.stage_after,
            },
        )


class Level(NamedTuple):
    """A threshold of a product, and the stage that it leads to."""

    name: str
    points: float
    stage: Stage


def _reached(facts: Facts, _: str) -> Iterator[Told]:
    """A threshold is told when the score crosses it, whoever decides on the stage.

    Where n8n decides, it is also told what else would have moved the lead: a first reply, the last required answer.
    """
    config, before = facts.config, facts.lead_before
    engaged = Level("engaged", config.engaged_threshold, Stage.ENGAGED)
    qualified = Level("qualified", config.scoring_rules.qualification_threshold, Stage.QUALIFIED)
    score = before.score if before else None
    scores = [(event.key, event.score_after) for event in facts.events]
    if not scores and before is not None:
        scores = [(facts.cause, facts.lead.score)]
    crossed = set()
    for cause, after in scores:
        for level in (engaged, qualified):
            if after >= thousandths(level.points) and (score is None or score < thousandths(level.points)):
                crossed.add(level)
                yield _level(facts, level, cause, after, f"score {after / 1000:g} reached {level.points:g}")
        score = after
    if config.stage_policy != "n8n" or not facts.events:
        return
    cause, total = facts.events[-1].key, facts.lead.score
    replies = [event for event in facts.events if event.event_type in REPLIES and not event.machine]
    if replies and not crossed and facts.lead.stage is Stage.USER and (before is None or before.wrote_on is None):
        yield _level(facts, engaged, cause, total, f"first answer on {replies[0].channel}")
    if qualified not in crossed and total >= thousandths(qualified.points) and _completed(facts):
        yield _level(facts, qualified, cause, total, "the last required answer was given")


def _completed(facts: Facts) -> bool:
    """Whether this commit brings the last answer that the product requires."""
    lead, config = facts.lead_before, facts.config
    return bool(lead and missing(lead, facts.person_before, config) and not missing(facts.lead, facts.person, config))


def _level(facts: Facts, level: Level, cause: str, score: int, reason: str) -> Told:
    data = {
        "threshold": level.name,
        "points": level.points,
        "engagement_score": points(score),
        "to": level.stage,
        "reason": reason,
        "stage_policy": facts.config.stage_policy,
        "missing_answers": list(missing(facts.lead, facts.person, facts.config)),
    }
    return Told(f"{cause}\n{level.name}", data)


def _moved(facts: Facts, _: str) -> Iterator[Told]:
    for change in facts.stage_changes:
        yield Told(
            _cause(facts, change),
            {
                "from": change.before,
                "to": change.to,
                "reason": change.reason,
                "actor": change.actor,
                "at": change.at,
                "event_id": change.event_id,
                "is_revert": change.reverts is not None,
            },
        )


def _qualified(facts: Facts, _: str) -> Iterator[Told]:
    """Coming back from `Customer` is no qualification."""
    for change in facts.stage_changes:
        if change.to is Stage.QUALIFIED and change.before is not Stage.CUSTOMER:
            data = {"from": change.before, "reason": change.reason, "at": change.at, "lead": _lead(facts)}
            yield Told(_cause(facts, change), data)


def _cause(facts: Facts, change: StageChange) -> str:
    return f"{change.event_id or facts.cause}\n{change.to}\n{change.at}"


def _handed_over(facts: Facts, base_url: str) -> Iterator[Told]:
    if (id := facts.handoff) is not None:
        reason = facts.wish if facts.wished else Reason.QUALIFIED
        url = f"{base_url.rstrip('/')}/desk/handoffs/{id}"
        yield Told(id, {"handoff_id": id, "reason": reason, "url": url, "lead": _lead(facts)})


def _failed(facts: Facts, _: str) -> Iterator[Told]:
    for failure in facts.failures:
        yield Told(
            f"{failure.message_id}\n{failure.attempt}",
            {
                "message_id": failure.message_id,
                "channel": failure.channel,
                "template_id": failure.template_id,
                "error": failure.error,
                "attempts": failure.attempt,
            },
        )


def _alerted(facts: Facts, _: str) -> Iterator[Told]:
    for failure in facts.failures:
        if failure.tried:
            text = f"a message by {failure.channel} was given up after {failure.attempt} attempts: {failure.error}"
            yield Told(
                f"{failure.message_id}\n{failure.attempt}",
                alert("message_given_up", text, message_id=failure.message_id),
            )


TELLERS: Mapping[OutboundType, Callable[[Facts, str], Iterable[Told]]] = {
    OutboundType.LEAD_CREATED: _created,
    OutboundType.LEAD_UPDATED: _updated,
    OutboundType.ENGAGEMENT_RECORDED: _recorded,
    OutboundType.LEAD_THRESHOLD_REACHED: _reached,
    OutboundType.LEAD_STAGE_CHANGED: _moved,
    OutboundType.LEAD_QUALIFIED: _qualified,
    OutboundType.HANDOFF_CREATED: _handed_over,
    OutboundType.MESSAGE_FAILED: _failed,
    OutboundType.ALERT_RAISED: _alerted,
}
"""Who tells the events of each type."""
