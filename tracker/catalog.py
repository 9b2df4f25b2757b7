"""Product configurations in the store: which version is live, and what each version says."""

import asyncio
import time
from collections.abc import Callable

import orjson

from tracker.errors import Fault, Invalid, NotFound, Outdated
from tracker.ports import Templates
from tracker.product import Product, ProductConfig, ProductVersion, Versioned, dump, parse, version_id
from tracker.store.port import Document, Insert, Replace, Store
from tracker.store.schema import PRODUCT_VERSIONS, PRODUCTS_ALL, Kind
from tracker.times import instant, now
from tracker.unit import Decision, run

FRESH_SECONDS = 1.0
"""How long another process's change of the live version may go unseen."""


class Catalog:
    """Reads are cached: versions for good, since they never change; which one is live for a second."""

    def __init__(self, store: Store, templates: Templates, *, clock: Callable[[], float] = time.monotonic):
        self._store, self._templates, self._clock = store, templates, clock
        self._live: dict[str, tuple[float, int]] = {}
        self._versions: dict[str, ProductConfig] = {}

    async def live(self, product_id: str) -> Versioned | None:
        """Return the version that new leads enter with, None for an unknown product."""
        known = self._live.get(product_id)
        if known is None or self._clock() - known[0] > FRESH_SECONDS:
            (found,) = await self._store.get(Kind.PRODUCTS, product_id)
            if found is None:
                return None
            known = self._live[product_id] = (self._clock(), found.body["live"])
        return await self.version(product_id, known[1])

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

    async def versions(self, product_id: str) -> list[ProductVersion]:
        """Return the versions of a product, newest first. Raises: NotFound."""
        page = await self._store.find(PRODUCT_VERSIONS, product_id, reverse=True, limit=1000)
        if not page.items:
            raise NotFound(f"there is no product {product_id}")
        return [ProductVersion.read(document.body) for document in page.items]

    async def put(self, config: ProductConfig, *, author: str, expected: int | None = None) -> Versioned:
        """Add a version and make it live; the live one again when nothing differs.

        Args: expected: refuse unless this version is the live one.
        Raises: Invalid: a template is missing. Outdated: another version is live.
        """
        await self._check(config)
        text = orjson.dumps(dump(config)).decode()

        async def read() -> tuple[Document | None, Document | None]:
            (pointer,) = await self._store.get(Kind.PRODUCTS, config.product_id)
            newest = await self._store.find(PRODUCT_VERSIONS, config.product_id, reverse=True, limit=1)
            return pointer, newest.items[0] if newest.items else None

        def decide(known: tuple[Document | None, Document | None]) -> Decision[Versioned]:
            pointer, newest = known
            live = pointer.body["live"] if pointer else 0
            check_version(expected, live)
            if pointer and newest and newest.body["number"] == live and newest.body["config"] == text:
                return Decision(Versioned(config, live))
            at, number = instant(now()), newest.body["number"] + 1 if newest else 1
            version = ProductVersion(
                product_id=config.product_id, number=number, config=text, author=author, created_at=at
            )
            product = Product(live=number, updated_at=at).body()
            return Decision(
                Versioned(config, number),
                [
                    Insert(Kind.PRODUCT_CONFIGS, version_id(config.product_id, number), version.body()),
                    Replace(Kind.PRODUCTS, pointer.id, pointer.version, product)
                    if pointer
                    else Insert(Kind.PRODUCTS, config.product_id, product),
                ],
            )

        done = await run(self._store, read, decide)
        self._live.pop(config.product_id, None)
        return done

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
