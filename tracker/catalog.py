"""Product configurations in the store: which version is live, and what each version says."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import orjson

from tracker import audit
from tracker.errors import Fault, Invalid, NotFound, Outdated, Refused
from tracker.ports import Templates
from tracker.product import Product, ProductConfig, ProductVersion, Versioned, dump, parse, version_id
from tracker.reading import everything
from tracker.references import endless_quiet, named_templates, stray_experiments, unasked_answers
from tracker.store.port import Cursor, Document, Insert, Page, Replace, Store
from tracker.store.schema import PRODUCT_VERSIONS, PRODUCTS_ALL, Kind
from tracker.times import Instant, instant, now
from tracker.unit import Decision, run

FRESH_SECONDS = 1.0
"""How long another process's change of the live version may go unseen."""


Wanted = Sequence[int] | Literal["all"]
"""Versions by number, or all that there are."""


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
        return await self._numbered(product_id, product.live) if product else None

    async def entering(self, product_id: str, person_id: str) -> Versioned | None:
        """Return the version that a new lead of this person enters with, None for an unknown product."""
        product = await self.product(product_id)
        return await self._numbered(product_id, product.entering(person_id, product_id)) if product else None

    async def version(self, product_id: str, entered: int) -> Versioned | None:
        """Return the version that leads go by: the one they entered with, or the one that has taken them over."""
        product = await self.product(product_id)
        return await self._numbered(product_id, product.followed(entered) if product else entered)

    async def _numbered(self, product_id: str, number: int) -> Versioned | None:
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
        return await self._live([found.id async for found in everything(self._store, PRODUCTS_ALL)])

    async def page(self, *, after: Cursor | None, limit: int) -> tuple[list[Versioned], Page]:
        """Return some products' live versions, by product id, and the page that they are of."""
        page = await self._store.find(PRODUCTS_ALL, after=after, limit=limit)
        return await self._live([found.id for found in page.items]), page

    async def _live(self, product_ids: Sequence[str]) -> list[Versioned]:
        found = await asyncio.gather(*map(self.live, product_ids))
        return [versioned for versioned in found if versioned]

    async def names(self) -> Mapping[str, str]:
        """Return the name of every product, by product id."""
        if self._names is None or self._clock() - self._names[0] > FRESH_SECONDS:
            asked = self._clock()
            self._names = (asked, {v.config.product_id: v.config.name for v in await self.products()})
        return self._names[1]

    async def versions(self, product_id: str, *, after: Cursor | None = None, limit: int = 100) -> Page:
        """Return a page of the versions of a product, newest first. Raises: NotFound."""
        page = await self._store.find(PRODUCT_VERSIONS, product_id, reverse=True, after=after, limit=limit)
        if not page.items and after is None:
            raise NotFound(f"there is no product {product_id}")
        return page

    async def _every_version(self, product_id: str) -> list[ProductVersion]:
        found = [ProductVersion.read(d.body) async for d in everything(self._store, PRODUCT_VERSIONS, product_id)]
        return found[::-1]

    async def put(
        self,
        config: ProductConfig,
        *,
        author: str,
        expected: int | None = None,
        draft: bool = False,
        note: str = "",
        takes_over: Wanted = (),
    ) -> Versioned:
        """Add a version and make it live; the live one again when nothing differs.

        Args: expected: refuse unless this version is the live one. draft: keep it without making it live. takes_over:
            earlier versions whose leads go by this one from now on.
        Raises: Invalid: it names what does not exist, is always quiet, or takes over what it cannot. Outdated: another
            version is live.
        """
        id, text = config.product_id, orjson.dumps(dump(config)).decode()
        if faults := await self.faults(dump(config), id):
            raise Invalid("the configuration cannot be kept", *faults)
        if draft and takes_over:
            raise Invalid("a draft takes nothing over", Fault("takes_over", "say it when the configuration goes live"))

        async def read() -> tuple[Document | None, list[ProductVersion]]:
            (found,) = await self._store.get(Kind.PRODUCTS, id)
            page = await self._store.find(PRODUCT_VERSIONS, id, reverse=True, limit=1)
            newest = [ProductVersion.read(document.body) for document in page.items]
            return found, await self._every_version(id) if takes_over else newest

        def decide(known: tuple[Document | None, list[ProductVersion]]) -> Decision[Versioned]:
            found, versions = known
            at = instant(now())
            product = Product.read(found.body) if found else Product(live=0, updated_at=at)
            check_version(expected, product.live)
            newest = versions[0] if versions else None
            in_use = newest is not None and (draft or newest.number == product.live)
            if newest and in_use and newest.config == text and _takes(newest, takes_over):
                return Decision(Versioned(config, newest.number))
            version = ProductVersion(
                product_id=id,
                number=newest.number + 1 if newest else 1,
                config=text,
                author=author,
                note=note,
                created_at=at,
                draft=draft,
                takes_over=taken_over(takes_over, config, versions),
            )
            after = product.but(updated_at=at) if draft else product.now_live(version, at=at)
            changes = [
                Insert(Kind.PRODUCT_CONFIGS, version_id(id, version.number), version.body()),
                Replace(Kind.PRODUCTS, id, found.version, after.body())
                if found
                else Insert(Kind.PRODUCTS, id, after.body()),
                audit.entry(author, "product.draft" if draft else "product.put", id, at=at, detail=_told(version)),
            ]
            return Decision(Versioned(config, version.number), changes)

        done = await run(self._store, read, decide)
        self._forget(id)
        return done

    async def rollout(
        self, product_id: str, number: int, percent: float, *, author: str, expected: int | None = None
    ) -> Product:
        """Make a version the candidate for a share of the new leads.

        Args: expected: refuse unless this version is the live one.
        Raises: NotFound: no such product or version. Refused: it is live already or taken over, or none is live.
            Outdated: another version is live.
        """
        if await self._numbered(product_id, number) is None:
            raise NotFound(f"there is no version {number} of {product_id}")

        def decide(product: Product, at: Instant) -> Product:
            _demand_live(product, product_id)
            check_version(expected, product.live)
            if product.live == number:
                raise Refused(f"version {number} is live already")
            if (follows := product.followed(number)) != number:
                raise Refused(f"version {follows} has taken over the leads of version {number}")
            return product.but(candidate=number, percent=percent, updated_at=at)

        return await self._change(product_id, decide, "product.rollout", author)

    async def rollback(
        self, product_id: str, number: int | None = None, *, author: str, expected: int | None = None
    ) -> Product:
        """Make an older version live and end every rollout and every takeover since.

        Args: number: None returns to the version that was live before; where there is none, it only ends the rollout.
            expected: refuse unless this version is the live one.
        Raises: NotFound: no such product or version. Refused: there is nothing to return to, or it is not an older one
            that was live. Outdated: another version is live.
        """
        versions = {version.number: version for version in await self._every_version(product_id)}
        if number is not None and number not in versions:
            raise NotFound(f"there is no version {number} of {product_id}")

        def decide(product: Product, at: Instant) -> Product:
            _demand_live(product, product_id)
            check_version(expected, product.live)
            if number is not None and number >= product.live:
                raise Refused(f"version {number} is not older than version {product.live}, which is live")
            if number is not None and versions[number].draft:
                raise Refused(f"version {number} is a draft that was never live")
            to = product.earlier if number is None else number
            if to is not None:
                return product.returned(to, versions.values(), at=at)
            if product.candidate is None:
                raise Refused("no other version was live before")
            return product.but(candidate=None, percent=0, updated_at=at)

        return await self._change(product_id, decide, "product.rollback", author)

    async def _change(
        self, id: str, decided: Callable[[Product, Instant], Product], action: str, author: str
    ) -> Product:
        async def read() -> Document:
            (found,) = await self._store.get(Kind.PRODUCTS, id)
            if found is None:
                raise NotFound(f"there is no product {id}")
            return found

        def decide(found: Document) -> Decision[Product]:
            at = instant(now())
            after = decided(Product.read(found.body), at)
            rollout = f", version {after.candidate} for {after.percent:g} % of new leads" if after.candidate else ""
            noted = audit.entry(author, action, id, at=at, detail=f"version {after.live} is live{rollout}")
            return Decision(after, [Replace(Kind.PRODUCTS, id, found.version, after.body()), noted])

        done = await run(self._store, read, decide)
        self._forget(id)
        return done

    def _forget(self, product_id: str) -> None:
        self._products.pop(product_id, None)
        self._names = None

    async def faults(self, given: Any, product_id: str) -> list[Fault]:
        """Return what is wrong with a new version, given as JSON: mostly names of what does not exist.

        None of what its model finds by itself.
        """
        named = named_templates(given)
        missing = await self._templates.missing({(one.template_id, one.channel) for one in named}, product_id)
        return [
            *stray_experiments(given),
            *unasked_answers(given),
            *endless_quiet(given),
            *(
                Fault(one.path, f"there is no {f'{one.channel} ' if one.channel else ''}template {one.template_id!r}")
                for one in named
                if (one.template_id, one.channel) in missing
            ),
        ]


