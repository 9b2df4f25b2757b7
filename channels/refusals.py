"""Refusals that may be told again: a link stays in its message for ever."""

from msgspec.structs import replace

from tracker import consent
from tracker.events import Event, Happening
from tracker.recorder import Recorder
from tracker.store.schema import Kind


async def refuse(recorder: Recorder, lead_id: str, happening: Happening) -> None:
    """Count a refusal. A mere repeat changes nothing; after a new consent it is a new event, and ends that.

    Raises: NotFound: no such lead.
    """
    loaded = await recorder.load(lead_id)
    (seen,) = await recorder.store.get(Kind.LEAD_EVENTS, happening.key)
    if seen is not None:
        if consent.after(loaded.person, Event.read(seen.body)) is loaded.person:
            return
        # Not by when it was allowed again: the same consent may be told any number of times.
        id = f"{happening.event_id}:{loaded.person_id}:{loaded.person_version}"
        happening = replace(happening, event_id=id)
    await recorder.event(lead_id, happening)
