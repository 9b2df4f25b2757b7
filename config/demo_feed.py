"""Logins as a CRM tells them: companies, people with habits, bursts, repeats, and what is no login. Pure."""

import re
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate, islice
from random import Random
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

MALFORMED, REPEATED, LATE = 0.01, 0.02, 0.03
"""Shares of a feed: what is no login, what was sent before, what comes out of order."""

DISPLACED = 40
"""How many places a record may come too late."""

TEAM, CHANGED, SHARED = 0.03, 0.04, 0.05
"""Shares: of sessions that are a whole team's, of people whose address changes, of people on a colleague's phone."""

SOURCE = "demo"
"""The CRM's name, so that nobody's own ids mean these people."""

Kind = Literal["login", "repeat", "malformed"]


class Item(NamedTuple):
    """One record of a feed, and what it is."""

    record: Any
    kind: Kind


class Company(NamedTuple):
    id: str
    name: str
    domain: str
    size: str
    industry: str
    zone: str
    products: tuple[str, ...]


class User(NamedTuple):
    """Somebody whom the CRM knows. `new_email`: the address they have in the second half of the time."""

    id: str
    name: str
    company: Company
    product_id: str
    email: str
    new_email: str | None
    phone: str | None
    job_title: str
    likes_whatsapp: bool
    features: tuple[str, ...]
    trial: str
    weight: float


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST = _words(
    "Amara Ben Carla Chen Clara Diego Elif Emeka Esra Femi Freya Grace Hana Hugo Ines Ivan Jonas Kofi Lara Leo Lina "
    "Linh Luca Maja Marek Mei Milan Nadia Nils Noor Olga Omar Paula Pedro Priya Rafael Rosa Ruben Sana Sofia Tariq "
    "Theo Vera Viktor Wei Yara Yusuf Zoe"
)
LAST = _words(
    "Adeyemi Ahmed Almeida Becker Bianchi Castro Chopra Costa Cruz Dubois Eriksen Ferrari Garcia Greco Haas Hansen Ito "
    "Jensen Kaya Keller Khan Kim Kovacs Lang Larsen Lopez Marino Mensah Meyer Moreau Nguyen Novak Okafor Oliveira Park "
    "Patel Petrov Quinn Ricci Rossi Santos Sato Silva Singh Sokolov Tanaka Vogel Weber Yilmaz Zhang"
)
FIRMS = _words(
    "Alder Anchor Beacon Birch Bluebird Brook Cedar Cinder Comet Copper Coral Crane Delta Ember Falcon Fern Garnet "
    "Granite Harbor Heron Hollow Iris Juniper Kestrel Larch Lumen Maple Marble Meadow Nimbus North Oak Opal Orchard "
    "Pine Quartz Raven Ridge River Saffron Sierra Slate Sparrow Summit Timber Tundra Umber Vale Willow Zephyr"
)
TRADES = {
    "Logistics": "logistics", "Labs": "software", "Foods": "food", "Health": "healthcare", "Retail": "retail",
    "Metals": "manufacturing", "Energy": "energy", "Studios": "media", "Finance": "finance", "Schools": "education",
}  # fmt: skip
SIZES: tuple[tuple[str, int, float], ...] = (
    ("1-10", 3, 0.4),
    ("11-50", 8, 0.3),
    ("51-200", 20, 0.18),
    ("201-1000", 60, 0.09),
    ("1001+", 150, 0.03),
)
"""Size as a CRM has it, about how many of its people use the product, and how common it is."""

TITLES = (
    "Head of Sales", "Operations Manager", "CTO", "CEO", "Product Manager", "Support Lead", "Engineer", "Analyst",
    "Plant Manager", "IT Administrator", "Customer Success Manager", "Marketing Manager",
)  # fmt: skip
FEATURES = ("reports", "inbox", "automation", "api", "integrations", "dashboards", "exports", "alerts", "sharing")
ZONES = ("Europe/Berlin", "Europe/London", "Europe/Istanbul", "America/New_York", "Asia/Kolkata", "America/Sao_Paulo")
HOURS = (1, 1, 1, 1, 1, 2, 6, 20, 60, 95, 90, 70, 45, 60, 85, 80, 65, 40, 22, 15, 12, 10, 6, 3)
"""How busy each hour of a working day is."""

