"""The reactor that plans drips: a stage entered ends one sequence and starts another, a settled step plans the next."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nurture.ports import Outbox
from nurture.sequences import Enrolment, enrol, following, had_by, most, step_of
from tracker.ports import Facts
from tracker.stages import Stage
from tracker.store.port import Change, Document, Insert, Replace, Store
from tracker.store.schema import Kind
from tracker.times import instant, later


class Place(NamedTuple):
    """Where a lead stands: its enrolment and its outstanding message, as stored."""

    enrolment: Document | None = None
    message: Document | None = None


class Standing(NamedTuple):
    """Attributes: enrolment, message: the lead's, as those of `Place`. others: of the leads that it absorbed."""

    enrolment: Document | None = None
    message: Document | None = None
    others: Sequence[Place] = ()


class Drips:
    """Plans in the very commit that gives the reason, so that no plan is lost and none made twice."""

    def __init__(self, outbox: Outbox, *, pace: float = 1):
        """Args: pace: how many times as fast the delays of sequences pass, in a demo."""
        self._outbox, self._pace = outbox, pace

    def concerns(self, facts: Facts) -> bool:
        return bool(facts.created or facts.stage_changes or facts.settled or facts.ended or _absorbs(facts))

    async def read(self, store: Store, facts: Facts) -> Standing:
        if facts.created:
            return Standing()
        enrolments = await store.get(Kind.ENROLMENTS, facts.lead_id, *facts.lead.absorbed)
        ids = [found.body["message_id"] for found in enrolments if found and found.body["message_id"]]
        messages = {found.id: found for found in await store.get(Kind.MESSAGES, *ids) if found} if ids else {}
        own, *others = (Place(found, messages.get(found.body["message_id"]) if found else None) for found in enrolments)
        return Standing(*own, tuple(place for place in others if place.enrolment))

    def decide(self, facts: Facts, known: Standing) -> Iterable[Change]:
        if facts.ended:
            return self._end(facts, known)
        if facts.enters_stage:
            why, ended = f"the lead is {facts.lead.stage} by now", f"the lead became {facts.lead.stage}"
            return self._begin(facts, known, why=why, ended=ended)
        if _absorbs(facts):
            return self._join(facts, known)
        if facts.settled and known.enrolment is not None:
            return self._continue(facts, known, known.enrolment)
        return ()

    def _begin(self, facts: Facts, known: Standing, *, why: str, ended: str) -> Iterable[Change]:
        """Leave what waits and go to the first step of the stage that the lead has not had.

        Args: why: what waits is cancelled. ended: why the sequence is over, where no step is left.
        """
        at = instant(facts.now)
        before = Enrolment.read(known.enrolment.body) if known.enrolment else None
        cancelled = self._called_back(known.message, facts, why)
        if cancelled is not None:
            yield cancelled
        own, stage = had_by(before, out=cancelled is None), facts.lead.stage
        had = most(own, self._had_by_others(facts, known))
        after = enrol(facts.lead_id, facts.config, stage, had=had, before=before, at=at) if facts.fresh else None
        if after is not None:
            yield self._planned(facts, after)
        elif before is not None and before.message_id is not None:
            after = before.but(message_id=None, ended=ended, had=own)
        if after is not None:
            yield _kept(facts.lead_id, after, known.enrolment)

    def _join(self, facts: Facts, known: Standing) -> Iterable[Change]:
        """Go on behind what the absorbed lead has had: what waits would be sent to the same human again."""
        if known.enrolment is None or self._called_back(known.message, facts, "") is None:
            return ()
        enrolment = Enrolment.read(known.enrolment.body)
        if self._had_by_others(facts, known).get(enrolment.stage, 0) <= enrolment.step:
            return ()
        why = "the lead that was merged with it has had this step"
        return self._begin(facts, known, why=why, ended="the lead that was merged with it has had the rest")

    def _end(self, facts: Facts, known: Standing) -> Iterable[Change]:
        if known.enrolment is None or known.message is None:
            return
        cancelled = self._called_back(known.message, facts, facts.ended)
        if cancelled is not None:
            yield cancelled
        enrolment = Enrolment.read(known.enrolment.body)
        had = had_by(enrolment, out=cancelled is None)
        yield _kept(facts.lead_id, enrolment.but(message_id=None, ended=facts.ended, had=had), known.enrolment)

    def _continue(self, facts: Facts, known: Standing, found: Document) -> Iterable[Change]:
        enrolment = Enrolment.read(found.body)
        if all(settled.message_id != enrolment.message_id for settled in facts.settled):
            return
        others = self._had_by_others(facts, known)
        after = following(facts.lead_id, enrolment, facts.config, others=others)
        if after.message_id is not None:
            yield self._planned(facts, after)
        yield _kept(facts.lead_id, after, found)

    def _had_by_others(self, facts: Facts, known: Standing) -> dict[Stage, int]:
        """Return what the leads that this one absorbed have had: whoever reads a lead reads theirs with it."""
        return most(
            *(
                had_by(Enrolment.read(place.enrolment.body), out=self._called_back(place.message, facts, "") is None)
                for place in known.others
                if place.enrolment
            )
        )

    def _called_back(self, message: Document | None, facts: Facts, why: str) -> Change | None:
        """Return the change that cancels the outstanding message, None where there is none, or it has left."""
        if message is None or any(settled.message_id == message.id for settled in facts.settled):
            return None
        return self._outbox.cancelled(message, reason=why, at=instant(facts.now))

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


def _absorbs(facts: Facts) -> bool:
    """Whether the lead absorbs another one in this commit."""
    before = facts.lead_before
    return before is not None and len(facts.lead.absorbed) > len(before.absorbed)


def _kept(lead_id: str, enrolment: Enrolment, found: Document | None) -> Change:
    if found is None:
        return Insert(Kind.ENROLMENTS, lead_id, enrolment.body())
    return Replace(Kind.ENROLMENTS, lead_id, found.version, enrolment.body())
