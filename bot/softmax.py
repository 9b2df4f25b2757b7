"""Multinomial logistic regression on sparse rows, fitted by L-BFGS with numpy alone.

Both the intents and the words of a message are classified by it. The data are held twice, by row and by column, so
that the scores and the gradient are each one gather and one segmented sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Places = NDArray[np.intp]
_MEMORY = 7


@dataclass(frozen=True, slots=True)
class Coded:
    """Names turned into columns: `index` says which, `often` in how many rows; `columns` and `lengths` are the rows."""

    index: dict[str, int]
    often: Places
    columns: Places
    lengths: Places


def code(seen: Sequence[Sequence[str]], least: int) -> Coded:
    """Give every name that at least `least` rows have a column; rows may end up empty."""
    found: dict[str, int] = {}
    flat = np.fromiter((found.setdefault(name, len(found)) for names in seen for name in names), dtype=np.intp)
    lengths = np.fromiter(map(len, seen), dtype=np.intp, count=len(seen))
    counts = np.bincount(flat, minlength=len(found))
    kept = counts >= least
    place = np.cumsum(kept) - 1
    still = kept[flat]
    row = np.repeat(np.arange(len(seen)), lengths)
    index = {name: int(place[number]) for name, number in found.items() if kept[number]}
    return Coded(index, counts[kept], place[flat[still]], np.bincount(row[still], minlength=len(seen)))


class Rows:
    """Sparse rows: row i has the next `lengths[i]` of `columns`, all different; what they hold is in `values`."""

    def __init__(self, columns: Places, lengths: Places, width: int, scales: Floats | None = None):
        """With `scales` (by column) a row is scaled, then brought to length 1; else it holds ones.

        Raises: ValueError: a row is empty.
        """
        if not lengths.all():
            raise ValueError("a row has no columns")
        self.width, self.columns = width, columns
        self.starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        self.values = np.ones(len(columns), dtype=np.float32) if scales is None else scales[columns]
        if scales is not None:
            norms = np.sqrt(np.add.reduceat(self.values**2, self.starts))
            self.values = (self.values / np.repeat(norms, lengths)).astype(np.float32)
        order = np.argsort(columns, kind="stable")
        self.by_column = np.repeat(np.arange(len(lengths)), lengths)[order]
        self.column_values = self.values[order]
        self.used, self.column_starts = np.unique(columns[order], return_index=True)

    def scores(self, weights: Floats) -> Floats:
        """Return rows × weights."""
        picked = weights[self.columns]
        picked *= self.values[:, None]
        return np.add.reduceat(picked, self.starts, axis=0)

    def back(self, errors: Floats) -> Floats:
        """Return rowsᵀ × errors."""
        picked = errors[self.by_column]
        picked *= self.column_values[:, None]
        found = np.zeros((self.width, errors.shape[1]), dtype=np.float32)
        found[self.used] = np.add.reduceat(picked, self.column_starts, axis=0)
        return found


def shares(scores: Floats) -> Floats:
    """Return the probabilities that `scores` stand for, along the last axis."""
    powers: Floats = np.exp(scores - scores.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


def fit(rows: Rows, targets: Places, classes: int, costs: Floats, ridge: float, steps: int) -> Floats:
    """Return weights (columns × classes) that minimise the costs' mean log loss plus `ridge` × squared weights.

    Args: costs: how much each row counts. steps: iterations at most; a loose fit generalises as well as a tight one.
    """
    weights = np.zeros((rows.width, classes), dtype=np.float32)
    costs = (costs / costs.sum()).astype(np.float32)
    places = np.arange(len(targets))

    def measure(point: Floats) -> tuple[float, Floats]:
        errors = shares(rows.scores(point))
        loss = -float(costs @ np.log(errors[places, targets] + 1e-12)) + ridge * float((point * point).sum())
        errors[places, targets] -= 1.0
        return loss, rows.back(errors * costs[:, None]) + np.float32(2.0 * ridge) * point

    loss, slope = measure(weights)
    moves: list[tuple[Floats, Floats, float]] = []
    for _ in range(steps):
        heading = _heading(slope, moves)
        length, falls = 1.0, float((heading * slope).sum())
        if falls >= 0.0:
            break
        if not moves:
            length = 1.0 / max(float(np.sqrt((slope * slope).sum())), 1e-12)
        for _ in range(6):
            point = weights + np.float32(length) * heading
            new_loss, new_slope = measure(point)
            if new_loss <= loss + 1e-4 * length * falls:
                break
            length *= 0.4
        moved, changed = point - weights, new_slope - slope
        curve = float((moved * changed).sum())
        if curve > 1e-12:
            moves = [*moves[-_MEMORY + 1 :], (moved, changed, 1.0 / curve)]
        if loss - new_loss < 1e-5 * loss:
            return point
        weights, loss, slope = point, new_loss, new_slope
    return weights


def _heading(slope: Floats, moves: Sequence[tuple[Floats, Floats, float]]) -> Floats:
    """Return the quasi-Newton direction down `slope`, given the latest moves (two-loop recursion)."""
    heading = -slope
    shares_: list[float] = []
    for moved, changed, inverse in reversed(moves):
        share = inverse * float((moved * heading).sum())
        shares_.append(share)
        heading = heading - np.float32(share) * changed
    if moves:
        moved, changed, inverse = moves[-1]
        heading = heading * np.float32(1.0 / (inverse * float((changed * changed).sum())))
    for (moved, changed, inverse), share in zip(moves, reversed(shares_), strict=True):
        heading = heading + np.float32(share - inverse * float((changed * heading).sum())) * moved
    return heading
