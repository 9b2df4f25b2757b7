"""What a message means: a softmax over words, word pairs, stems, letters and the assistant's word lists."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bot.softmax import Floats, Rows, code, fit
from bot.words import stem

# How much each kind of feature counts: words, pairs, stems, letters, lists, and the form of the message.
_KINDS = {"w": 1.0, "b": 0.8, "s": 0.6, "c": 0.4, "l": 1.0, "n": 0.6}
_RIDGE = 8e-6
_STEPS = 11


_FREQUENT = 20
_FEW = 200


def frequent(messages: Iterable[Sequence[str]]) -> frozenset[str]:
    """Return the words that are in so many messages that their letters tell nothing more."""
    counts = Counter(word for words in messages for word in words)
    return frozenset(word for word, count in counts.items() if count >= _FREQUENT)


def features(words: Sequence[str], lists: Iterable[str], asks: bool, known: frozenset[str]) -> list[str]:
    """Return the names of what is seen in a message, each once.

    Args:
        words: plain words in order. lists: word lists that have a hit. asks: it has a question mark.
        known: frequent words, which count as words only.
    """
    found = [f"w{word}" for word in words]
    edged = ("^", *words, "$")
    found += [f"b{left} {right}" for left, right in pairwise(edged)]
    found += [f"l{name}" for name in lists]
    found += [f"s{stem(word)}" for word in words if len(word) >= 3]
    for word in words:
        if word[0] != "#" and word not in known:
            padded = f"<{word}>"
            found += [f"c{padded[i : i + 3]}" for i in range(len(padded) - 2)]
            found += [f"c{padded[i : i + 4]}" for i in range(len(padded) - 3)]
    count = len(words)
    found.append(f"n{count if count < 8 else 12 if count < 14 else 20}")
    found.append(f"n?{asks}")
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class IntentModel:
    """`index` maps a feature to its row in `weights` (features × intents); `scales` says how much it counts."""

    names: tuple[str, ...]
    index: dict[str, int]
    scales: Floats
    weights: Floats

    def scores(self, seen: Iterable[str]) -> Floats:
        """Return the log-odds of each intent, not normalised; all zero if nothing seen is known."""
        rows = [row for row in map(self.index.get, seen) if row is not None]
        if not rows:
            return np.zeros(len(self.names), dtype=np.float32)
        values = self.scales[rows]
        values /= np.sqrt(values @ values)
        scores: Floats = values @ self.weights[rows]
        return scores


def train(examples: Sequence[tuple[list[str], str]]) -> IntentModel:
    """Fit a model to (features, intent) pairs. Rare intents count for more than their share of the examples."""
    names = tuple(sorted({intent for _, intent in examples}))
    # What only one example has cannot be weighed against anything, unless there are hardly any examples.
    coded = code([seen for seen, _ in examples], 2 if len(examples) >= _FEW else 1)
    kinds = np.array([_KINDS[name[0]] for name in coded.index], dtype=np.float32)
    scales = (kinds * (1.0 + np.log(max(len(examples), 1) / coded.often))).astype(np.float32)
    known = coded.lengths > 0
    if not known.any():
        return IntentModel(names, {}, scales, np.zeros((0, len(names)), dtype=np.float32))
    places = {name: place for place, name in enumerate(names)}
    targets = np.array([places[intent] for _, intent in examples], dtype=np.intp)[known]
    costs = (1.0 / np.sqrt(np.bincount(targets, minlength=len(names))))[targets].astype(np.float32)
    rows = Rows(coded.columns, coded.lengths[known], len(coded.index), scales)
    return IntentModel(names, coded.index, scales, fit(rows, targets, len(names), costs, _RIDGE, _STEPS))
