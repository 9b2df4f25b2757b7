"""From the words of an answer to the value in the slot."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bot import answers

NOW = datetime(2026, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("slot", "said", "value"),
    [
        ("full_name", "Dana Fox", "Dana Fox"),
        ("full_name", "my name is dana fox", "Dana Fox"),
        ("full_name", "I'm Dana, head of sales", "Dana"),
        ("full_name", "it's Sean O'Brien", "Sean O'Brien"),
        ("full_name", "what is this", None),
        ("full_name", "dana7@acme.example", None),
        ("full_name", "200", None),
        ("email", "sure, Dana7@Acme7.example.", "dana7@acme7.example"),
        ("email", "dana@acme", None),
        ("email", "a..b@acme.example", None),
        ("company", "Acme 7", "Acme 7"),
        ("company", "I work at Northwind Traders", "Northwind Traders"),
        ("company", "our company is called Fern & Co, about 20 people", "Fern & Co"),
        ("company", "200", None),
        ("company_size", "about 200 people", "51-200"),
        ("company_size", "50-100", "51-200"),
        ("company_size", "over 1000", "1001-5000"),
        ("company_size", "just me", "1-10"),
        ("company_size", "a few hundred", "201-500"),
        ("company_size", "two hundred and fifty", "201-500"),
        ("company_size", "1.5k", "1001-5000"),
        ("company_size", "12,000", "5001+"),
        ("company_size", "0", None),
        ("company_size", "lots", None),
        ("job_title", "I'm the CTO", "CTO"),
        ("job_title", "i work as a marketing manager at Acme", "marketing manager"),
        ("industry", "we're in the insurance business", "insurance"),
        ("industry", "we are a fintech startup", "fintech"),
        ("use_case", "we want to nurture our trial users", "we want to nurture our trial users"),
        ("use_case", "42", None),
        ("timeline", "within 3 months", 90),
        ("timeline", "asap", 0),
        ("timeline", "tomorrow", 1),
        ("timeline", "in a couple of weeks", 14),
        ("timeline", "6-8 weeks", 56),
        ("timeline", "next quarter", 90),
        ("timeline", "end of the year", 233),
        ("timeline", "Q3", 141),
        ("timeline", "by September", 112),
        ("timeline", "half a year", 182),
        ("timeline", "no rush", 365),
        ("timeline", "we may start in may", 354),
        ("timeline", "5", None),
        ("timeline", "maybe", None),
        ("budget", "around 20000 dollars", {"amount": 20000, "currency": "USD"}),
        ("budget", "10-15k euros", {"amount": 15000, "currency": "EUR"}),
        ("budget", "between 10k and 20k", {"amount": 20000, "currency": "USD"}),
        ("budget", "£500 a month", {"amount": 500, "currency": "GBP"}),
        ("budget", "ten thousand", {"amount": 10000, "currency": "USD"}),
        ("budget", "plenty", None),
    ],
)
def test_an_answer_is_read(slot: str, said: str, value: Any) -> None:
    """Each question reads its answer, or says that it is none."""
    assert answers.read(slot, said, NOW) == value


@pytest.mark.parametrize(
    ("slot", "value"),
    [
        ("company_size", "5001+"),
        ("timeline", 90),
        ("timeline", 0),
        ("budget", {"amount": 20000, "currency": "USD"}),
        ("email", "dana@acme.example"),
        ("full_name", "Dana Fox"),
        ("job_title", "declined"),
    ],
)
def test_a_value_stays_what_it_is(slot: str, value: Any) -> None:
    """Values that the CRM or an earlier turn gave are not changed by being read again."""
    assert answers.read(slot, value, NOW) == value


@pytest.mark.parametrize(
    "said", ["I'd rather not say", "skip", "no idea", "we don't know yet", "not decided", "no budget yet"]
)
def test_a_refusal_is_recognised(said: str) -> None:
    """People decline in many words."""
    assert answers.declines(said)


@pytest.mark.parametrize("said", ["Passau GmbH", "about 200 people", "Knowles", "next quarter"])
def test_an_answer_is_no_refusal(said: str) -> None:
    """Nor are words that only look like declining."""
    assert not answers.declines(said)


def test_mandatory_answers_cannot_hold_declined() -> None:
    """The word alone does not fill a slot that must be filled."""
    assert answers.read("email", "declined", NOW) is None
    assert answers.read("budget", "declined", NOW) == "declined"
