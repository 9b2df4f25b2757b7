"""A lead: one person in one product's pipeline."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tracker.events import REPLIES, Channel
from tracker.model import Document, Output
from tracker.person import Person
from tracker.points import points
from tracker.search_words import LONGEST
from tracker.stages import Stage
from tracker.times import Instant, instant, just_after

FREQUENCY_DAYS = 30


class Lead(Document, frozen=True, kw_only=True):
    """A lead as it is stored. Who it is stands on its person."""

    person_id: str
    product_id: str
    crm_user_id: str | None = None
    organization_id: str | None = None
    stage: Stage = Stage.USER
    staged_at: Instant | None = None
    """When the stage last changed."""
    score: int = 0
    """Thousandths of a point: what the ledger comes to."""
    faded: float = 0.0
    """The same before rounding, where points fade."""
    scored_at: Instant | None = None
    """The newest scoring event, as of which a score that fades holds."""
    capped: dict[str, int] = {}
    """Thousandths given per day and type, where a day has a cap."""
    config_number: int
    """The version of the product's configuration with which the lead entered."""
    created_at: Instant
    updated_at: Instant
    last_login_at: Instant | None = None
    login_days: dict[str, int] = {}
    """Logins per UTC day, recent ones."""
    feature_usage: tuple[str, ...] = ()
    trial_status: str | None = None
    tells: str | None = None
    """The fields that the newest login told, as of `last_login_at`; None where an earlier version did not keep them."""
    told: dict[str, Instant] = {}
    """When the others were told last, and what the API told."""
    seen: dict[str, Instant] = {}
    """When each kind of event last happened, logins apart."""
    answered: tuple[str, ...] = ()
    """Qualification slots."""
    wrote_on: Channel | None = None
    """Where the person last wrote."""
    absorbed: tuple[str, ...] = ()
    """Leads whose ledgers count here."""
    merged_into: str | None = None
    """The lead where this one's ledger counts."""
    handoff_id: str | None = None
    """The handoff that is not resolved."""
    held_by: str | None = None
    """The salesperson who has the thread, while the bot and the drips are silent."""

    @property
    def wrote_at(self) -> str:
        """When the person last wrote, empty for never."""
        return max((self.seen.get(kind, "") for kind in REPLIES), default="")


class StageChange(Document, frozen=True, kw_only=True):
    """One entry of the audit trail. `before` is the stage left, `to` the one entered; `opens` is a handoff's id."""

    lead_id: str
    before: Stage
    to: Stage
    at: Instant
    actor: str
    reason: str
    event_id: str | None = None
    reverts: str | None = None
    opens: str | None = None


def dated(lead: Lead, changes: Sequence[StageChange]) -> tuple[Lead, list[StageChange]]:
    """Return the lead and its stage changes, each later than the one before it; those of one event go together.

    The order of the audit trail is that of its times, also where several changes fall into one millisecond or the
    clock of another process is behind.
    """
    after: list[StageChange] = []
    for change in changes:
        if after and change.event_id is not None and change.event_id == after[-1].event_id:
            change = change.but(at=after[-1].at)
        elif lead.staged_at is not None and change.at <= lead.staged_at:
            change = change.but(at=just_after(lead.staged_at))
        lead = lead.but(staged_at=change.at)
        after.append(change)
    return lead, after


def count_login(login_days: dict[str, int], at: Instant) -> dict[str, int]:
    """Return the days with one more login at `at`, those past the window dropped."""
    day = at[:10]
    if day in login_days:
        return {**login_days, day: login_days[day] + 1}
    newest = max((day, *login_days))
    oldest = _days_before(datetime.fromisoformat(newest + "T00:00:00Z"))
    return {d: n for d, n in {**login_days, day: 1}.items() if d >= oldest}


def _days_before(at: datetime, days: int = FREQUENCY_DAYS) -> str:
    return instant(max(at, _FIRST_WINDOW) - timedelta(days=days))[:10]


_FIRST_WINDOW = datetime(1, 1, 1, tzinfo=UTC) + timedelta(days=FREQUENCY_DAYS)
"""Before this the window would begin before the calendar does."""


def login_frequency(login_days: dict[str, int], now: datetime, *, days: int = FREQUENCY_DAYS) -> int:
    """Logins in the last 30 days, or fewer."""
    oldest = _days_before(now, days)
    return sum(n for day, n in login_days.items() if day >= oldest)


class ContactInfo(Output):
    email: str | None = None
    phone: str | None = None
    preferred_channel: Channel


class ProductContext(Output):
    login_frequency: int
    feature_usage: list[str]
    trial_status: str | None = None


class LeadView(Output):
    """The API's lead."""

    id: str
    person_id: str
    crm_user_id: str | None
    organization_id: str | None
    product_id: str
    stage: Stage
    engagement_score: float
    created_at: Instant
    updated_at: Instant
    last_login_at: Instant | None
    contact_info: ContactInfo
    demographics: dict[str, str]
    product_context: ProductContext
    version: int


def view(id: str, version: int, lead: Lead, person: Person, *, now: datetime) -> dict[str, Any]:
    """Return the API's lead (`LeadView`), as JSON."""
    return {
        "id": id,
        "person_id": lead.person_id,
        "crm_user_id": lead.crm_user_id,
        "organization_id": lead.organization_id,
        "product_id": lead.product_id,
        "stage": lead.stage,
        "engagement_score": points(lead.score),
        "created_at": lead.created_at,
        "updated_at": lead.updated_at,
        "last_login_at": lead.last_login_at,
        "contact_info": {
            "email": person.email,
            "phone": person.phone,
            "preferred_channel": person.preferred_channel or Channel.EMAIL,
        },
        "demographics": person.demographics | ({"name": person.name} if person.name else {}),
        "product_context": {
            "login_frequency": login_frequency(lead.login_days, now),
            "feature_usage": list(lead.feature_usage),
            "trial_status": lead.trial_status,
        },
        "version": version,
    }


def words(person: Person) -> frozenset[str]:
    """What a search compares with: e-mail, phone, name, company, CRM ids from the start of each word, lower case.

    `o'brien` gives `o'brien` and `brien`, so that both find it.
    """
    texts = (person.email, person.phone, person.name, person.demographics.get("company"), *_crm_ids(person))
    return frozenset(word[:LONGEST] for text in texts if text for word in _words(text[:200].casefold()))


def _crm_ids(person: Person) -> tuple[str, ...]:
    return tuple(identity.user_id for identity in person.crm)


def _words(text: str) -> Iterator[str]:
    for chunk in text.split():
        yield chunk
        yield from (chunk[start.start() :] for start in _WORD.finditer(chunk, 1))


_WORD = re.compile(r"(?<![^\W_])[^\W_]")
"""The first letter or digit of a word."""
