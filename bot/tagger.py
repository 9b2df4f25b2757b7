"""Names, companies, job titles, industries and products in a message: a softmax per word over its surroundings.

Trained on the annotated examples, each repeated with other names in place of the ones it has, so that it is the
surroundings that are learnt and not the names.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from random import Random

import numpy as np

from bot.nlu_files import Example, Span
from bot.patterns import Found
from bot.softmax import Floats, Rows, fit
from bot.words import Token, tokens

LEARNT = ("person_name", "company", "job_title", "industry", "product")
_LABELS = ("", *LEARNT)
_VARIANTS = 2
_RIDGE = 2e-6
_STEPS = 16

_HEADS = frozenset(
    "manager director head lead leader engineer developer analyst consultant specialist coordinator administrator admin "
    "executive assistant architect marketer designer recruiter partner principal strategist associate rep representative "
    "officer founder cofounder co-founder owner president vp svp evp avp chief ceo cto cmo coo cfo cro cio cpo chro ciso "
    "sdr bdr ae csm pm accountant programmer intern freelancer entrepreneur controller buyer planner supervisor "
    "technician scientist researcher editor writer producer chairman chairwoman chair trainer coach teacher professor "
    "nurse doctor lawyer attorney agent broker salesperson salesman dev md gm evangelist treasurer secretary operator".split()
)
_AREAS = frozenset(
    "sales marketing growth product engineering it technology customer success support operations ops revenue revops "
    "finance people hr human resources business development partnerships demand generation gen data software security "
    "content brand digital commercial account accounts project program programme office general managing technical "
    "solutions strategy communications talent procurement crm lifecycle performance legal design field regional global "
    "country community pr event events seo innovation procurement research quality supply chain go-to-market gtm "
    "information vice enablement experience relations client clients public social media email analytics web".split()
)
_RANKS = frozenset("senior junior sr jr deputy assistant associate interim acting global regional chief vice lead staff".split())
_SUFFIXES = frozenset(
    "inc ltd llc gmbh ag sa ab as oy bv nv plc corp corporation co company group holdings labs lab technologies tech "
    "systems solutions software consulting partners industries ventures media studio studios analytics digital health "
    "bank foods logistics energy capital international global agency works networks logistik traders".split()
)
_STEMS = ("Nova Vertex Quill Harbor Lumen Cedar Orbit Delta Maple Summit Raven Copper Echo Falcon Willow Atlas Pioneer "
    "Juniper Crest Ember Aurora Birch Cobalt Drift Garnet Ivory Kestrel Lotus Meridian Nimbus Onyx Pebble Quartz Ridge").split()
_ENDS = " ||labs|soft|flow|ly|base|hub|works|metrics| Inc| Ltd| GmbH| Group| Systems| Media| Health| & Co| Solutions| AI".split("|")
_SURNAMES = ("Fox Sharma Smith Garcia Chen Martin Novak Weber Rossi Khan Brown Wilson Haddad Okafor Tanaka Silva Kim Nguyen "
    "Lindqvist Kowalski Dubois Moreau Costa Patel Singh Jensen Larsen Murphy Walsh Cohen Levi Popescu Ivanov").split()
_SYLLABLES = "ka la mi ro ta ne so vi da ri el an jo be lo ma no sa ti er in sh th mar den bel lin vor ras gi hu fa".split()
_PRODUCTS = "Leadline Trailhead Pipeboard Nurturo Flowdesk Signalbox Campfire Inboxly Growthkit Datadeck".split()


@dataclass(frozen=True, slots=True)
class Lists:
    """Words that the assistant's files list: first names, and the words of industries."""

    first_names: frozenset[str] = frozenset()
    common: frozenset[str] = frozenset()
    industries: frozenset[str] = frozenset()
    industry_phrases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tagger:
    """`index` maps what is seen around a word to a row of `weights`; row 0 is empty. `follows` is label to label."""

    index: dict[str, int] = field(default_factory=lambda: {"": 0})
    weights: Floats = field(default_factory=lambda: np.zeros((1, len(_LABELS)), dtype=np.float32))
    follows: Floats = field(default_factory=lambda: np.zeros((len(_LABELS), len(_LABELS)), dtype=np.float32))
    lists: Lists = Lists()

    def tag(self, text: str, parts: Sequence[Token], known: Sequence[Found]) -> list[tuple[Found, float]]:
        """Return entities with their probabilities; words inside `known` are left alone."""
        if not parts or len(self.index) == 1:
            return []
        kinds = _kinds(parts, known)
        logits = np.array([self.weights[row].sum(axis=0) for row in self._rows(parts, kinds)])
        labels, sure = self._decode(logits, kinds)
        return _join(text, parts, labels, sure)

    def _rows(self, parts: Sequence[Token], kinds: Sequence[str]) -> Iterator[list[int]]:
        known = self.index
        for names in _surroundings(parts, kinds, self.lists):
            yield [known[name] for name in names if name in known]

    def _decode(self, logits: Floats, kinds: Sequence[str]) -> tuple[list[int], list[float]]:
        """Return the best sequence of labels (Viterbi) and each one's probability on its own."""
        score, back = logits[0] + self.follows[0], []
        for row in logits[1:]:
            paths = score[:, None] + self.follows
            back.append(paths.argmax(axis=0))
            score = paths.max(axis=0) + row
        labels = [int(score.argmax())]
        for step in reversed(back):
            labels.append(int(step[labels[-1]]))
        labels.reverse()
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        powers /= powers.sum(axis=1, keepdims=True)
        labels = [0 if kind else label for label, kind in zip(labels, kinds, strict=True)]
        return labels, [float(power[label]) for power, label in zip(powers, labels, strict=True)]


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
    inner = words.strip(" ,;:!?\"'()-–@&") or ""
    start = item.start + (words.find(inner) if inner else 0)
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
        "h" if word in _HEADS else "",
        "a" if word in _AREAS else "",
        "r" if word in _RANKS else "",
        "n" if word in lists.first_names else "",
        "i" if word in lists.industries else "",
        "s" if word in _SUFFIXES else "",
        "o" if word in lists.common else "",
    )
    return "".join(marks) or _shape(token)