WEEKEND = 0.12


def people(rng: Random, products: Sequence[str]) -> Iterator[User]:
    """Yield users without end, company by company; the first ones are the same however many are taken."""
    number = 0
    for company in _companies(rng, products):
        taken: set[str] = set()
        phone = None
        for _ in range(max(1, round(_about(rng, company.size)))):
            user = _user(rng, company, number, taken, colleague=phone)
            phone = user.phone or phone
            number += 1
            yield user


def _companies(rng: Random, products: Sequence[str]) -> Iterator[Company]:
    number = 0
    while True:
        trade = rng.choice(list(TRADES))
        name = f"{rng.choice(FIRMS)} {trade}"
        number += 1
        size = rng.choices([s[0] for s in SIZES], [s[2] for s in SIZES])[0]
        uses = tuple(rng.sample(list(products), k=min(len(products), rng.choice((1, 1, 1, 2)))))
        domain = f"{_slug(name)}-{number}.example"
        yield Company(f"demo-org-{number}", name, domain, size, TRADES[trade], rng.choice(ZONES), uses)


def _about(rng: Random, size: str) -> float:
    return rng.lognormvariate(0, 0.5) * next(count for name, count, _ in SIZES if name == size)


def _user(rng: Random, company: Company, number: int, taken: set[str], *, colleague: str | None) -> User:
    name = f"{rng.choice(FIRST)} {rng.choice(LAST)}"
    local = _slug(name).replace("-", ".")
    if local in taken:
        local = f"{local}.{number}"
    taken.add(local)
    # Numbers 555-0100 to 555-0199 are nobody's, in every area.
    phone = f"+1{201 + number // 100 % 780}5550{100 + number % 100}" if rng.random() < 0.6 else None
    if colleague and rng.random() < SHARED:
        phone = colleague
    return User(
        id=f"u-{number + 1}",
        name=name,
        company=company,
        product_id=rng.choice(company.products),
        email=f"{local}@{company.domain}",
        new_email=f"{local}@group.{company.domain}" if rng.random() < CHANGED else None,
        phone=phone,
        job_title=rng.choice(TITLES),
        likes_whatsapp=phone is not None and rng.random() < 0.5,
        features=tuple(rng.sample(FEATURES, k=rng.randint(1, 5))),
        trial=rng.choice(("active", "active", "active", "expired", "converted")),
        weight=min(20, rng.paretovariate(1.2)),
    )


def feed(
    rng: Random,
    start: datetime,
    *,
    events: int,
    users: int,
    products: Sequence[str],
    span: timedelta = timedelta(hours=24),
) -> list[Item]:
    """Return a feed, about in the order in which things happened between `start` and `start + span`.

    Args: events: records altogether. users: so many people at most, one at least. products: ids, one at least.
    """
    crowd = list(islice(people(Random(rng.getrandbits(64)), products), users))
    tag = f"{int(start.timestamp()):x}-{rng.getrandbits(24):x}"
    bad, again = round(events * MALFORMED), round(events * REPEATED)
    good = events - bad - again
    times = sorted(islice(_visits(rng, crowd, start, span), good), key=lambda visit: visit[0])
    half = start + span / 2
    items = [Item(_record(rng, f"{tag}-{n}", user, at, half), "login") for n, (at, user) in enumerate(times)]
    _delay(rng, items)
    places = [rng.randrange(len(items)) for _ in range(again)] if items else []
    # The last places first, so that those before them stay where they are.
    for place in sorted(places, reverse=True):
        behind = min(len(items), place + 1 + rng.randrange(DISPLACED))
        items.insert(behind, Item(items[place].record, "repeat"))
    for number in range(events - len(items)):
        record = _record(rng, f"{tag}-bad-{number}", rng.choice(crowd), start + span * rng.random(), half)
        items.insert(rng.randrange(len(items) + 1), Item(rng.choice(SPOILT)(record), "malformed"))
    return items


