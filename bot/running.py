"""Runs rasa-sdk actions in this process, and turns what they return into messages, wants and events."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rasa_sdk.executor import ActionExecutor
from rasa_sdk.interfaces import Action, ActionExecutionRejection

from bot.conversation import Conversation, Event
from bot.dialogue import Button, Message, Want
from bot.domain import REQUESTED_SLOT
from bot.responses import choose, paragraphs, render, variations

Outcome = list[Event | Message | Want]
"""What running something led to, in order."""

_ATOMS = frozenset((str, int, float, bool, type(None)))
_EMPTY_RESPONSE = {"text", "buttons", "elements", "custom", "template", "response", "image", "attachment"}


def make_executor(actions: Iterable[Action]) -> ActionExecutor:
    """Return an executor of action instances."""
    executor = ActionExecutor()
    for action in actions:
        executor.register_action(action)
    return executor


async def run_action(
    executor: ActionExecutor, conversation: Conversation, name: str, slots: dict[str, Any], events: Sequence[Event]
) -> Outcome:
    """Run a custom action on a copy of the conversation whose latest events are `events`.

    Raises: rasa_sdk.interfaces.ActionNotFoundException: nothing of that name is registered.
    """
    call = {
        "next_action": name,
        "sender_id": conversation.turn.sender,
        "tracker": tracker_json(conversation, slots, events),
        "domain": conversation.domain.raw,
    }
    try:
        result = await executor.run(call)
    except ActionExecutionRejection:
        return [{"event": "action_execution_rejected", "name": name}]
    outcome: Outcome = []
    for response in result.responses if result else ():
        outcome += spoken(conversation, response, slots)
    outcome += result.events if result else []
    return outcome


def tracker_json(conversation: Conversation, slots: dict[str, Any], events: Sequence[Event]) -> dict[str, Any]:
    """Return the tracker as the actions protocol sends it.

    The SDK adds to slots and events, so those are copies; what the caller gave (`metadata`) is handed on as it is.
    """
    turn = conversation.turn
    facts = {"product": turn.product, "known": turn.known, "products": turn.products, "now": turn.now.isoformat()}
    message = conversation.parse.to_json() | {"metadata": dict(turn.metadata) | facts | {"channel": turn.channel}}
    loop = {"name": conversation.loop, "rejected": conversation.rejected} if conversation.loop else {}
    return {
        "sender_id": turn.sender,
        "slots": copied({name: slots.get(name) for name in conversation.domain.slots} | slots),
        "latest_message": message,
        "events": [*earlier_events(conversation), *conversation.events, *events],
        "paused": False,
        "followup_action": conversation.followup,
        "active_loop": loop,
        "latest_action_name": conversation.action,
    }


def copied(value: Any) -> Any:
    """Return a copy of JSON that shares nothing with it; several times as fast as `copy.deepcopy`."""
    if type(value) in _ATOMS:
        return value
    if isinstance(value, dict | Mapping):
        return {key: item if type(item) in _ATOMS else copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list | tuple) else value


def earlier_events(conversation: Conversation) -> list[Event]:
    """Return what actions may look back on: the slots before this turn and what the bot said last."""
    found: list[Event] = [
        {"event": "slot", "timestamp": None, "name": name, "value": value}
        for name, value in conversation.slots_before.items()
    ]
    for message in conversation.said_before:
        buttons = [{"title": button.title, "payload": button.payload} for button in message.buttons]
        found.append({"event": "bot", "text": message.text, "data": {"buttons": buttons or None}})
    found.append({"event": "action", "name": "action_listen"})
    text, channel = conversation.turn.text, conversation.turn.channel
    found.append({"event": "user", "text": text, "input_channel": channel})
    return found


def utter(conversation: Conversation, name: str, slots: dict[str, Any], **values: Any) -> list[Message]:
    """Return the messages of a response, none if there is no fitting wording."""
    channel = conversation.turn.channel
    options = variations(conversation.domain.responses.get(name, ()), channel, slots)
    if not options:
        return []
    seed = f"{conversation.turn.sender}:{conversation.turns}:{name}"
    said = [message.text for message in conversation.said_before]
    known = dict.fromkeys(conversation.domain.slots) | slots | values
    return paragraphs(choose([render(option, known) for option in options], seed, said))


def spoken(conversation: Conversation, response: dict[str, Any], slots: dict[str, Any]) -> list[Message | Want]:
    """Return what one message of an action's dispatcher comes to."""
    wants = (response.get("custom") or {}).get("wants")
    if wants:
        return [Want(wants["kind"], wants.get("reason", ""), wants.get("detail", {}))]
    values = {key: value for key, value in response.items() if key not in _EMPTY_RESPONSE}
    extra = tuple(Button(str(b["title"]), str(b["payload"])) for b in response.get("buttons") or ())
    name = response.get("response")
    said = utter(conversation, name, slots, **values) if name else []
    if response.get("text"):
        said = paragraphs(Message(response["text"], extra))
    elif said and extra:
        said[-1] = Message(said[-1].text, said[-1].buttons + extra)
    return list(said)


def slots_of(outcome: Outcome) -> list[Event]:
    """Return the slot events among `outcome`."""
    return [item for item in outcome if isinstance(item, dict) and item.get("event") == "slot"]


def answers_something(outcome: Outcome) -> bool:
    return any(item["name"] != REQUESTED_SLOT for item in slots_of(outcome))
