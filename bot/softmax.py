"""Multinomial logistic regression on sparse rows, fitted by L-BFGS with numpy alone.

Both the intents and the words of a message are classified by it. The data are held twice, by row and by column, so
that the scores and the gradient are each one gather and one segmented sum.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_MEMORY = 7


class Rows:
    """Sparse rows: `columns[i]` are the columns of row i that are set, `values[i]` what they hold."""

    def __init__(self, columns: Sequence[Sequence[int]], width: int, scales: Floats | None = None):
        """Columns of one row are different from each other. With `scales` a row is scaled by column, then to length 1.

        Raises: ValueError: a row is empty.
        """
        lengths = np.array([len(row) for row in columns], dtype=np.intp)
        if not lengths.all():
            raise ValueError("a row has no columns")
        self.width = width
        self.columns = np.fromiter((c for row in columns for c in row), dtype=np.int32, count=int(lengths.sum()))
        self.starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        self.values = np.ones(len(self.columns), dtype=np.float32) if scales is None else scales[self.columns]
        if scales is not None:
            norms = np.sqrt(np.add.reduceat(self.values**2, self.starts))
            self.values = (self.values / np.repeat(norms, lengths)).astype(np.float32)
        order = np.argsort(self.columns, kind="stable")
        self.by_column = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)[order]
        self.column_values = self.values[order]
        self.used, self.column_starts = np.unique(self.columns[order], return_index=True)

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


def fit(rows: Rows, targets: NDArray[np.intp], classes: int, costs: Floats, ridge: float, steps: int) -> Floats:
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
