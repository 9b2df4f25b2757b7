"""The words of web chat: what a client may send, over the web socket and over HTTP, and what it gets."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, model_validator

from channels.ports import Line
from tracker.errors import LeadlineError
from tracker.model import AnyTime, Input, Output, Slug, clean_lines
from tracker.times import Instant

MOST_CHARACTERS = 4000


def _said(text: str) -> str:
    text = clean_lines(text)
    if not text:
        raise ValueError("must not be empty")
    return text


Words = Annotated[str, StringConstraints(min_length=1, max_length=MOST_CHARACTERS), AfterValidator(_said)]
MessageId = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,100}$")]
VisitorId = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Who(Input):
    """A visitor and the token that proves it; without a good token the server makes a new visitor."""

    visitor: VisitorId | None = None
    token: Token | None = None


class Saying(Input):
    """Words, or the payload of a pressed button. The same `id` is the same message, however often it comes."""

    id: MessageId | None = None
    text: Words | None = None
    payload: Words | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.text is None) == (self.payload is None):
            raise ValueError("give text or payload, one of them")
        return self

    @property
    def words(self) -> str:
        return self.text or self.payload or ""


class Hello(Who):
    type: Literal["hello"]
    product: Slug | None = None


class Said(Saying):
    type: Literal["message"]


class Typing(Input):
    type: Literal["typing"]


Frame = Hello | Said | Typing
FRAMES: TypeAdapter[Frame] = TypeAdapter(Annotated[Frame, Field(discriminator="type")])


class SocketQuery(Who):
    """Instead of a hello."""

    product: Slug | None = None


class PageQuery(Input):
    product: Slug | None = None


class ThreadQuery(Who):
    """Attributes: after: the `at` of a message; those from then on come, that one again."""

    product: Slug | None = None
    after: AnyTime | None = None


class Post(Saying, Who):
    product_id: Slug | None = None


class ButtonView(Output):
    title: str
    payload: str


class LineView(Output):
    id: str
    at: Instant
    from_: Annotated[Literal["visitor", "bot", "human"], Field(serialization_alias="from")]
    text: str
    buttons: list[ButtonView]


class Answered(Output):
    visitor: str
    token: str
    messages: list[LineView]


class ProductView(Output):
    product_id: str
    name: str


class Thread(Answered):
    product: ProductView


def shown(line: Line) -> dict[str, Any]:
    """A line as `LineView`."""
    buttons = [choice._asdict() for choice in line.choices]
    return {"id": line.id, "at": line.at, "from": line.by, "text": line.text, "buttons": buttons}


def message_frame(line: Line) -> dict[str, Any]:
    return {"type": "message", **shown(line)}


def error_frame(error: LeadlineError, id: str | None = None) -> dict[str, Any]:
    """`retry_after`: seconds after which the same frame may do."""
    detail = "; ".join([error.detail, *(f"{fault.path}: {fault.message}" for fault in error.faults)])
    frame: dict[str, Any] = {"type": "error", "status": error.status.value, "detail": detail}
    if id is not None:
        frame["id"] = id
    retry_after = error.retry_after or (5 if error.status.value >= 500 else None)
    if retry_after is not None:
        frame["retry_after"] = retry_after
    return frame
