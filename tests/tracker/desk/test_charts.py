"""Charts: true to their numbers, told in words, safe whatever the labels say."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.desk.charts import Bar, Series, bars, ceiling, columns, short

NUMBERS = st.lists(st.integers(0, 10**9), min_size=1, max_size=90)


def drawn(text: str) -> ET.Element:
    return ET.fromstring(str(text).replace("&#34;", "&quot;"))


def per_cent(element: ET.Element, name: str) -> float:
    value = element.attrib[name]
    assert value.endswith("%")
    return float(value[:-1])


def days(count: int) -> list[str]:
    return [f"day {n}" for n in range(count)]


@given(NUMBERS)
def test_columns_are_as_high_as_their_numbers(values: Sequence[int]) -> None:
    """All stand on the ground, none reaches beyond the scale, twice the number is twice the height."""
    chart = drawn(columns("c", "Logins", "in words", days(len(values)), [Series("logins", "one", values)]))
    rects = [rect for group in chart.iter("g") for rect in group.iter("rect")]
    told = [value for value in values if value]
    assert len(rects) == len(told)
    for rect, value in zip(rects, told, strict=True):
        assert per_cent(rect, "height") == pytest.approx(100 * value / ceiling(max(values)), abs=0.001)
        assert per_cent(rect, "y") + per_cent(rect, "height") == pytest.approx(100, abs=0.002)
        assert 0 <= per_cent(rect, "x") < per_cent(rect, "x") + per_cent(rect, "width") <= 100


def test_series_stand_on_top_of_each_other() -> None:
    chart = drawn(columns("c", "t", "w", ["Mon"], [Series("mails", "one", [3]), Series("talks", "two", [5])]))
    below, above = chart.iter("g").__next__().iter("rect")
    assert (below.attrib["class"], above.attrib["class"]) == ("one", "two")
    assert per_cent(above, "y") + per_cent(above, "height") == pytest.approx(per_cent(below, "y"))
    assert per_cent(above, "y") == pytest.approx(0)
    assert next(chart.iter("g")).findtext("title") == "Mon: 3 mails, 5 talks"


def test_a_chart_tells_itself_in_words() -> None:
    """A reader without eyes gets a title and a description; what somebody named cannot become markup."""
    for chart in (
        columns("c", "<b>", '"words"', ["<i>"], [Series("&", "one", [1])]),
        bars("c", "<b>", '"words"', [Bar("<i>", 1, "&")]),
    ):
        svg = drawn(chart)
        assert svg.attrib["role"] == "img"
        assert svg.attrib["aria-labelledby"].split() == ["c-title", "c-about"]
        title, about = svg[0], svg[1]
        assert (title.attrib["id"], title.text) == ("c-title", "<b>")
        assert (about.attrib["id"], about.text) == ("c-about", '"words"')
        assert "style=" not in str(chart)


def test_bars_compare_with_the_longest() -> None:
    chart = drawn(bars("c", "t", "w", [Bar("all", 40, "40"), Bar("some", 10, "10"), Bar("none", 0, "0")]))
    widths = [per_cent(rect, "width") for rect in chart.iter("rect") if rect.attrib["class"] == "one"]
    assert widths == [100, 25, 0]


def test_charts_of_nothing() -> None:
    """No rows at all, and only noughts: a scale and nothing on it."""
    assert list(drawn(columns("c", "t", "w", [], [])).iter("g")) == []
    assert list(drawn(columns("c", "t", "w", days(3), [Series("s", "one", [0, 0, -1])])).iter("g")) == []
    assert list(drawn(bars("c", "t", "w", [])).iter("rect")) == []


@pytest.mark.parametrize(("count", "labels"), [(1, [0]), (2, [0, 1]), (7, [0, 2, 4, 6]), (30, [0, 10, 19, 29])])
def test_a_few_labels_fit_on_a_phone(count: int, labels: list[int]) -> None:
    chart = drawn(columns("c", "t", "w", days(count), [Series("s", "one", [0] * count)]))
    assert [text.text for text in chart.iter("text") if text.attrib["class"] == "tick"] == [f"day {n}" for n in labels]


@given(st.integers(0, 10**12))
def test_a_scale_is_not_much_larger_than_what_it_shows(most: int) -> None:
    top = ceiling(most)
    assert top % 2 == 0
    assert most <= top <= max(2, 2 * most)


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0"), (999, "999"), (1000, "1k"), (1200, "1.2k"), (40_000, "40k"), (3 * 10**6, "3M")]
)
def test_numbers_of_a_scale_are_short(number: int, words: str) -> None:
    assert short(number) == words
