"""Deciding: whether a message may go, and the record that says why."""

import itertools
from typing import Any

import pytest

from channels.deciding import Verdict, decide
from channels.messages import Attempt, Category, Message, planned
from tests.fakes import Clock
from tracker.events import Channel
from tracker.lead import Lead
from tracker.person import Consent, Person, Suppression
from tracker.product import ProductConfig
from tracker.stages import Stage
from tracker.times import Instant, later

AT = Instant("2026-03-02T09:00:00.000Z")
ALL = frozenset({Channel.EMAIL, Channel.WHATSAPP, Channel.CHATBOT})
ORDER = ["suppression", "consent", "condition", "channel"]


def message(channel: Channel = Channel.EMAIL, category: Category = Category.NURTURE, **more: Any) -> Message:
    given: dict[str, Any] = {"stage": "User" if category is Category.NURTURE else None, **more}
    return planned(
        lead_id="l", person_id="p", product_id="flow", channel=channel, category=category, due_at=AT, at=AT, **given
    )


def lead(stage: Stage = Stage.USER) -> Lead:
    return Lead(person_id="p", product_id="flow", config_number=1, created_at=AT, updated_at=AT, stage=stage)


def person(**more: Any) -> Person:
    given: dict[str, Any] = {
        "email": "dana@example.com",
        "phone": "+4915112345678",
        "visitor": "v1",
        "whatsapp_consent": Consent(status="granted"),
        "whatsapp_seen_at": AT,
        **more,
    }
    return Person(created_at=AT, updated_at=AT, **given)


def judged(message: Message, person: Person, lead: Lead | None = None, on: frozenset[Channel] = ALL) -> Verdict:
    return decide(message, lead or _lead, person, open_channels=on, now=Clock()())


_lead = lead()


def lines(verdict: Verdict) -> list[tuple[str, str]]:
    return [(check.check, check.outcome) for check in verdict.checks]


def stop(channel: Channel = Channel.EMAIL, scope: Any = "nurture", reason: str = "unsubscribe") -> Suppression:
    return Suppression(channel=channel, reason=reason, at=AT, scope=scope)


@pytest.mark.parametrize(
    ("channel", "address"),
    [(Channel.EMAIL, "dana@example.com"), (Channel.WHATSAPP, "+4915112345678"), (Channel.CHATBOT, "v1")],
)
def test_a_message_that_nothing_speaks_against_goes(channel: Channel, address: str):
    """Every check is made in order, each leaves its line, and the verdict names the address."""
    verdict = judged(message(channel), person())
    assert (verdict.outcome, verdict.address) == ("send", address)
    assert lines(verdict) == [(check, "ok") for check in (*ORDER, *(["window"] if channel is Channel.WHATSAPP else []))]


@pytest.mark.parametrize("category", Category)
@pytest.mark.parametrize("scope", ["nurture", "all"])
def test_a_suppression_stops_what_it_is_for(category: Category, scope: str):
    """An unsubscribe stops nurture; a hard bounce stops everything on the channel."""
    verdict = judged(message(category=category), person(suppressions=(stop(scope=scope),)))
    stopped = scope == "all" or category is Category.NURTURE
    assert verdict.outcome == ("skip" if stopped else "send")
    if stopped:
        assert lines(verdict) == [("suppression", "skipped: unsubscribe")]
    assert verdict.checks[0].input == f"email unsubscribe ({scope})"


@pytest.mark.parametrize("category", Category)
def test_a_suppression_is_for_its_channel(category: Category):
    """Who wants no more mail may still be written to on WhatsApp, where they allowed it."""
    verdict = judged(message(Channel.WHATSAPP, category), person(suppressions=(stop(scope="all"),)))
    assert verdict.outcome == "send"


def test_the_first_suppression_that_holds_is_told():
    """With an unsubscribe and a bounce, a transactional mail is stopped by the bounce."""
    known = person(suppressions=(stop(), stop(scope="all", reason="email_bounce")))
    assert lines(judged(message(category=Category.TRANSACTIONAL), known))[0][1] == "skipped: email_bounce"


