"""Which wording of a response is said, and its text with the slots filled in."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

from bot.dialogue import Button, Message
from bot.domain import Variation

_FIELD = re.compile(r"{([^\n{}]+?)}")


def variations(options: Sequence[Variation], channel: str, slots: Mapping[str, Any]) -> list[Variation]:
    """Return the wordings that fit, of the most particular kind that there is.

    Kinds in order: conditions and channel, channel, conditions, neither (as Rasa does).
    """
    kinds: dict[tuple[bool, bool], list[Variation]] = {}
    for option in options:
        if option.channel not in (None, channel) or not all(_holds(slots.get(n), v) for n, v in option.conditions):
            continue
        kinds.setdefault((option.channel is not None, bool(option.conditions)), []).append(option)
    order = ((True, True), (True, False), (False, True), (False, False))
    return next((kinds[kind] for kind in order if kind in kinds), [])


def _holds(value: Any, wanted: Any) -> bool:
    if isinstance(value, str) and isinstance(wanted, str):
        return value.casefold() == wanted.casefold()
    return bool(value == wanted)


def choose(options: Sequence[Message], seed: str, said: Sequence[str] = ()) -> Message:
    """Return one of `options`, the same for the same seed, and not what has just been `said` if there is another."""
    fresh = [option for option in options if option.text not in said] or options
    return fresh[crc32(seed.encode(errors="replace")) % len(fresh)]


def fill(text: str, values: Mapping[str, Any]) -> str:
    """Put values in place of `{name}`; doubled braces are plain ones.

    A text that names an unknown value stays as it is, as in Rasa.
    """
    if "{{" in text:
        return text.replace("{{", "{").replace("}}", "}")
    names = _FIELD.findall(text)
    if not names or any(name not in values for name in names):
        return text
    return _FIELD.sub(lambda match: str(values[match[1]]), text)


def render(variation: Variation, values: Mapping[str, Any]) -> Message:
    """Return the message to show."""
    buttons = tuple(Button(fill(title, values), fill(payload, values)) for title, payload in variation.buttons)
    return Message(fill(variation.text, values), buttons)


def paragraphs(message: Message) -> list[Message]:
    """Split a text without buttons at blank lines: each paragraph is a message of its own, as on Rasa's channels."""
    if message.buttons or "\n\n" not in message.text.strip():
        return [message]
    return [Message(part) for part in message.text.strip().split("\n\n")]
