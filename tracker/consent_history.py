"""Every change of what a person allows: an entry of its own, in the commit that changes the person. Pure."""

from typing import Any

from tracker.events import Channel
from tracker.model import Document
from tracker.person import Consent, Person
from tracker.store.port import Document as Stored
from tracker.store.port import Insert
from tracker.store.schema import Kind
from tracker.times import Instant


class ConsentEntry(Document, frozen=True, kw_only=True):
    """Attributes: before: the consent that was replaced. after: the one since. at: when that was recorded."""

    person_id: str
    channel: Channel
    before: Consent
    after: Consent
    at: Instant


def changed(person_id: str, version: int, person: Person, before: Person) -> list[Insert]:
    """Return the entries of a person that is written. Args: version: of the document that is replaced, 0 for none."""
    both = (
        (Channel.EMAIL, before.email_consent, person.email_consent),
        (Channel.WHATSAPP, before.whatsapp_consent, person.whatsapp_consent),
    )
    return [
        Insert(
            Kind.CONSENTS,
            f"{person_id}:{version}:{channel}",
            ConsentEntry(person_id=person_id, channel=channel, before=old, after=new, at=person.updated_at).body(),
        )
        for channel, old, new in both
        if old != new
    ]


def shown(found: Stored) -> dict[str, Any]:
    """An entry as the timeline shows it."""
    entry = ConsentEntry.read(found.body)
    after = entry.after
    return {
        "channel": entry.channel,
        "status": after.status,
        "basis": after.basis,
        "source": after.source,
        "given_at": after.at,
        "before": entry.before.status,
    }
