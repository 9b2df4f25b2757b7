"""Replays of what came from n8n or goes there: records as logins, fields left out, events, thresholds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from n8n.ingest import unwrap
from n8n.outbound import Outgoing, Way, again, changes, lane_id, receivers
from n8n.outbound_events import OutboundType, about, made
from n8n.subscriptions import Subscriptions
from n8n.thresholds import unanswered, waiting
from tracker.contacts import Contacts, LeadFields
from tracker.errors import Fault, Invalid, Refused
from tracker.ingestion import Ingestion
from tracker.logins import Login, Read, read_login
from tracker.ports import Mended, ToMend
from tracker.recorder import Recorder
from tracker.review import told
from tracker.stages import Stage
from tracker.store.port import Change, Expect, Store
from tracker.store.schema import Kind
from tracker.times import instant
from tracker.told import DEMOGRAPHIC


class LoginMender:
    """Counts a record that was quarantined, or that a workflow gave up, as logins. The ledger knows each one's id."""

    acts_itself = True

    def __init__(self, ingestion: Ingestion):
        self._ingestion = ingestion

    async def mend(self, wanted: ToMend) -> Mended:
        records, now = unwrap(wanted.input), self._ingestion.clock()
        reads = [read_login(record, now=now) for record in records]
        paths = _paths(wanted.input, len(records))
        bad = [fault for path, read in zip(paths, reads, strict=True) if not read.login for fault in _at(path, read)]
        if bad or not reads:
            raise Invalid("the record is no login", *bad or [Fault("", "holds no login")])
        results = await self._ingestion.record([read.login for read in reads if read.login])
        unknown = [
            Fault(f"{path}product_id", "there is no such product")
            for path, result in zip(paths, results, strict=True)
            if result.status == "unknown_product"
        ]
        if unknown:
            raise Invalid("the record is no login", *unknown)
        left_out = [fault for path, read in zip(paths, reads, strict=True) for fault in _at(path, read)]
        did = "counted as a login" if len(reads) == 1 else f"counted as {len(reads)} logins"
        return Mended(f"{did}, without {told(left_out)}" if left_out else did, results[0].lead_id)


def _paths(input: Any, count: int) -> list[str]:
    """Where each record of a container stands."""
    if isinstance(input, list):
        return [f"{n}/" for n in range(count)]
    return [f"events/{n}/" for n in range(count)] if isinstance(input.get("events"), list) else [""]


def _at(path: str, read: Read) -> Iterator[Fault]:
    for fault in read.faults:
        yield Fault((path + fault.path).rstrip("/"), fault.message)


class FieldMender:
    """Brings a field that was left out of a login to its lead, once somebody has corrected it."""

    acts_itself = True

    def __init__(self, contacts: Contacts, clock: Callable[[], datetime]):
        self._contacts, self._clock = contacts, clock

    async def mend(self, wanted: ToMend) -> Mended:
        now = self._clock()
        read = read_login(wanted.input, now=now)
        if read.login is None or read.faults:
            raise Invalid("the record is still not as a login should be", *read.faults)
        dropped = {fault.path.split("/")[0] for fault in read_login(wanted.original, now=now).faults}
        brought, given = _fields(read.login, dropped | _renamed(read.login, wanted.original, dropped))
        if given:
            if wanted.lead_id is None:
                raise Refused("the item names no lead; discard it")
            fields = LeadFields.model_validate(given)
            await self._contacts.update(wanted.lead_id, fields, actor=wanted.by, expected=None)
        return Mended(_did(brought, sorted(dropped - set(brought))), wanted.lead_id)


def _did(brought: Sequence[str], left_out: Sequence[str]) -> str:
    """What the history says of a replay. Args: left_out: what was dropped and still reaches nobody."""
    did = f"{', '.join(brought)} brought to the lead" if brought else "checked"
    if left_out:
        return f"{did}, without {', '.join(left_out)}"
    return did if brought else "checked: nothing is left out of it now"


