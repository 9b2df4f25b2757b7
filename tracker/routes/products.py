"""Products over HTTP."""

from typing import Any

from tracker.catalog import Catalog
from tracker.errors import Fault, Invalid, NotFound
from tracker.keys import Scope
from tracker.model import Output
from tracker.product import ProductConfig, Versioned, dump
from tracker.times import Instant
from tracker.web import Answer, Call, Route, etag


class ProductView(ProductConfig):
    """A product's live configuration and its number."""

    version: int


class ProductList(Output):
    items: list[ProductView]
    next_cursor: str | None


class VersionView(Output):
    version: int
    author: str
    created_at: Instant


class VersionList(Output):
    items: list[VersionView]
    next_cursor: str | None


class ProductRoutes:
    def __init__(self, catalog: Catalog):
        self._catalog = catalog

    def routes(self) -> list[Route]:
        read, write = Scope.LEADS_READ, Scope.CONFIG_WRITE
        return [
            Route("GET", "/products", read, self.list, "Every product", {200: ProductList}),
            Route("GET", "/products/{id}", read, self.get, "A product's live configuration", {200: ProductView}),
            Route("PUT", "/products/{id}", write, self.put, "Make a new version and set it live", {200: ProductView},
                  body=ProductConfig, errors=(412,)),
            Route("GET", "/products/{id}/versions", read, self.versions, "Versions, newest first", {200: VersionList}),
        ]  # fmt: skip

    async def list(self, call: Call[None, Any]) -> Answer:
        products = await self._catalog.products()
        return Answer(body={"items": [_view(product) for product in products], "next_cursor": None})

    async def get(self, call: Call[None, Any]) -> Answer:
        live = await self._catalog.live(call.path["id"])
        if live is None:
            raise NotFound(f"there is no product {call.path['id']}")
        return Answer(body=_view(live), headers=etag(live.number))

    async def put(self, call: Call[ProductConfig, Any]) -> Answer:
        if call.body.product_id != call.path["id"]:
            raise Invalid("the body is about another product", Fault("product_id", f"is not {call.path['id']}"))
        done = await self._catalog.put(call.body, author=call.principal.name, expected=call.if_match)
        return Answer(body=_view(done), headers=etag(done.number))

    async def versions(self, call: Call[None, Any]) -> Answer:
        found = await self._catalog.versions(call.path["id"])
        items = [{"version": v.number, "author": v.author, "created_at": v.created_at} for v in found]
        return Answer(body={"items": items, "next_cursor": None})


def _view(product: Versioned) -> dict[str, Any]:
    return {**dump(product.config), "version": product.number}
