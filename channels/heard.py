"""What a message that came in by WhatsApp says: Twilio's form, read. Pure."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from tracker.identity import Key, phone_number
from tracker.model import clean, clean_lines

Form: TypeAlias = Mapping[str, Any]
"""Twilio's fields as they came: text each, a list of texts where a field came several times."""

LONGEST = 4096
"""Characters of a text that are read; WhatsApp takes no more. The rest stays in the form."""

_SID = re.compile(r"[A-Za-z0-9]{2,64}")
_MEDIA = 10


class Word(StrEnum):
    """A single word that is an order to the channel, not something said to the assistant."""

    STOP = "stop"
    START = "start"
    HELP = "help"


WORDS: dict[str, Word] = {
    **dict.fromkeys(("stop", "stop all", "stopall", "unsubscribe", "cancel", "end", "quit"), Word.STOP),
    **dict.fromkeys(("opt out", "optout", "revoke"), Word.STOP),
    **dict.fromkeys(("start", "unstop", "yes"), Word.START),
    **dict.fromkeys(("help", "info"), Word.HELP),
}
"""Orders in any case and with any punctuation. START and its like are one only from people who have opted out."""


class Unreadable(ValueError):
    """The form is none of a message."""


class Media(NamedTuple):
    url: str
    type: str


class Heard(NamedTuple):
    """A message that came in.

    Attributes: sid: Twilio's id of it. contact: who wrote, the same each time: WhatsApp's id, else what there is. keys:
    how the person is recognised, strongest first. pressed: `text` is the payload of a button. place: latitude and
    longitude.
    """

    sid: str
    contact: str
    keys: Sequence[Key]
    text: str
    pressed: bool = False
    media: Sequence[Media] = ()
    place: tuple[str, str] | None = None

    @property
    def word(self) -> Word | None:
        """The order that the whole message is, if it is one."""
        return WORDS.get(" ".join(re.findall(r"[^\W_]+", self.text.casefold())))

    @property
    def kind(self) -> str:
        """What came instead of words: image, audio, video, document, location or message."""
        if self.media:
            of = self.media[0].type.partition("/")[0]
            return {"application": "document", "text": "document"}.get(of, of or "file")
        return "location" if self.place else "message"


def sid_of(form: Form) -> str:
    """Return Twilio's id of a message. Raises: Unreadable."""
    sid = _field(form, "MessageSid") or _field(form, "SmsMessageSid") or _field(form, "SmsSid")
    if not _SID.fullmatch(sid):
        raise Unreadable("the form names no MessageSid")
    return sid


def contact_of(form: Form) -> str:
    """Return who wrote. Raises: Unreadable."""
    written_from = _field(form, "From").removeprefix("whatsapp:")
    contact = clean(_field(form, "WaId") or written_from or _field(form, "ExternalUserId")).removeprefix("+")
    if not 0 < len(contact) <= 200:
        raise Unreadable("the form does not say From whom it is")
    return contact


def read(form: Form) -> Heard:
    """Raises: Unreadable."""
    payload = _field(form, "ButtonPayload")
    pressed = payload.startswith("/")
    text = payload if pressed else _field(form, "Body") or _field(form, "ButtonText") or payload
    latitude, longitude = _field(form, "Latitude"), _field(form, "Longitude")
    return Heard(
        sid=sid_of(form),
        contact=contact_of(form),
        keys=_keys(form),
        text=clean_lines(text[:LONGEST]),
        pressed=pressed,
        media=tuple(_media(form)),
        place=(latitude, longitude) if latitude and longitude else None,
    )


def _keys(form: Form) -> list[Key]:
    """A number may be missing or change hands between accounts: the user's own id, where there is one, is a key too."""
    contact, user = contact_of(form), clean(_field(form, "ExternalUserId"))[:200]
    keys = [Key("whatsapp", contact)]
    if user and user != contact:
        keys.append(Key("whatsapp_user", user))
    if contact.isascii() and contact.isdecimal():
        try:
            keys.append(Key("phone", phone_number(f"+{contact}")))
        except ValueError:
            return keys
    return keys


def _media(form: Form) -> list[Media]:
    count = _field(form, "NumMedia")
    many = min(int(count), _MEDIA) if count.isascii() and count.isdecimal() and len(count) < 4 else 0
    found = [Media(_field(form, f"MediaUrl{n}"), _field(form, f"MediaContentType{n}")) for n in range(many)]
    return [media for media in found if media.url]


def _field(form: Form, name: str) -> str:
    value = form.get(name, "")
    if isinstance(value, list):
        value = value[0] if value else ""
    return value if isinstance(value, str) else str(value)
