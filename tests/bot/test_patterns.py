"""Entities that have a form of their own."""

import pytest

from bot.patterns import find
from bot.words import Speller, plain, tokens


@pytest.mark.parametrize(
    ("text", "entities"),
    [
        ("about 200 people", [("200", "company_size")]),
        ("a 50-person company", [("50", "company_size")]),
        ("between 50 and 100 people", [("50 and 100", "company_size")]),
        ("our company size is 75", [("75", "company_size")]),
        ("around 20000 dollars", [("20000 dollars", "budget")]),
        ("10-15k", [("10-15k", "budget")]),
        ("our budget is 8000", [("8000", "budget")]),
        ("within 3 months", [("3 months", "timeline")]),
        ("in Q1 next year", [("Q1 next year", "timeline")]),
        ("live by September", [("September", "timeline")]),
        ("I may be late", []),
        ("+44 20 7946 0018 or a@b.io.", [("+44 20 7946 0018", "phone"), ("a@b.io", "email")]),
        ("200", [("200", "number")]),
        ("about 200", [("200", "number")]),
        ("3000 signups", []),
        ("a 14 day trial", []),
        ("are you soc 2 certified", []),
        ("200 people in 3 months for $5k", [("200", "company_size"), ("3 months", "timeline"), ("$5k", "budget")]),
    ],
)
def test_forms_are_found(text: str, entities: list[tuple[str, str]]) -> None:
    """The value is the words, a size is the number alone, and a number that counts something is not a bare number."""
    assert [(text[f.start : f.end], f.entity) for f in find(text)] == entities


def test_words_lose_their_dress() -> None:
    """Slang, contractions, emoji and stretched letters become plain words."""
    assert [word for token in tokens("heyyy i'm ok, cant u pls wait 👍") for word in plain(token.lower)] == [
        *("hey", "i", "am", "ok", "can", "not", "you", "please", "wait", "emojiyes"),
    ]


def test_typos_are_corrected_towards_known_words() -> None:
    """One slip is forgiven in a word of four letters or more; what is written wrong only once is not learnt."""
    speller = Speller.of(["prcing", "once"], listed=["pricing", "demo", "integration", "human"])
    assert [speller.correct(word) for word in ("prcing", "dmeo", "integratoin", "humann", "hum", "zebra")] == [
        *("pricing", "demo", "integration", "human", "hum", "zebra"),
    ]
