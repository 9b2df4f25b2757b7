"""Analytics over HTTP."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from tracker import analytics
from tracker.analytics import Interval, Period, Tally
from tracker.catalog import Catalog
from tracker.keys import Scope
from tracker.model import Input, Output, Slug
from tracker.stages import Stage
from tracker.store.port import Store
from tracker.web import Answer, Call, Route


def _day(value: Any) -> Any:
    """A day, or the UTC day of a time."""
    try:
        if len(value) <= len("2026-11-22"):
            return date.fromisoformat(value)
        at = datetime.fromisoformat(value)
        return at.astimezone(UTC).date() if at.tzinfo else at.date()
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError("must be a day, such as 2026-11-22") from error


Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]


class AnalyticsQuery(Input):
    """Which numbers. Both days are included; without them, 30 days up to today. Without a product, all of them."""

    product_id: Slug | None = None
    from_: Annotated[Day | None, Field(alias="from")] = None
    to: Day | None = None
    interval: Interval = "day"


class AnalyticsView(Output):
    product_id: str | None
    from_: Annotated[str, Field(alias="from")]
    to: str
    interval: Interval


class FlowView(Output):
    """Attributes: entered: leads that came to the stage; to `User`, by being made. share: of the leads made in the same
    period, null where there are none.
    """

    stage: Stage
    entered: int
    share: float | None


class FunnelItem(Output):
    start: str
    stages: dict[Stage, int]


class FunnelView(AnalyticsView):
    """Attributes: stages: of the whole period. items: per interval, from the day `start`."""

    stages: list[FlowView]
    items: list[FunnelItem]


class Throughput(Output):
    """Attributes: leads: made. engagement: what people did, by where. events: every event by its type."""

    leads: int
    logins: int
    engagement: dict[str, int]
    events: dict[str, int]


class ThroughputItem(Throughput):
    start: str


class ThroughputView(AnalyticsView):
    """Attributes: totals: of the whole period. items: per interval, from the day `start`."""

    totals: Throughput
    items: list[ThroughputItem]


class AnalyticsRoutes:
    def __init__(self, store: Store, catalog: Catalog, clock: Callable[[], datetime]):
        self._store, self._catalog, self._clock = store, catalog, clock

    def routes(self) -> list[Route]:
        scope, query = Scope.ANALYTICS_READ, AnalyticsQuery
        return [
            Route("GET", "/analytics/funnel", scope, self.funnel, "How many leads came to each stage",
                  {200: FunnelView}, query=query),
            Route("GET", "/analytics/throughput", scope, self.throughput, "What came in: leads, logins, engagement",
                  {200: ThroughputView}, query=query),
        ]  # fmt: skip

    async def funnel(self, call: Call[None, AnalyticsQuery]) -> Answer:
        period, counted = await self._counted(call.query)
        whole = analytics.total(counted.values())
        items = [
            {"start": start, "stages": {str(stage): n for stage, n in analytics.entered(numbers).items()}}
            for start, numbers in analytics.per(call.query.interval, counted)
        ]
        stages = [flow._asdict() for flow in analytics.funnel(whole)]
        return Answer(body={**_about(call.query, period), "stages": stages, "items": items})

    async def throughput(self, call: Call[None, AnalyticsQuery]) -> Answer:
        period, counted = await self._counted(call.query)
        items = [
            {"start": start, **_throughput(numbers)} for start, numbers in analytics.per(call.query.interval, counted)
        ]
        totals = _throughput(analytics.total(counted.values()))
        return Answer(body={**_about(call.query, period), "totals": totals, "items": items})

    async def _counted(self, query: AnalyticsQuery) -> tuple[Period, Tally]:
        """Raises: Invalid."""
        period = analytics.period(query.from_, query.to, today=self._clock().date())
        products = analytics.products_of(query.product_id, list(await self._catalog.names()))
        return period, await analytics.tally(self._store, products, period)


def _about(query: AnalyticsQuery, period: Period) -> dict[str, Any]:
    first, last = period.first.isoformat(), period.last.isoformat()
    return {"product_id": query.product_id, "from": first, "to": last, "interval": query.interval}


def _throughput(numbers: analytics.Numbers) -> dict[str, Any]:
    return {
        "leads": analytics.entered(numbers)[Stage.USER],
        "logins": numbers.get(analytics.LOGINS, 0),
        "engagement": analytics.engagement(numbers),
        "events": analytics.events(numbers),
    }
