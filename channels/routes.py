"""The Communication Engine's rows of the route table."""

from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import Field, model_validator

from channels.context import context_of
from channels.deciding import decide
from channels.messages import Category, Check, Message, MessageStatus, planned, status, write
from channels.rendering import Rendered, Unrenderable, render, sample_context
from channels.states import State
from channels.templates import ANY, NewTemplate, Template, TemplateCatalog
from tracker.errors import Fault, Invalid, NotFound, Refused
from tracker.events import Channel
from tracker.keys import Scope
from tracker.model import AnyTime, Input, Lines, Metadata, Output, Slug, new_id
from tracker.ports import Settled
from tracker.recorder import Effect, Loaded, Recorder
from tracker.store.port import Document, Insert
from tracker.store.schema import Kind
from tracker.times import Instant, instant
from tracker.unit import Decision, run
from tracker.web import Answer, Call, Paging, Route, listed


class NewMessage(Input):
    """A message to send: by template, or with its text."""

    lead_id: Annotated[str, Field(min_length=1, max_length=200)]
    channel: Literal[Channel.EMAIL, Channel.WHATSAPP, Channel.CHATBOT] | None = None
    template_id: Slug | None = None
    variables: Metadata = {}
    text: Lines | None = None
    send_at: AnyTime | None = None
    category: Category = Category.TRANSACTIONAL

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.template_id is None) == (self.text is None):
            raise ValueError("give template_id or text, one of them")
        return self


class CheckLine(Output):
    check: str
    input: str
    outcome: str


class Accepted(Output):
    message_id: str
    status: State
    decision: list[CheckLine]


class TemplateView(Output):
    template_id: str
    product_id: str | None
    version: int
    contents: dict[str, int]
    updated_at: Instant


class TemplateList(Output):
    items: list[TemplateView]
    next_cursor: str | None


class Preview(Input):
    """What to render a template for: a lead, or a made-up one with these variables."""

    lead_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    sample: Metadata | None = None
    channel: Literal[Channel.EMAIL, Channel.WHATSAPP, Channel.CHATBOT] = Channel.EMAIL


class Previewed(Output):
    subject: str
    text: str
    html: str | None


class TemplateQuery(Input):
    product_id: Slug | None = None


