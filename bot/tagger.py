"""Names, companies, job titles, industries and products in a message: a softmax per word over its surroundings.

Trained on the annotated examples, each repeated with other names in place of the ones it has, so that it is the
surroundings that are learnt and not the names.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import numpy as np

from bot import vocabulary
from bot.nlu_files import Example, Span
from bot.patterns import Found
from bot.softmax import Floats, Rows, code, fit, shares
from bot.words import Token, tokens

LEARNT = ("person_name", "company", "job_title", "industry", "product")
_FORMS = frozenset(("email", "phone", "budget", "company_size", "timeline"))
_LABELS = ("", *LEARNT)
_TITLE_LABEL = _LABELS.index("job_title")
_NAME_LABEL = _LABELS.index("person_name")
_TITLE = re.compile(r"[ah]+(?:oa+(?:na+)?)?")
_INTRODUCTIONS = frozenset(("is", "i'm", "im", "am", "me", "by", "name's", ":", "named", "it's", "this", "actually"))
_LEADS = re.compile(r"^(?:i['’]?m|the|an?|my|our|dr|mr|ms|mrs|it['’]s|is|at|from|of|for)\b\.?\s+", re.IGNORECASE)
_TAILS = re.compile(r"\s+(?:of|at|for|in|the|and|an?|from|with|here)$", re.IGNORECASE)
_VARIANTS = 1
_RIDGE = 2e-6
_STEPS = 14


@dataclass(frozen=True, slots=True)
class Lists:
    """Words that the assistant's files list: first names, and the words of industries."""

    first_names: frozenset[str] = frozenset()
    common: frozenset[str] = frozenset()
    industries: frozenset[str] = frozenset()
    industry_phrases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tagger:
    """`index` maps what is seen around a word to a row of `weights`. `follows` is label to label."""

    index: dict[str, int] = field(default_factory=dict)
    weights: Floats = field(default_factory=lambda: np.zeros((0, len(_LABELS)), dtype=np.float32))
    follows: Floats = field(default_factory=lambda: np.zeros((len(_LABELS), len(_LABELS)), dtype=np.float32))
    lists: Lists = Lists()

    def tag(self, text: str, parts: Sequence[Token], known: Sequence[Found]) -> list[tuple[Found, float]]:
        """Return entities with their probabilities; words inside `known` are left alone."""
        if not parts or not self.index:
            return []
        kinds = _kinds(parts, known)
        rows: list[int] = []
        starts: list[int] = []
        for names in _surroundings(parts, kinds, self.lists):
            starts.append(len(rows))
            rows += [self.index[name] for name in names if name in self.index]
        scores = np.add.reduceat(self.weights[rows], starts, axis=0)
        if not scores.argmax(axis=1).any():
            return []
        best = self._path(scores)
        odds = shares(scores)[np.arange(len(best)), best].tolist()
        labels = [0 if kind else label for label, kind in zip(best, kinds, strict=True)]
        _complete_titles(labels, parts)
        _drop_doubtful_names(labels, parts, self.lists)
        return _join(text, parts, labels, odds)

    def _path(self, scores: Floats) -> list[int]:
        """Return the best sequence of labels (Viterbi)."""
        score, back = scores[0] + self.follows[0], []
        for row in scores[1:]:
            paths = score[:, None] + self.follows
            back.append(paths.argmax(axis=0).tolist())
            score = paths.max(axis=0) + row
        labels = [int(score.argmax())]
        for step in reversed(back):
            labels.append(step[labels[-1]])
        return labels[::-1]


def _kinds(parts: Sequence[Token], known: Sequence[Found]) -> list[str]:
    """Return for each token the entity it is already part of. A number may still be part of a name ("Acme 7")."""
    kinds = []
    for token in parts:
        inside = (f.entity for f in known if f.start <= token.start < f.end and f.entity != "number")
        kinds.append(next(inside, ""))
    return kinds


def _join(text: str, parts: Sequence[Token], labels: Sequence[int], sure: Sequence[float]) -> list[tuple[Found, float]]:
    found: list[tuple[Found, float]] = []
    for place, label in enumerate(labels):
        if not label:
            continue
        token, entity = parts[place], _LABELS[label]
        if found and place and labels[place - 1] == label and found[-1][0].end == parts[place - 1].end:
            last, least = found[-1]
            found[-1] = (Found(last.start, token.end, entity), min(least, sure[place]))
        else:
            found.append((Found(token.start, token.end, entity), sure[place]))
    return [(trimmed, share) for item, share in found if (trimmed := _trim(text, item)).end > trimmed.start]


def _trim(text: str, item: Found) -> Found:
    words = text[item.start : item.end]
    inner = words.strip(" ,;:!?\"'()-–@&")
    inner = _TAILS.sub("", inner)
    if item.entity != "company":
        inner = _LEADS.sub("", inner)
    start = item.start + words.find(inner)
    return Found(start, start + len(inner), item.entity)


