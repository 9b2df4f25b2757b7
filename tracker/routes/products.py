"""Products over HTTP."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, SkipValidation, StringConstraints

from tracker.catalog import Catalog
from tracker.errors import Fault, NotFound
from tracker.keys import Scope
from tracker.model import Input, Line, Output
from tracker.product import ProductConfig, ProductVersion, Versioned, dump
from tracker.product_parts import Percent
from tracker.times import Instant
from tracker.web import Answer, Call, Paging, Route, etag, listed

READ_ONLY = Field(exclude=True, json_schema_extra={"readOnly": True})


class RolloutView(Output):
    """Attributes: version: which one is the candidate. percent: share of the new leads that enter with it."""

    version: int
    percent: float


class ProductView(ProductConfig):
    """A product's live configuration and its number."""

    version: int
    rollout: RolloutView | None = None


class ProductBody(ProductConfig):
    """A product's configuration. What GET adds to it may stay in, and is ignored."""

    version: Annotated[SkipValidation[int | None], READ_ONLY] = None
    rollout: Annotated[SkipValidation[RolloutView | None], READ_ONLY] = None


class PutQuery(Input):
    """Attributes: draft: keep the version without making it live. note: why."""

    draft: bool = False
    note: Line = ""
    takes_over: Annotated[str, StringConstraints(pattern=r"^(all|[1-9]\d{0,8}(,[1-9]\d{0,8}){0,99})$")] | None = Field(
        None, description="Earlier versions whose leads go by this one from now on: `1,2`, or `all`."
    )

    @property
    def taken_over(self) -> list[int] | Literal["all"]:
        if self.takes_over == "all":
            return "all"
        return [int(number) for number in (self.takes_over or "").split(",") if number]


class Rollout(Input):
    version: Annotated[int, Field(ge=1)]
    percent: Percent


class Rollback(Input):
    """Attributes: version: None returns to what was live before; where there is nothing, it only ends the rollout."""

    version: Annotated[int, Field(ge=1)] | None = None


class ProductList(Output):
    items: list[ProductView]
    next_cursor: str | None


class VersionView(Output):
    """Attributes: draft, takes_over: where there is something to tell."""

    version: int
    author: str
    note: str
    created_at: Instant
    draft: bool = False
    takes_over: list[int] = []


class VersionList(Output):
    items: list[VersionView]
    next_cursor: str | None


class ProductRoutes:
    def __init__(self, catalog: Catalog):
        self._catalog = catalog

    def routes(self) -> list[Route]:
        read, write = Scope.LEADS_READ, Scope.CONFIG_WRITE
        return [
            Route("GET", "/products", read, self.list, "Every product", {200: ProductList}, query=Paging),
            Route("GET", "/products/{id}", read, self.get, "A product's live configuration", {200: ProductView}),
            Route("PUT", "/products/{id}", write, self.put, "Make a new version and set it live", {200: ProductView},
                  body=ProductBody, query=PutQuery, errors=(412,), also=self.faults),
            Route("POST", "/products/{id}/rollout", write, self.rollout, "Give a version a share of the new leads",
                  {200: ProductView}, body=Rollout, errors=(404, 409, 412)),
            Route("POST", "/products/{id}/rollback", write, self.rollback, "Return to an older version",
                  {200: ProductView}, body=Rollback, optional=True, errors=(404, 409, 412)),
            Route("GET", "/products/{id}/versions", read, self.versions, "Versions, newest first", {200: VersionList},
                  query=Paging),
        ]  # fmt: skip

    async def list(self, call: Call[None, Paging]) -> Answer:
        products, page = await self._catalog.page(after=call.query.after, limit=call.query.limit)
        return listed(page, [_view(product) for product in products])

    async def get(self, call: Call[None, Any]) -> Answer:
        return await self._shown(call.path["id"])

    async def _shown(self, id: str) -> Answer:
        live, product = await self._catalog.live(id), await self._catalog.product(id)
        if live is None or product is None:
            raise NotFound(f"there is no product {id}")
        body = _view(live)
        if product.candidate is not None:
            body["rollout"] = {"version": product.candidate, "percent": product.percent}
        return Answer(body=body, headers=etag(live.number))

    async def rollout(self, call: Call[Rollout, Any]) -> Answer:
        given, id = call.body, call.path["id"]
        await self._catalog.rollout(
            id, given.version, given.percent, author=call.principal.name, expected=call.if_match
        )
        return await self._shown(id)

    async def rollback(self, call: Call[Rollback, Any]) -> Answer:
        id = call.path["id"]
        await self._catalog.rollback(id, call.body.version, author=call.principal.name, expected=call.if_match)
        return await self._shown(id)

    async def faults(self, path: Mapping[str, str], given: Any) -> Sequence[Fault]:
        """Return what is wrong with a configuration for this product beyond its own shape."""
        id, named = path["id"], given.get("product_id") if isinstance(given, dict) else None
        other = isinstance(named, str) and named != id
        return [*([Fault("product_id", f"is not {id}")] if other else []), *await self._catalog.faults(given, id)]

    async def put(self, call: Call[ProductBody, PutQuery]) -> Answer:
        done = await self._catalog.put(
            call.body,
            author=call.principal.name,
            expected=call.if_match,
            draft=call.query.draft,
            note=call.query.note,
            takes_over=call.query.taken_over,
        )
        return Answer(body=_view(done), headers=etag(done.number))

    async def versions(self, call: Call[None, Paging]) -> Answer:
        page = await self._catalog.versions(call.path["id"], after=call.query.after, limit=call.query.limit)
        return listed(page, [_version(ProductVersion.read(found.body)) for found in page.items])


def _version(version: ProductVersion) -> dict[str, Any]:
    more = {"draft": True} if version.draft else {"takes_over": version.takes_over} if version.takes_over else {}
    told = {"author": version.author, "note": version.note, "created_at": version.created_at}
    return {"version": version.number, **told, **more}


def _view(product: Versioned) -> dict[str, Any]:
    return {**dump(product.config), "version": product.number}
