"""Messages that are not words: `/intent{"entity": "value"}`, as buttons and trusted callers send them."""

import json
import re

from bot.dialogue import Entity, Parse

_PAYLOAD = re.compile(r"/(?P<intent>[^{@]+)(?:@(?P<confidence>[0-9.]+))?(?P<entities>{.+})?.*", re.DOTALL)


def is_payload(text: str) -> bool:
    return bool(_PAYLOAD.fullmatch(text))


def read_payload(text: str) -> Parse:
    """Return what a payload says; broken entities are none, as in Rasa. The text is kept as it was sent."""
    match = _PAYLOAD.fullmatch(text)
    if match is None:
        raise ValueError(f"not a payload: {text!r}")
    try:
        given = json.loads(match["entities"] or "{}")
    except json.JSONDecodeError:
        given = {}
    entities = [
        Entity(name, value)
        for name, values in (given.items() if isinstance(given, dict) else ())
        for value in (values if isinstance(values, list) else [values])
    ]
    try:
        confidence = float(match["confidence"] or 1.0)
    except ValueError:
        confidence = 1.0
    intent = match["intent"].strip()
    return Parse(text, intent, confidence, ((intent, confidence),), tuple(entities))
