"""When each field that a CRM supplies was last told: the newer word wins, in whatever order logins come in. Pure.

A login is news only where a value differs, and most logins bring none. So the time of a field is not written with each
of them: a lead, which is written anyway, names the fields that its newest login told (`tells`), whose time is
`last_login_at`, and keeps the times of the others (`told`) only where a newer login no longer tells them.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import cache

from tracker.lead import Lead
from tracker.person import Person
from tracker.times import Instant

PERSONAL = ("name", "preferred_channel", "time_zone")
ADDRESSES = ("email", "phone")
DEMOGRAPHIC = {
    "job_title": "job_title",
    "company_size": "company_size",
    "industry": "industry",
    "organization_name": "company",
}
"""What a login calls them, and what the person does."""

OF_LEAD = frozenset({"organization_id", "trial_status"})
FIELDS = (*PERSONAL, *ADDRESSES, *DEMOGRAPHIC.values(), *sorted(OF_LEAD))
BITS: Mapping[str, int] = {field: 1 << n for n, field in enumerate(FIELDS)}

Times = Mapping[str, Instant]
NEVER = Instant("")


@cache
def named(bits: int) -> str:
    """Return the fields of a sum of `BITS`, as a lead keeps them."""
    return " ".join(field for field, bit in BITS.items() if bits & bit)


def by_newest(lead: Lead, since: Instant | None) -> Collection[str]:
    """Return the fields that the newest login told, at `since`. An earlier version did not keep them: any may be."""
    if lead.tells is not None:
        return lead.tells.split()
    return FIELDS if since else ()


def of_lead(lead: Lead) -> dict[str, Instant]:
    """Return when the logins of a lead last told each field."""
    times = dict(lead.told)
    for field in by_newest(lead, lead.last_login_at):
        times[field] = max(lead.last_login_at or NEVER, times.get(field, NEVER))
    return times


def of_person(person: Person, leads: Iterable[Lead]) -> dict[str, Instant]:
    """Return when each field of a person was last told, by the logins of any of its leads or over the API."""
    return latest(person.told, *(of_lead(lead) for lead in leads))


def by_api(lead: Lead, fields: Iterable[str], at: Instant) -> dict[str, Instant]:
    """Return the times of a lead with those of fields that the API tells now."""
    return {**lead.told, **{field: max(at, lead.told.get(field, NEVER)) for field in fields}}


def latest(*times: Times) -> dict[str, Instant]:
    found: dict[str, Instant] = {}
    for its in times:
        for field, at in its.items():
            if at > found.get(field, NEVER):
                found[field] = at
    return found


def logged_in(lead: Lead, since: Instant, at: Instant, tells: str) -> dict[str, object]:
    """Return what a login changes in what a lead keeps of these times.

    Args: lead: whose newest login so far was at `since`, empty where there was none. at, tells: of the login.
    """
    before = by_newest(lead, since)
    if at >= since and not before and not lead.told:
        return {"tells": tells}
    fields = tells.split()
    if at >= since:
        told = {field: t for field, t in lead.told.items() if field not in fields or t > at}
        told |= {f: max(since, told.get(f, NEVER)) for f in before if f not in fields}
        return {"tells": tells, "told": told}
    late = {f: at for f in fields if f not in before and at > lead.told.get(f, NEVER)}
    return {"told": {**lead.told, **late}} if late else {}


def spelled_out(lead: Lead) -> Lead:
    """Return the lead with every time written down, since `last_login_at` is about to say nothing of them."""
    return lead.but(told=of_lead(lead), tells="")