def _visits(rng: Random, crowd: Sequence[User], start: datetime, span: timedelta) -> Iterator[tuple[datetime, User]]:
    """Yield logins without end: sessions of one person, and now and then of a whole team within minutes."""
    weights = list(accumulate(user.weight for user in crowd))
    teams: dict[str, list[User]] = {}
    for user in crowd:
        teams.setdefault(user.company.id, []).append(user)
    hours = {zone: _busy(start, span, zone) for zone in {user.company.zone for user in crowd}}
    end, last = start + span, len(crowd) - 1
    minute = min(timedelta(minutes=1), span / 100)

    def within(at: datetime) -> datetime:
        return min(at, end)

    while True:
        user = crowd[min(last, bisect(weights, rng.random() * weights[-1]))]
        busy = hours[user.company.zone]
        at = start + (bisect(busy, rng.random() * busy[-1]) + rng.random()) * span / len(busy)
        team = teams[user.company.id]
        if len(team) > 2 and rng.random() < TEAM:
            for colleague in rng.sample(team, k=min(len(team), 12)):
                yield within(at + minute * 10 * rng.random()), colleague
            continue
        while True:
            yield within(at), user
            if rng.random() < 0.65:
                break
            at += minute * rng.uniform(0.2, 15)


def _busy(start: datetime, span: timedelta, zone: str) -> list[float]:
    """Return how much happens until the end of each part of the span, a part being an hour or less."""
    parts = max(1, -(-span // timedelta(hours=1)))
    local, step = start.astimezone(ZoneInfo(zone)), span / parts
    middles = (local + step * (n + 0.5) for n in range(parts))
    return list(accumulate(HOURS[at.hour] * (WEEKEND if at.weekday() > 4 else 1) for at in middles))


def _record(rng: Random, event_id: str, user: User, at: datetime, half: datetime) -> dict[str, Any]:
    company = user.company
    several = len(company.products) > 1 and rng.random() < 0.1
    record: dict[str, Any] = {
        "source": SOURCE,
        "event_id": event_id,
        "crm_user_id": user.id,
        "organization_id": company.id,
        "organization_name": company.name,
        "product_id": rng.choice(company.products) if several else user.product_id,
        "occurred_at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "email": user.new_email if user.new_email and at > half else user.email,
        "name": user.name,
        "job_title": user.job_title,
        "company_size": company.size,
        "industry": company.industry,
        "time_zone": company.zone,
        "feature_usage": rng.sample(user.features, k=rng.randint(1, len(user.features))),
        "trial_status": user.trial,
    }
    if user.phone:
        record["phone"] = user.phone
    if user.likes_whatsapp:
        record |= {"whatsapp_opt_in": True, "preferred_channel": "whatsapp"}
    return record


def _delay(rng: Random, items: list[Item]) -> None:
    """Have a few records come behind later ones."""
    for _ in range(round(len(items) * LATE)):
        place = rng.randrange(len(items))
        items.insert(min(len(items), place + 1 + rng.randrange(DISPLACED)), items.pop(place))


Spoil = Callable[[dict[str, Any]], Any]


def _without(name: str) -> Spoil:
    return lambda record: {key: value for key, value in record.items() if key != name}


def _with(name: str, value: Any) -> Spoil:
    return lambda record: {**record, name: value}


SPOILT: tuple[Spoil, ...] = (
    _without("event_id"),
    _without("crm_user_id"),
    _without("occurred_at"),
    _with("crm_user_id", "  "),
    _with("occurred_at", "yesterday"),
    _with("occurred_at", "2026-13-45T10:00:00Z"),
    _with("occurred_at", "2026-01-05 10:00"),
    _with("product_id", None),
    lambda record: f"LOGIN;{record['crm_user_id']};{record['occurred_at']}",
    lambda record: [record["event_id"], record["crm_user_id"]],
    lambda record: None,
)
"""What CRMs send that is no login: an id or a time that is missing or wrong, or no object at all."""


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
