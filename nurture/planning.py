"""The reactor that plans drips: a stage entered ends one sequence and starts another, a settled step plans the next."""

from collections.abc import Iterable
from typing import NamedTuple

from nurture.ports import Outbox
from nurture.sequences import Enrolment, enrol, following, step_of
from tracker.ports import Facts
from tracker.store.port import Change, Document, Insert, Replace, Store
from tracker.store.schema import Kind
from tracker.times import instant, later


class Standing(NamedTuple):
    """The lead's enrolment and its outstanding message, as stored."""

    enrolment: Document | None = None
    message: Document | None = None


class Drips:
    """Plans in the very commit that gives the reason, so that no plan is lost and none made twice."""

    def __init__(self, outbox: Outbox, *, pace: float = 1):
        """Args: pace: how many times as fast the delays of sequences pass, in a demo."""
        self._outbox, self._pace = outbox, pace

    def concerns(self, facts: Facts) -> bool:
        return bool(facts.created or facts.stage_changes or facts.settled or facts.ended)

    async def read(self, store: Store, facts: Facts) -> Standing:
        if facts.created:
            return Standing()
        (enrolment,) = await store.get(Kind.ENROLMENTS, facts.lead_id)
        if enrolment is None or enrolment.body["message_id"] is None:
            return Standing(enrolment)
        (message,) = await store.get(Kind.MESSAGES, enrolment.body["message_id"])
        return Standing(enrolment, message)

    def decide(self, facts: Facts, known: Standing) -> Iterable[Change]:
        if facts.ended:
            return self._end(facts, known)
        if facts.enters_stage:
            return self._enter(facts, known)
        if facts.settled and known.enrolment is not None:
            return self._continue(facts, known.enrolment)
        return ()

    def _enter(self, facts: Facts, known: Standing) -> Iterable[Change]:
        at = instant(facts.now)
        before = Enrolment.read(known.enrolment.body) if known.enrolment else None
        if known.message is not None and all(s.message_id != known.message.id for s in facts.settled):
            cancelled = self._outbox.cancelled(known.message, reason=f"the lead is {facts.lead.stage} by now", at=at)
            if cancelled is not None:
                yield cancelled
        after = enrol(facts.lead_id, facts.config, facts.lead.stage, before=before, at=at) if facts.fresh else None
        if after is not None:
            yield self._planned(facts, after)
        elif before is not None and before.message_id is not None:
            after = before.but(message_id=None, ended=f"the lead became {facts.lead.stage}")
        if after is not None:
            yield _kept(facts.lead_id, after, known.enrolment)

    def _end(self, facts: Facts, known: Standing) -> Iterable[Change]:
        if known.enrolment is None or known.message is None:
            return
        cancelled = self._outbox.cancelled(known.message, reason=facts.ended, at=instant(facts.now))
        if cancelled is not None:
            yield cancelled
        ended = Enrolment.read(known.enrolment.body).but(message_id=None, ended=facts.ended)
        yield _kept(facts.lead_id, ended, known.enrolment)

    def _continue(self, facts: Facts, found: Document) -> Iterable[Change]:
        enrolment = Enrolment.read(found.body)
        if all(settled.message_id != enrolment.message_id for settled in facts.settled):
            return
        after = following(facts.lead_id, enrolment, facts.config)
        if after.message_id is not None:
            yield self._planned(facts, after)
        yield _kept(facts.lead_id, after, found)

    def _planned(self, facts: Facts, enrolment: Enrolment) -> Change:
        step = step_of(facts.config, enrolment.stage, enrolment.step)
        assert step is not None
        assert enrolment.message_id is not None, "an enrolment stands at a step of its sequence"
        return self._outbox.planned(
            enrolment.message_id,
            lead_id=facts.lead_id,
            person_id=facts.lead.person_id,
            product_id=facts.lead.product_id,
            stage=enrolment.stage,
            step=enrolment.step,
            channel=step.channel,
            template_id=step.template_id,
            due_at=later(facts.now, hours=step.delay_hours / self._pace),
            at=instant(facts.now),
        )


def _kept(lead_id: str, enrolment: Enrolment, found: Document | None) -> Change:
    if found is None:
        return Insert(Kind.ENROLMENTS, lead_id, enrolment.body())
    return Replace(Kind.ENROLMENTS, lead_id, found.version, enrolment.body())
