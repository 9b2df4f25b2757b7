"""The words by which a search finds leads: each a small document of its own. Pure."""

import re
from collections.abc import Iterable, Mapping

from tracker.store.port import Change, Delete, Insert
from tracker.store.schema import Kind

LONGEST = 80
"""Characters of a word that are kept."""

_PHONE = re.compile(r"\+\d[\d\s()./-]*")


def searched(text: str) -> list[str]:
    """Return the beginnings of words that a search asks for. A phone number is one, however it is spaced."""
    if _PHONE.fullmatch(text.strip()):
        return ["+" + "".join(c for c in text if c.isdigit())]
    return [token[:LONGEST] for token in text.casefold().split()]


def word_changes(lead_id: str, now_words: frozenset[str], had: frozenset[str]) -> Iterable[Change]:
    for word in sorted(now_words - had):
        yield Insert(Kind.LEAD_WORDS, f"{word}:{lead_id}", {"word": word, "lead_id": lead_id})
    for word in sorted(had - now_words):
        yield Delete(Kind.LEAD_WORDS, f"{word}:{lead_id}", 1)


def reworded(before: Mapping[str, frozenset[str]], after: Mapping[str, frozenset[str]]) -> list[Change]:
    """The search words of leads, by lead, from before to after."""
    nothing: frozenset[str] = frozenset()
    return [
        change
        for lead_id in dict.fromkeys((*before, *after))
        for change in word_changes(lead_id, after.get(lead_id, nothing), before.get(lead_id, nothing))
    ]