def _surroundings(parts: Sequence[Token], kinds: Sequence[str], lists: Lists) -> list[list[str]]:
    words = [f"#{kind}" if kind else token.lower for token, kind in zip(parts, kinds, strict=True)]
    classes = [_word_class(token, kind, lists) for token, kind in zip(parts, kinds, strict=True)]
    shapes = [_shape(token) for token in parts]
    lowered = not any(shape in ("Aa", "AA") for shape in shapes[1:])
    words, classes, shapes = ["^^", "^", *words, "$", "$$"], ["^^", "^", *classes, "$", "$$"], ["^", "^", *shapes, "$", "$"]
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
    """Return for each word whether it is inside a listed industry, by the longest phrase that fits."""
    marks = ["-"] * len(words)
    place = 0
    while place < len(words):
        for length in (3, 2, 1):
            if " ".join(words[place : place + length]) in lists.industries and place + length <= len(words):
                marks[place : place + length] = ["i"] * length
                place += length - 1
                break
        place += 1
    return marks


def train(examples: Sequence[Example], lists: Lists, find: Callable[[str], list[Found]]) -> Tagger:
    """Fit a tagger to the spans of `examples`; without any it finds nothing."""
    if not any(span.entity in LEARNT for example in examples for span in example.spans):
        return Tagger(lists=lists)
    seen: list[list[str]] = []
    labels: list[int] = []
    pairs = np.full((len(_LABELS), len(_LABELS)), 0.5)
    for example in _more(examples, lists):
        parts = tokens(example.text)
        if parts:
            seen += _surroundings(parts, _kinds(parts, find(example.text)), lists)
            here = [_label(token, example.spans) for token in parts]
            np.add.at(pairs, ([0, *here[:-1]], here), 1.0)
            labels += here
    counts = Counter(chain.from_iterable(seen))
    index = {"": 0} | {name: row for row, name in enumerate((n for n, c in counts.items() if c > 1), start=1)}
    rows = Rows([[index[name] for name in names if name in index] for names in seen], len(index))
    targets = np.array(labels, dtype=np.intp)
    weights = fit(rows, targets, len(_LABELS), np.ones(len(labels), dtype=np.float32), _RIDGE, _STEPS)
    follows = np.log(pairs / pairs.sum(axis=1, keepdims=True) / (pairs.sum(axis=0) / pairs.sum()))
    return Tagger(index, weights, (np.clip(follows, -3.0, 3.0) * 0.5).astype(np.float32), lists)


def _label(token: Token, spans: Sequence[Span]) -> int:
    inside = (s.entity for s in spans if s.start <= token.start < s.end and s.entity in LEARNT)
    return _LABELS.index(next(inside, ""))


def _more(examples: Sequence[Example], lists: Lists) -> list[Example]:
    """Return the examples and, for each with a name in it, some with other names, every other one in lower case."""
    random = Random(5)  # noqa: S311 - variety, not secrecy; the same files must give the same weights
    pools: dict[str, list[str]] = {entity: [] for entity in LEARNT}
    for example in examples:
        for span in example.spans:
            if span.entity in pools:
                pools[span.entity].append(example.text[span.start : span.end])
    names = sorted(lists.first_names)
    pools["industry"] += list(lists.industry_phrases)
    pools["product"] += _PRODUCTS
    shown = []
    for place, example in enumerate(examples):
        learnt = [span for span in example.spans if span.entity in LEARNT]
        if learnt or place % 3 == 0:
            shown.append(example if learnt or place % 2 else _capital(example))
        for turn in range(_VARIANTS if learnt else 0):
            changed = _changed(example, pools, names, random)
            shown.append(Example(changed.text.lower(), changed.intent, changed.spans) if turn % 2 else _capital(changed))
    return shown


def _capital(example: Example) -> Example:
    return Example(example.text[:1].upper() + example.text[1:], example.intent, example.spans)


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
    return "".join(random.choice(_SYLLABLES) for _ in range(random.randint(2, 3))).title()


def _another(entity: str, words: str, pool: Sequence[str], names: Sequence[str], random: Random) -> str:
    if entity == "person_name" and names:
        first = random.choice(names).title() if random.random() < 0.6 else _invented(random)
        return f"{first} {random.choice(_SURNAMES)}" if " " in words else first
    if entity == "company" and random.random() < 0.7:
        return random.choice(_STEMS) + random.choice(_ENDS).rstrip(" ")
    return random.choice(pool)
