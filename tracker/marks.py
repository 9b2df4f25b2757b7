"""Whether something that was written tells of a person: by an address, a number or an id. Pure."""

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

import orjson

from tracker.identity import Key

PARTICULAR = 16
"""Characters from which an id is nobody else's, wherever it stands. A shorter one, such as 42, is also a version, a
count or another thing's id: it has to be what a field says that is called as a person's id is.
"""

OF_SOMEBODY = re.compile(
    r"(?:^|crm|user|contact|customer|person|member|visitor|sender|recipient)[\s_.-]*ids?$|^(?:user|contact|visitor|sender)$",
    re.IGNORECASE,
)
"""What such fields are called, ours and those of other systems."""

GAP = r"[\s().\-/]{0,3}"
"""What people write between the digits of a number."""

TRUNK = rf"{GAP}(?:\(0\){GAP})?"
"""The same behind a country code, of up to three digits: +49 (0)151 is +49 151."""


class Marks:
    """What a person is known by, to be looked for. Addresses and numbers are found within a text, as are long ids; a
    number however it is written.
    """

    def __init__(self, words: Iterable[str]):
        """Args: words: addresses, numbers with their plus, ids."""
        self._words = frozenset(word.casefold() for word in words if word)
        self._patterns = [re.compile(pattern) for word in sorted(self._words) if (pattern := _anywhere(word))]

    def told_in(self, value: Any) -> bool:
        """Whether any text within, JSON texts opened, names the person."""
        return any(self._are_in(text, field) for text, field in _texts(value))

    def _are_in(self, text: str, field: str) -> bool:
        if text.strip().casefold() in self._words and OF_SOMEBODY.search(field):
            return True
        text = unquote(text).casefold()
        return any(pattern.search(text) for pattern in self._patterns)


def mark(key: Key) -> str:
    """Return what a key is written as by others."""
    if key.kind == "crm":
        return key.value.partition(":")[2]
    if key.kind == "whatsapp" and _is_number(key.value):
        return f"+{key.value}"
    return key.value


def _anywhere(word: str) -> str | None:
    """Return the pattern of a word that names nobody else within a text. What makes it longer makes it another one's:
    ann@x.example is not in joann@x.example, nor in ann@x.example.org.
    """
    literal = re.escape(word)  # first, so that a search leaps to it
    if "@" in word:
        return rf"{literal}(?<![\w.+-]{literal})(?![\w-]|\.\w)"
    if word.startswith("+") and _is_number(word[1:]):
        return rf"(?<!\d)(?:00)?{TRUNK.join(word[1:4])}{TRUNK}{GAP.join(word[4:])}(?!\d)"
    if len(word) >= PARTICULAR:
        return rf"{literal}(?<![^\W_]{literal})(?![^\W_])"
    return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Yield every text within, and the field that says it; of none for the name of a field."""
    rest = [(value, "")]  # rather than a recursion: what somebody sent may be as deep as they like
    while rest:
        value, field = rest.pop()
        if isinstance(value, dict):
            yield from ((name, "") for name in value)
            rest += ((inner, name) for name, inner in value.items())
        elif isinstance(value, list):
            rest += ((inner, field) for inner in value)
        elif isinstance(value, str):
            inner = opened(value)
            if inner is value:
                yield value, field
            else:
                rest.append((inner, field))
        elif isinstance(value, int) and not isinstance(value, bool):
            yield str(value), field


def opened(text: str) -> Any:
    """Return JSON text as what it says; any other text as it is, the very same object."""
    if text[:1] not in {"{", "["}:
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
