"""Every correction of a lead by a call: an entry of its own, in the commit that makes it. Pure."""

from typing import Any

from tracker.events import Channel
from tracker.lead import Lead
from tracker.model import Document
from tracker.person import Person
from tracker.store.port import Document as Stored
from tracker.store.port import Insert
from tracker.store.schema import Kind
from tracker.times import Instant
from tracker.told import ADDRESSES, OF_LEAD

OF_DEMOGRAPHICS = "demographics/"
"""What the fields begin with whose names callers choose: one may be called as another field is."""


OF_CRM = "crm_user_id/"
"""What a person's ids begin with, one for each CRM."""


class Corrected(Document, frozen=True, kw_only=True):
    """A field's value until then, and since; None where there is none."""

    before: Any
    after: Any


class Correction(Document, frozen=True, kw_only=True):
    """Attributes: actor: the name of the API key, or who replayed an item of review. fields: what differs."""

    lead_id: str
    person_id: str
    at: Instant
    actor: str
    fields: dict[str, Corrected]


def corrected(
    lead_id: str, version: int, before: tuple[Lead, Person], after: tuple[Lead, Person], *, person_id: str, actor: str
) -> list[Insert]:
    """Return the entry of a lead that is written, none where nothing differs.

    Args: version: of the lead's document that is replaced, 0 for none.
    """
    old, new = _values(*before), _values(*after)
    fields = {
        name: Corrected(before=old.get(name), after=new.get(name))
        for name in old | new
        if old.get(name) != new.get(name)
    }
    if not fields:
        return []
    lead, _ = after
    entry = Correction(lead_id=lead_id, person_id=person_id, at=lead.updated_at, actor=actor, fields=fields)
    return [Insert(Kind.CORRECTIONS, f"{lead_id}:{version}", entry.body())]


def _values(lead: Lead, person: Person) -> dict[str, Any]:
    """What a call can correct. Where no channel is preferred the API shows e-mail: who puts that back has corrected
    nothing.
    """
    return {
        "name": person.name,
        **{name: getattr(person, name) for name in ADDRESSES},
        "preferred_channel": person.preferred_channel or Channel.EMAIL,
        "time_zone": person.time_zone,
        **{OF_CRM + identity.source: identity.user_id for identity in person.crm},
        **{OF_DEMOGRAPHICS + name: value for name, value in person.demographics.items()},
        **{name: getattr(lead, name) for name in sorted(OF_LEAD)},
        "feature_usage": lead.feature_usage,
    }


def shown(found: Stored) -> dict[str, Any]:
    """An entry as the timeline shows it."""
    return {"actor": found.body["actor"], "fields": found.body["fields"]}