@pytest.mark.parametrize(("address", "outcome"), [("4915112345678", "skip"), ("4915100000000", "send")])
def test_a_suppression_of_an_address_holds_for_that_alone(address: str, outcome: str):
    """A number is the same with its plus and without; the record says which address was bad."""
    bad = stop(Channel.WHATSAPP, scope="all", reason="63024").but(address=address)
    verdict = judged(message(Channel.WHATSAPP), person(phone="+4915112345678", suppressions=(bad,)))
    assert (verdict.outcome, verdict.checks[0].input) == (outcome, f"whatsapp 63024 ({address})")


@pytest.mark.parametrize(
    ("channel", "status", "outcome"),
    [
        (Channel.EMAIL, "unknown", "send"),
        (Channel.EMAIL, "granted", "send"),
        (Channel.EMAIL, "denied", "skip"),
        (Channel.WHATSAPP, "unknown", "skip"),
        (Channel.WHATSAPP, "granted", "send"),
        (Channel.WHATSAPP, "denied", "skip"),
    ],
)
@pytest.mark.parametrize("category", Category)
def test_consent(channel: Channel, status: Any, outcome: str, category: Category):
    """E-mail is allowed until it is denied, WhatsApp only once it is granted, whatever the category."""
    consent = Consent(status=status)
    verdict = judged(message(channel, category), person(email_consent=consent, whatsapp_consent=consent))
    assert verdict.outcome == outcome
    assert verdict.checks[1].input == status
    if outcome == "skip":
        assert lines(verdict) == [("suppression", "ok"), ("consent", f"skipped: consent is {status}")]


def test_web_chat_needs_no_consent():
    """Who opened the chat is answered there."""
    denied = Consent(status="denied")
    verdict = judged(message(Channel.CHATBOT), person(email_consent=denied, whatsapp_consent=denied))
    assert verdict.outcome == "send"
    assert verdict.checks[1].input == "not needed"


@pytest.mark.parametrize("stage", Stage)
def test_a_step_of_a_sequence_is_for_its_stage(stage: Stage):
    """A message of a sequence goes only while the lead is at that sequence's stage."""
    verdict = judged(message(), person(), lead(stage))
    assert verdict.outcome == ("send" if stage is Stage.USER else "skip")
    assert ("condition", "skipped: the sequence is for User" if stage is not Stage.USER else "ok") in lines(verdict)


def test_a_message_of_no_sequence_has_no_condition():
    """What somebody asked for goes at any stage."""
    verdict = judged(message(category=Category.REPLY), person(), lead(Stage.CUSTOMER))
    assert verdict.outcome == "send"
    assert "condition" not in dict(lines(verdict))


@pytest.mark.parametrize("channel", sorted(ALL))
def test_a_person_without_an_address_is_skipped(channel: Channel):
    """There is nothing to wait for where the address is not known; it is said so."""
    verdict = judged(message(channel), person(email=None, phone=None, visitor=None), on=frozenset())
    assert (verdict.outcome, verdict.address) == ("skip", "")
    assert lines(verdict)[-1] == ("channel", "skipped: no address")


def test_the_whatsapp_id_is_better_than_the_phone():
    """Who wrote from WhatsApp is answered where they wrote from."""
    assert judged(message(Channel.WHATSAPP), person(whatsapp_id="4915199")).address == "4915199"


def test_a_channel_that_is_off_holds():
    """Without settings for the channel the message waits; nothing is lost."""
    verdict = judged(message(), person(), on=ALL - {Channel.EMAIL})
    assert verdict.outcome == "hold"
    assert lines(verdict)[-1] == ("channel", "held: the channel is not configured")


NOW = Clock()()