def _renamed(login: Login, original: Any, dropped: set[str]) -> set[str]:
    """Return fields that only the correction has, where one was dropped that no login knows: it is one of these."""
    if dropped <= Login.model_fields.keys() or not isinstance(original, dict):
        return set()
    return login.model_fields_set - original.keys()


PLACES: Mapping[str, tuple[str, ...]] = {
    **{name: (name,) for name in ("email", "phone", "name", "time_zone")},
    **{name: ("demographics", ours) for name, ours in DEMOGRAPHIC.items()},
    "preferred_channel": ("contact_info", "preferred_channel"),
    "feature_usage": ("product_context", "feature_usage"),
    "trial_status": ("product_context", "trial_status"),
}
"""Where the API takes the fields of a login."""


def _fields(login: Login, names: set[str]) -> tuple[Sequence[str], dict[str, Any]]:
    """Return which of these fields a login has, and them as the API takes them.

    Raises: Refused: one that the API takes elsewhere, or nowhere.
    """
    values = {name: value for name in sorted(names) if (value := getattr(login, name, None)) is not None}
    if "whatsapp_opt_in" in values:
        raise Refused("record the consent with PUT /persons/{id}/consent, and discard this item")
    if strange := [name for name in values if name not in PLACES]:
        raise Refused(f"a lead does not take {', '.join(strange)}: leave it out, or discard this item")
    given: dict[str, Any] = {}
    for name, value in values.items():
        *parts, last = PLACES[name]
        place = given
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = value
    return list(values), given


class OutboundMender:
    """Sends an event once more that was given up, with its first id, behind what waits for the same lead."""

    acts_itself = False

    def __init__(self, store: Store, subscriptions: Subscriptions, clock: Callable[[], datetime]):
        self._store, self._subscriptions, self._clock = store, subscriptions, clock

    async def mend(self, wanted: ToMend) -> Mended:
        if wanted.corrected:
            raise Invalid("an event is sent as it was", Fault("input", "cannot be changed"))
        (found,) = await self._store.get(Kind.OUTBOUND, wanted.original["outbound_id"])
        outgoing = Outgoing.read(found.body) if found else None
        known = await self._subscriptions.fresh()
        if found is None or outgoing is None or outgoing.subscription_id not in known.subscriptions:
            raise Refused("nobody subscribes to this event at that address any more; discard the item")
        if outgoing.status is not Way.DEAD:
            raise Refused(f"the event is {outgoing.status} by now")
        (lane,) = await self._store.get(Kind.OUTBOUND_LANES, lane_id(outgoing.subscription_id, outgoing.lead_id))
        return Mended("sent again", wanted.lead_id, again(found, lane, at=instant(self._clock())))


class ThresholdMender:
    """Announces a threshold once more on which nobody has decided, and waits for an answer as the first time."""

    acts_itself = False

    def __init__(self, recorder: Recorder, subscriptions: Subscriptions):
        self._recorder, self._subscriptions = recorder, subscriptions

    async def mend(self, wanted: ToMend) -> Mended:
        if wanted.corrected:
            raise Invalid("a threshold is announced as it was", Fault("input", "cannot be changed"))
        first = wanted.original["event"]
        to, lead_id = Stage(first["data"]["to"]), first["data"]["lead_id"]
        lead = await unanswered(self._recorder, lead_id, to, since=first["created_at"])
        if lead is None:
            return Mended("closed: it has been decided on", wanted.lead_id)
        at = instant(self._recorder.clock())
        data = {**first["data"], **about(lead.id, lead.lead)}
        event = made(OutboundType.LEAD_THRESHOLD_REACHED, [lead.id, first["id"]], data, at=at)
        known = await self._subscriptions.fresh()
        plans = await receivers(self._recorder.store, known, [event], lead_id=lead.id)
        if not plans:
            raise Refused(f"nobody subscribes to {event.type}; move the lead by hand, or discard the item")
        product_id = lead.lead.product_id
        told: list[Change] = [Expect(Kind.LEADS, lead.id, lead.version)]
        told.append(waiting(event, lead_id=lead.id, product_id=product_id))
        told += changes(plans, lead_id=lead.id, product_id=product_id, at=at)
        return Mended("announced again", lead.id, told)
