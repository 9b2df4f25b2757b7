"""Numbers as people write them: "1,200", "20k", "two hundred", "10-15k"."""

import re

from bot.listed import listed

_SMALL = listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = listed("twenty thirty forty fifty sixty seventy eighty ninety")
_UNITS = {word: value for value, word in enumerate(_SMALL)} | {w: 20 + 10 * i for i, w in enumerate(_TENS)}
_SCALES = {
    "hundred": 100,
    "thousand": 1000,
    "k": 1000,
    "grand": 1000,
    "million": 10**6,
    "m": 10**6,
    "mm": 10**6,
    "mn": 10**6,
}
_VAGUE = {
    "a": 1,
    "an": 1,
    "couple": 2,
    "few": 3,
    "several": 5,
    "dozen": 12,
    "dozens": 36,
    "hundreds": 300,
    "thousands": 3000,
}
_PIECE = re.compile(r"(\d{1,3}(?:[,.’' ]\d{3})+(?!\d)|\d+(?:[.,]\d+)?)|[a-z]+", re.IGNORECASE)


def numbers(text: str) -> list[float]:
    """Return the numbers in `text`, in order; a scale after the second of a range counts for both ("10-15k")."""
    found: list[float] = []
    total: float | None = None
    last = -1
    for match in _PIECE.finditer(text.lower()):
        word, near = match[0], last >= 0 and match.start() - last <= 1
        if match[1]:
            if total is not None:
                found.append(total)
            total = _digits(word)
        elif word in _SCALES and total is not None and (near or len(word) > 2):
            scale = _SCALES[word]
            total = total * scale if total < scale or word in ("k", "m", "mm", "mn") else total + scale
            if found and found[-1] < 1000 <= scale and _is_range(text, match.start()):
                found[-1] *= scale
        elif word in _UNITS:
            total = _joined(total, _UNITS[word]) if near and total is not None else _restart(found, total, _UNITS[word])
        elif word == "and" and total is not None and total >= 100:
            last = match.end()
            continue
        elif total is not None:
            found.append(total)
            total = None
        last = match.end()
    return [*found, total] if total is not None else found


def vague(text: str) -> float | None:
    """Return what "a couple", "a few", "dozens" or "hundreds" come to, roughly; also a bare "hundred"."""
    words = re.findall(r"[a-z]+", text.lower())
    for place in range(len(words) - 1, -1, -1):
        word, before = words[place], words[place - 1] if place else ""
        if word in _SCALES and len(word) > 2:
            return float(_SCALES[word] * _VAGUE.get(before, 1))
        if word in _VAGUE and len(word) > 2:
            return float(_VAGUE[word])
    return float(_VAGUE[words[0]]) if words and words[0] in ("a", "an") else None


def _digits(word: str) -> float:
    if re.fullmatch(r"\d{1,3}(?:[,.’' ]\d{3})+", word):
        return float(re.sub(r"\D", "", word))
    return float(word.replace(",", "."))


def _joined(total: float | None, unit: int) -> float:
    """Return "two hundred" and "five" together, or "twenty" and "five"."""
    return (total or 0) + unit


def _restart(found: list[float], total: float | None, unit: int) -> float:
    if total is not None:
        found.append(total)
    return float(unit)


def _is_range(text: str, end: int) -> bool:
    return bool(re.search(r"\d\s*(?:-|–|to|and)\s*[$€£]?\s?[\d.,]+\s?$", text[:end], re.IGNORECASE))
