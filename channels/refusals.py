"""Refusals that may be told again: a link stays in its message for ever."""

from msgspec.structs import replace

from tracker import consent
from tracker.events import Channel, Event, Happening
from tracker.recorder import Loaded, Recorder
from tracker.store.schema import Kind
from tracker.times import Instant


async def refuse(recorder: Recorder, lead_id: str, happening: Happening) -> None:
    """Count a refusal. A mere repeat is the event that is there; after a new consent it is a new one, and ends that.

    Raises: NotFound: no such lead.
    """
    loaded = await recorder.load(lead_id)
    (seen,) = await recorder.store.get(Kind.LEAD_EVENTS, happening.key)
    if seen is not None and consent.after(loaded.person, Event.read(seen.body)) is not loaded.person:
        happening = _again(happening, _since(loaded, happening.channel))
    await recorder.event(lead_id, happening)


def _again(happening: Happening, since: Instant) -> Happening:
    """The same refusal of what has been allowed since: once for each time that it was allowed."""
    return replace(happening, event_id=f"{happening.event_id}:{since}")


def _since(loaded: Loaded, channel: Channel) -> Instant:
    person = loaded.person
    allowed = person.whatsapp_consent if channel is Channel.WHATSAPP else person.email_consent
    return allowed.at or person.updated_at
