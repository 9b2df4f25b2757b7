"""Conversations with our own assistant, and how their golden transcripts are recorded.

`python -m tests.bot.transcripts` writes transcripts.json anew; read the difference before you keep it.
"""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bot.actions import all_actions
from bot.assistant_files import Assistant
from bot.embedded import EmbeddedEngine
from tests.bot.conftest import Chat

GOLDEN = Path(__file__).parent / "transcripts.json"
DIALOGUES: dict[str, Sequence[str]] = {
    "the way to a demo": (
        *("hi", "I would like to book a demo", "Dana Fox", "dana7@acme7.example", "Acme 7", "about 200 people"),
        *("Head of Sales", "software", "we want to nurture our trial users", "within 3 months"),
        *("around 20000 dollars", "thanks", "bye"),
    ),
    "questions first": (
        *("hi, what does it cost?", "and does it integrate with hubspot?", "is it secure?", "no thanks", "thank you"),
    ),
    "digressions in the form": (
        *("book a demo", "hello", "Priya Sharma", "how much is it?", "priya@northwind.example", "are you a bot?"),
        *("talk to a human", "Northwind", "say that again", "who won the world cup?", "80"),
    ),
    "corrections and refusals": (
        *("I want a demo", "I'm Dana, head of sales at Acme, about 200 people", "rather not", "dana@acme.example"),
        *("Actually it's 300 people", "skip", "no", "automate our follow-ups", "not sure", "I'd rather not say"),
        *("actually the budget is $30k",),
    ),
    "stopping and starting again": (
        *("book a demo", "Tom", "stop", "no", "stop", "yes", "book a demo", "restart", "hi"),
    ),
    "wrong answers": (
        *("book a demo", "Lena Vogel", "lena at vogel", "lena vogel dot example", "it is lena vogel", "yes"),
        *("lena@vogel.example",),
    ),
    "not for me": ("hello", "Wie viel kostet das bitte?", "no", "please stop messaging me"),
}


async def record(engine: EmbeddedEngine, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the turns of one conversation."""
    chat, turns = Chat(engine), []
    for text in texts:
        reply = await chat.say(text)
        turns.append(
            {
                "user": text,
                "intent": reply.parse.intent,
                "bot": [message.to_json() for message in reply.messages],
                "slots": dict(sorted(chat.state.slots.items())),
                "active_loop": chat.state.loop,
                "wants": [[want.kind, want.reason] for want in reply.wants],
            }
        )
    return turns


async def main() -> None:
    engine = EmbeddedEngine(Assistant.load(), all_actions())
    recorded = {name: await record(engine, texts) for name, texts in DIALOGUES.items()}
    GOLDEN.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
