"""One trained assistant for all of these tests, and a way to talk to it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.actions import all_actions
from bot.assistant_files import Assistant
from bot.dialogue import Reply, State, Turn
from bot.embedded import EmbeddedEngine

PRODUCT: Mapping[str, Any] = {
    "product_id": "trailhead",
    "name": "Trailhead",
    "facts": {
        "pricing": "Starter is $49 a month, Growth $199.",
        "integrations": ["Salesforce", "HubSpot", "Zapier"],
        "security": "SOC 2 Type II, hosted in the EU.",
        "trial": "14 days, no credit card.",
        "product": "Trailhead turns sign-ups into customers.",
    },
}
NOON = datetime(2026, 5, 12, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def assistant() -> Assistant:
    return Assistant.load()


@pytest.fixture(scope="session")
def engine(assistant: Assistant) -> EmbeddedEngine:
    return EmbeddedEngine(assistant, all_actions())


class Chat:
    """A conversation whose state passes through JSON between turns, as it does in the store."""

    def __init__(self, engine: EmbeddedEngine, **given: Any):
        self.engine, self.given = engine, {"product": PRODUCT} | given
        self.state, self.now = State(), NOON
        self.reply: Reply | None = None

    async def say(self, *texts: str, **given: Any) -> Reply:
        """Say one thing after another; return the last reply."""
        for text in texts:
            turn = Turn("visitor-1", text, now=self.now, **(self.given | given))
            self.reply = await self.engine.handle(turn, self.state)
            self.state = State.from_json(json.loads(json.dumps(self.reply.state.to_json())))
            self.now += timedelta(seconds=20)
        assert self.reply is not None
        return self.reply

    @property
    def said(self) -> list[str]:
        """The bot's last messages."""
        return [message.text for message in self.reply.messages] if self.reply else []

    @property
    def wants(self) -> list[tuple[str, str]]:
        return [(want.kind, want.reason) for want in self.reply.wants] if self.reply else []


@pytest.fixture
def chat(engine: EmbeddedEngine) -> Chat:
    return Chat(engine)
