"""Records that a person corrects and replays as logins, and fields that are brought to their lead."""

from typing import Any

import pytest

from n8n.mending import FieldMender, LoginMender
from tests.fakes import Clock
from tests.n8n.rig import Rig
from tracker.errors import Invalid, Refused
from tracker.ports import ToMend
from tracker.store.port import Store
from tracker.store.schema import CORRECTIONS_BY_LEAD

GOOD = {
    "event_id": "l1",
    "crm_user_id": "u1",
    "organization_id": "org",
    "product_id": "flow",
    "occurred_at": "2026-03-01T10:00:00Z",
}


def wanted(input: Any, original: Any = None, lead_id: str | None = None) -> ToMend:
    return ToMend("i", "ana", input if original is None else original, input, original is not None, lead_id)


@pytest.fixture
async def rig(store: Store) -> Rig:
    rig = Rig(store, Clock())
    await rig.furnish()
    return rig


async def test_a_record_is_counted_as_a_login_once(rig: Rig):
    """However often it is replayed: the ledger knows its id, and the answer names the lead."""
    mender = LoginMender(rig.ingestion)
    first, again = [await mender.mend(wanted(GOOD)) for _ in range(2)]
    assert first.lead_id is not None
    assert first.lead_id == again.lead_id
    assert (await rig.recorder.load(first.lead_id)).lead.score == 5000


@pytest.mark.parametrize(
    ("input", "paths"),
    [
        ({**GOOD, "occurred_at": "soon"}, ["occurred_at"]),
        ({**GOOD, "product_id": "nowhere"}, ["product_id"]),
        ({"events": [GOOD, {**GOOD, "event_id": ""}]}, ["events/1/event_id"]),
        ([{**GOOD, "crm_user_id": None}], ["0/crm_user_id"]),
        ([GOOD, 5], ["1"]),
        ([GOOD, {**GOOD, "event_id": "l2", "product_id": "nowhere"}], ["1/product_id"]),
        ([], [""]),
        ({"events": []}, [""]),
        ("no record", [""]),
        (None, [""]),
        ({"lead_id": "x"}, ["event_id", "crm_user_id", "organization_id", "product_id", "occurred_at", "lead_id"]),
    ],
)
async def test_what_is_no_login_names_its_faults(rig: Rig, input: Any, paths: list[str]):
    """With paths into the very input, also into a list or a batch."""
    with pytest.raises(Invalid) as raised:
        await LoginMender(rig.ingestion).mend(wanted(input))
    assert [fault.path for fault in raised.value.faults] == paths


async def test_nothing_is_counted_of_a_batch_with_a_fault(rig: Rig):
    """A person corrects the whole before any of it counts."""
    with pytest.raises(Invalid):
        await LoginMender(rig.ingestion).mend(wanted([GOOD, {}]))
    mended = await LoginMender(rig.ingestion).mend(wanted({"events": [GOOD, {**GOOD, "event_id": "l2"}]}))
    assert mended.did == "counted as 2 logins"
    assert (await rig.recorder.load(mended.lead_id or "")).lead.score == 10_000


async def test_a_bad_optional_field_is_left_out_and_told(rig: Rig):
    """As ingestion does; the item's history says so."""
    mended = await LoginMender(rig.ingestion).mend(wanted({**GOOD, "phone": "call me"}))
    assert mended.did.startswith("counted as a login, without phone:")


