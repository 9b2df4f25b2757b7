"""The dashboard: what came in day by day, and how leads come through the stages."""

from datetime import date, timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from tracker import analytics
from tracker.analytics import Period, Tally
from tracker.catalog import Catalog
from tracker.desk import words
from tracker.desk.charts import Bar, Series, bars, columns
from tracker.desk.layout import Desk, Visit
from tracker.model import Input, Slug
from tracker.stages import Stage
from tracker.web import Answer, Route

PATH = "/desk/dashboard"
PERIODS = (7, 30, 90)
LOOKS: dict[str, str] = {"email": "one", "whatsapp": "two", "conversation": "three"}


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


class DashboardQuery(Input):
    product_id: Annotated[Slug | None, BeforeValidator(lambda value: value or None)] = None
    days: Annotated[Literal[7, 30, 90], BeforeValidator(_number)] = 30


class DashboardPages:
    def __init__(self, desk: Desk, catalog: Catalog):
        self._desk, self._catalog = desk, catalog

    def routes(self) -> list[Route]:
        return [self._desk.page(PATH, self.dashboard, "What came in, and the funnel", query=DashboardQuery)]

    async def dashboard(self, visit: Visit[DashboardQuery]) -> Answer:
        query, today = visit.query, self._desk.clock().date()
        names = await self._catalog.names()
        products = analytics.products_of(query.product_id, list(names))
        period = Period(today - timedelta(days=query.days - 1), today)
        counted = await analytics.tally(self._desk.store, products, period)
        return self._desk.show(
            visit.request, "dashboard.html", query=query, products=names, periods=PERIODS, **shown(counted)
        )


def shown(counted: Tally) -> dict[str, Any]:
    """Return the charts and tables of a period. Pure."""
    days = sorted(counted)
    whole = analytics.total(counted.values())
    logins = [counted[day].get(analytics.LOGINS, 0) for day in days]
    by_day = [analytics.engagement(counted[day]) for day in days]
    engagement = [
        Series(words.ENGAGED[where], look, [numbers[where] for numbers in by_day]) for where, look in LOOKS.items()
    ]
    flows = analytics.funnel(whole)
    labels = [label(day) for day in days]
    return {
        "tiles": tiles(flows, sum(logins), sum(sum(series.values) for series in engagement)),
        "days": days,
        "labels": labels,
        "logins": logins,
        "logins_chart": columns(
            "logins", "Logins per day", in_words(days, logins, "logins"), labels, [Series("logins", "one", logins)]
        ),
        "engagement": engagement,
        "engagement_chart": columns(
            "engagement",
            "Engagement per day",
            in_words(days, [sum(numbers.values()) for numbers in by_day], "events"),
            labels,
            engagement,
        ),
        "flows": flows,
        "funnel_chart": bars(
            "funnel",
            "Leads that came to each stage",
            ", ".join(f"{words.ARRIVED[flow.stage]}: {flow.entered:,}" for flow in flows),
            [Bar(words.ARRIVED[flow.stage], flow.entered, beside(flow)) for flow in flows],
        ),
    }


def tiles(flows: list[analytics.Flow], logins: int, engaged: int) -> list[tuple[str, int]]:
    by_stage = {flow.stage: flow.entered for flow in flows}
    return [
        ("New leads", by_stage[Stage.USER]),
        ("Logins", logins),
        ("Engagement events", engaged),
        ("Qualified leads", by_stage[Stage.QUALIFIED]),
    ]


def beside(flow: analytics.Flow) -> str:
    """`12 · 40%`: the share only where it says something."""
    if flow.stage is Stage.USER or flow.share is None:
        return f"{flow.entered:,}"
    return f"{flow.entered:,} · {flow.share:.0%}"


def in_words(days: list[str], numbers: list[int], what: str) -> str:
    """What a chart per day shows, for those who do not see it."""
    text = f"From {label(days[0])} to {label(days[-1])}: {sum(numbers):,} {what}"
    most = max(numbers)
    return f"{text}, at most {most:,} on {label(days[numbers.index(most)])}." if most > 0 else f"{text}."


def label(day: str) -> str:
    """`22 Nov`"""
    on = date.fromisoformat(day)
    return f"{on.day} {on:%b}"
