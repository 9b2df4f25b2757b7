"""Subscriptions over HTTP."""

from typing import Annotated, Any

from pydantic import Field

from n8n.addresses import Guard, NotAllowed, parse
from n8n.outbound_events import OutboundType
from n8n.subscriptions import Subscription, Subscriptions
from tracker.errors import Fault, Invalid
from tracker.keys import Scope
from tracker.model import Input, Output
from tracker.times import Instant
from tracker.web import Answer, Call, Paging, Route, listed


class NewSubscription(Input):
    """Attributes: secret: signs what is sent; by default LEADLINE_OUTBOUND_SECRET, or one that is made and shown."""

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    types: Annotated[list[OutboundType], Field(min_length=1, max_length=50)]
    secret: Annotated[str, Field(min_length=16, max_length=200)] | None = None


class SubscriptionView(Output):
    """Attributes: from_settings: LEADLINE_OUTBOUND_URLS names the address."""

    id: str
    url: str
    types: list[OutboundType]
    from_settings: bool
    created_at: Instant
    updated_at: Instant


class SubscriptionMade(SubscriptionView):
    """Attributes: secret: the one that was made, never shown again; null where the caller or the settings gave one."""

    secret: str | None


class SubscriptionList(Output):
    items: list[SubscriptionView]
    next_cursor: str | None


class SubscriptionRoutes:
    def __init__(self, subscriptions: Subscriptions, guard: Guard):
        self._subscriptions, self._guard = subscriptions, guard

    def routes(self) -> list[Route]:
        scope = Scope.CONFIG_WRITE
        return [
            Route("POST", "/subscriptions", scope, self.add, "Have events posted to an address",
                  {200: SubscriptionMade, 201: SubscriptionMade}, body=NewSubscription, creates=True, errors=(409,)),
            Route("GET", "/subscriptions", scope, self.list, "Who is told of events", {200: SubscriptionList},
                  query=Paging),
            Route("DELETE", "/subscriptions/{id}", scope, self.remove, "Post nothing more to an address", {204: None},
                  errors=(409,)),
        ]  # fmt: skip

    async def add(self, call: Call[NewSubscription, Any]) -> Answer:
        given = call.body
        try:
            address = parse(given.url)
            await self._guard.check(address)
        except (NotAllowed, ValueError) as error:
            raise Invalid("events cannot go to this address", Fault("url", str(error))) from error
        added = await self._subscriptions.add(str(address), given.types, given.secret, by=call.principal.name)
        return Answer(201 if added.new else 200, {**_shown(added.id, added.subscription), "secret": added.secret})

    async def list(self, call: Call[None, Paging]) -> Answer:
        subscriptions, page = await self._subscriptions.page(after=call.query.after, limit=call.query.limit)
        return listed(page, [_shown(id, subscription) for id, subscription in subscriptions.items()])

    async def remove(self, call: Call[None, Any]) -> Answer:
        await self._subscriptions.remove(call.path["id"], by=call.principal.name)
        return Answer(204)


def _shown(id: str, subscription: Subscription) -> dict[str, Any]:
    body = subscription.body()
    return {"id": id, **{name: body[name] for name in SubscriptionView.model_fields if name != "id"}}