@pytest.mark.parametrize("category", Category)
@pytest.mark.parametrize(
    ("hours", "open"), [(None, False), (0, True), (23.999, True), (24, False), (24.001, False), (10_000, False)]
)
def test_free_text_goes_within_a_day_of_the_last_message(category: Category, hours: float | None, open: bool):
    """WhatsApp takes free text for 24 h from the person's last message, whatever it is for; the record says when."""
    seen = None if hours is None else later(NOW, hours=-hours)
    written = message(Channel.WHATSAPP, category, text="Hi")
    verdict = judged(written, person(whatsapp_seen_at=seen))
    assert verdict.outcome == ("send" if open else "skip")
    check = verdict.checks[-1]
    assert check.check == "window"
    assert (check.outcome == "ok") is open
    assert (seen or "has not written") in check.input


@pytest.mark.parametrize("seen", [None, AT, later(NOW, hours=-48)])
def test_an_approved_template_goes_at_any_time(seen: Any):
    """A template that WhatsApp has approved opens a conversation; another one does not."""
    written, known = message(Channel.WHATSAPP, template_id="visit"), person(whatsapp_seen_at=seen)
    assert decide(written, _lead, known, open_channels=ALL, now=NOW, approved=True).outcome == "send"
    verdict = judged(written, known)
    assert verdict.outcome == ("send" if seen == AT else "skip")
    if verdict.outcome == "skip":
        assert "content_sid" in verdict.checks[-1].outcome


def test_an_opt_out_gets_one_last_word():
    """The answer to the opt-out, made in its very commit, goes; nothing else does, and nothing after another denial."""
    denied = Consent(status="denied", basis="unsubscribe", at=AT)
    answer = message(Channel.WHATSAPP, Category.REPLY)
    assert judged(answer, person(whatsapp_consent=denied)).outcome == "send"
    for other, consent in (
        (answer.but(created_at=later(NOW, seconds=1)), denied),
        (answer.but(category=Category.TRANSACTIONAL), denied),
        (answer, denied.but(basis="api")),
        (answer, denied.but(at=None)),
    ):
        assert judged(other, person(whatsapp_consent=consent)).outcome == "skip"


AGAINST: dict[str, dict[str, Any]] = {
    "suppression": {"suppressions": (stop(scope="all"),)},
    "consent": {"email_consent": Consent(status="denied")},
    "condition": {},
    "channel": {"email": None},
}


@pytest.mark.parametrize("reasons", [r for n in (1, 2, 3, 4) for r in itertools.combinations(ORDER, n)])
def test_the_first_reason_in_order_decides(reasons: tuple[str, ...]):
    """Of several reasons the first in the order counts, and the checks behind it are not made."""
    values = {name: value for reason in reasons for name, value in AGAINST[reason].items()}
    verdict = judged(message(), person(**values), lead(Stage.CUSTOMER if "condition" in reasons else Stage.USER))
    assert verdict.outcome == "skip"
    assert [check.check for check in verdict.checks] == ORDER[: ORDER.index(reasons[0]) + 1]
    assert [outcome == "ok" for _, outcome in lines(verdict)] == [True] * ORDER.index(reasons[0]) + [False]


@pytest.mark.parametrize("category", Category)
def test_nurture_waits_while_a_person_holds_the_thread(category: Category) -> None:
    """Held, to be looked at again; what is transactional or an answer goes."""
    verdict = judged(message(category=category), person(), lead().but(held_by="ana"))
    if category is Category.NURTURE:
        assert verdict.outcome == "hold"
        assert verdict.checks[-1].check == "condition"
        assert verdict.checks[-1].input == "a person holds the thread"
    else:
        assert verdict.outcome == "send"


STEP = {"delay_hours": 0, "channel": "email", "template_id": "t"}


def product(**config: Any) -> ProductConfig:
    sequences = [{"stage": "User", "messages": [STEP, STEP]}]
    return ProductConfig.model_validate(
        {"product_id": "flow", "name": "Flow", "nurturing_sequences": sequences, **config}
    )


def of_step(config: ProductConfig, score: int = 0, **more: Any) -> Verdict:
    """Judge the second message of the first stage's sequence."""
    asked = message(**{"step": 1, **more})
    return decide(asked, lead().but(score=score), person(), open_channels=ALL, now=Clock()(), config=config)