def taken_over(wanted: Wanted, config: ProductConfig, versions: Sequence[ProductVersion]) -> tuple[int, ...]:
    """Return whose leads a new version takes over.

    Args: versions: those there are.
    Raises: Invalid: no such version, or one whose points fade otherwise: those in the ledger stay what they are.
    """
    known = {version.number: version for version in versions}
    numbers = tuple(sorted(known)) if wanted == "all" else tuple(wanted)
    unknown = [Fault(f"takes_over/{n}", f"there is no version {v}") for n, v in enumerate(numbers) if v not in known]
    if unknown:
        raise Invalid("there is no such version to take over", *unknown)
    half_life = config.scoring_rules.half_life_days
    others = [str(n) for n in numbers if parse(known[n].config).scoring_rules.half_life_days != half_life]
    if others:
        told = f"points fade otherwise in version {', '.join(others)}, whose leads cannot be taken over"
        raise Invalid("leads cannot be taken over", Fault("scoring_rules/half_life_days", told))
    return tuple(dict.fromkeys(numbers))


def _takes(version: ProductVersion, wanted: Wanted) -> bool:
    """Whether a version has taken over already what is wanted."""
    return set(range(1, version.number) if wanted == "all" else wanted) <= set(version.takes_over)


def _told(version: ProductVersion) -> str:
    over = f", takes over {', '.join(map(str, version.takes_over))}" if version.takes_over else ""
    return f"version {version.number}{over}"


def _demand_live(product: Product, product_id: str) -> None:
    """Raises: Refused: there are only drafts."""
    if not product.live:
        raise Refused(f"nothing of {product_id} is live yet: put a version without draft first")


def check_version(expected: int | None, actual: int) -> None:
    """Raises: Outdated: `expected`, from If-Match, is not the actual version."""
    if expected is not None and expected != actual:
        raise Outdated(f"the version is {actual} by now, not {expected}")
