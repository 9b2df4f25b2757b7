"""From a message to an intent and entities, trained from `nlu.yml` when the assistant is loaded."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bot import intents, patterns, tagger
from bot.dialogue import Entity, Parse
from bot.intents import IntentModel
from bot.language import language
from bot.listed import listed
from bot.nlu_files import Example, NluData
from bot.patterns import Found
from bot.softmax import Floats, shares
from bot.tagger import Lists, Tagger
from bot.words import Speller, Token, plain, tokens

FALLBACK = "nlu_fallback"
_LONGEST = 2000
_ANSWER = "inform"
# How much likelier an answer is after a question, in log-odds, and how much more so when it holds what was asked for.
_PULL, _FITTING = 3.0, 1.5
_ENTITY = {"full_name": "person_name"}
_ODDS = 0.3
_ANYWHERE = frozenset(("email", "phone", "company_size", "budget"))
_NAMES = ("industry", "first_name")


@dataclass(frozen=True, slots=True)
class Phrases:
    """The assistant's word lists: a phrase's plain words, joined, to the lists that have it."""

    lists: dict[str, tuple[str, ...]]
    longest: int = 1

    @classmethod
    def of(cls, data: NluData) -> "Phrases":
        found: dict[str, list[str]] = {}
        longest = 1
        for name, phrases in data.lookups.items():
            for phrase in phrases:
                words = [word for token in tokens(phrase) for word in plain(token.lower)]
                longest = max(longest, len(words))
                known = found.setdefault(" ".join(words), [])
                if name not in known:
                    known.append(name)
        return cls({phrase: tuple(names) for phrase, names in found.items()}, min(longest, 4))

    def hits(self, words: Sequence[str]) -> list[str]:
        found: list[str] = []
        for length in range(1, self.longest + 1):
            for start in range(len(words) - length + 1):
                found += self.lists.get(" ".join(words[start : start + length]), ())
        return found


@dataclass(frozen=True, slots=True)
class Understanding:
    """Understands messages in one language. Parsing is pure: the same text and question give the same parse.

    Args:
        threshold: below this probability the intent is `nlu_fallback`. margin: as is one this close to the next best.
    """

    model: IntentModel
    tagger: Tagger
    phrases: Phrases
    speller: Speller
    synonyms: dict[str, str]
    seen_with: dict[str, frozenset[str]]
    frequent: frozenset[str]
    threshold: float = 0.3
    margin: float = 0.0
    language: str = "en"

    @classmethod
    def train(cls, data: NluData, threshold: float = 0.3, margin: float = 0.0, language: str = "en") -> "Understanding":
        """Train on `data`; takes a fraction of a second for two thousand examples."""
        phrases = Phrases.of(data)
        read = [(example, *_read(example.text)) for example in data.examples]
        speller = Speller.of((w for _, words, _, _ in read for w in words), listed(" ".join(phrases.lists)))
        for _, words, _, _ in read:
            words[:] = map(speller.correct, words)
        known = intents.frequent(words for _, words, _, _ in read)
        named = [(example, parts, found) for example, _, parts, found in read]
        model = cls._learn(read, phrases, known)
        names = tagger.train(named, _lists(data, named))
        return cls(
            model,
            names,
            phrases,
            speller,
            data.synonyms,
            _seen_with(data),
            known,
            threshold,
            margin,
            language,
        )

    @staticmethod
    def _learn(
        read: Iterable[tuple[Example, list[str], list[Token], list[Found]]], phrases: Phrases, known: frozenset[str]
    ) -> IntentModel:
        shown = []
        for example, words, parts, found in read:
            named = _whole(parts, [(span.start, span.end, span.entity) for span in example.spans])
            marks = [*phrases.hits(words), *_marks(found), *named]
            shown.append((intents.features(words, marks, "?" in example.text, known), example.intent))
        return intents.train(shown)

    def parse(self, text: str, asked: str | None = None) -> Parse:
        """Return intent, ranking and entities of `text`.

        Args:
            asked: the slot that was just asked for; an answer to it is then likelier than anything else.
        """
        shown = text[:_LONGEST]
        words, parts, found = _read(shown)
        words = [self.speller.correct(word) for word in words]
        spoken = language(shown) if self.language == "en" else self.language
        if not words or not self.model.names:
            return Parse(text, FALLBACK, 1.0, ((FALLBACK, 1.0),), (), spoken)
        learnt = self.tagger.tag(shown, parts, found) if spoken == self.language else []
        named = _whole(parts, [item for item, _ in learnt])
        seen = intents.features(words, [*self.phrases.hits(words), *_marks(found), *named], "?" in shown, self.frequent)
        logits = self.model.scores(seen)
        if asked:
            answers = any(item.entity == _ENTITY.get(asked, asked) for item in (*found, *(item for item, _ in learnt)))
            logits = self._expecting(logits, words, "?" in shown, answers)
        odds = shares(logits)
        ranking = self._ranking(odds)
        entities = self._entities(shown, found, learnt, odds)
        if spoken != self.language:
            ranking = [(FALLBACK, 1.0), *ranking]
        elif _unsure(ranking, self.threshold, self.margin) or not self._knows(words, named):
            ranking = self._doubted(ranking, answering=asked is not None and not _is_question(words, "?" in shown))
        return Parse(text, ranking[0][0], ranking[0][1], tuple(ranking), entities, spoken)

    def _knows(self, words: Sequence[str], named: Sequence[str]) -> bool:
        """Whether any word was seen in training, or the message is a name; letters alone are a guess."""
        return bool(named) or any(f"w{word}" in self.model.index for word in words)

    def _doubted(self, ranking: list[tuple[str, float]], *, answering: bool) -> list[tuple[str, float]]:
        """Return the ranking of a message that is like none: an answer if one was due, else not understood."""
        first = _ANSWER if answering and _ANSWER in self.model.names else FALLBACK
        return [(first, 1.0 - ranking[0][1]), *((name, share) for name, share in ranking if name != first)]

    def _expecting(self, logits: Floats, words: Sequence[str], asks: bool, answers: bool) -> Floats:
        """Lean towards an answer, unless the message is a question; more so if what was asked for is in it."""
        leaning = logits.copy()
        if _ANSWER in self.model.names:
            pull = (0.0 if _is_question(words, asks) else _PULL) + (_FITTING if answers else 0.0)
            leaning[self.model.names.index(_ANSWER)] += np.float32(pull)
        return leaning

    def _ranking(self, odds: Floats) -> list[tuple[str, float]]:
        order = np.argsort(-odds)[:10]
        return [(self.model.names[int(place)], float(odds[place])) for place in order]

    def _entities(
        self, text: str, found: Sequence[Found], learnt: Sequence[tuple[Found, float]], odds: Floats
    ) -> tuple[Entity, ...]:
        """Return what is named in the text, leaving out what nobody names who means what this message means."""
        likely = {name: float(share) for name, share in zip(self.model.names, odds, strict=True) if share > 0.02}
        found = [item for item in found if item.entity in _ANYWHERE or self._fits(item.entity, likely)]
        learnt = [(item, share) for item, share in learnt if self._fits(item.entity, likely)]
        covered = [(item.start, item.end) for item, _ in learnt]
        kept = [(f, 1.0) for f in found if not any(start <= f.start and f.end <= end for start, end in covered)]
        return tuple(
            Entity(
                item.entity,
                self.synonyms.get(text[item.start : item.end].lower(), text[item.start : item.end]),
                item.start,
                item.end,
                confidence=share,
                extractor="tagger" if item.entity in tagger.LEARNT else "patterns",
            )
            for item, share in sorted([*kept, *learnt])
        )

    def _fits(self, entity: str, likely: dict[str, float]) -> bool:
        return sum(share for intent, share in likely.items() if entity in self.seen_with.get(intent, ())) > _ODDS


_ASKING = frozenset(listed("what how who when where why which can could do does is are will would may"))


def _is_question(words: Sequence[str], asks: bool) -> bool:
    return asks or words[0] in _ASKING


def _unsure(ranking: Sequence[tuple[str, float]], threshold: float, margin: float) -> bool:
    best = ranking[0][1]
    second = ranking[1][1] if len(ranking) > 1 else 0.0
    return best < threshold or best - second < margin


def _read(text: str) -> tuple[list[str], list[Token], list[Found]]:
    """Return plain words, with marks in place of numbers and addresses, then tokens and entities of known form."""
    parts, found = tokens(text), patterns.find(text)
    words: list[str] = []
    for token in parts:
        inside = next((f for f in found if f.start <= token.start < f.end), None)
        if inside is None:
            words += plain(token.lower)
        elif not words or words[-1] != f"#{inside.entity}":
            words.append(f"#{inside.entity}")
    letters = "".join(token.text for token in parts if token.text.isalpha())
    if letters.isupper() and len(parts) < 3:
        words.append("#capitals")
    return _without_greeting([word for word in words if word != "?"]), parts, found


_GREETINGS = frozenset(listed("hi hello hey hiya heya"))


def _without_greeting(words: list[str]) -> list[str]:
    """Drop a greeting in front of a message that says more."""
    if len(words) > 3 and words[0] in _GREETINGS:
        return words[2:] if words[1] == "there" else words[1:]
    return words


def _seen_with(data: NluData) -> dict[str, frozenset[str]]:
    """Return for each intent the entities that its examples have."""
    found: dict[str, set[str]] = {}
    for example in data.examples:
        found.setdefault(example.intent, set()).update(span.entity for span in example.spans)
    return {intent: frozenset(entities) for intent, entities in found.items()}


def _whole(parts: Sequence[Token], named: Iterable[tuple[int, int, str]]) -> list[str]:
    """Return a mark for a name that is most of what a message says."""
    total = sum(token.end - token.start for token in parts)
    return [f"only {entity}" for start, end, entity in named if entity in tagger.LEARNT and (end - start) > 0.7 * total]


def _marks(found: Iterable[Found]) -> list[str]:
    return [f"#{item.entity}" for item in found]


def _lists(data: NluData, read: Iterable[tagger.Read]) -> Lists:
    """Return the word lists that the tagger looks at; common words are those that several examples have."""
    industries = tuple(phrase.lower() for phrase in data.lookups.get("industry", ()))
    names = frozenset(name.lower() for name in data.lookups.get("first_name", ()))
    counts: dict[str, int] = {}
    for example, parts, _ in read:
        for token in parts:
            if not any(span.start <= token.start < span.end for span in example.spans):
                counts[token.lower] = counts.get(token.lower, 0) + 1
    listed = (tokens(phrase) for name, phrases in data.lookups.items() if name not in _NAMES for phrase in phrases)
    common = {word for word, count in counts.items() if count > 1} | {t.lower for parts in listed for t in parts}
    return Lists(names, frozenset(common), frozenset(industries), industries)
