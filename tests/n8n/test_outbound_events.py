"""Which events a commit gives rise to, and what they say."""

import pytest

from n8n.outbound_events import OutboundType
from tests.fakes import Clock
from tests.n8n.rig import Rig
from tracker.contacts import LeadFields
from tracker.events import Channel, EventType
from tracker.handoff import Reason
from tracker.identity import Key
from tracker.prospects import Acted, Met, engage
from tracker.stages import Stage
from tracker.store.port import Store
from tracker.store.schema import CORRECTIONS_BY_LEAD

CREATED, UPDATED, ENGAGED = OutboundType.LEAD_CREATED, OutboundType.LEAD_UPDATED, OutboundType.ENGAGEMENT_RECORDED
REACHED, CHANGED = OutboundType.LEAD_THRESHOLD_REACHED, OutboundType.LEAD_STAGE_CHANGED
QUALIFIED, HANDOFF = OutboundType.LEAD_QUALIFIED, OutboundType.HANDOFF_CREATED


@pytest.fixture
async def rig(store: Store) -> Rig:
    rig = Rig(store, Clock())
    await rig.furnish(engaged_threshold=10, scoring_rules={"login_points": 5, "qualification_threshold": 20})
    await rig.subscribe()
    return rig


async def test_a_first_login_is_a_new_lead(rig: Rig):
    """A new lead is told once, with what the API shows of it, and its login as an engagement."""
    lead_id = await rig.login(email="dana@example.com", name="Dana Fox", job_title="CTO")
    created, engaged = await rig.told()
    assert (created["type"], engaged["type"]) == ("lead.created", "engagement.recorded")
    assert created.keys() == {"id", "type", "created_at", "data"}
    data = created["data"]
    assert (data["lead_id"], data["product_id"], data["stage"], data["engagement_score"]) == (
        lead_id,
        "flow",
        "User",
        5,
    )
    assert data["lead"]["contact_info"]["email"] == "dana@example.com"
    assert data["lead"]["demographics"] == {"name": "Dana Fox", "job_title": "CTO"}
    assert (engaged["data"]["event_type"], engaged["data"]["score_impact"]) == ("login", 5)


async def test_a_lead_made_by_the_api_is_told(rig: Rig):
    """However a lead comes to be."""
    lead_id = await rig.lead()
    (created,) = await rig.told()
    assert (created["type"], created["data"]["lead_id"]) == ("lead.created", lead_id)


async def test_a_login_that_brings_nothing_new_updates_nothing(rig: Rig):
    """One event a login would drown a receiver; what the CRM says anew is told, and which fields it is."""
    await rig.login(email="dana@example.com")
    await rig.told()
    await rig.login(email="dana@example.com")
    assert await rig.told(UPDATED) == []
    await rig.login(email="dana@example.com", job_title="CTO", feature_usage=["api"])
    (updated,) = await rig.told(UPDATED)
    assert updated["data"]["changed"] == ["demographics.job_title", "product_context.feature_usage"]
    assert updated["data"]["lead"]["demographics"]["job_title"] == "CTO"


async def test_a_correction_by_the_api_is_told(rig: Rig):
    """The same correction again changes nothing and is not told."""
    lead_id = await rig.lead()
    await rig.told()
    for _ in range(2):
        given = LeadFields.model_validate({"name": "Dana Fox"})
        await rig.contacts.update(lead_id, given, actor="crm", expected=None)
    (updated,) = await rig.told()
    assert (updated["type"], updated["data"]["changed"]) == ("lead.updated", ["demographics.name"])


async def test_a_channel_that_is_shown_already_is_no_news(rig: Rig, store: Store):
    """Who has named no channel is shown with e-mail: saying so corrects nothing, and nothing is told of it."""
    lead_id = await rig.lead()
    await rig.told()
    for channel in ("email", "whatsapp", "email"):
        given = LeadFields.model_validate({"contact_info": {"preferred_channel": channel}})
        await rig.contacts.update(lead_id, given, actor="crm", expected=None)
    told = [event["data"]["changed"] for event in await rig.told()]
    assert told == [["contact_info.preferred_channel"]] * 2
    assert len((await store.find(CORRECTIONS_BY_LEAD, lead_id, limit=9)).items) == 2


async def test_a_stage_by_score_is_told_in_order(rig: Rig):
    """The engagement, the threshold, the change of stage; at the end the qualification, and the handoff with a link."""
    await rig.login()
    await rig.told()
    await rig.login()
    engaged, reached, changed = await rig.told()
    assert [engaged["type"], reached["type"], changed["type"]] == [ENGAGED, REACHED, CHANGED]
    assert (reached["data"]["threshold"], reached["data"]["points"], reached["data"]["to"]) == (
        "engaged",
        10,
        "Engaged_Lead",
    )
    assert (changed["data"]["from"], changed["data"]["to"]) == ("User", "Engaged_Lead")
    assert changed["data"]["reason"] == "score 10 reached 10"
    await rig.login()
    await rig.told()
    lead_id = await rig.login()
    events = await rig.told()
    assert [event["type"] for event in events] == [ENGAGED, REACHED, CHANGED, QUALIFIED, HANDOFF]
    handoff_id = (await rig.recorder.load(lead_id)).lead.handoff_id
    assert events[-1]["data"]["url"] == f"https://leads.test/desk/handoffs/{handoff_id}"
    assert events[-1]["data"]["reason"] == "qualified"
    assert len({event["id"] for event in events}) == 5


