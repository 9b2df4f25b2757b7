"""Health, metrics, exports, and the description of the API, which is complete and true."""

import asyncio
import csv
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import ADMIN, Api, login
from tracker.keys import Scope
from tracker.store.port import Unavailable

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


async def test_a_live_server_says_so(bare: Api) -> None:
    """Alive needs nothing; ready looks at the store and says how each channel is, off being no fault."""
    alive = await bare.get("/healthz", key=None)
    assert (alive.status, alive.body) == (200, {"status": "ok"})
    ready = await bare.get("/readyz", key=None)
    assert (ready.status, ready.body["status"], ready.body["checks"]["store"]) == (200, "ready", "ok")
    assert ready.body["checks"]["email"].startswith("on")


async def test_without_its_store_a_server_is_not_ready(bare: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with the reason, so that a balancer sends nobody; alive stays alive."""

    async def away() -> None:
        raise Unavailable("the store cannot be reached")

    monkeypatch.setattr(bare.server.store, "ping", away)
    async with bare.session.get(f"{bare.base}/readyz") as reply:
        assert (reply.status, (await reply.json())["checks"]["store"]) == (503, "the store cannot be reached")
    assert (await bare.get("/healthz", key=None)).status == 200


async def test_a_store_that_is_away_is_a_503_with_a_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller is told to come back, and when; nothing of ours is shown."""

    async def away(*_: Any) -> None:
        raise Unavailable("the store cannot be reached")

    monkeypatch.setattr(api.server.store, "commit", away)
    body = {"product_id": "flowdesk", "email": "d@example.com"}
    headers = {"Authorization": f"Bearer {ADMIN}"}
    async with api.session.post(f"{api.base}/leads", json=body, headers=headers) as reply:
        assert (reply.status, reply.content_type) == (503, "application/problem+json")
        assert int(reply.headers["Retry-After"]) >= 1
        assert (await reply.json())["detail"] == "the store cannot be reached"


async def test_an_error_of_ours_tells_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is a 500 without a stack trace, a path or a secret."""

    async def broken(*_: Any) -> None:
        raise RuntimeError(f"secret {ADMIN}")

    monkeypatch.setattr(api.server.store, "find", broken)
    async with api.session.get(f"{api.base}/leads", headers={"Authorization": f"Bearer {ADMIN}"}) as reply:
        text = await reply.text()
        assert (reply.status, reply.content_type) == (500, "application/problem+json")
    assert "secret" not in text
    assert "Traceback" not in text


async def test_metrics_count_what_was_answered(api: Api) -> None:
    """Prometheus' text format, by route and not by address, so that ids make no series of their own."""
    lead = await api.lead()
    for _ in range(3):
        await api.get(f"/leads/{lead['id']}")
    await api.get("/nowhere")
    reply = await api.get("/metrics", key=None)
    assert reply.headers["Content-Type"].startswith("text/plain")
    lines = reply.raw.decode().splitlines()
    assert 'leadline_http_requests_total{method="GET",route="/leads/{id}",status="200"} 3.0' in lines
    assert 'leadline_http_requests_total{method="GET",route="(none)",status="404"} 1.0' in lines
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)
    assert lead["id"] not in reply.raw.decode()


async def test_the_ledger_is_exported_whole_and_safe(api: Api) -> None:
    """Every event is one row under the documented columns, and no cell is a formula in a spreadsheet."""
    logins = [login(event_id=f"=cmd|{n}", crm_user_id=f"u{n % 7}") for n in range(700)]
    await api.post("/events/logins", [*logins, login(event_id="@SUM(A1)"), login(event_id='a,"b"')])
    reply = await api.get("/exports/events.csv")
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert reply.headers["Content-Disposition"] == 'attachment; filename="events.csv"'
    rows = list(csv.DictReader(io.StringIO(reply.raw.decode())))
    assert list(rows[0])[:6] == ["event_id", "lead_id", "event_type", "channel", "timestamp", "score_impact"]
    assert {row["event_id"] for row in rows} == {f"'=cmd|{n}" for n in range(700)} | {"'@SUM(A1)", 'a,"b"'}
    assert len(rows) == 702
    leads = await api.everything("/leads", limit=50)
    assert sum(float(row["score_impact"]) for row in rows) == sum(lead["engagement_score"] for lead in leads)
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "@", "-"))]


