"""What the embedded engine does around the rules: payloads, sessions, what is known, fallbacks, going back."""

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rasa_sdk.interfaces import ActionNotFoundException

from bot.assistant_files import Assistant
from bot.dialogue import Button, Message, Parse, State, Turn
from bot.embedded import EmbeddedEngine
from bot.payloads import is_payload, read_payload
from tests.bot.conftest import NOON, Chat
from tests.bot.example_actions import Says

DOMAIN = """\
version: "3.1"
intents: [greet, faq, affirm, deny, out_of_scope, nlu_fallback]
entities: [topic]
slots:
  topic: {type: text, mappings: [{type: from_entity, entity: topic}]}
  mood: {type: text, initial_value: fine, mappings: [{type: custom}]}
responses:
  utter_greet:
  - text: Hello
  - text: Hello from the phone
    channel: whatsapp
  - text: Hello, {topic} fan
    condition: [{type: slot, name: topic, value: chess}]
  utter_faq: [{text: "About {topic}"}]
  utter_long: [{text: "One.\\n\\nTwo."}]
  utter_default: [{text: Sorry}]
  utter_ask_rephrase: [{text: Say it another way}]
  utter_back: [{text: Back}]
  utter_restart: [{text: Afresh}]
actions: [action_missing]
session_config: {session_expiration_time: 60, carry_over_slots_to_new_session: false}
"""
RULES = """\
version: "3.1"
rules:
- rule: greet
  steps: [{intent: greet}, {action: utter_greet}]
- rule: faq
  steps: [{intent: faq}, {action: utter_faq}, {action: utter_long}]
- rule: missing
  steps: [{intent: affirm}, {action: action_missing}]
- rule: not understood
  steps: [{intent: nlu_fallback}, {action: action_two_stage_fallback}, {active_loop: action_two_stage_fallback}]
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedEngine:
    folder = tmp_path_factory.mktemp("assistant")
    (folder / "domain.yml").write_text(DOMAIN)
    (folder / "rules.yml").write_text(RULES)
    return EmbeddedEngine(Assistant.from_files([folder / "domain.yml", folder / "rules.yml"]), [Says("action_x")])


class Talk(Chat):
    """A conversation by payloads."""

    def __init__(self, engine: EmbeddedEngine, **given: Any):
        super().__init__(engine, **({"trusted": True, "product": {}} | given))


async def test_wording_follows_channel_and_slots(small: EmbeddedEngine) -> None:
    """Conditions come before the plain wording, a channel's own wording before both."""
    talk = Talk(small)
    await talk.say("/greet")
    assert talk.said == ["Hello"]
    await talk.say('/greet{"topic": "Chess"}')
    assert talk.said == ["Hello, Chess fan"]
    await talk.say("/greet", channel="whatsapp")
    assert talk.said == ["Hello from the phone"]


async def test_paragraphs_are_messages(small: EmbeddedEngine) -> None:
    """A blank line splits a text, and an unset slot reads None, as with Rasa."""
    talk = Talk(small)
    await talk.say("/faq")
    assert talk.said == ["About None", "One.", "Two."]


async def test_without_a_rule_nothing_has_happened(small: EmbeddedEngine) -> None:
    """The fallback speaks and takes the message back, with the slots it had filled."""
    talk = Talk(small)
    await talk.say('/deny{"topic": "chess"}')
    assert talk.said == ["Sorry"]
    assert "topic" not in talk.state.slots


async def test_a_slash_is_text_unless_trusted_or_offered(small: EmbeddedEngine) -> None:
    """Anyone may type a slash; only buttons just offered and authenticated callers speak in payloads."""
    offered = State(messages=(Message("?", (Button("Hello there!", "/greet"),)),))
    assert small.parse(Turn("s", "/greet"), State()).intent == "nlu_fallback"
    assert small.parse(Turn("s", "/greet", trusted=True), State()).intent == "greet"
    assert small.parse(Turn("s", "/greet"), offered).intent == "greet"
    assert small.parse(Turn("s", "/greet", offered=("/greet",)), State()).intent == "greet"
    assert small.parse(Turn("s", "/faq"), offered).intent == "nlu_fallback"


async def test_the_title_of_an_offered_button_presses_it(small: EmbeddedEngine) -> None:
    """WhatsApp may send the words on the button instead of its payload."""
    offered = State(messages=(Message("?", (Button("Hello there!", "/greet"),)),))
    assert small.parse(Turn("s", "hello there"), offered).intent == "greet"


def test_payloads_are_read_as_rasa_reads_them() -> None:
    """Entities come as JSON, lists as several, broken JSON as none."""
    parse = read_payload('/inform{"size": 4, "city": ["Rome", "Oslo"]}')
    assert (parse.intent, [(e.entity, e.value) for e in parse.entities]) == (
        "inform",
        [("size", 4), ("city", "Rome"), ("city", "Oslo")],
    )
    assert read_payload("/inform{broken}").entities == ()
    assert not is_payload("hello /inform")
    with pytest.raises(ValueError, match="not a payload"):
        read_payload("hello")


