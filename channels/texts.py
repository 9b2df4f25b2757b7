"""Texts for channels that take so much at a time: buttons as a list, several texts in one, long ones in parts. Pure."""

import re
from collections.abc import Iterable, Sequence

MOST: int = 1600
"""Characters that WhatsApp takes in one message."""

_SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+")


def composed(said: Iterable[tuple[str, Sequence[str]]], *, most: int = MOST) -> list[str]:
    """Return the messages in which to say texts with their buttons: as few as possible, in order.

    Buttons become a numbered list, one count for all of them, so that a number says which is meant.
    """
    parts: list[str] = []
    number = 0
    for text, titles in said:
        lines = [text, *(f"{number + n}. {title}" for n, title in enumerate(titles, start=1))]
        number += len(titles)
        parts += split("\n".join(line for line in lines if line), most)
    return joined(parts, most)


def joined(parts: Iterable[str], most: int) -> list[str]:
    """Put neighbours into one message where both fit."""
    messages: list[str] = []
    for part in parts:
        if messages and len(messages[-1]) + len(part) + 2 <= most:
            messages[-1] += f"\n\n{part}"
        else:
            messages.append(part)
    return messages


def split(text: str, most: int = MOST) -> list[str]:
    """Cut a text into parts of no more than `most` characters: after a sentence or line, else a word, else anywhere."""
    parts: list[str] = []
    rest = text.strip()
    while len(rest) > most:
        end = _cut(rest, most)
        parts.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return [*parts, rest] if rest else parts


def _cut(text: str, most: int) -> int:
    sentences = [match.start() for match in _SENTENCE.finditer(text, 0, most + 1) if match.start() <= most]
    if sentences and sentences[-1] > most // 4:
        return sentences[-1]
    space = text.rfind(" ", 1, most + 1)
    return space if space > 0 else most
