"""Product configurations in the store: which version is live, and what each version says."""

import asyncio
import time
from collections.abc import Callable, Mapping

import orjson

from tracker import audit
from tracker.errors import Fault, Invalid, NotFound, Outdated, Refused
from tracker.ports import Templates
from tracker.product import Product, ProductConfig, ProductVersion, Versioned, dump, parse, version_id
from tracker.store.port import Document, Insert, Replace, Store
from tracker.store.schema import PRODUCT_VERSIONS, PRODUCTS_ALL, Kind
from tracker.times import Instant, instant, now
from tracker.unit import Decision, run

FRESH_SECONDS = 1.0
"""How long another process's change of the live version may go unseen."""


class Catalog:
    """Reads are cached: versions for good, since they never change; which one is live for a second."""

    def __init__(self, store: Store, templates: Templates, *, clock: Callable[[], float] = time.monotonic):
        self._store, self._templates, self._clock = store, templates, clock
        self._products: dict[str, tuple[float, Product]] = {}
        self._versions: dict[str, ProductConfig] = {}
        self._names: tuple[float, dict[str, str]] | None = None

    async def product(self, product_id: str) -> Product | None:
        """Return which versions of a product are in use, None for an unknown product."""
        known = self._products.get(product_id)
        if known is None or self._clock() - known[0] > FRESH_SECONDS:
            (found,) = await self._store.get(Kind.PRODUCTS, product_id)
            if found is None:
                return None
            known = self._products[product_id] = (self._clock(), Product.read(found.body))
        return known[1]

    async def live(self, product_id: str) -> Versioned | None:
        """Return the live version, None for an unknown product."""
        product = await self.product(product_id)
        return await self.version(product_id, product.live) if product else None

    async def entering(self, product_id: str, person_id: str) -> Versioned | None:
        """Return the version that a new lead of this person enters with, None for an unknown product."""
        product = await self.product(product_id)
        return await self.version(product_id, product.entering(person_id, product_id)) if product else None

    async def version(self, product_id: str, number: int) -> Versioned | None:
        id = version_id(product_id, number)
        config = self._versions.get(id)
        if config is None:
            (found,) = await self._store.get(Kind.PRODUCT_CONFIGS, id)
            if found is None:
                return None
            config = self._versions[id] = parse(found.body["config"])
        return Versioned(config, number)

    async def products(self) -> list[Versioned]:
        """Return every product's live version, by product id."""
        page = await self._store.find(PRODUCTS_ALL, limit=1000)
        found = await asyncio.gather(*(self.live(document.id) for document in page.items))
        return [versioned for versioned in found if versioned]

    async def names(self) -> Mapping[str, str]:
        """Return the name of every product, by product id."""
        if self._names is None or self._clock() - self._names[0] > FRESH_SECONDS:
            asked = self._clock()
            self._names = (asked, {v.config.product_id: v.config.name for v in await self.products()})
        return self._names[1]

    async def versions(self, product_id: str) -> list[ProductVersion]:
        """Return the versions of a product, newest first. Raises: NotFound."""
        page = await self._store.find(PRODUCT_VERSIONS, product_id, reverse=True, limit=1000)
        if not page.items:
            raise NotFound(f"there is no product {product_id}")
        return [ProductVersion.read(document.body) for document in page.items]

    async def put(
        self, config: ProductConfig, *, author: str, expected: int | None = None, draft: bool = False, note: str = ""
    ) -> Versioned:
        """Add a version and make it live; the live one again when nothing differs.

        Args: expected: refuse unless this version is the live one. draft: keep it without making it live.
        Raises: Invalid: a template is missing. Outdated: another version is live.
        """
        await self._check(config)
        id, text = config.product_id, orjson.dumps(dump(config)).decode()

        async def read() -> tuple[Document | None, Document | None]:
            (found,) = await self._store.get(Kind.PRODUCTS, id)
            newest = await self._store.find(PRODUCT_VERSIONS, id, reverse=True, limit=1)
            return found, newest.items[0] if newest.items else None

        def decide(known: tuple[Document | None, Document | None]) -> Decision[Versioned]:
            found, newest = known
            at = instant(now())
            product = Product.read(found.body) if found else Product(live=0, updated_at=at)
            check_version(expected, product.live)
            if newest and newest.body["config"] == text and (draft or newest.body["number"] == product.live):
                return Decision(Versioned(config, newest.body["number"]))
            number = newest.body["number"] + 1 if newest else 1
            version = ProductVersion(product_id=id, number=number, config=text, author=author, note=note, created_at=at)
            after = product.but(updated_at=at) if draft else product.now_live(number, at=at)
            action = "product.draft" if draft else "product.put"
            changes = [
                Insert(Kind.PRODUCT_CONFIGS, version_id(id, number), version.body()),
                Replace(Kind.PRODUCTS, id, found.version, after.body())
                if found
                else Insert(Kind.PRODUCTS, id, after.body()),
                audit.entry(author, action, id, at=at, detail=f"version {number}"),
            ]
            return Decision(Versioned(config, number), changes)

        done = await run(self._store, read, decide)
        self._forget(id)
        return done

    async def rollout(self, product_id: str, number: int, percent: float, *, author: str) -> Product:
        """Make a version the candidate for a share of the new leads.

        Raises: NotFound: no such product or version. Refused: it is live already.
        """
        if await self.version(product_id, number) is None:
            raise NotFound(f"there is no version {number} of {product_id}")

        def decide(product: Product, at: Instant) -> Product:
            if product.live == number:
                raise Refused(f"version {number} is live already")
            return product.but(candidate=number, percent=percent, updated_at=at)

        return await self._change(product_id, decide, "product.rollout", f"version {number}, {percent:g} %", author)

    async def rollback(self, product_id: str, number: int | None = None, *, author: str) -> Product:
        """Make an older version live and end every rollout.

        Args: number: None ends the rollout that is under way, or else returns to the version that was live before.
        Raises: NotFound: no such product or version. Refused: there is nothing to return to.
        """
        if number is not None and await self.version(product_id, number) is None:
            raise NotFound(f"there is no version {number} of {product_id}")

        def decide(product: Product, at: Instant) -> Product:
            if number is None and product.candidate is not None:
                return product.but(candidate=None, percent=0, updated_at=at)
            if number is None and not product.before:
                raise Refused("no other version was live before")
            to = product.before[-1] if number is None else number
            after = product.now_live(to, at=at)
            return after if number is not None else after.but(before=product.before[:-1])

        return await self._change(product_id, decide, "product.rollback", f"to {number or 'the one before'}", author)

    async def _change(
        self, id: str, decided: Callable[[Product, Instant], Product], action: str, detail: str, author: str
    ) -> Product:
        async def read() -> Document:
            (found,) = await self._store.get(Kind.PRODUCTS, id)
            if found is None:
                raise NotFound(f"there is no product {id}")
            return found

        def decide(found: Document) -> Decision[Product]:
            at = instant(now())
            after = decided(Product.read(found.body), at)
            kept = Replace(Kind.PRODUCTS, id, found.version, after.body())
            return Decision(after, [kept, audit.entry(author, action, id, at=at, detail=detail)])

        done = await run(self._store, read, decide)
        self._forget(id)
        return done

    def _forget(self, product_id: str) -> None:
        self._products.pop(product_id, None)
        self._names = None

    async def _check(self, config: ProductConfig) -> None:
        steps = {
            (s, m): (step.template_id, step.channel)
            for s, sequence in enumerate(config.nurturing_sequences)
            for m, step in enumerate(sequence.messages)
        }
        missing = await self._templates.missing(set(steps.values()), config.product_id)
        faults = [
            Fault(
                f"nurturing_sequences/{s}/messages/{m}/template_id", f"there is no {wanted[1]} template {wanted[0]!r}"
            )
            for (s, m), wanted in steps.items()
            if wanted in missing
        ]
        if faults:
            raise Invalid("the configuration names templates that do not exist", *faults)


def check_version(expected: int | None, actual: int) -> None:
    """Raises: Outdated: `expected`, from If-Match, is not the actual version."""
    if expected is not None and expected != actual:
        raise Outdated(f"the version is {actual} by now, not {expected}")
