"""What all models share: frozen, nothing unknown, text cleaned at the edge."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

import msgspec
import orjson
from msgspec import structs
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from ulid import ULID

from tracker.errors import Fault
from tracker.times import Instant, instant, now


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A stored document. Unknown fields are dropped: an older version may read what a newer one wrote."""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Raises: msgspec.ValidationError: the store holds something else."""
        return msgspec.convert(body, cls)

    def body(self) -> dict[str, Any]:
        """The JSON object to store."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built

    def but(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return structs.replace(self, **changes)


class Note(Document, frozen=True, kw_only=True):
    """One line of the history of a handoff or of a review item."""

    at: Instant
    by: str
    did: str


class Input(BaseModel):
    """A body or query as it comes in. Unknown fields are refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Output(BaseModel):
    """An answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def faults(error: ValidationError) -> tuple[Fault, ...]:
    """Return everything that is wrong with an input, each with its path."""
    return tuple(
        Fault("/".join(str(part) for part in e["loc"] if part != OF_NAME), _words(e["type"], e["msg"]))
        for e in error.errors(include_url=False, include_context=False, include_input=False)
    )


OF_NAME = "[key]"
"""What ends the path of a fault of a field's name."""


def _words(kind: str, message: str) -> str:
    """Return a message in words of JSON: values as the caller writes them, not as Python does."""
    if kind == "literal_error":
        return re.sub(r"<[\w.]+: ('[^']*')>", r"\1", message)
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        return "Input should be an object"
    if kind == "tuple_type":
        return "Input should be a valid list"
    for python, json in (("Tuple ", "List "), ("Dictionary ", "Object ")):
        if message.startswith(python):
            return json + message.removeprefix(python)
    return message.removeprefix("Value error, ")


def new_id() -> str:
    """A ULID: sorts by its time of creation."""
    return str(ULID())


def clean(text: str) -> str:
    """Return one line of text: trimmed, NFC, control characters gone, every run of white space one space."""
    if not (text.isascii() and text.isprintable()):
        text = _normal("".join(" " if c.isspace() else c for c in text), keep="")
    return " ".join(text.split())


def is_plain(body: bytes) -> bool:
    """Whether `clean` would only trim the texts of a JSON body: ASCII, nothing escaped, no run of spaces."""
    return body.isascii() and b"\\" not in body and b"\x7f" not in body and b"  " not in body


def cleaned(record: Any) -> Any:
    """Return a record with its texts cleaned, but for what lies deeper."""
    if not isinstance(record, dict):
        return record
    return {name: clean(value) if isinstance(value, str) else value for name, value in record.items()}


def clean_lines(text: str) -> str:
    """Return text that may have several lines: trimmed, NFC, control characters gone."""
    return _normal(text.replace("\r\n", "\n").replace("\r", "\n"), keep="\n\t").strip()


def _normal(text: str, *, keep: str) -> str:
    """Control characters go first: marks that they kept apart must still combine."""
    kept = "".join(c for c in text if c in keep or unicodedata.category(c) not in {"Cc", "Cs"})
    return unicodedata.normalize("NFC", kept)


def _filled(cleaned: Callable[[str], str]) -> Callable[[str], str]:
    """Return what cleans a text and refuses it when nothing is left."""

    def filled(text: str) -> str:
        text = cleaned(text)
        if not text:
            raise ValueError("must not be empty")
        return text

    return filled


AHEAD = timedelta(hours=24)


def _moment(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError("must be an ISO 8601 time with a zone")
    try:
        at = datetime.fromisoformat(value.strip())
        if at.tzinfo is None:
            raise ValueError
        return at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError("must be an ISO 8601 time with a zone, such as 2026-11-22T14:27:00Z") from error


def _past(value: Any, info: ValidationInfo) -> Instant:
    at = _moment(value)
    if at > ((info.context or {}).get("now") or now()) + AHEAD:
        raise ValueError("lies more than 24 h ahead")
    return instant(at)


def _any_time(value: Any) -> Instant:
    return instant(_moment(value))


def _plain_json(value: dict[str, Any]) -> dict[str, Any]:
    if len(orjson.dumps(value)) > 65_536:
        raise ValueError("is larger than 64 KiB")
    return value


Line = Annotated[str, StringConstraints(max_length=2000), AfterValidator(clean)]
CleanLine = Annotated[str, StringConstraints(max_length=2000)]
CleanName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
"""For a record that went through `cleaned` whole: a call of Python for each field costs more than all other checks."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_filled(clean))]
"""A name or an id given from outside: 1 to 200 characters."""

Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""An id that appears in addresses: products, templates."""

Lines = Annotated[str, StringConstraints(min_length=1, max_length=20_000), AfterValidator(_filled(clean_lines))]

_TIME = WithJsonSchema({"type": "string", "format": "date-time"})
PastTime = Annotated[Instant, BeforeValidator(_past), _TIME]
"""When something happened: with a zone, no more than 24 h ahead."""

AnyTime = Annotated[Instant, BeforeValidator(_any_time), _TIME]
Metadata = Annotated[dict[str, Any], AfterValidator(_plain_json)]
Points = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