async def test_an_expired_session_starts_afresh(small: EmbeddedEngine) -> None:
    """After an hour of silence slots are dropped unless the domain carries them over; initial values come back."""
    talk = Talk(small)
    await talk.say('/greet{"topic": "chess"}')
    assert talk.state.slots == {"topic": "chess", "mood": "fine"}
    talk.now += timedelta(minutes=61)
    reply = await talk.say("/greet")
    assert talk.said == ["Hello"]
    assert [step.by for step in reply.steps] == ["session", "rule", "rule"]
    assert talk.state.slots == {"mood": "fine"}


async def test_known_slots_fill_what_is_empty(small: EmbeddedEngine) -> None:
    """What the CRM knows counts at once, gives way to what is said, and is there again after a restart."""
    talk = Talk(small, known={"topic": "chess", "nonsense": 1})
    await talk.say("/greet")
    assert talk.said == ["Hello, chess fan"]
    await talk.say('/faq{"topic": "go"}')
    assert talk.state.slots["topic"] == "go"
    await talk.say("/restart")
    assert talk.said == ["Afresh"]
    assert talk.wants == [("restart", "")]
    assert talk.state.slots == {"topic": "chess", "mood": "fine"}


async def test_going_back_undoes_the_last_turn(small: EmbeddedEngine) -> None:
    """`/back` returns to before the last message."""
    talk = Talk(small)
    await talk.say("/greet", '/greet{"topic": "chess"}', "/back")
    assert talk.said == ["Back"]
    assert "topic" not in talk.state.slots
    await talk.say("/back", "/back", "/greet")
    assert talk.said == ["Hello"]


async def say_unclear(talk: Talk, intent: str, *ranking: str) -> None:
    """Say something that was understood as `intent`, with `ranking` behind it."""
    parse = Parse("hm", intent, 0.4, tuple((name, 0.2) for name in (intent, *ranking)))
    talk.reply = await talk.engine.handle(Turn("s", "hm", now=talk.now, trusted=True), talk.state, parse)
    talk.state = State.from_json(json.loads(json.dumps(talk.reply.state.to_json())))


async def test_two_stage_fallback_asks_whether_it_guessed_right(small: EmbeddedEngine) -> None:
    """Yes takes the guess as said; the dialogue about it leaves no trace."""
    talk = Talk(small)
    await say_unclear(talk, "nlu_fallback", "faq")
    assert talk.reply is not None
    assert [button.payload for button in talk.reply.messages[0].buttons] == ["/faq", "/out_of_scope"]
    assert talk.state.loop == "action_two_stage_fallback"
    await talk.say("/faq")
    assert talk.said == ["About None", "One.", "Two."]
    assert talk.state.loop is None


async def test_two_stage_fallback_gives_up_in_the_end(small: EmbeddedEngine) -> None:
    """No, unclear again, no: then it says so and listens afresh."""
    talk = Talk(small)
    await say_unclear(talk, "nlu_fallback", "faq")
    await talk.say("/out_of_scope")
    assert talk.said == ["Say it another way"]
    await say_unclear(talk, "nlu_fallback", "greet")
    assert talk.said == ["Did you mean 'greet'?"]
    await talk.say("/out_of_scope")
    assert talk.said == ["Sorry"]
    assert talk.state.loop is None


async def test_an_action_that_nobody_registered_is_an_error(small: EmbeddedEngine) -> None:
    """A wrong set-up is not answered with silence."""
    with pytest.raises(ActionNotFoundException):
        await Talk(small).say("/affirm")


async def test_turns_with_the_same_state_get_the_same_reply(engine: EmbeddedEngine) -> None:
    """The engine keeps nothing and draws no lots, so any turn can be replayed."""
    turn = Turn("visitor-9", "hello", now=NOON)
    assert await engine.handle(turn, State()) == await engine.handle(turn, State())


async def test_a_turn_takes_little_time(engine: EmbeddedEngine) -> None:
    """In processor time, with an ample bound for busy machines."""
    chat = Chat(engine)
    await chat.say("I would like to book a demo", "Dana Fox")
    turn = Turn("visitor-1", "what does it cost?", now=chat.now)
    before = time.process_time()
    for _ in range(50):
        await engine.handle(turn, chat.state)
    assert (time.process_time() - before) / 50 < 0.01


def test_the_sdk_is_used_without_its_server() -> None:
    """Nothing of gRPC or OpenTelemetry is loaded for actions that run in process."""
    import subprocess
    import sys

    code = "import sys, bot.embedded, bot.actions; print([m for m in sys.modules if 'grpc' in m or 'endpoint' in m])"
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=False)
    assert run.stdout.strip() == "[]", run.stderr
