"""What an event does to what a person may be sent."""

from tracker.events import Channel, Event, EventType
from tracker.person import Person, Suppression, SuppressionScope

SCOPES: dict[EventType, SuppressionScope] = {
    EventType.UNSUBSCRIBE: "nurture",
    EventType.COMPLAINT: "nurture",
    EventType.EMAIL_BOUNCE: "all",
}
"""Which events stop what."""


def after(person: Person, event: Event) -> Person:
    """Return the person after `event`; the very same object when it changes nothing."""
    scope = SCOPES.get(event.event_type)
    if scope is None:
        return person
    channel = event.channel if event.channel is not Channel.PRODUCT else Channel.EMAIL
    return person.suppress(Suppression(channel=channel, reason=event.event_type, at=event.timestamp, scope=scope))
