"""Analytics from the daily counters: how leads come through the stages, and what they do. Days are in UTC."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Literal, NamedTuple

from tracker.counting import CREATED
from tracker.errors import Fault, Invalid
from tracker.events import EventType
from tracker.stages import Stage
from tracker.store.port import Store
from tracker.store.schema import COUNTERS_BY_PRODUCT

LONGEST = 366
"""Days of a period: one lead's product has at most some hundred counters a day."""

USUAL = 30
PAGE = 1000

Interval = Literal["day", "week", "month"]
Numbers = Mapping[str, int]
Tally = Mapping[str, Numbers]
"""Per day (`2026-11-22`), what each counter came to."""

STAGE_METRICS: dict[Stage, str] = {stage: f"stage.{stage}" for stage in Stage} | {Stage.USER: CREATED}
"""A lead comes to its first stage by being made."""

LOGINS = f"events.{EventType.LOGIN}"
ENGAGEMENT: dict[str, tuple[EventType, ...]] = {
    "email": (EventType.EMAIL_OPEN, EventType.EMAIL_CLICK, EventType.EMAIL_REPLY),
    "whatsapp": (EventType.WHATSAPP_READ, EventType.WHATSAPP_REPLY),
    "conversation": (EventType.CHATBOT_INTERACTION, EventType.QUALIFICATION_ANSWER),
}
"""What people do with what they are sent, and in talks; what machines do is no part of it."""


class Period(NamedTuple):
    """Whole days, both ends included."""

    first: date
    last: date

    @property
    def days(self) -> list[str]:
        return [(self.first + timedelta(days=n)).isoformat() for n in range((self.last - self.first).days + 1)]


def period(first: date | None, last: date | None, *, today: date) -> Period:
    """Return the period that is meant: 30 days up to today unless something else is said. Raises: Invalid."""
    last = last or (max(first, today) if first else today)
    if first is None:
        first = last - timedelta(days=min(USUAL - 1, last.toordinal() - 1))
    if first > last:
        raise Invalid("the period ends before it begins", Fault("to", f"must not be before {first.isoformat()}"))
    if (last - first).days >= LONGEST:
        raise Invalid("the period is too long", Fault("from", f"a period has at most {LONGEST} days"))
    return Period(first, last)


async def tally(store: Store, products: Iterable[str], wanted: Period) -> Tally:
    """Read the counters of some products, added up."""
    sums: dict[str, dict[str, int]] = {day: {} for day in wanted.days}
    beyond = f"{wanted.last.isoformat()} "  # the first text behind every counter of the last day
    for product_id in products:
        after = None
        while True:
            page = await store.find(
                COUNTERS_BY_PRODUCT, product_id, low=wanted.first.isoformat(), high=beyond, after=after, limit=PAGE
            )
            for counter in page.items:
                numbers, metric = sums[counter.body["day"]], counter.body["metric"]
                numbers[metric] = numbers.get(metric, 0) + counter.body["value"]
            after = page.next
            if after is None:
                break
    return sums


class Flow(NamedTuple):
    """How many leads came to a stage. `share`: of those that were made in the same time; None where there are none."""

    stage: Stage
    entered: int
    share: float | None


def funnel(numbers: Numbers) -> list[Flow]:
    """Return the stages in order. Leads that came to a stage need not have been made in the same period."""
    made = entered(numbers)[Stage.USER]
    return [Flow(stage, count, round(count / made, 4) if made else None) for stage, count in entered(numbers).items()]


def entered(numbers: Numbers) -> dict[Stage, int]:
    return {stage: numbers.get(metric, 0) for stage, metric in STAGE_METRICS.items()}


def engagement(numbers: Numbers) -> dict[str, int]:
    """Return what people did, by where."""
    return {where: sum(numbers.get(f"events.{kind}", 0) for kind in kinds) for where, kinds in ENGAGEMENT.items()}


def events(numbers: Numbers) -> dict[str, int]:
    """Return how many events of each type came in, machines' apart."""
    counts = {kind: numbers.get(f"events.{kind}", 0) for kind in EventType}
    return {str(kind): count for kind, count in counts.items() if count}


def total(counted: Iterable[Numbers]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for numbers in counted:
        for metric, value in numbers.items():
            sums[metric] = sums.get(metric, 0) + value
    return sums


def per(interval: Interval, counted: Tally) -> list[tuple[str, dict[str, int]]]:
    """Return each day, week (from Monday) or month with its numbers, named by its first day within the period."""
    groups: dict[str, list[str]] = {}
    for day in sorted(counted):
        groups.setdefault(_begin(date.fromisoformat(day), interval), []).append(day)
    return [(days[0], total(counted[day] for day in days)) for days in groups.values()]


def _begin(day: date, interval: Interval) -> str:
    if interval == "week":
        return str(day.toordinal() - day.weekday())
    return day.isoformat()[:7] if interval == "month" else day.isoformat()


def products_of(product_id: str | None, known: Sequence[str]) -> Sequence[str]:
    """Return the products that are meant: the named one, else all. Raises: Invalid: there is no such product."""
    if product_id is None:
        return known
    if product_id not in known:
        raise Invalid("the product does not exist", Fault("product_id", f"there is no product {product_id}"))
    return [product_id]
