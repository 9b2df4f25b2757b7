"""The values that engines take and give."""

import json

from bot.dialogue import Button, Entity, Message, Parse, State


def test_a_state_survives_json() -> None:
    """What is stored after a turn is what the next one gets."""
    state = State(
        slots={"email": "dana@acme.example", "budget": {"amount": 20000, "currency": "USD"}},
        loop="qualification_form",
        rejected=True,
        history=({"action": "action_listen", "intent": "greet"},),
        messages=(Message("Hi", (Button("Yes", "/affirm"),)),),
        turns=3,
        seen_at="2026-05-12T12:00:00+00:00",
        past=({"slots": {}},),
        resume={"turns": 1},
        asks=("nlu_fallback",),
    )
    assert State.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_a_state_of_another_version_is_read() -> None:
    """Unknown fields are dropped, missing ones are empty, and nothing at all is a new conversation."""
    assert State.from_json({"slots": {"a": 1}, "mood": "sunny", "past": None}) == State(slots={"a": 1})
    assert State.from_json(None) == State()
    assert State().to_json() == {}


def test_a_parse_is_shown_as_rasa_shows_it() -> None:
    """`/model/parse` answers in Rasa's shape, without what is not known."""
    parse = Parse(
        "hi Dana", "greet", 0.9, (("greet", 0.9),), (Entity("person_name", "Dana", 3, 7, extractor="tagger"),)
    )
    assert parse.to_json() == {
        "text": "hi Dana",
        "intent": {"name": "greet", "confidence": 0.9},
        "intent_ranking": [{"name": "greet", "confidence": 0.9}],
        "entities": [
            {
                "entity": "person_name",
                "value": "Dana",
                "start": 3,
                "end": 7,
                "confidence_entity": 1.0,
                "extractor": "tagger",
            }
        ],
    }


def test_a_message_shows_buttons_only_if_it_has_some() -> None:
    """Clients of Rasa's REST channel look for the key."""
    assert Message("Hi").to_json() == {"text": "Hi"}
    assert Message("Hi", (Button("Yes", "/affirm"),)).to_json()["buttons"] == [{"title": "Yes", "payload": "/affirm"}]