def test_a_step_goes_when_its_conditions_hold() -> None:
    """Only its own step's conditions count, and they are in the record as words, with what came of them."""
    steps = [{**STEP, "conditions": {"stage_is": "Customer"}}, {**STEP, "conditions": [{"score_at_least": 5}]}]
    config = product(nurturing_sequences=[{"stage": "User", "messages": steps}])
    missed, met = of_step(config, 4999), of_step(config, 5000)
    assert (missed.outcome, met.outcome) == ("skip", "send")
    assert ("condition", "skipped: it does not hold") in lines(missed)
    assert "(score at least 5.0)" in [check.input for check in met.checks]
    assert of_step(config, category=Category.TRANSACTIONAL).outcome == "send"


def test_a_step_that_is_no_more_is_skipped() -> None:
    """The version that has taken the lead over may have fewer of them; the record says so, and the message is over."""
    gone = of_step(product(), step=2)
    assert gone.outcome == "skip"
    assert gone.checks[-1].input == "step 2"
    assert lines(gone)[-1] == ("condition", "skipped: the sequence of User has no such step by now")
    assert of_step(product(nurturing_sequences=[])).outcome == "skip"
    assert of_step(product(nurturing_sequences=[]), category=Category.TRANSACTIONAL).outcome == "send"


def test_a_reached_goal_makes_the_rest_needless() -> None:
    """What the sequence was for has happened: nothing more of it goes out."""
    config = product(nurturing_sequences=[{"stage": "User", "messages": [STEP, STEP], "goal": {"score_at_least": 5}}])
    done = of_step(config, 5000)
    assert (done.outcome, lines(done)[-1]) == ("skip", ("goal", "skipped: it holds"))
    assert of_step(config, 4000).outcome == "send"


def test_quiet_hours_hold_nurture_and_nothing_else() -> None:
    """A drip waits for the morning of the person's own zone; what was asked for goes at once."""
    config = product(quiet_hours={"start": "00:00", "end": "12:00", "time_zone": "UTC"})
    held = of_step(config)
    assert (held.outcome, held.until) == ("hold", f"{AT[:10]}T12:00:00.000Z")
    assert lines(held)[-1] == ("quiet_hours", f"held: until {held.until}")
    for category in (Category.REPLY, Category.TRANSACTIONAL):
        assert of_step(config, category=category).outcome == "send"


def test_a_product_may_ask_before_it_mails() -> None:
    """Under `opt_in` a mail needs a granted consent; an answer does not."""
    config = product(email_consent="opt_in")
    assert lines(of_step(config))[-1] == ("consent", "skipped: consent is unknown")
    assert of_step(config, category=Category.REPLY).outcome == "send"
    granted = person(email_consent=Consent(status="granted"))
    assert decide(message(), _lead, granted, open_channels=ALL, now=Clock()(), config=config).outcome == "send"


def test_a_frequency_cap_counts_a_persons_mail_of_every_product() -> None:
    """Enough is enough, whichever product sent it; the next goes when the oldest is past; a retry counts once."""
    config = product(frequency_cap={"messages": 2, "hours": 24})
    now = Clock()()
    sent = tuple(later(now, hours=-ago) for ago in (30, 20, 5))
    asked = message(step=0)

    def judge(sent: tuple[Instant, ...], one: Message = asked) -> Verdict:
        return decide(one, _lead, person(nurtured=sent), open_channels=ALL, now=now, config=config)

    held = judge(sent)
    assert (held.outcome, held.until) == ("hold", later(now, hours=4))
    assert lines(held)[-1] == ("frequency_cap", f"held: until {held.until}")
    assert judge(sent[:2]).outcome == "send"
    tried = asked.but(attempts=(Attempt(at=AT, outcome="retry"),))
    assert judge(sent, tried).outcome == "send"
    assert judge(sent, message(category=Category.TRANSACTIONAL)).outcome == "send"
