"""The embedded engine answers Rasa's own examples as a Rasa 3.6.21 server did: texts, buttons, slots, active form."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.assistant_files import Assistant
from bot.dialogue import Entity, Parse, State, Turn
from bot.embedded import EmbeddedEngine
from tests.bot.example_actions import ACTIONS

EXAMPLES = Path(__file__).parent / "rasa_examples"


def dialogues() -> Iterator[Any]:
    for name in ACTIONS:
        for variant in json.loads((EXAMPLES / name / "transcripts.json").read_text())["variants"]:
            for dialogue in variant["dialogues"]:
                yield pytest.param(name, tuple(variant["files"]), dialogue, id=f"{name}: {dialogue['name']}")


ENGINES: dict[tuple[str, tuple[str, ...]], EmbeddedEngine] = {}


def engine_for(name: str, files: tuple[str, ...]) -> EmbeddedEngine:
    if (name, files) not in ENGINES:
        folder = EXAMPLES / name
        assistant = Assistant.from_files([folder / file for file in files], folder / "config.yml")
        ENGINES[name, files] = EmbeddedEngine(assistant, ACTIONS[name])
    return ENGINES[name, files]


def recorded(turn: dict[str, Any]) -> Parse:
    entities = tuple(Entity(entity["entity"], entity["value"]) for entity in turn["parse"]["entities"])
    return Parse(turn["user"], turn["parse"]["intent"], 1.0, (), entities)


@pytest.mark.parametrize(("name", "files", "dialogue"), list(dialogues()))
def test_a_transcript_of_a_rasa_server_repeats(name: str, files: tuple[str, ...], dialogue: dict[str, Any]) -> None:
    """Every turn gives the recorded messages, slots and active form, the state passing through JSON in between."""
    engine, state = engine_for(name, files), State()
    for turn in dialogue["turns"]:
        if "set_slots" in turn:
            state = replace(state, slots={**state.slots, **turn["set_slots"]})
            continue
        asked = Turn("external_events-1", turn["user"], trusted=True)
        reply = asyncio.run(engine.handle(asked, state, recorded(turn)))
        state = State.from_json(json.loads(json.dumps(reply.state.to_json())))
        assert [message.to_json() for message in reply.messages] == turn["bot"], turn["user"]
        assert {slot: state.slots.get(slot) for slot in turn["slots"]} == turn["slots"], turn["user"]
        assert state.loop == turn["active_loop"], turn["user"]


def test_a_payload_says_what_rasa_read_in_it() -> None:
    """Slash commands are read as the recorded server read them."""
    for name in ACTIONS:
        for variant in json.loads((EXAMPLES / name / "transcripts.json").read_text())["variants"]:
            engine = engine_for(name, tuple(variant["files"]))
            for turn in (turn for dialogue in variant["dialogues"] for turn in dialogue["turns"] if "user" in turn):
                if turn["user"].startswith("/"):
                    parse = engine.parse(Turn("s", turn["user"], trusted=True), State())
                    assert parse.intent == turn["parse"]["intent"]
                    assert [(e.entity, e.value) for e in parse.entities] == [
                        (e["entity"], e["value"]) for e in turn["parse"]["entities"]
                    ]