async def test_a_threshold_is_crossed_once(rig: Rig):
    """Further points above it are no news; one event over two thresholds is two."""
    lead_id = await rig.lead()
    await rig.furnish(engaged_threshold=10, scoring_rules={"whatsapp_reply_points": 50, "qualification_threshold": 20})
    other = await rig.lead(email="other@example.com")
    await rig.happen(other, EventType.WHATSAPP_REPLY, Channel.WHATSAPP)
    assert [event["data"]["threshold"] for event in await rig.told(REACHED)] == ["engaged", "qualified"]
    await rig.happen(other, EventType.WHATSAPP_REPLY, Channel.WHATSAPP)
    assert await rig.told(REACHED) == []
    assert lead_id != other


async def test_where_n8n_decides_thresholds_are_still_told(store: Store):
    """The lead stays where it is; the workflow hears of the score, of a first reply and of the last required answer."""
    rig = Rig(store, Clock())
    rules = {"login_points": 10, "qualification_threshold": 10, "whatsapp_reply_points": 0, "answer_points": {}}
    await rig.furnish(
        engaged_threshold=5, stage_policy="n8n", scoring_rules=rules, qualification={"required": ["budget"]}
    )
    await rig.subscribe(REACHED, CHANGED)
    shy = await rig.lead()
    await rig.happen(shy, EventType.WHATSAPP_REPLY, Channel.WHATSAPP)
    (first,) = await rig.told()
    assert (first["data"]["threshold"], first["data"]["reason"]) == ("engaged", "first answer on whatsapp")
    await rig.happen(shy, EventType.WHATSAPP_REPLY, Channel.WHATSAPP)
    assert await rig.told() == []
    lead_id = await rig.login()
    told = await rig.told()
    assert [(event["type"], event["data"]["threshold"]) for event in told] == [
        (REACHED, "engaged"),
        (REACHED, "qualified"),
    ]
    assert told[1]["data"]["missing_answers"] == ["budget"]
    await rig.happen(lead_id, EventType.QUALIFICATION_ANSWER, Channel.CHATBOT, slot="budget", value="10k")
    (complete,) = await rig.told()
    assert (complete["data"]["threshold"], complete["data"]["missing_answers"]) == ("qualified", [])
    assert (await rig.recorder.load(lead_id)).lead.stage is Stage.USER


async def test_a_stage_by_hand_is_told_with_who_and_why(rig: Rig):
    """So is its undoing, as a change of its own; coming back from Customer is no qualification."""
    lead_id = await rig.lead()
    for stage in (Stage.ENGAGED, Stage.QUALIFIED, Stage.CUSTOMER):
        await rig.recorder.move(lead_id, stage, actor="ana", reason="spoke")
    await rig.recorder.revert(lead_id, actor="ana", reason="a mistake")
    events = await rig.told(CHANGED, QUALIFIED, HANDOFF)
    assert [event["type"] for event in events] == [CHANGED, CHANGED, QUALIFIED, HANDOFF, CHANGED, CHANGED]
    assert (events[0]["data"]["actor"], events[0]["data"]["reason"]) == ("ana", "spoke")
    back = events[-1]["data"]
    assert (back["from"], back["to"], back["is_revert"]) == ("Customer", "Qualified_Lead", True)


async def test_a_wish_for_a_person_is_told_once(rig: Rig):
    """With the reason for which it was opened; further wishes and a qualification while it is open open none."""

    async def wish(reason: Reason, turn: str) -> None:
        async def act(met: Met) -> Acted:
            return Acted(met.lead_id, (), met.person, wish=reason, cause=turn)

        await engage(rig.recorder, [Key("visitor", "v1")], "flow", act)

    await wish(Reason.ASKED, "t1")
    await wish(Reason.DEMO, "t2")
    (asked,) = await rig.told(HANDOFF)
    lead = (await rig.recorder.load(asked["data"]["lead_id"])).lead
    assert (asked["data"]["handoff_id"], asked["data"]["reason"]) == (lead.handoff_id, "asked")
    for stage in (Stage.ENGAGED, Stage.QUALIFIED):
        await rig.recorder.move(asked["data"]["lead_id"], stage, actor="ana", reason="spoke")
    assert await rig.told(HANDOFF) == []


async def test_the_same_cause_has_the_same_id_and_no_other_has(rig: Rig):
    """Two receivers of one event see one id."""
    await rig.subscribe(url="https://second.test/hook")
    await rig.login()
    events = await rig.told()
    by_type: dict[str, set[str]] = {}
    for event in events:
        by_type.setdefault(event["type"], set()).add(event["id"])
    assert [len(ids) for ids in by_type.values()] == [1] * len(by_type)
    assert len(events) == 2 * len(by_type)
