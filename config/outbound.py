"""Puts outbound events together: who gets them, what may be reached, who delivers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from config.settings import Settings
from n8n.addresses import Guard, NotAllowed, allowed, parse
from n8n.delivering import Deliverer
from n8n.outbound import OutboundEvents
from n8n.outbound_routes import SubscriptionRoutes
from n8n.posting import Poster
from n8n.subscriptions import Subscriptions
from tracker.store.port import Store
from tracker.web import Route

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outbound:
    """The parts of outbound events."""

    settings: Settings
    guard: Guard
    subscriptions: Subscriptions
    events: OutboundEvents
    deliverer: Deliverer

    def routes(self) -> list[Route]:
        return SubscriptionRoutes(self.subscriptions, self.guard).routes()

    async def start(self) -> None:
        """Take over the addresses of the settings: once in any role, as requests and work both give rise to events."""
        for url in self.settings.receivers:
            try:
                self.guard.check_literal(parse(url))
            except NotAllowed as error:
                log.warning("an address of LEADLINE_OUTBOUND_URLS gets nothing", error=str(error))
        await self.subscriptions.adopt(self.settings.receivers)

    async def close(self) -> None:
        await self.deliverer.close()
        await self.guard.close()


def make_outbound(settings: Settings, store: Store, clock: Callable[[], datetime], *, base_url: str) -> Outbound:
    """Args: base_url: how people reach this server."""
    guard = Guard(allowed(settings.outbound_allow))
    subscriptions = Subscriptions(store, clock, secret=settings.outbound_secret)
    timeout = settings.provider_timeout
    deliverer = Deliverer(
        store,
        subscriptions,
        Poster(guard, timeout=timeout),
        clock,
        timeout=timeout,
        retry_base=settings.retry_base_seconds,
    )
    return Outbound(settings, guard, subscriptions, OutboundEvents(subscriptions, base_url=base_url), deliverer)