class ChannelRoutes:
    def __init__(self, recorder: Recorder, templates: TemplateCatalog, *, open_channels: frozenset[Channel]):
        """Args: open_channels: channels that are configured."""
        self._recorder, self._store, self._templates = recorder, recorder.store, templates
        self._open = open_channels

    def routes(self) -> list[Route]:
        send, read, write = Scope.MESSAGES_SEND, Scope.LEADS_READ, Scope.CONFIG_WRITE
        return [
            Route("POST", "/messages/send", send, self.send, "Send a message to a lead", {202: Accepted},
                  body=NewMessage, creates=True, errors=(404,)),
            Route("GET", "/messages/{id}/status", read, self.status, "Where a message stands, and why",
                  {200: MessageStatus}),
            Route("POST", "/messages/{id}/cancel", send, self.cancel, "Cancel a message that still waits",
                  {200: MessageStatus}, errors=(409,)),
            Route("POST", "/templates", write, self.add, "Make a new version of a template", {201: TemplateView},
                  body=NewTemplate, creates=True),
            Route("GET", "/templates", read, self.list, "Every template", {200: TemplateList}, query=Paging),
            Route("GET", "/templates/{id}", read, self.get, "One template", {200: TemplateView}, query=TemplateQuery),
            Route("POST", "/templates/{id}/preview", read, self.preview, "Render a template without sending",
                  {200: Previewed}, body=Preview, query=TemplateQuery),
        ]  # fmt: skip

    async def send(self, call: Call[NewMessage, Any]) -> Answer:
        given, id = call.body, new_id()
        approved = await self._approved(given)

        def decided(loaded: Loaded) -> Decision[Answer]:
            now = self._recorder.clock()
            at = instant(now)
            message = planned(
                lead_id=loaded.id,
                person_id=loaded.person_id,
                product_id=loaded.lead.product_id,
                channel=_channel(given, loaded),
                category=given.category,
                due_at=max(given.send_at or at, at),
                at=at,
                template_id=given.template_id,
                text=given.text,
                variables=orjson.dumps(given.variables).decode(),
            )
            verdict = decide(
                message,
                loaded.lead,
                loaded.person,
                open_channels=self._open,
                now=now,
                approved=approved,
                config=loaded.config.config,
            )
            if verdict.outcome == "skip":
                message = message.moved(State.SKIPPED, at=at)
            elif verdict.outcome == "hold":
                message = message.moved(State.HELD, at=at, due_at=max(message.due_at, verdict.until or at))
            message = message.but(decision=verdict.checks)
            body = {"message_id": id, "status": message.status, "decision": message.body()["decision"]}
            return Decision(Answer(202, body), [Insert(Kind.MESSAGES, id, message.body())])

        record = call.remember(lambda answer: answer)
        answer = await run(self._store, lambda: self._recorder.load(given.lead_id), decided, record=record)
        self._recorder.after()
        return answer

    async def _approved(self, given: NewMessage) -> bool:
        """Whether the template is one that WhatsApp has approved. Raises: Invalid: there is no such template."""
        if given.template_id is None:
            return False
        loaded = await self._recorder.load(given.lead_id)
        channel = _channel(given, loaded)
        content = await self._templates.content(given.template_id, channel, loaded.lead.product_id)
        if content is None:
            fault = Fault("template_id", f"there is no {channel} {given.template_id!r}")
            raise Invalid("the template does not exist", fault)
        return content.content_sid is not None

    async def status(self, call: Call[None, Any]) -> Answer:
        return Answer(body=status(await self._found(call.path["id"])))

    async def cancel(self, call: Call[None, Any]) -> Answer:
        """Cancel one message. A sequence goes on with its next step: one step was not wanted, not the others."""
        id, by = call.path["id"], call.principal.name
        at = instant(self._recorder.clock())

        async def effect(_: Loaded) -> Effect:
            found = await self._found(id)
            message = Message.read(found.body)
            if not message.waiting:
                raise Refused(f"the message is {message.status} and can no longer be cancelled")
            decision = (*message.decision, Check(check="cancel", input=f"asked for by {by}", outcome="cancelled"))
            cancelled = message.moved(State.CANCELLED, at=at, decision=decision)
            return Effect([write(found, cancelled)], [Settled(id, "cancelled")])

        await self._recorder.settle((await self._found(id)).body["lead_id"], effect)
        return Answer(body=status(await self._found(id)))

    async def _found(self, id: str) -> Document:
        (found,) = await self._store.get(Kind.MESSAGES, id)
        if found is None:
            raise NotFound(f"there is no message {id}")
        return found

    async def add(self, call: Call[NewTemplate, Any]) -> Answer:
        def answer(template: Template) -> Answer:
            return Answer(201, template.body())

        return answer(await self._templates.add(call.body, by=call.principal.name, record=call.remember(answer)))

    async def list(self, call: Call[None, Paging]) -> Answer:
        found, page = await self._templates.all(after=call.query.after, limit=call.query.limit)
        return listed(page, [template.body() for template in found])

    async def get(self, call: Call[None, TemplateQuery]) -> Answer:
        return Answer(body=(await self._templates.get(call.path["id"], call.query.product_id)).body())

    async def preview(self, call: Call[Preview, TemplateQuery]) -> Answer:
        given = call.body
        template = await self._templates.get(call.path["id"], call.query.product_id)
        content = await self._templates.content(template.template_id, given.channel, call.query.product_id or ANY)
        if content is None:
            raise NotFound(f"the template says nothing on {given.channel}")
        try:
            rendered = render(content, await self._values(given))
        except Unrenderable as error:
            raise Invalid("the template does not render", error.fault) from error
        return Answer(body=_shown(rendered))

    async def _values(self, given: Preview) -> dict[str, Any]:
        if given.lead_id is None:
            return sample_context(given.sample or {})
        loaded = await self._recorder.load(given.lead_id)
        return context_of(loaded, given.sample or {}, "", now=self._recorder.clock())


def _channel(given: NewMessage, loaded: Loaded) -> Channel:
    return given.channel or loaded.person.preferred_channel or Channel.EMAIL


def _shown(rendered: Rendered) -> dict[str, Any]:
    return {"subject": rendered.subject, "text": rendered.text, "html": rendered.html}
