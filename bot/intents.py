"""What a message means: a softmax over words, word pairs, stems, letters and the assistant's word lists.

Trained by averaged stochastic gradient descent on the examples, in a fixed order, so that the same files give the
same weights.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bot.words import stem

Floats = NDArray[np.float32]

_EPOCHS = 10
_RATE = 1.3
_DECAY = 3e-5
_SHARPNESS = 1.0
_ENOUGH = 0.04
_WEIGHTS = {"w": 1.0, "b": 0.8, "k": 0.45, "s": 0.6, "c": 0.22, "l": 1.0, "f": 0.7, "n": 0.4, "t": 0.5, "p": 0.6}


def features(words: Sequence[str], lists: Iterable[str], asks: bool) -> list[str]:
    """Return the names of what is seen in a message.

    Args:
        words: plain words in order. lists: word lists that have a hit. asks: it has a question mark.
    """
    found = [f"w{word}" for word in words]
    edged = ["^", *words, "$"]
    found += [f"b{left} {right}" for left, right in zip(edged, edged[1:], strict=False)]
    found += [f"k{left} {right}" for left, right in zip(words, words[2:], strict=False)]
    found += [f"t{' '.join(three)}" for three in zip(words, words[1:], words[2:], strict=False)]
    names = sorted(set(lists))
    found += [f"l{name}" for name in names]
    found += [f"p{left}+{right}" for i, left in enumerate(names) for right in names[i + 1 :]]
    for word in words:
        if len(word) >= 3 and word[0] != "#":
            found.append(f"s{stem(word)}")
            padded = f"<{word}>"
            found += [f"c{padded[i : i + 4]}" for i in range(len(padded) - 3)]
    if words:
        found += [f"f{words[0]}", f"f {' '.join(words[:2])}"]
    found.append(f"n{min(len(words), 7) if len(words) < 8 else 12 if len(words) < 14 else 20}")
    found.append(f"n?{asks}")
    return found


@dataclass(frozen=True, slots=True)
class IntentModel:
    """`index` maps a feature to its row in `weights` (features × intents) and its scale."""

    names: tuple[str, ...]
    index: dict[str, int]
    scales: Floats
    weights: Floats
    bias: Floats

    def scores(self, seen: Iterable[str]) -> Floats:
        """Return the log-odds of each intent, before normalisation."""
        rows = [row for row in map(self.index.get, dict.fromkeys(seen)) if row is not None]
        if not rows:
            return self.bias.copy()
        picked = np.asarray(rows)
        values = self.scales[picked]
        norm = float(np.sqrt(values @ values)) or 1.0
        logits: Floats = (values / norm) @ self.weights[picked] * _SHARPNESS + self.bias
        return logits


def softmax(logits: Floats) -> Floats:
    powers: Floats = np.exp(logits - logits.max())
    return powers / powers.sum()


def train(examples: Sequence[tuple[list[str], str]]) -> IntentModel:
    """Fit a model to (features, intent) pairs. Every intent weighs the same, however many examples it has."""
    names = tuple(sorted({intent for _, intent in examples}))
    counts: dict[str, int] = {}
    for seen, _ in examples:
        for name in set(seen):
            counts[name] = counts.get(name, 0) + 1
    kept = [name for name, count in counts.items() if count > 1 or name[0] in "wbl"]
    index = {name: row for row, name in enumerate(kept)}
    total = len(examples)
    scales = np.array(
        [_WEIGHTS[name[0]] * (1.0 + np.log(total / counts[name])) for name in kept], dtype=np.float32
    ) if kept else np.zeros(0, dtype=np.float32)
    rows = [np.array([index[name] for name in dict.fromkeys(seen) if name in index], dtype=np.intp) for seen, _ in examples]
    values = []
    for picked in rows:
        scale = scales[picked]
        values.append((scale / (float(np.sqrt(scale @ scale)) or 1.0)).astype(np.float32))
    targets = np.array([names.index(intent) for _, intent in examples], dtype=np.intp)
    weights, bias = _descend(rows, values, targets, len(kept), len(names))
    return IntentModel(names, index, scales, weights, bias)


def _descend(
    rows: list[NDArray[np.intp]], values: list[Floats], targets: NDArray[np.intp], width: int, intents: int
) -> tuple[Floats, Floats]:
    weights = np.zeros((width, intents), dtype=np.float32)
    summed, bias = np.zeros_like(weights), np.zeros(intents, dtype=np.float32)
    share = np.bincount(targets, minlength=intents)
    cost = (len(targets) / (intents * np.maximum(share, 1))) ** 0.5
    order, random = np.arange(len(rows)), np.random.default_rng(7)
    rate, averaged = _RATE * 4.0, 0
    for epoch in range(_EPOCHS):
        random.shuffle(order)
        step = rate / (1.0 + 0.35 * epoch)
        for sample in order:
            picked, value, target = rows[sample], values[sample], targets[sample]
            logits = value @ weights[picked] + bias
            error = np.exp(logits - logits.max())
            error /= error.sum()
            error[target] -= 1.0
            if error[target] > -_ENOUGH:
                continue
            error *= np.float32(step * cost[target])
            weights[picked] -= np.outer(value, error)
            bias -= 0.02 * error
        weights *= 1.0 - _DECAY * len(rows)
        if epoch >= _EPOCHS // 2:
            summed += weights
            averaged += 1
    return summed / np.float32(max(averaged, 1)), bias
