"""Leads that live through everything at once, against a model of a few lines."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.conftest import Opener
from tests.properties.rig import World, check, examples, happening, login, mark
from tracker.errors import Refused
from tracker.events import Channel, EventType, Happening
from tracker.merges import Done
from tracker.stages import IllegalTransition, Stage
from tracker.store.schema import AUDIT_BY_LEAD

USER, ENGAGED, QUALIFIED, CUSTOMER = ORDER = list(Stage)
ENGAGED_AT, QUALIFIED_AT = 20, 40
WORTH = {"login": 5, "email_click": 10, "chatbot_interaction": 2, "email_sent": 0, "conversion": 0}
SEQUENCES = [
    {"stage": stage, "messages": [{"delay_hours": 1, "channel": "chatbot", "template_id": "hello"}]}
    for stage in (USER, ENGAGED, QUALIFIED)
]


@dataclass
class Life:
    """A lead as it should be. Attributes: events: in its own ledger. absorbed: leads whose ledgers count, too."""

    user: str
    stage: Stage = USER
    trail: list[tuple[Stage, Stage]] = field(default_factory=list)
    events: dict[str, Happening] = field(default_factory=dict)
    absorbed: "list[Life]" = field(default_factory=list)
    id: str = ""

    def ledger(self) -> dict[str, Happening]:
        return {**self.events, **{k: h for other in self.absorbed for k, h in other.ledger().items()}}

    @property
    def score(self) -> int:
        return sum(0 if h.machine else WORTH[h.event_type] for h in self.ledger().values())

    @property
    def by_score(self) -> Stage:
        return QUALIFIED if self.score >= QUALIFIED_AT else ENGAGED if self.score >= ENGAGED_AT else USER

    def to(self, stage: Stage) -> None:
        """Go there, forward one step at a time."""
        here, there = ORDER.index(self.stage), ORDER.index(stage)
        stages = ORDER[here : there + 1] if there > here else [self.stage, stage]
        self.trail += itertools.pairwise(stages)
        self.stage = stage

    def counts(self, it: Happening) -> None:
        """Move as the event that is now in the ledger says."""
        reached = self.stage
        if it.machine:
            pass
        elif it.event_type == "conversion":
            reached = CUSTOMER
        elif WORTH[it.event_type]:
            answered = it.event_type == "chatbot_interaction"
            reached = QUALIFIED if self.score >= QUALIFIED_AT else reached
            reached = ENGAGED if reached is USER and (answered or self.score >= ENGAGED_AT) else reached
        if ORDER.index(reached) > ORDER.index(self.stage):
            self.to(reached)


@dataclass
class Union:
    """A merge that may be undone. Attributes: lifted: the stage that it brought the survivor to."""

    done: Done
    survivor: Life
    absorbed: Life
    before: Stage
    lifted: Stage


Work = Callable[[], Coroutine[Any, Any, Any]]

kinds = st.sampled_from([EventType(name) for name in WORTH if name != "login"])
numbers = st.integers(0, 11)


class Lifecycle(RuleBasedStateMachine):
    """Everything that may befall a lead. `alive`: leads that no other has absorbed."""

    def __init__(self, opener: Opener):
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World(opener)
        self.mark = mark()
        self.count = 0
        self.alive: list[Life] = []
        self.unions: list[Union] = []
        self.run(self.begin())

    @initialize(clicks=st.lists(st.sampled_from([0, 1, 2, 4, 5]), min_size=2, max_size=3), merged=st.booleans())
    def they_come(self, clicks: list[int], merged: bool) -> None:
        """Leads that have got some way already. Args: merged: and two of them are one."""
        for count in clicks:
            self.a_lead_comes_by_a_login()
            for _ in range(count):
                self.something_happens(len(self.alive) - 1, EventType.EMAIL_CLICK, machine=False)
        if merged:
            self.two_are_one(0, 1)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    async def begin(self) -> None:
        await self.world.start()
        self.twin = self.world.twin()
        await self.world.template("hello")
        await self.world.product(
            nurturing_sequences=SEQUENCES,
            scoring_rules={"login_points": 5, "email_click_points": 10, "qualification_threshold": QUALIFIED_AT},
            engaged_threshold=ENGAGED_AT,
            conversion_goals=["paid"],
        )

    def teardown(self) -> None:
        self.run(self.world.stop())
        self.runner.close()

    def name(self) -> str:
        self.count += 1
        return f"{self.mark}-{self.count}"

    def one(self, number: int) -> Life:
        return self.alive[number % len(self.alive)]

    @precondition(lambda self: len(self.alive) < 2)
    @rule()
    def a_lead_comes_by_a_login(self) -> None:
        life = Life(self.name())
        self.alive.append(life)
        self.run(self.log_in(life))

    @precondition(lambda self: len(self.alive) < 2)
    @rule()
    def a_lead_is_made_by_hand(self) -> None:
        life = Life(self.name())
        life.id = self.run(self.world.lead(crm_user_id=life.user, email=f"{life.user}@example.com"))
        self.alive.append(life)

    async def log_in(self, life: Life, *, twin: bool = False) -> None:
        """Args: twin: the other server hears of it."""
        id = self.name()
        (result,) = await (self.twin if twin else self.world).login(login(id, life.user))
        assert result.status == "accepted"
        assert life.id in ("", result.lead_id)
        life.id = result.lead_id or ""
        life.events[f"crm:{id}"] = happening(id, EventType.LOGIN)
        life.counts(life.events[f"crm:{id}"])

    @precondition(lambda self: self.alive)
    @rule(number=numbers, deep=st.booleans(), twin=st.booleans())
    def somebody_logs_in(self, number: int, deep: bool, twin: bool) -> None:
        """The user of the lead itself, or of one that it absorbed."""
        life = self.one(number)
        user = life.absorbed[-1].user if deep and life.absorbed else life.user
        own, life.user = life.user, user
        self.run(self.log_in(life, twin=twin))
        life.user = own

    def event(self, kind: EventType, *, machine: bool = False) -> Happening:
        metadata = {"goal": "paid"} if kind is EventType.CONVERSION else {}
        return happening(self.name(), kind, channel=Channel.EMAIL, metadata=metadata, machine=machine)

    @precondition(lambda self: self.alive)
    @rule(number=numbers, kind=kinds, machine=st.booleans())
    def something_happens(self, number: int, kind: EventType, machine: bool) -> None:
        life, it = self.one(number), self.event(kind, machine=machine and kind is EventType.EMAIL_CLICK)
        assert not self.run(self.world.happen(life.id, it)).duplicate
        life.events[it.key] = it
        life.counts(it)

    @precondition(lambda self: any(life.ledger() for life in self.alive))
    @rule(number=numbers, which=numbers, absorbed=st.booleans())
    def it_is_told_again(self, number: int, which: int, absorbed: bool) -> None:
        """A delivery that is repeated says what the first one did, whichever id of the lead it names."""
        life = self.one(number)
        ledger = life.ledger()
        if ledger:
            it = ledger[sorted(ledger)[which % len(ledger)]]
            id = life.absorbed[0].id if absorbed and life.absorbed else life.id
            source = "crm" if it.event_type is EventType.LOGIN else "api"
            again = Happening(source, it.event_id, it.event_type, it.channel, it.timestamp, it.metadata)
            assert self.run(self.world.happen(id, again)).duplicate

    @precondition(lambda self: self.alive)
    @rule(number=numbers, to=st.sampled_from(ORDER))
    def somebody_moves_it(self, number: int, to: Stage) -> None:
        life = self.one(number)
        legal = ORDER.index(to) == ORDER.index(life.stage) + 1
        try:
            self.run(self.world.recorder.move(life.id, to, actor="mia", reason="by hand"))
        except IllegalTransition:
            assert not legal
        else:
            assert legal
            life.to(to)

    @precondition(lambda self: self.alive)
    @rule(number=numbers, absorbed=st.booleans())
    def somebody_reverts_it(self, number: int, absorbed: bool) -> None:
        life = self.one(number)
        id = life.absorbed[0].id if absorbed and life.absorbed else life.id
        try:
            self.run(self.world.recorder.revert(id, actor="mia", reason="no"))
        except Refused:
            assert not life.trail
        else:
            before, _ = life.trail[-1]
            life.trail.append((life.stage, before))
            life.stage = before

    @precondition(lambda self: any(life.ledger() for life in self.alive))
    @rule(number=numbers, which=numbers, times=st.integers(1, 3), reverted=st.booleans(), parted=st.booleans())
    def somebody_reclassifies_it(self, number: int, which: int, times: int, reverted: bool, parted: bool) -> None:
        """And thinks better of it, once or twice.

        Args: reverted: what the event did is taken back before. parted: a merge is undone afterwards.
        """
        life = self.one(number)
        if reverted:
            self.somebody_reverts_it(number, absorbed=True)
        for _ in range(times):
            self.reclassified(life, which)
        own = [n for n, union in enumerate(self.unions) if union.survivor is life]
        if parted and own:
            self.they_are_two_after_all(own[-1])

    def reclassified(self, life: Life, which: int) -> None:
        """Args: which: event; an odd number means one of the lead that was absorbed last."""
        ledger = life.absorbed[-1].ledger() if which % 2 and life.absorbed else life.ledger()
        if ledger:
            key = sorted(ledger)[which % len(ledger)]
            flipped = self.flip(life, key)
            self.run(self.world.recorder.reclassify(key, machine=flipped.machine))
            life.counts(flipped)

    def flip(self, life: Life, key: str) -> Happening:
        if key not in life.events:
            return self.flip(next(other for other in life.absorbed if key in other.ledger()), key)
        it = life.events[key]
        after = Happening(it.source, it.event_id, it.event_type, it.channel, it.timestamp, it.metadata, not it.machine)
        life.events[key] = after
        return after

    @precondition(lambda self: len(self.alive) > 1)
    @rule(number=numbers, other=numbers)
    def two_are_one(self, number: int, other: int) -> None:
        one, two = self.one(number), self.one(other)
        people = [self.run(self.world.recorder.load(life.id)).person_id for life in (one, two)]
        try:
            done = self.run(self.world.merges.merge(people[0], people[1], by="mia"))
        except Refused:
            assert one is two
            return
        survivor, absorbed = (one, two) if done.merge.survivor == people[0] else (two, one)
        self.alive.remove(absorbed)
        before = survivor.stage
        if ORDER.index(absorbed.stage) > ORDER.index(before):
            survivor.to(absorbed.stage)
        alone = max(survivor.by_score, absorbed.by_score, key=ORDER.index)
        survivor.absorbed.append(absorbed)
        if ORDER.index(survivor.by_score) > max(ORDER.index(alone), ORDER.index(survivor.stage)):
            survivor.to(survivor.by_score)  # what neither had come to by itself
        self.unions.append(Union(done, survivor, absorbed, before, survivor.stage))

    @precondition(lambda self: self.unions)
    @rule(number=numbers)
    def they_are_two_after_all(self, number: int) -> None:
        """A merge is taken back; what came since stays with the survivor. The latest one of a person comes first."""
        union = self.unions[number % len(self.unions)]
        survivor = union.survivor
        try:
            self.run(self.world.merges.undo(union.done.id, by="mia"))
        except Refused:
            assert survivor not in self.alive or survivor.absorbed[-1] is not union.absorbed
            return
        assert survivor.absorbed.pop() is union.absorbed
        self.unions.remove(union)
        self.alive.append(union.absorbed)
        if ORDER.index(union.before) < ORDER.index(survivor.stage) <= ORDER.index(union.lifted):
            survivor.trail.append((survivor.stage, union.before))
            survivor.stage = union.before

    @precondition(lambda self: self.alive)
    @rule(number=numbers, verb=st.sampled_from(["claim", "release", "resolve"]), by=st.sampled_from(["mia", "tom"]))
    def a_salesperson_acts(self, number: int, verb: str, by: str) -> None:
        handoff_id = self.run(self.world.recorder.load(self.one(number).id)).lead.handoff_id
        if handoff_id is not None:
            with contextlib.suppress(Refused):  # somebody else holds it
                self.run(getattr(self.world.handoffs, verb)(handoff_id, by))

    @rule(seconds=st.sampled_from([0, 0.001, 100_000]), anew=st.booleans())
    def time_passes(self, seconds: float, anew: bool) -> None:
        """Args: anew: the server starts again meanwhile."""
        self.world.clock.forward(seconds=seconds)
        if anew:
            self.run(self.world.restart())
            self.twin = self.world.twin()

    @precondition(lambda self: self.alive)
    @rule(number=numbers, data=st.data())
    def all_at_once(self, number: int, data: st.DataObject) -> None:
        """Writers meet on one lead: each has its effect once, whatever their order was."""
        life, servers = self.one(number), itertools.cycle((self.world.recorder, self.twin.recorder))
        news = [self.event(kind) for kind in data.draw(st.lists(kinds, max_size=4), "events")]
        news += news[: data.draw(st.integers(0, 2), "told again")]
        moves = data.draw(st.lists(st.sampled_from(ORDER), max_size=2), "moves")
        reverts = data.draw(st.integers(0, 1), "reverts")
        work: list[Work] = [partial(next(servers).event, life.id, it) for it in news]
        work += [partial(next(servers).move, life.id, to, actor="tom", reason="at once") for to in moves]
        work += [partial(next(servers).revert, life.id, actor="tom", reason="at once") for _ in range(reverts)]
        order = data.draw(st.permutations(range(len(work))), "order")
        made = self.run(_gathered([work[n] for n in order]))
        results = dict(zip(order, made, strict=True))
        told = [results[n].duplicate for n in range(len(news))]
        assert told.count(False) == len({it.key for it in news})
        life.events |= {it.key: it for it in news}
        self.run(self.followed(life, [results[n] for n in range(len(news), len(work))]))

    async def followed(self, life: Life, by_hand: Sequence[Any]) -> None:
        """Take over a trail whose order nobody could foretell, if it goes on from where the lead was."""
        trail = [(Stage(d.body["before"]), Stage(d.body["to"])) for d in await self.world.each(AUDIT_BY_LEAD, life.id)]
        assert trail[: len(life.trail)] == life.trail
        entries = (await self.world.each(AUDIT_BY_LEAD, life.id))[len(life.trail) :]
        assert sum(e.body["actor"] == "tom" for e in entries) == sum(not isinstance(r, Exception) for r in by_hand)
        for entry in entries:
            forward = ORDER.index(entry.body["to"]) - ORDER.index(entry.body["before"])
            assert forward == 1 or entry.body["reverts"], "forward one step at a time"
        life.trail = trail
        life.stage = trail[-1][1] if trail else life.stage

    @invariant()
    def every_lead_is_as_it_should_be(self) -> None:
        self.run(self.look())

    async def look(self) -> None:
        for life in self.alive:
            loaded = await check(self.world, life.id)
            assert (loaded.id, loaded.lead.stage, loaded.lead.score) == (life.id, life.stage, 1000 * life.score)
            trail = [(d.body["before"], d.body["to"]) for d in await self.world.each(AUDIT_BY_LEAD, life.id)]
            assert trail == life.trail
            for other in life.absorbed:
                assert (await self.world.recorder.load(other.id)).id == life.id


async def _gathered(work: Sequence[Work]) -> list[Any]:
    made = await asyncio.gather(*(one() for one in work), return_exceptions=True)
    for result in made:
        if isinstance(result, Exception) and not isinstance(result, IllegalTransition | Refused):
            raise result
    return made


def test_lead_stage_lifecycle_management(sqlite_path: Path, opener: Opener) -> None:
    """Feature: lead-nurturing-automation, Property 2: Lead Stage Lifecycle Management

    A lead goes `User → Engaged_Lead → Qualified_Lead → Customer`, one step at a time; anything else is refused and
    changes nothing. Whatever happens meanwhile (events, duplicates, reverts, machine flags said and unsaid, merges and
    their undoing, salespeople, restarts, writers at the same moment), the stage and the score are those of a model,
    the audit trail is one connected path from `User` to the stage, no entry of it ever goes, at most one handoff is
    open and at most one step is planned.

    Seen to catch: a stage that may be skipped, changes of one millisecond that lose their order, a reclassification
    that takes a lead back without a word or that cannot be kept the second time, a repeat that is refused and a revert
    that looks into the wrong history after a merge, two open handoffs of one lead, an undone merge that leaves no entry
    or forgets what happened to the other ledger, a step of an earlier stage that stays planned.
    """
    steps = settings(examples(most=400), stateful_step_count=20)
    run_state_machine_as_test(lambda: Lifecycle(opener), settings=steps)  # type: ignore[arg-type]