def _shape(token: Token) -> str:
    text = token.text
    if not text[0].isalpha():
        return "9" if text[0].isdigit() else "."
    if text.isupper():
        return "A" if len(text) == 1 else "AA"
    return "Aa" if text[0].isupper() else "a" if text.islower() else "aA"


def _word_class(token: Token, kind: str, lists: Lists) -> str:
    word = token.lower.rstrip(".")
    if kind:
        return f"#{kind}"
    marks = (
        "h" if word in vocabulary.HEADS else "",
        "a" if word in vocabulary.AREAS else "",
        "r" if word in vocabulary.RANKS else "",
        "n" if word in lists.first_names else "",
        "i" if word in lists.industries else "",
        "s" if word in vocabulary.SUFFIXES else "",
        "o" if word in lists.common else "",
    )
    return "".join(marks) or _shape(token)


def _surroundings(parts: Sequence[Token], kinds: Sequence[str], lists: Lists) -> list[list[str]]:
    words = [f"#{kind}" if kind else token.lower for token, kind in zip(parts, kinds, strict=True)]
    classes = [_word_class(token, kind, lists) for token, kind in zip(parts, kinds, strict=True)]
    shapes = [_shape(token) for token in parts]
    lowered = not any(shape in ("Aa", "AA") for shape in shapes[1:])
    words, classes, shapes = (
        ["^^", "^", *words, "$", "$$"],
        ["^^", "^", *classes, "$", "$$"],
        ["^", "^", *shapes, "$", "$"],
    )
    phrases = _phrases(words, lists)
    size = "1" if len(parts) == 1 else "2" if len(parts) == 2 else "3" if len(parts) < 5 else "m"
    found = []
    for i in range(2, len(words) - 2):
        word, kind, shape = words[i], classes[i], shapes[i]
        before, after = words[i - 1], words[i + 1]
        seen = [
            "0",
            f"w{word}",
            f"c{kind}",
            f"S{shape}{lowered}",
            f"x{word[-3:]}",
            f"b{before}",
            f"a{after}",
            f"B{words[i - 2]} {before}",
            f"A{after} {words[i + 2]}",
            f"d{classes[i - 1]} {kind}",
            f"e{kind} {classes[i + 1]}",
            f"f{classes[i - 1]} {kind} {classes[i + 1]}",
            f"g{before} {kind}",
            f"h{kind} {after}",
            f"i{before} {shape}",
            f"j{size} {kind} {i}",
            f"k{size} {shape}",
            f"l{words[i - 2]} {before} {kind}",
            f"p{phrases[i]} {before}",
            f"q{phrases[i]} {after}",
            f"r{phrases[i]} {size}",
        ]
        if i > 4:
            seen.append(f"m{words[i - 3]} {words[i - 2]} {before}")
        found.append(seen)
    return found


def _phrases(words: Sequence[str], lists: Lists) -> list[str]:
    """Return for each word whether it is inside a listed industry (`i`) or what may be a job title (`t`)."""
    marks = ["-"] * len(words)
    place = 0
    while place < len(words):
        for length in (3, 2, 1):
            if " ".join(words[place : place + length]) in lists.industries and place + length <= len(words):
                marks[place : place + length] = ["i"] * length
                place += length - 1
                break
        place += 1
    for start, end in _titles(words):
        marks[start:end] = ["t"] * (end - start)
    return marks


def _titles(words: Sequence[str]) -> list[tuple[int, int]]:
    """Return where job titles may stand: areas and ranks around a head ("marketing director", "head of it")."""
    letters = "".join(
        "h"
        if word in vocabulary.HEADS
        else "a"
        if word in vocabulary.AREAS or word in vocabulary.RANKS
        else {"of": "o", "for": "o", "and": "n", "&": "n"}.get(word, "-")
        for word in words
    )
    return [match.span() for match in _TITLE.finditer(letters) if "h" in match[0]] if "h" in letters else []


def _complete_titles(labels: list[int], parts: Sequence[Token]) -> None:
    """Where part of what may be a job title is taken for one, take all of it."""
    if _TITLE_LABEL in labels:
        spans = _titles([token.lower.rstrip(".") for token in parts])
        for start, end in spans:
            if _TITLE_LABEL in labels[start:end]:
                labels[start:end] = [_TITLE_LABEL] * (end - start)
        for _, end in spans[:-1]:
            # "CTO and co-founder" are two.
            if parts[end].lower in ("and", "&") and labels[end] == _TITLE_LABEL:
                labels[end] = 0


