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
    number however it is written. A short id of one CRM is another person's where a record names another CRM.
    """

    def __init__(self, words: Iterable[str], users: Iterable[str] = ()):
        """Args: words: addresses, numbers with their plus, ids. users: ids in CRMs behind their source: `hubspot:7`."""
        self._words = frozenset(word.casefold() for word in words if word)
        self._sources: dict[str, set[str]] = {}
        for source, _, id in (user.casefold().partition(":") for user in users):
            self._sources.setdefault(id, set()).add(source)
        known = sorted(self._words | self._sources.keys())
        self._patterns = [re.compile(pattern) for word in known if (pattern := _anywhere(word))]

    def told_in(self, value: Any) -> bool:
        """Whether any text within, JSON texts opened, names the person."""
        return any(self._are_in(text, field, source) for text, field, source in _texts(value))

    def _are_in(self, text: str, field: str, source: str) -> bool:
        if self._is_id(text.strip().casefold(), source) and OF_SOMEBODY.search(field):
            return True
        text = unquote(text).casefold()
        return any(pattern.search(text) for pattern in self._patterns)

    def _is_id(self, text: str, source: str) -> bool:
        if text in self._words:
            return True
        sources = self._sources.get(text, ())
        return source in sources if source else bool(sources)


def mark(key: Key) -> str:
    """Return what a key, but for a CRM's, is written as by others."""
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


def _texts(value: Any) -> Iterator[tuple[str, str, str]]:
    """Yield every text within, the field that says it, none for the name of a field, and the source of the record that
    it is in, empty where none is named.
    """
    rest = [(value, "", "")]  # rather than a recursion: what somebody sent may be as deep as they like
    while rest:
        value, field, source = rest.pop()
        if isinstance(value, dict):
            source = _source(value) or source
            yield from ((name, "", source) for name in value)
            rest += ((inner, name, source) for name, inner in value.items())
        elif isinstance(value, list):
            rest += ((inner, field, source) for inner in value)
        elif isinstance(value, str):
            inner = opened(value)
            if inner is value:
                yield value, field, source
            else:
                rest.append((inner, field, source))
        elif isinstance(value, int) and not isinstance(value, bool):
            yield str(value), field, source


def _source(record: dict[str, Any]) -> str:
    """The CRM that a record in the API's own words names; in another system's, `source` may be a webinar."""
    source = record.get("source") if "crm_user_id" in record else None
    return source.strip().casefold() if isinstance(source, str) else ""


def opened(text: str) -> Any:
    """Return JSON text as what it says; any other text as it is, the very same object."""
    if text[:1] not in {"{", "["}:
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
