"""A product's configuration: every fault at once, each with its path."""

from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from tests.strategies import configs
from tracker.model import faults
from tracker.product import ProductConfig, dump, parse, version_id
from tracker.stages import Stage

STEP = {"delay_hours": 0, "channel": "email", "template_id": "welcome"}


def config(**changes: Any) -> dict[str, Any]:
    return {"product_id": "flowdesk", "name": "Flowdesk", **changes}


def sequence(*steps: dict[str, Any], stage: str = "User") -> dict[str, Any]:
    return {"stage": stage, "messages": list(steps)}


def paths(value: Any) -> list[str]:
    with pytest.raises(ValidationError) as raised:
        ProductConfig.model_validate(value)
    return [fault.path for fault in faults(raised.value)]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        (
            {"nurturing_sequences": [sequence(STEP, {**STEP, "channel": "pigeon"})]},
            "nurturing_sequences/0/messages/1/channel",
        ),
        (
            {"nurturing_sequences": [sequence({**STEP, "delay_hours": -1})]},
            "nurturing_sequences/0/messages/0/delay_hours",
        ),
        ({"nurturing_sequences": [sequence(STEP, stage="Boss")]}, "nurturing_sequences/0/stage"),
        ({"nurturing_sequences": [sequence({**STEP, "template": 1})]}, "nurturing_sequences/0/messages/0/template"),
        (
            {"nurturing_sequences": [sequence({**STEP, "template_id": "../x"})]},
            "nurturing_sequences/0/messages/0/template_id",
        ),
        ({"nurturing_sequences": sequence(STEP)}, "nurturing_sequences"),
        ({"scoring_rules": {"login_points": "many"}}, "scoring_rules/login_points"),
        ({"scoring_rules": {"logon_points": 5}}, "scoring_rules/logon_points"),
        ({"scoring_rules": {"answer_points": {"budget": None}}}, "scoring_rules/answer_points/budget"),
        ({"scoring_rules": {"qualification_threshold": 1e12}}, "scoring_rules/qualification_threshold"),
        ({"conversion_goals": ["paid", ""]}, "conversion_goals/1"),
        ({"stage_policy": "sometimes"}, "stage_policy"),
        ({"sender": {"reply_to": "a@b.example"}}, "sender/from"),
        ({"product_id": "a/b"}, "product_id"),
        ({"name": " "}, "name"),
        ({"colour": "red"}, "colour"),
        ({"nurture_after_hours": -1}, "nurture_after_hours"),
    ],
)
def test_a_fault_is_named_by_its_path(changes: dict[str, Any], path: str) -> None:
    """Whoever edits a configuration reads where it is wrong, in fields and indexes."""
    assert paths(config(**changes)) == [path]


def test_all_faults_are_told_at_once() -> None:
    """Nobody fixes one fault only to meet the next."""
    bad = config(scoring_rules={"login_points": "x"}, nurturing_sequences=[sequence({}, stage="Boss")], name=1)
    assert set(paths(bad)) == {
        "name",
        "nurturing_sequences/0/stage",
        "nurturing_sequences/0/messages/0/delay_hours",
        "nurturing_sequences/0/messages/0/channel",
        "nurturing_sequences/0/messages/0/template_id",
        "scoring_rules/login_points",
    }


def test_a_fault_tells_values_as_json_has_them() -> None:
    """Who reads it knows no Python."""
    with pytest.raises(ValidationError) as raised:
        ProductConfig.model_validate(config(nurturing_sequences=[sequence({**STEP, "channel": "pigeon"})]))
    (fault,) = faults(raised.value)
    assert fault.message == "Input should be 'email', 'whatsapp' or 'chatbot'"


def test_required_answers_are_questions_that_the_assistant_asks() -> None:
    """Another one could never be answered, and nobody would ever qualify."""
    assert paths(config(qualification={"required": ["email", "shoe_size"]})) == ["qualification/required/1"]
    product = ProductConfig.model_validate(config(qualification={"required": ["email", "budget"]}))
    assert product.qualification.required == ("email", "budget")


@pytest.mark.parametrize(
    ("given_days", "kinds"),
    [
        (30, dict.fromkeys(["turns", "messages", "handoffs", "review"], 30)),
        ({"leads": 730, "turns": 5}, {"turns": 5, "leads": 730}),
        ({}, {}),
    ],
)
def test_retention_is_a_number_or_days_by_kind(given_days: Any, kinds: dict[str, int]) -> None:
    """A number is about everything but the people; either comes back as it was given."""
    product = ProductConfig.model_validate(config(retention_days=given_days))
    assert product.retention_days is not None
    assert product.retention_days.days() == kinds
    assert dump(product)["retention_days"] == given_days


@pytest.mark.parametrize(
    ("given_days", "path"),
    [
        *((wrong, "retention_days") for wrong in (0, 36_501, 1.5, True, "a month", [30])),
        ({"turns": 0}, "retention_days/turns"),
        ({"ledger": 30}, "retention_days/ledger"),
    ],
)
def test_wrong_days_are_told(given_days: Any, path: str) -> None:
    """The ledger is not among the kinds: it goes with its person only."""
    assert paths(config(retention_days=given_days)) == [path]


@given(configs())
def test_a_version_reads_back_as_it_was_given(given_config: ProductConfig) -> None:
    """What is stored of a configuration is the configuration."""
    import orjson

    assert parse(orjson.dumps(dump(given_config)).decode()) == given_config


def test_a_sender_is_written_as_from() -> None:
    """The API's word is `from`, going in and coming out."""
    sender = {"from": "Mia <mia@flowdesk.example>"}
    assert dump(ProductConfig.model_validate(config(sender=sender)))["sender"] == sender


def test_the_sequence_of_a_stage_is_the_one_with_messages() -> None:
    """A stage without messages has no sequence, so nobody is enrolled in nothing."""
    product = ProductConfig.model_validate(config(nurturing_sequences=[sequence(STEP), sequence(stage="Engaged_Lead")]))
    assert product.sequence(Stage.USER) is product.nurturing_sequences[0]
    assert product.sequence(Stage.ENGAGED) is None
    assert product.sequence(Stage.CUSTOMER) is None


def test_versions_have_ids_of_their_own() -> None:
    """No product's version can be taken for another's: a product id holds no colon."""
    assert version_id("flowdesk", 12) == "flowdesk:12"
    assert paths(config(product_id="flow:desk")) == ["product_id"]