def _drop_doubtful_names(labels: list[int], parts: Sequence[Token], lists: Lists) -> None:
    """A name in lower case counts only if it is a known one, or if somebody is being introduced."""
    for place, label in enumerate(labels):
        if label != _NAME_LABEL or (place and labels[place - 1] == label):
            continue
        end = next((i for i in range(place, len(labels)) if labels[i] != label), len(labels))
        run = parts[place:end]
        introduced = place and parts[place - 1].lower in _INTRODUCTIONS
        if not introduced and all(t.text.islower() and t.lower not in lists.first_names for t in run):
            labels[place:end] = [0] * len(run)


Read = tuple[Example, Sequence[Token], Sequence[Found]]


def train(read: Sequence[Read], lists: Lists) -> Tagger:
    """Fit a tagger to the spans of examples; without any it finds nothing.

    Args: read: each example with its tokens and the entities of known form in it.
    """
    if not any(span.entity in LEARNT for example, _, _ in read for span in example.spans):
        return Tagger(lists=lists)
    seen: list[list[str]] = []
    labels: list[int] = []
    pairs = np.full((len(_LABELS), len(_LABELS)), 0.5)
    for example, parts, found in _more(read, lists):
        if parts:
            seen += _surroundings(parts, _kinds(parts, found), lists)
            here = [_label(token, example.spans) for token in parts]
            np.add.at(pairs, ([0, *here[:-1]], here), 1.0)
            labels += here
    coded = code(seen, 2)
    rows = Rows(coded.columns, coded.lengths, len(coded.index))
    weights = fit(rows, np.array(labels), len(_LABELS), np.ones(len(labels), dtype=np.float32), _RIDGE, _STEPS)
    follows = np.log(pairs / pairs.sum(axis=1, keepdims=True) / (pairs.sum(axis=0) / pairs.sum()))
    return Tagger(coded.index, weights, (np.clip(follows, -3.0, 3.0) * 0.5).astype(np.float32), lists)


def _label(token: Token, spans: Sequence[Span]) -> int:
    inside = (s.entity for s in spans if s.start <= token.start < s.end and s.entity in LEARNT)
    return _LABELS.index(next(inside, ""))


def _more(read: Sequence[Read], lists: Lists) -> Iterator[Read]:
    """Yield the examples and, for each with a name in it, some with other names, every other one in lower case."""
    random = Random(5)  # the same files must give the same weights
    pools: dict[str, list[str]] = {entity: [] for entity in LEARNT}
    for example, _, _ in read:
        for span in example.spans:
            if span.entity in pools:
                pools[span.entity].append(example.text[span.start : span.end])
    names = sorted(lists.first_names)
    pools["industry"] += list(lists.industry_phrases)
    pools["product"] += vocabulary.PRODUCTS
    for place, (example, parts, found) in enumerate(read):
        learnt = any(span.entity in LEARNT for span in example.spans)
        if learnt:
            yield example, parts, found
        elif place % 3 == 0:
            # Those without names stand for all the rest of what people say; some of them begin with a capital.
            yield example, parts if place % 2 else _capital(parts), found
        for turn in range(_VARIANTS if learnt else 0):
            changed = _changed(example, pools, names, random)
            text = changed.text.lower() if (place + turn) % 2 else changed.text[:1].upper() + changed.text[1:]
            yield changed, tokens(text), [Found(s.start, s.end, s.entity) for s in changed.spans if s.entity in _FORMS]


def _capital(parts: Sequence[Token]) -> Sequence[Token]:
    first = parts[0]
    return [replace(first, text=first.text[:1].upper() + first.text[1:]), *parts[1:]]


def _changed(example: Example, pools: dict[str, list[str]], names: Sequence[str], random: Random) -> Example:
    text, spans, end = "", [], 0
    for span in sorted(example.spans, key=lambda item: item.start):
        words = example.text[span.start : span.end]
        if span.entity in pools:
            words = _another(span.entity, words, pools[span.entity], names, random)
        text += example.text[end : span.start]
        spans.append(Span(len(text), len(text) + len(words), span.entity, words))
        text, end = text + words, span.end
    return Example(text + example.text[end:], example.intent, tuple(spans))


def _invented(random: Random) -> str:
    """Return a first name that is on no list, so that the words around names are learnt too."""
    return "".join(random.choice(vocabulary.SYLLABLES) for _ in range(random.randint(2, 3))).title()


def _another(entity: str, words: str, pool: Sequence[str], names: Sequence[str], random: Random) -> str:
    if entity == "person_name" and names:
        first = random.choice(names).title() if random.random() < 0.6 else _invented(random)
        return f"{first} {random.choice(vocabulary.SURNAMES)}" if " " in words else first
    if entity == "company" and random.random() < 0.7:
        return random.choice(vocabulary.STEMS) + random.choice(vocabulary.ENDS)
    return random.choice(pool)