async def test_a_corrected_field_reaches_its_lead(rig: Rig):
    """The login was counted long ago; what was left out of it is brought to the lead, and nothing else."""
    bad = {**GOOD, "phone": "call me", "time_zone": "Mars", "name": "Dana", "feature_usage": [""], "company_size": 5}
    mender = FieldMender(rig.contacts, rig.clock)
    lead_id = (await LoginMender(rig.ingestion).mend(wanted(bad))).lead_id
    with pytest.raises(Invalid):
        await mender.mend(wanted(bad, lead_id=lead_id))
    fixed = {
        **bad,
        "phone": "+49 151 12345678",
        "time_zone": "Europe/Berlin",
        "name": "Somebody else",
        "feature_usage": ["api"],
    }
    mended = await mender.mend(wanted(fixed, bad, lead_id))
    assert mended.did == "feature_usage, phone, time_zone brought to the lead"
    (kept,) = (await rig.recorder.store.find(CORRECTIONS_BY_LEAD, lead_id)).items
    assert (kept.body["actor"], set(kept.body["fields"])) == ("ana", {"feature_usage", "phone", "time_zone"})
    loaded = await rig.recorder.load(lead_id or "")
    assert (loaded.person.phone, loaded.person.time_zone, loaded.person.name) == (
        "+4915112345678",
        "Europe/Berlin",
        "Dana",
    )
    assert loaded.lead.feature_usage == ("api",)


@pytest.mark.parametrize(
    ("bad", "fixed", "did"),
    [
        ({"phone": "call me"}, {}, "checked, without phone"),
        ({"phone": "call me"}, {"phone": None}, "checked, without phone"),
        ({"fone": "+49 151 12345678"}, {}, "checked, without fone"),
        (
            {"phone": "call me", "time_zone": "Mars", "industry": [], "company_size": []},
            {"phone": "+49 151 12345678", "industry": "Shipping"},
            "industry, phone brought to the lead, without company_size, time_zone",
        ),
        ({"phone": "+49 151 12345678"}, {"phone": "+49 151 12345678"}, "checked: nothing is left out of it now"),
    ],
)
async def test_a_field_that_is_taken_out_stays_told(rig: Rig, bad: Any, fixed: Any, did: str):
    """Who cannot correct it may remove it; the history does not say that it was brought."""
    lead_id = (await LoginMender(rig.ingestion).mend(wanted({**GOOD, **bad}))).lead_id
    mended = await FieldMender(rig.contacts, rig.clock).mend(wanted({**GOOD, **fixed}, {**GOOD, **bad}, lead_id))
    assert mended.did == did


async def test_a_field_under_its_right_name_reaches_its_lead(rig: Rig):
    """A name that no login knows is corrected by another name, which was not dropped itself."""
    bad = {**GOOD, "fone": "+49 151 12345678"}
    lead_id = (await LoginMender(rig.ingestion).mend(wanted(bad))).lead_id
    mended = await FieldMender(rig.contacts, rig.clock).mend(wanted({**GOOD, "phone": bad["fone"]}, bad, lead_id))
    assert mended.did == "phone brought to the lead, without fone"
    assert (await rig.recorder.load(lead_id or "")).person.phone == "+4915112345678"


async def test_a_field_that_no_lead_takes_is_refused_by_name(rig: Rig):
    """Nothing of a correction gets lost without a word."""
    bad = {**GOOD, "sorce": "hubspot"}
    lead_id = (await LoginMender(rig.ingestion).mend(wanted(bad))).lead_id
    with pytest.raises(Refused, match="source"):
        await FieldMender(rig.contacts, rig.clock).mend(wanted({**GOOD, "source": "hubspot"}, bad, lead_id))


async def test_a_consent_is_recorded_elsewhere(rig: Rig):
    """It has its own call, which keeps basis and source."""
    bad = {**GOOD, "whatsapp_opt_in": "perhaps"}
    lead_id = (await LoginMender(rig.ingestion).mend(wanted(bad))).lead_id
    with pytest.raises(Refused, match="consent"):
        await FieldMender(rig.contacts, rig.clock).mend(wanted({**GOOD, "whatsapp_opt_in": True}, bad, lead_id))


async def test_an_address_of_somebody_else_is_refused(rig: Rig):
    """A correction does not take it away from them."""
    bad = {**GOOD, "email": "nonsense"}
    lead_id = (await LoginMender(rig.ingestion).mend(wanted(bad))).lead_id
    await rig.lead(email="dana@example.com")
    with pytest.raises(Refused):
        await FieldMender(rig.contacts, rig.clock).mend(wanted({**GOOD, "email": "dana@example.com"}, bad, lead_id))
