"""Analytics over HTTP: what was sent is what is counted."""

import pytest

from tests.e2e.client import Api, login
from tracker.keys import Scope
from tracker.times import now


async def test_logins_and_stages_are_counted(api: Api) -> None:
    """Each login once; each stage when a lead comes to it, and not any more when that is reverted."""
    sent = [login(event_id=f"l{n}", crm_user_id=f"u{n % 3}", email=f"u{n % 3}@example.com") for n in range(9)]
    for _ in range(2):
        assert (await api.post("/events/logins", sent)).status == 202
    product_id = sent[0]["product_id"]
    lead = (await api.get(f"/leads?product_id={product_id}")).body["items"][0]
    stages = ("Engaged_Lead", "Qualified_Lead", "Customer")
    for stage in stages[stages.index(lead["stage"]) + 1 if lead["stage"] in stages else 0 :]:
        assert (await api.post(f"/leads/{lead['id']}/stage", {"stage": stage})).status == 200
    assert (await api.post(f"/leads/{lead['id']}/stage/revert", {})).status == 200
    answer = (await api.get(f"/analytics/throughput?product_id={product_id}")).body
    assert (answer["totals"]["logins"], answer["totals"]["leads"]) == (9, 3)
    assert answer["totals"]["events"]["login"] == 9
    assert len(answer["items"]) == 30
    assert (answer["items"][-1]["start"], answer["items"][-1]["logins"]) == (answer["to"], 9)
    answer = (await api.get(f"/analytics/funnel?product_id={product_id}&interval=month")).body
    reached = {flow["stage"]: flow["entered"] for flow in answer["stages"]}
    leads = (await api.get(f"/leads?product_id={product_id}")).body["items"]
    order = ["User", *stages]
    assert reached == {stage: sum(order.index(x["stage"]) >= n for x in leads) for n, stage in enumerate(order)}
    assert answer["stages"][0]["share"] == 1
    assert sum(item["stages"]["User"] for item in answer["items"]) == 3
    whole = (await api.get("/analytics/funnel")).body
    assert (whole["product_id"], whole["stages"]) == (None, answer["stages"])


@pytest.mark.parametrize("report", ["funnel", "throughput"])
async def test_what_makes_no_sense_is_told(api: Api, report: str) -> None:
    path = f"/analytics/{report}"
    for query, where in (
        ("from=yesterday", "from"),
        ("to=2026-02-30", "to"),
        ("from=2026-02-02&to=2026-02-01", "to"),
        ("from=2020-01-01", "from"),
        ("product_id=nothing", "product_id"),
        ("interval=hour", "interval"),
        ("odd=1", "odd"),
    ):
        answer = await api.get(f"{path}?{query}")
        assert (answer.status, answer.paths) == (422, [where]), query
    for query in (
        "from=2026-02-01T10:00:00%2B02:00&to=2026-02-01",
        "to=0001-01-01",
        "from=9999-12-31",
        "interval=week",
    ):
        assert (await api.get(f"{path}?{query}")).status == 200, query
    assert (await api.get(f"{path}?to={now().isoformat().replace('+00:00', 'Z')}")).body[
        "to"
    ] == now().date().isoformat()


async def test_a_key_needs_the_scope(api: Api) -> None:
    allowed, other = [await api.key(scope) for scope in (Scope.ANALYTICS_READ, Scope.LEADS_READ)]
    for report in ("funnel", "throughput"):
        assert (await api.get(f"/analytics/{report}", key=allowed)).status == 200
        assert (await api.get(f"/analytics/{report}", key=other)).status == 403
