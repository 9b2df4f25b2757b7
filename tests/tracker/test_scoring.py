"""Points as integer thousandths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import configs
from tracker.events import EventType
from tracker.points import points, thousandths
from tracker.product import ProductConfig, ScoringRules
from tracker.scoring import score

RULES = ScoringRules(
    login_points=5,
    email_open_points=1,
    email_click_points=4,
    email_engagement_multiplier=1.5,
    whatsapp_reply_points=7,
    chatbot_points=3,
    default_points=2,
    answer_points={"budget": 10},
)


@pytest.mark.parametrize(
    ("event_type", "worth"),
    [
        (EventType.LOGIN, 5000),
        (EventType.EMAIL_OPEN, 1500),
        (EventType.EMAIL_CLICK, 6000),
        (EventType.EMAIL_REPLY, 2000),
        (EventType.WHATSAPP_REPLY, 7000),
        (EventType.CHATBOT_INTERACTION, 3000),
        (EventType.EMAIL_SENT, 0),
        (EventType.EMAIL_DELIVERED, 0),
        (EventType.EMAIL_BOUNCE, 0),
        (EventType.UNSUBSCRIBE, 0),
        (EventType.COMPLAINT, 0),
        (EventType.WHATSAPP_SENT, 0),
        (EventType.WHATSAPP_DELIVERED, 0),
        (EventType.WHATSAPP_READ, 0),
        (EventType.CONVERSION, 0),
    ],
)
def test_each_event_type_is_worth_what_its_rule_says(event_type: EventType, worth: int) -> None:
    """The multiplier scales opens and clicks and nothing else; what we send ourselves earns nothing."""
    assert score(event_type, RULES).impact == worth


def test_an_answer_is_worth_what_its_question_says() -> None:
    """Fit points hang on the question; an unknown or missing one earns nothing."""
    assert score(EventType.QUALIFICATION_ANSWER, RULES, slot="budget") == (10_000, "answer_points/budget")
    assert score(EventType.QUALIFICATION_ANSWER, RULES, slot="shoe_size").impact == 0
    assert score(EventType.QUALIFICATION_ANSWER, RULES).impact == 0


@given(st.sampled_from(list(EventType)), configs())
def test_machines_earn_nothing(event_type: EventType, config: ProductConfig) -> None:
    """A scanner that opens a mail is no buying signal, whatever the rules."""
    assert score(event_type, config.scoring_rules, machine=True) == (0, "machine")


@given(st.sampled_from(list(EventType)), configs())
def test_every_score_is_a_whole_number_of_thousandths_and_names_its_rule(
    event_type: EventType, config: ProductConfig
) -> None:
    """Sums of integers do not depend on their order, and points never come from nowhere."""
    impact, rule = score(event_type, config.scoring_rules, slot="budget")
    assert type(impact) is int
    assert rule or not impact


@given(st.integers(-(10**9), 10**9))
def test_points_read_back_as_the_same_thousandths(value: int) -> None:
    """What the API shows is exactly what the ledger holds."""
    assert thousandths(points(value)) == value


def test_whole_points_are_shown_without_a_fraction() -> None:
    """The API says 5, not 5.0, and 7.5 where it must."""
    assert [points(n) for n in (5000, 7500, -1000, 0)] == [5, 7.5, -1, 0]
    assert isinstance(points(5000), int)
