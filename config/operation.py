"""What the engineer who runs the server looks at: health, readiness, metrics, the API's description."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from config.docs_page import docs_page
from tracker.model import Output
from tracker.openapi import describe
from tracker.pages import HEADERS, STYLE_PATH, style
from tracker.store.port import Store, StoreError
from tracker.web import Answer, Call, Media, Route

METRICS = "text/plain; version=0.0.4; charset=utf-8"


class Alive(Output):
    status: Literal["ok"]


class Readiness(Output):
    """Attributes: checks: each dependency and how it is; an unset channel is `off` and does not make it unready."""

    status: Literal["ready", "unready"]
    checks: dict[str, str]


class Traffic(Collector):
    """Requests by method, route and status, counted in process."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, int], int] = {}
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def count(self, method: str, route: str, status: int) -> None:
        key = (method, route, status)
        self._requests[key] = self._requests.get(key, 0) + 1

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "leadline_http_requests", "Requests answered", labels=["method", "route", "status"]
        )
        for (method, route, status), count in self._requests.items():
            requests.add_metric([method, route, str(status)], count)
        yield requests
        for name, (text, value) in self.gauges.items():
            yield GaugeMetricFamily(name, text, value=value())


class OperationRoutes:
    def __init__(self, store: Store, traffic: Traffic, channels: Mapping[str, str], *, version: str):
        """Args: channels: per channel, `on`, `off` or what it writes to."""
        self._store, self._channels, self._version = store, channels, version
        self._registry = CollectorRegistry()
        self._registry.register(traffic)
        ProcessCollector(registry=self._registry)
        self._all: Sequence[Route] = ()

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/healthz", None, self.alive, "The process lives", {200: Alive}),
            Route("GET", "/readyz", None, self.ready, "Each dependency", {200: Readiness, 503: Readiness}),
            Route("GET", "/metrics", None, self.metrics, "Prometheus metrics", {200: Media("text/plain")}),
            Route("GET", "/openapi.json", None, self.openapi, "This description", {200: None}),
            Route("GET", "/docs", None, self.docs, "This description, to read", {200: Media("text/html")}),
            Route("GET", STYLE_PATH, None, self.style, "The style of every page", {200: Media("text/css")}),
        ]

    def describe(self, routes: Sequence[Route]) -> None:
        """Say which routes there are. The description is made when it is first asked for: it takes 0.1 s."""
        self._all = routes

    @cached_property
    def _described(self) -> dict[str, Any]:
        return describe(self._all, version=self._version)

    @cached_property
    def _page(self) -> bytes:
        return docs_page(self._described).encode()

    async def alive(self, call: Call[None, Any]) -> Answer:
        return Answer(body={"status": "ok"})

    async def ready(self, call: Call[None, Any]) -> Answer:
        try:
            await self._store.ping()
            store = "ok"
        except StoreError as error:
            store = error.detail
        status = "ready" if store == "ok" else "unready"
        return Answer(200 if store == "ok" else 503, {"status": status, "checks": {"store": store, **self._channels}})

    async def metrics(self, call: Call[None, Any]) -> Answer:
        return Answer(body=generate_latest(self._registry), content_type=METRICS)

    async def openapi(self, call: Call[None, Any]) -> Answer:
        return Answer(body=self._described)

    async def docs(self, call: Call[None, Any]) -> Answer:
        return Answer(body=self._page, content_type="text/html; charset=utf-8", headers=HEADERS)

    async def style(self, call: Call[None, Any]) -> Answer:
        return Answer(body=style(), content_type="text/css; charset=utf-8")
