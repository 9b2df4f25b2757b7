"""Who changed what of the server itself: configuration, keys, users. What happens to a lead is on the lead."""

from typing import Any

from tracker.model import Document, new_id
from tracker.store.port import Document as Stored
from tracker.store.port import Insert
from tracker.store.schema import Kind
from tracker.times import Instant


class AuditEntry(Document, frozen=True, kw_only=True):
    """Attributes: action: a verb and its noun, `product.put`. subject: the id of what was changed."""

    at: Instant
    actor: str
    action: str
    subject: str
    detail: str = ""


def entry(actor: str, action: str, subject: str, *, at: Instant, detail: str = "") -> Insert:
    """Return the change that keeps an action; it belongs to the commit of what was done."""
    made = AuditEntry(at=at, actor=actor, action=action, subject=subject, detail=detail)
    return Insert(Kind.AUDIT, new_id(), made.body())


def shown(found: Stored) -> dict[str, Any]:
    """An entry as the API shows it."""
    return {"id": found.id, **found.body}
