"""Order: a reply waits for the earlier ones of its conversation, so that none overtakes another. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from channels.messages import Category
from channels.states import State
from tracker.store.port import Document
from tracker.times import Instant, instant, just_after, later

LOOKED_AT = 50
"""How many messages of a lead before a reply are looked at."""

STUCK_HOURS = 24
"""Retries are over long before. What still waits then is stuck, and nobody waits for it any longer."""

SOON_SECONDS = 1
"""How long a reply waits for an earlier one that is being sent, or is next."""


def waits_until(found: Document, others: Iterable[Document], now: datetime) -> Instant | None:
    """Return until when a reply waits for earlier ones, None when it is its turn.

    Args: others: messages that stand in one thread with it.
    """
    at = instant(now)
    ahead = [other.body for other in others if _is_earlier(other, found) and _is_to_go(other.body, at)]
    if not ahead:
        return None
    return max(later(now, seconds=SOON_SECONDS), *(just_after(body["due_at"]) for body in ahead))


def _is_earlier(other: Document, found: Document) -> bool:
    """Whether it is another reply of the conversation that was made before; ids keep the order of one moment."""
    if other.body.get("category") != Category.REPLY or other.body.get("channel") != found.body["channel"]:
        return False
    return (other.body["created_at"], other.id) < (found.body["created_at"], found.id)


def _is_to_go(body: Mapping[str, Any], at: Instant) -> bool:
    """Whether a message is being sent, or is next, or waits to be tried again.

    One that lies ahead untried was planned for later: nobody waits for it, nor for one that cannot be delivered. What
    may have been sent, or came to an end, waits for a person at most.
    """
    if body["status"] == State.SENDING:
        return True
    if not body["waiting"] or body.get("broken"):
        return False
    return body["due_at"] <= at or body["status"] == State.HELD or bool(body["attempts"])
