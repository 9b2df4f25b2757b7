"""Charts as SVG, drawn on the server. Pure.

Places are percentages, so a chart fills whatever width it gets while its words keep their size. Colours and sizes are
classes of the style sheet: there is no inline style. Each chart says in words what it shows; a table with the same
numbers belongs beside it.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

TICKS = 4
"""Labels under a chart at most: what fits on a phone."""

FILLED = 76
"""Per cent of its place that a column takes."""

SMALL = (2, 4, 6, 8, 10)
ROUND = (12, 16, 20, 24, 30, 40, 50, 60, 80, 100)
"""Ends of a scale, these times 1, 10, 100, …; each has a half."""


class Series(NamedTuple):
    """Numbers of one kind, drawn in the look of a class."""

    name: str
    look: str
    values: Sequence[int]


class Bar(NamedTuple):
    name: str
    value: int
    beside: str


def columns(id: str, title: str, about: str, labels: Sequence[str], series: Sequence[Series]) -> Markup:
    """Draw a column for each label, its series on top of each other.

    Args: id: unique on the page. about: the chart in words.
    """
    sums = [sum(values) for values in zip(*(each.values for each in series), strict=True)]
    top = ceiling(max(sums, default=0))
    drawn = Markup().join(
        _column(n, len(labels), label, [(each, max(0, each.values[n])) for each in series], top)
        for n, label in enumerate(labels)
    )
    return _svg(id, "daily", title, about, [_grid(top), drawn, _ticks(labels)])


def bars(id: str, title: str, about: str, bars: Sequence[Bar]) -> Markup:
    """Draw lying bars under each other, each under its name and number."""
    most, height = max([bar.value for bar in bars], default=0) or 1, 100 / max(1, len(bars))
    return _svg(id, "lying", title, about, [_bar(bar, n * height, height, most) for n, bar in enumerate(bars)])


def ceiling(most: int) -> int:
    """Return the end of a scale: a round even number that is not much more than `most`."""
    if most <= SMALL[-1]:
        return next(end for end in SMALL if end >= most)
    size = 1
    while most > 100 * size:
        size *= 10
    return next(end * size for end in ROUND if end * size >= most)


def short(number: int) -> str:
    """`950`, `1.2k`, `40k`, `3M`"""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)


def _svg(id: str, look: str, title: str, about: str, parts: Iterable[Markup]) -> Markup:
    return Markup(
        '<svg class="chart {look}" role="img" aria-labelledby="{id}-title {id}-about">'
        '<title id="{id}-title">{title}</title><desc id="{id}-about">{about}</desc>{parts}</svg>'
    ).format(look=look, id=id, title=title, about=about, parts=Markup().join(parts))


def _grid(top: int) -> Markup:
    """The scale: nothing, half, all."""
    line = Markup(
        '<line class="{look}" x1="0" x2="100%" y1="{y}%" y2="{y}%"/>'
        '<text class="scale" x="0" y="{y}%" dx="-8" dy="4" text-anchor="end">{label}</text>'
    )
    places = ((0, 100, "zero"), (top // 2, 50, "line"), (top, 0, "line"))
    return Markup().join(line.format(look=look, y=y, label=short(value)) for value, y, look in places)


def _column(n: int, count: int, label: str, parts: Sequence[tuple[Series, int]], top: int) -> Markup:
    place = 100 / count
    x, width = n * place + place * (100 - FILLED) / 200, place * FILLED / 100
    rect = Markup('<rect class="{look}" x="{x:.3f}%" y="{y:.3f}%" width="{width:.3f}%" height="{height:.3f}%"/>')
    drawn, done, told = [], 0, []
    for series, value in parts:
        told.append(f"{value:,} {series.name}")
        if value:
            done += value
            y, height = 100 - 100 * done / top, 100 * value / top
            drawn.append(rect.format(look=series.look, x=x, y=y, width=width, height=height))
    if not drawn:
        return Markup()
    title = f"{label}: {', '.join(told)}"
    return Markup("<g><title>{title}</title>{drawn}</g>").format(title=title, drawn=Markup().join(drawn))


def _ticks(labels: Sequence[str]) -> Markup:
    """A few labels, the first and the last among them."""
    if not labels:
        return Markup()
    last, count = len(labels) - 1, min(TICKS, len(labels))
    shown = sorted({round(last * n / max(1, count - 1)) for n in range(count)})
    text = Markup('<text class="tick" x="{x:.3f}%" y="100%" dy="20" text-anchor="{anchor}">{label}</text>')
    return Markup().join(
        text.format(x=100 * (n + place) / len(labels), anchor=anchor, label=labels[n])
        for n in shown
        for place, anchor in [(0, "start") if n == 0 else (1, "end") if n == last else (0.5, "middle")]
    )


def _bar(bar: Bar, y: float, height: float, most: int) -> Markup:
    return Markup(
        '<text class="name" x="0" y="{y:.3f}%" dy="18">{name}</text>'
        '<text class="beside" x="100%" y="{y:.3f}%" dy="18" text-anchor="end">{beside}</text>'
        '<rect class="track" x="0" y="{low:.3f}%" width="100%" height="{thick:.3f}%" rx="4"/>'
        '<rect class="one" x="0" y="{low:.3f}%" width="{width:.3f}%" height="{thick:.3f}%" rx="4"/>'
    ).format(
        y=y,
        name=bar.name,
        beside=bar.beside,
        low=y + height * 0.45,
        thick=height * 0.3,
        width=100 * max(0, bar.value) / most,
    )
