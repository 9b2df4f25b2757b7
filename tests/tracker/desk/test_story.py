"""Plain words: times, names, numbers, a lead's story."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.fakes import Clock
from tracker.desk import words
from tracker.desk.story import EVENTS, MESSAGES, told
from tracker.events import EventType
from tracker.handoff import HandoffStatus, Reason
from tracker.review import ReviewKind
from tracker.scoring import RULES
from tracker.stages import Stage
from tracker.times import Instant, instant

AT = Instant("2026-03-02T09:00:00.000Z")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"), (59, "just now"), (60, "1 minute ago"), (3599, "59 minutes ago"), (3600, "1 hour ago"),
        (86_399, "23 hours ago"), (86_400, "1 day ago"), (29 * 86_400, "29 days ago"), (31 * 86_400, "30 Jan 2026"),
        (-1, "in a moment"), (-61, "in 1 minute"), (-7200, "in 2 hours"),
    ],
)  # fmt: skip
def test_how_long_ago(seconds: int, text: str) -> None:
    now = Clock()()
    assert words.ago(instant(now - timedelta(seconds=seconds)), now) == text


def test_every_name_of_ours_has_words() -> None:
    """A new event type, status, reason, kind or stage is not shown as a program writes it."""
    for table, names in (
        (words.REASONS, Reason), (words.STATUSES, HandoffStatus), (words.STAGES, Stage), (EVENTS, EventType),
        (words.REVIEW_KINDS, ReviewKind), (words.SCORED, RULES),
    ):  # fmt: skip
        assert {str(name) for name in names} <= table.keys()
    assert words.of(words.STAGES)("new_stage") == "New stage"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), ("", "–"), (True, "yes"), (5000, "5,000"), (7.5, "7.5"), (1e300, "1e+300"), (["a", 2], "a, 2"),
        ({"amount": 5, "currency": "EUR"}, "Amount: 5, Currency: EUR"), ("text", "text"),
    ],
)  # fmt: skip
def test_values_are_read_out(value: Any, text: str) -> None:
    assert words.value(value) == text


def test_letters_for_a_face() -> None:
    assert [words.initials(name) for name in ("Ana Lopez", "ben", "<x>", "", "Ana Maria Fox")] == [
        "AL",
        "B",
        "?",
        "?",
        "AF",
    ]


@pytest.mark.parametrize(
    ("total", "text"),
    [
        (25.5, "25.5 of the 100 points that qualify a lead; 20 show that it is engaged."),
        (100, "100 points qualify a lead, and this one has them."),
    ],
)
def test_how_far_a_score_is(total: float, text: str) -> None:
    assert words.how_far({"total": total, "thresholds": {"engaged": 20, "qualified": 100}}) == text


def event(
    event_type: str, id: str = "e", *, points: float = 0, machine: bool = False, **metadata: Any
) -> dict[str, Any]:
    return {
        "at": AT, "kind": "event", "id": f"bot:{id}", "event_id": id, "event_type": event_type, "machine": machine,
        "score_impact": points, "metadata": metadata,
    }  # fmt: skip


def turn(id: str, text: str, *answers: str) -> dict[str, Any]:
    return {"at": AT, "kind": "turn", "id": id, "text": text, "messages": [{"text": answer} for answer in answers]}


def test_points_that_a_cap_cut_are_explained() -> None:
    """Also those of a chat message, which is told with the conversation."""
    cut = "the day's cap cut its points"
    rule = "chatbot_points, cut by daily_caps"
    (click,) = told([{**event("email_click", url="https://a.example"), "rule": rule}])
    assert click.text == f"https://a.example; {cut}"
    (talk,) = told([turn("t", "hello"), {**event("chatbot_interaction", "t", points=1), "rule": rule}])
    assert (talk.points, talk.text) == (1, cut)


def stage(before: Stage, to: Stage) -> dict[str, Any]:
    return {"at": AT, "kind": "stage", "id": "s", "from": before, "to": to, "actor": "Ana", "reason": "asked for it"}


def test_consent_is_told_in_words() -> None:
    """On which channel, what, and where that is known from."""
    item = {"at": AT, "kind": "consent", "id": "c", "channel": "whatsapp", "before": "granted"}
    (denied,) = told([{**item, "status": "denied", "basis": "unsubscribe", "source": "leadline"}])
    assert (denied.title, denied.text) == ("WhatsApp: does not want to be written to", "Unsubscribe; Leadline")
    (granted,) = told([{**item, "channel": "email", "status": "granted", "basis": None, "source": None}])
    assert (granted.title, granted.text) == ("E-mail: may be written to", "")


def test_a_correction_is_told_in_words() -> None:
    """Each field before and after, and who did it."""
    fields = {
        "name": {"before": None, "after": "Dana"},
        "demographics/job_title": {"before": "CTO", "after": "CEO"},
        "feature_usage": {"before": [], "after": ["api", "sso"]},
    }
    (entry,) = told([{"at": AT, "kind": "correction", "id": "c", "actor": "crm-sync", "fields": fields}])
    assert entry.title == "Was corrected"
    assert entry.text == "Name: – → Dana; Job title: CTO → CEO; Feature usage: – → api, sso (by crm-sync)"


def test_each_step_of_a_lead_is_a_sentence() -> None:
    """Forward by name, backward as going back."""
    steps = [stage(before, to) for before, to in pairwise(Stage)]
    assert [entry.title for entry in told(steps)] == [
        "Became an engaged lead", "Became a qualified lead", "Became a customer",
    ]  # fmt: skip
    (back,) = told([stage(Stage.CUSTOMER, Stage.QUALIFIED)])
    assert (back.title, back.text) == ("Went back to qualified lead", "Asked for it (by Ana)")


def test_a_chat_message_is_told_once_with_its_points() -> None:
    (entry,) = told([turn("t1", "What does it cost?", "29 USD."), event("chatbot_interaction", "t1", points=2)])
    assert entry.points == 2
    assert list(entry.said) == [("Visitor", "What does it cost?"), ("Assistant", "29 USD.")]


def test_a_chat_message_whose_turn_is_on_another_page_is_still_told() -> None:
    (entry,) = told([event("chatbot_interaction", "t1", points=2)])
    assert (entry.title, entry.points) == ("Wrote in the web chat", 2)


def test_a_pressed_button_is_no_code() -> None:
    (entry,) = told([turn("t1", '/request_demo{"a": 1}')])
    assert list(entry.said) == [("Visitor", "Request demo")]


def test_a_machines_hit_says_so() -> None:
    (entry,) = told([event("email_open", machine=True)])
    assert entry.text == "a machine did it, so it counts for nothing"


@pytest.mark.parametrize("status", list(MESSAGES))
def test_a_message_says_why_it_was_not_sent(status: str) -> None:
    decision = [
        {"check": "consent", "input": "email", "outcome": "ok"},
        {"check": "quiet_hours", "input": "22:00", "outcome": "held"},
    ]
    item = {
        "at": AT, "kind": "message", "id": "m", "channel": "email", "template_id": "welcome", "status": status,
        "decision": decision, "attempts": [],
    }  # fmt: skip
    (entry,) = told([item])
    assert entry.title == f"Mail “welcome” {MESSAGES[status]}"
    assert entry.text == "Quiet hours: 22:00 → held"


def test_what_another_room_will_tell_one_day_is_not_left_out() -> None:
    (entry,) = told([{"at": AT, "kind": "call_back", "id": "x"}])
    assert entry.title == "Call back"


def test_a_login_tells_which_words_lost() -> None:
    """What it replaced, and what it told too late; metadata of anything else is not taken for it."""
    item = {
        "at": AT, "kind": "event", "id": "e", "event_type": "login", "machine": False, "score_impact": 5,
        "metadata": {"replaced": {"job_title": "Dev"}, "outdated": {"trial_status": "over"}},
    }  # fmt: skip
    (entry,) = told([item])
    assert entry.text == "Job title was Dev until then; Trial status over: something newer is known"
    assert [
        one.text for one in told([{**item, "event_type": "email_open"}, {**item, "metadata": {"replaced": 1}}])
    ] == [
        "",
        "",
    ]