async def test_leads_are_exported_whole_and_safe(api: Api) -> None:
    """One row a lead, for keys that may read analytics; no cell begins a formula."""
    await api.lead(name="=1+1", demographics={"company": "@cmd", "lead_id": "x"})
    await api.lead(name="Dana", phone="+4915112345678")
    reply = await api.get("/exports/leads.csv", key=await api.key(Scope.ANALYTICS_READ))
    assert reply.headers["Content-Disposition"] == 'attachment; filename="leads.csv"'
    rows = list(csv.DictReader(io.StringIO(reply.raw.decode())))
    told = [(row["name"], row["company"], row["phone"], row["stage"]) for row in rows]
    assert told == [("'=1+1", "'@cmd", "", "User"), ("Dana", "", "'+4915112345678", "User")]
    assert [row["lead_id"] for row in rows] == [lead["id"] for lead in await api.everything("/leads")]


async def test_an_empty_ledger_is_a_header(bare: Api) -> None:
    """An export of nothing can be opened too."""
    reply = await bare.get("/exports/events.csv")
    assert (reply.status, reply.raw.decode().count("\n")) == (200, 1)


# the description


async def test_every_route_is_described(bare: Api) -> None:
    """OpenAPI 3.1, one operation for each row of the table, with its scope and its answers."""
    spec = (await bare.get("/openapi.json", key=None)).body
    assert spec["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, operations in spec["paths"].items() for method in operations}
    table = {(route.method, re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route.path)) for route in bare.server.routes}
    assert described == table
    operations = [operation for path in spec["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    by_session = [operation for operation in operations if operation.get("security") == [{"desk": []}]]
    assert len(by_session) == sum(route.session for route in bare.server.routes)
    closed = [operation for operation in operations if operation.get("security") == [{"key": []}]]
    assert len(closed) == sum(route.scope is not None for route in bare.server.routes)
    assert all({"401", "403"} <= operation["responses"].keys() for operation in closed)
    refs = set(re.findall(r"#/components/schemas/([\w.-]+)", str(spec)))
    assert refs <= spec["components"]["schemas"].keys()


async def test_the_description_is_a_valid_openapi_document(bare: Api) -> None:
    """It holds to the published schema of OpenAPI 3.1, so every tool can read it."""
    from jsonschema_rs import Draft202012Validator
    from schemathesis.specs.openapi import definitions

    spec = (await bare.get("/openapi.json", key=None)).body
    definitions.OPENAPI_31_VALIDATOR.validate(spec)
    for name, schema in spec["components"]["schemas"].items():
        Draft202012Validator({**schema, "components": spec["components"]})
        assert name


async def test_the_docs_show_every_operation(bare: Api) -> None:
    """A page without scripts that names every address, under a policy that allows none."""
    reply = await bare.get("/docs", key=None)
    page = reply.raw.decode()
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert "<script" not in page
    for route in bare.server.routes:
        assert re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route.path) in page, route.path
    assert (await bare.get("/style.css", key=None)).headers["Content-Type"].startswith("text/css")


async def existing(api: Api) -> dict[str, str]:
    """Make one of everything; return, by where addresses begin, an id to put into them."""
    lead = await api.lead(email="d@example.com", name="Dana")
    await api.post("/templates", {"template_id": "welcome", "channel": "email", "subject": "Hi", "text": "Hello"})
    message = (await api.post("/messages/send", {"lead_id": lead["id"], "text": "Hi"})).body
    letter = (await api.post("/dead-letters", {"workflow": "w", "record": {}, "error": "e"})).body
    return {
        "leads": lead["id"],
        "persons": lead["person_id"],
        "products": "flowdesk",
        "templates": "welcome",
        "messages": message["message_id"],
        "review": letter["review_id"],
    }


async def test_the_description_is_true(api: Api, tmp_path: Path) -> None:
    """A fuzzer driven by it, on things that exist, finds no 5xx, no undocumented status, type or shape."""
    ids = await existing(api)
    tables = [
        f'[[operations]]\ninclude-path-regex = "^/{where}/"\nparameters = {{ id = "{id}" }}\n'
        for where, id in ids.items()
    ]
    (tmp_path / "schemathesis.toml").write_text("\n".join(tables))
    key = await api.key(*(scope for scope in Scope if scope is not Scope.ADMIN))
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml",
        "run", f"{api.base}/openapi.json",
        "--header", f"Authorization: Bearer {key}",
        "--checks", CHECKS,
        "--phases", "coverage,fuzzing",
        "--max-examples", os.environ.get("LEADLINE_TEST_FUZZ", "2"),
        "--seed", "20261122",
        "--generation-database", "none",
        "--no-color",
        "--continue-on-failure",
        "--no-shrink",
    ]  # fmt: skip
    fuzzer = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path
    )
    out, _ = await fuzzer.communicate()
    assert fuzzer.returncode == 0, out.decode()[-6000:]
