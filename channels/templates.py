"""Templates in the store: versioned, per product, channel and locale."""

from collections.abc import Iterable
from typing import Annotated, Literal, Self

import msgspec
from pydantic import Field, model_validator

from channels.links import check_schemes
from channels.rendering import Content, Unrenderable, html_of, render, sample_context
from tracker import audit
from tracker.errors import Invalid, NotFound
from tracker.events import Channel
from tracker.model import Document, Input, Line, Lines, Metadata, Slug
from tracker.ports import Wording
from tracker.store.port import Change, Cursor, Insert, Page, Replace, Store
from tracker.store.port import Document as Stored
from tracker.store.schema import TEMPLATES_ALL, Kind
from tracker.times import Instant, instant, now
from tracker.unit import Decision, Record, run

ANY = "*"
"""The scope of templates that every product may use; the locale that serves where none fits better."""

Source = Annotated[str, Field(min_length=1, max_length=200_000)]


class NewTemplate(Input):
    """A template's content on one channel and in one locale.

    Attributes: content_sid: Twilio's id of a template that WhatsApp has approved; `variables` are then its own, such
    as `{"1": "{{ person.first_name }}"}`.
    """

    template_id: Slug
    channel: Literal[Channel.EMAIL, Channel.WHATSAPP, Channel.CHATBOT]
    product_id: Slug | None = None
    locale: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z]{2,4})?$")] | None = None
    subject: Annotated[Line, Field(max_length=500)] | None = None
    mjml: Source | None = None
    html: Source | None = None
    text: Lines | None = None
    content_sid: Annotated[str, Field(pattern=r"^HX[0-9a-fA-F]{32}$")] | None = None
    variables: Metadata = {}

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.content_sid and self.channel is not Channel.WHATSAPP:
            raise ValueError("content_sid is for WhatsApp")
        if self.channel is Channel.EMAIL:
            if not self.subject:
                raise ValueError("an e-mail needs a subject")
            if not (self.html or self.mjml or self.text):
                raise ValueError("an e-mail needs html, mjml or text")
            if self.html and self.mjml:
                raise ValueError("give html or mjml, not both")
        elif not (self.text or self.content_sid):
            raise ValueError("a message needs text")
        return self


class Template(Document, frozen=True, kw_only=True):
    """Attributes: contents: `channel:locale` → the version that is used."""

    template_id: str
    product_id: str | None
    version: int
    contents: dict[str, int]
    updated_at: Instant


def scope_id(template_id: str, product_id: str | None) -> str:
    return f"{product_id or ANY}:{template_id}"


def content_id(scope: str, where: str, version: int) -> str:
    return f"{scope}:{where}:{version}"


class TemplateCatalog:
    """Contents never change once written, so they are remembered for good."""

    def __init__(self, store: Store):
        self._store = store
        self._contents: dict[str, Content] = {}

    async def add(
        self, given: NewTemplate, *, by: str = "leadline", record: Record[Template] | None = None
    ) -> Template:
        """Keep a new version of a template's content.

        Raises: Invalid: it does not render.
        """
        content = _checked(given)
        scope = scope_id(given.template_id, given.product_id)
        where = f"{given.channel}:{given.locale or ANY}"

        async def read() -> Stored | None:
            (found,) = await self._store.get(Kind.TEMPLATES, scope)
            return found

        def decide(found: Stored | None) -> Decision[Template]:
            before = Template.read(found.body) if found else None
            version = before.version + 1 if before else 1
            template = Template(
                template_id=given.template_id,
                product_id=given.product_id,
                version=version,
                contents={**(before.contents if before else {}), where: version},
                updated_at=instant(now()),
            )
            pointer: Change = (
                Replace(Kind.TEMPLATES, scope, found.version, template.body())
                if found
                else Insert(Kind.TEMPLATES, scope, template.body())
            )
            kept = Insert(Kind.TEMPLATE_CONTENTS, content_id(scope, where, version), {"content": _packed(content)})
            detail = f"version {version}, {where}"
            noted = audit.entry(by, "template.put", scope, at=template.updated_at, detail=detail)
            return Decision(template, [pointer, kept, noted])

        return await run(self._store, read, decide, record=record)

    async def get(self, template_id: str, product_id: str | None = None) -> Template:
        """Raises: NotFound."""
        own, common = await self._scopes(template_id, product_id)
        found = own or common
        if found is None:
            raise NotFound(f"there is no template {template_id}")
        return found

    async def all(self, *, after: Cursor | None, limit: int) -> tuple[list[Template], Page]:
        page = await self._store.find(TEMPLATES_ALL, after=after, limit=limit)
        return [Template.read(found.body) for found in page.items], page

    async def content(self, template_id: str, channel: Channel, product_id: str) -> Content | None:
        """Return what a product says with this template on a channel: its own content, else the common one."""
        for template in await self._scopes(template_id, product_id):
            where = _where(template, channel) if template else None
            if template is not None and where is not None:
                scope = scope_id(template_id, template.product_id)
                return await self._content(content_id(scope, where, template.contents[where]))
        return None

    async def missing(self, wanted: Iterable[Wording], product_id: str) -> set[Wording]:
        """Return those that a product cannot use."""
        return {(id, channel) for id, channel in wanted if not await self._speaks(id, channel, product_id)}

    async def _speaks(self, template_id: str, channel: Channel | None, product_id: str) -> bool:
        if channel is None:
            return any(await self._scopes(template_id, product_id))
        return await self.content(template_id, channel, product_id) is not None

    async def _scopes(self, template_id: str, product_id: str | None) -> tuple[Template | None, Template | None]:
        ids = [scope_id(template_id, product_id), scope_id(template_id, None)]
        own, common = (Template.read(d.body) if d else None for d in await self._store.get(Kind.TEMPLATES, *ids))
        return own, common

    async def _content(self, id: str) -> Content:
        known = self._contents.get(id)
        if known is None:
            (found,) = await self._store.get(Kind.TEMPLATE_CONTENTS, id)
            assert found is not None, "a template names contents that exist"
            known = self._contents[id] = msgspec.json.decode(found.body["content"], type=Content)
        return known


def _where(template: Template, channel: Channel) -> str | None:
    """Return which content serves a channel: that of no locale, else the first that there is."""
    fitting = sorted(where for where in template.contents if where.startswith(f"{channel}:"))
    return next((where for where in fitting if where == f"{channel}:{ANY}"), fitting[0] if fitting else None)


def _packed(content: Content) -> str:
    return msgspec.json.encode(content).decode()


def _checked(given: NewTemplate) -> Content:
    """Return the content, having rendered it for a made-up lead. Raises: Invalid."""
    try:
        html = html_of(given.mjml) if given.mjml else given.html
        content = Content(
            subject=given.subject,
            text=given.text,
            html=html,
            variables=given.variables,
            content_sid=given.content_sid,
        )
        check_schemes(render(content, sample_context({})).html or "")
    except Unrenderable as error:
        raise Invalid("the template does not render", error.fault) from error
    return content
