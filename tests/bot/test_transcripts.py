"""Golden transcripts of our own assistant: a change of wording, rules or understanding shows here, turn by turn."""

import json

import pytest

from bot.embedded import EmbeddedEngine
from tests.bot.transcripts import DIALOGUES, GOLDEN, record


@pytest.mark.parametrize("name", list(DIALOGUES))
async def test_a_conversation_goes_as_it_did(engine: EmbeddedEngine, name: str) -> None:
    """The same messages, buttons, slots, active form and wants; if the change is meant, record them anew."""
    turns = await record(engine, DIALOGUES[name])
    for found, golden in zip(turns, json.loads(GOLDEN.read_text())[name], strict=True):
        assert found == golden, found["user"]
