"""The workflows: as files, against the server's description, and their JavaScript under Node."""

import copy
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from n8n.ingest import DeadLetter, IngestRoutes
from n8n.linting import API_CREDENTIAL, CRM_CREDENTIAL, kind, lint
from n8n.rendering import FOLDER, CrmMapping, Rendering, Workflow, credentials, interval, render, workflow_names
from tracker.ingestion import Ingestion
from tracker.logins import read_login
from tracker.openapi import describe
from tracker.times import now

LEADLINE, CRM = "http://leadline.test", "http://crm.test/logins"
RENDERING = Rendering(leadline_url=LEADLINE, crm_url=CRM)
POLL, WEBHOOK = "crm-ingestion-poll", "crm-ingestion-webhook"
HARNESS = Path(__file__).with_name("harness.js")
NODE = shutil.which("node")
under_node = pytest.mark.skipif(NODE is None, reason="there is no `node` on the PATH to run the workflows' JavaScript")

JSON = dict[str, Any]


def js(*jobs: JSON) -> list[JSON]:
    """Run jobs in the harness, all in one Node."""
    assert NODE is not None
    text = json.dumps(jobs)
    done = subprocess.run([NODE, str(HARNESS)], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return cast(list[JSON], json.loads(done.stdout))


def login(number: int = 1, **changes: Any) -> JSON:
    return {
        "event_id": f"l-{number}",
        "crm_user_id": f"u-{number}",
        "organization_id": "org-1",
        "product_id": "flowdesk",
        "occurred_at": "2026-11-22T14:27:00Z",
        "email": f"person-{number}@example.com",
        **changes,
    }


def page(*items: Any, next_cursor: Any = None) -> list[JSON]:
    """One page of the CRM, as the HTTP node gives it."""
    return [{"statusCode": 200, "data": json.dumps({"items": items, "next_cursor": next_cursor})}]


def poll(*pages: list[JSON], rendering: Rendering = RENDERING, static: JSON | None = None, **answers: Any) -> JSON:
    """One run of the poll: the pages that the CRM gives, and answers of the server where it does not just accept."""
    posts = {name.capitalize().replace("_", " "): list(its) for name, its in answers.items()}
    return js(
        {
            "workflow": render(POLL, rendering),
            "start": {"node": "Schedule", "items": [{"json": {}}]},
            "answers": {"Read page": list(pages), **posts},
            "static": static or {},
        }
    )[0]


def webhook(body: Any, rendering: Rendering = RENDERING, **answers: Any) -> JSON:
    posts = {name.capitalize().replace("_", " "): list(its) for name, its in answers.items()}
    start = {"node": "Webhook", "items": [{"json": {"headers": {}, "body": body}}]}
    return js({"workflow": render(WEBHOOK, rendering), "start": start, "answers": posts})[0]


def refused(status: int, detail: str = "no") -> list[JSON]:
    return [{"statusCode": status, "data": json.dumps({"detail": detail})}]


def sent(run: JSON, node: str = "Post logins") -> list[JSON]:
    return [call for call in run["calls"] if call["node"] == node]


def events(run: JSON) -> list[Any]:
    return [event for call in sent(run) for event in call["body"]["events"]]


def letters(run: JSON) -> list[JSON]:
    return [call["body"] for call in sent(run, "Post dead letters")]


def keys(run: JSON) -> list[str]:
    return [call["headers"]["Idempotency-Key"] for call in run["calls"] if call["headers"]]


def transformed(record: Any, mapping: CrmMapping | None = None) -> JSON:
    """What the JavaScript makes of one record: {value} or {error}."""
    rendering = RENDERING.model_copy(update={"mapping": mapping or CrmMapping()})
    return js({"code": library(rendering), "call": "transform", "arguments": [record]})[0]


def library(rendering: Rendering = RENDERING) -> str:
    """The shared code, without what a node does with it."""
    nodes = {node["name"]: node for node in render(WEBHOOK, rendering)["nodes"]}
    code: str = nodes["Transform"]["parameters"]["jsCode"]
    return code[: code.rindex("const records =")]


# --- as files


@pytest.mark.parametrize("name", workflow_names())
def test_a_workflow_is_named_after_its_file_and_clean(name: str) -> None:
    """Rendered, a workflow has nothing that the lint objects to; its name is what deployments find it by."""
    workflow = render(name, RENDERING)
    assert workflow["name"] == f"Leadline: {name}"
    assert lint(workflow) == []
    assert json.loads(json.dumps(workflow)) == workflow


def test_there_are_both_ways_in() -> None:
    """The CRM is polled, or calls."""
    assert {POLL, WEBHOOK} <= set(workflow_names())


@pytest.mark.parametrize("name", workflow_names())
def test_a_template_alone_is_not_for_n8n(name: str) -> None:
    """A template that was imported without being rendered is told by the lint."""
    template = json.loads((FOLDER / f"{name}.json").read_text())
    assert any("@@leadline_url@@ is left open" in fault for fault in lint(template))


def broken(change: Callable[[Workflow, dict[str, JSON]], Any], name: str = POLL) -> str:
    workflow = copy.deepcopy(render(name, RENDERING))
    change(workflow, {node["name"]: node for node in workflow["nodes"]})
    return "; ".join(lint(workflow))


def put(part: str, value: Any, node: str = "Post logins") -> Callable[[Workflow, dict[str, JSON]], None]:
    """Return the change of one value, by its path in a node."""

    def change(workflow: Workflow, nodes: dict[str, JSON]) -> None:
        *way, last = part.split(".")
        place: Any = nodes[node]
        for step in way:
            place = place[step]
        place[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w, n: w["connections"].pop("Saved cursor"), "Read page: nothing leads to it"),
        (lambda w, n: w["connections"]["By hand"]["main"][0][0].update(node="Nowhere"), "Nowhere: connected, but"),
        (lambda w, n: w["nodes"].remove(n["By hand"]), "needs a Manual Trigger"),
        (lambda w, n: w["nodes"].append(n["Fail"]), "Fail: two nodes have this name"),
        (lambda w, n: w["settings"].pop("executionOrder"), "not v1"),
        (lambda w, n: w["settings"].pop("executionTimeout"), "no time-out"),
        (lambda w, n: w.update(id="leadline-crm-ingestion-poll"), "n8n would not keep the cursor"),
        (lambda w, n: w.update(name="Mine"), "does not begin with Leadline"),
        (put("typeVersion", 4.2), "version 4.2 of httpRequest was not tried"),
        (put("type", "n8n-nodes-base.ftp"), "the type ftp was not tried"),
        (put("retryOnFail", True), "lose and double items"),
        (put("parameters.options", {}), "no time-out"),
        (put("parameters.headerParameters", {}), "a write without an Idempotency-Key"),
        (put("parameters.url", "={{ $env.URL }}"), "$env is left open"),
        (put("credentials", {}), "no credential"),
        (put("parameters.method", "PATCH", node="Read page"), "PATCH to the CRM, which is only read"),
        (put("parameters.jsCode", "require('crypto')", node="Fail"), "cannot load modules"),
    ],
)
def test_the_lint_finds(change: Callable[[Workflow, dict[str, JSON]], Any], told: str) -> None:
    """Each rule is one that somebody could break by hand in the editor."""
    assert told in broken(change)


def test_the_lint_wants_a_guarded_webhook() -> None:
    """A webhook without authentication would let everybody write logins."""
    assert "everybody may call it" in broken(put("parameters.authentication", "none", node="Webhook"), WEBHOOK)


def test_secrets_are_in_the_credentials_only() -> None:
    """Workflows name credentials by id; the ids and types are those of the credentials file."""
    made = credentials(api_key="the-key", crm_token="the-token", webhook_token="the-hook")
    known = {(its["id"], its["type"]) for its in made}
    used = {
        (its["id"], its_type)
        for name in workflow_names()
        for node in render(name, RENDERING)["nodes"]
        for its_type, its in node.get("credentials", {}).items()
    }
    assert used == known
    assert made[2]["data"] == {"name": "Authorization", "value": "Bearer the-hook"}


@pytest.mark.parametrize(
    ("seconds", "rule"),
    [
        (20, {"field": "seconds", "secondsInterval": 20}),
        (60, {"field": "minutes", "minutesInterval": 1}),
        (900, {"field": "minutes", "minutesInterval": 15}),
        (7200, {"field": "hours", "hoursInterval": 2}),
    ],
)
def test_the_schedule_is_told_in_n8ns_units(seconds: int, rule: JSON) -> None:
    """n8n counts to 59 seconds, 59 minutes, 23 hours."""
    assert interval(seconds) == rule


@pytest.mark.parametrize(
    "wrong",
    [
        {"schedule_seconds": 90},
        {"schedule_seconds": 0},
        {"batch_size": 501},
        {"batch_size": 0},
        {"crm_url": "ftp://crm.test"},
        {"crm_url": "https://user:secret@crm.test"},
        {"leadline_url": "={{ $env.URL }}"},
    ],
)
def test_wrong_settings_do_not_render(wrong: JSON) -> None:
    """What n8n or the server would refuse is refused here."""
    with pytest.raises(ValidationError):
        Rendering(**{"leadline_url": LEADLINE, "crm_url": CRM, **wrong})


@pytest.mark.parametrize(
    "fields",
    [
        {"event_id": "id"},
        {**CrmMapping().fields, "emial": "email"},
        {**CrmMapping().fields, "email": {"path": "email", "as": "rot13"}},
    ],
)
def test_a_wrong_mapping_is_told(fields: JSON) -> None:
    """Required fields need a rule, and only a login's fields can have one."""
    with pytest.raises(ValidationError):
        CrmMapping.model_validate({"fields": fields})


def test_an_error_workflow_is_named_when_there_is_one() -> None:
    """Without one n8n gets none, instead of an id that leads nowhere."""
    assert "errorWorkflow" not in render(POLL, RENDERING)["settings"]
    watched = RENDERING.model_copy(update={"error_workflow": "leadline-errors"})
    assert render(POLL, watched)["settings"]["errorWorkflow"] == "leadline-errors"


# --- against the server's description


def description() -> JSON:
    nothing = cast(Ingestion, type("Nothing", (), {"store": None, "clock": staticmethod(now)})())
    return describe(IngestRoutes(nothing).routes(), version="0")


def operation(node: JSON) -> JSON:
    """What the server says about a node's request. KeyError: it has no such path or method."""
    parameters = node["parameters"]
    path = parameters["url"].removeprefix(LEADLINE)
    return cast(JSON, description()["paths"][path][parameters["method"].lower()])


def requests() -> list[Any]:
    return [
        pytest.param(node, id=f"{name}/{node['name']}")
        for name in workflow_names()
        for node in render(name, RENDERING)["nodes"]
        if kind(node) == "httpRequest" and API_CREDENTIAL in str(node["credentials"])
    ]


@pytest.mark.parametrize("node", requests())
def test_a_request_is_one_that_the_server_describes(node: JSON) -> None:
    """Method, path, headers and the status that the code waits for are those of /openapi.json."""
    described = operation(node)
    headers = {its["name"] for its in node["parameters"]["headerParameters"]["parameters"]}
    assert headers <= {its["name"] for its in described["parameters"] if its["in"] == "header"}
    assert described["security"] == [{"key": []}]
    assert "202" in described["responses"]
    assert "application/json" in described["requestBody"]["content"]


@under_node
def test_the_bodies_are_what_the_server_takes() -> None:
    """Bodies as the workflows make them: every login is read without a fault, and the dead letter fits its model."""
    run = poll(page(login(1), login(2, crm_user_id=2**60), login(3, organization_id=7)))
    assert [read_login(event, now=now()).faults for event in events(run)] == [(), ()]
    (letter,) = letters(run)
    assert TypeAdapter(DeadLetter).validate_python(letter).workflow == POLL
    model = description()["components"]["schemas"]["DeadLetter"]
    assert set(model["required"]) <= letter.keys() <= model["properties"].keys()


def test_the_crm_is_only_read() -> None:
    """No node with the CRM's credential, or its address, does anything but GET."""
    for name in workflow_names():
        for node in render(name, RENDERING)["nodes"]:
            if CRM_CREDENTIAL in str(node.get("credentials")) or CRM in str(node["parameters"].get("url")):
                assert node["parameters"]["method"] == "GET"


# --- the JavaScript: hashing and transforming


@under_node
@settings(max_examples=10)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), min_size=20, max_size=20))
def test_the_hash_is_sha_256(texts: list[str]) -> None:
    """It agrees with hashlib, whatever the length and script."""
    jobs = [{"code": library(), "call": "sha256", "arguments": [text]} for text in texts]
    assert [done["value"] for done in js(*jobs)] == [hashlib.sha256(text.encode()).hexdigest() for text in texts]


@under_node
def test_the_hash_holds_at_every_length_around_a_block() -> None:
    """Padding is where such code goes wrong."""
    texts = ["x" * length for length in [*range(50, 70), *range(115, 131), 1_000_000]]
    jobs = [{"code": library(), "call": "sha256", "arguments": [text]} for text in texts]
    assert [done["value"] for done in js(*jobs)] == [hashlib.sha256(text.encode()).hexdigest() for text in texts]


@under_node
def test_a_good_record_goes_as_it_is() -> None:
    """By default fields keep their names; what a login does not have stays behind, and so does what is empty."""
    record = login(feature_usage={"reports": 3}, whatsapp_opt_in=False)
    assert transformed({**record, "owner": "sam", "phone": "", "industry": None}) == {"value": record}


HUBSPOT = CrmMapping.model_validate_json((FOLDER.parent / "mappings" / "hubspot.json").read_bytes())
CONTACT = {
    "id": "512",
    "properties": {
        "hs_contact_id": "901",
        "associatedcompanyid": 77,
        "company": "Acme",
        "product": "Flow Desk",
        "last_login_ms": "1795357620000",
        "email": "Dana@Example.com",
        "firstname": "Dana",
    },
    "updatedAt": "2026-11-23T00:00:00Z",
}


@under_node
def test_a_mapping_finds_fields_where_the_crm_has_them() -> None:
    """The HubSpot example: paths, alternatives, constants, conversions and renamed products."""
    assert transformed(CONTACT, HUBSPOT)["value"] == {
        "event_id": "512",
        "crm_user_id": "901",
        "organization_id": 77,
        "organization_name": "Acme",
        "product_id": "flowdesk",
        "occurred_at": "2026-11-22T14:27:00.000Z",
        "email": "dana@example.com",
        "name": "Dana",
        "source": "hubspot",
    }


@under_node
@pytest.mark.parametrize(
    ("how", "value", "made"),
    [
        ("epoch_s", 1795357620, "2026-11-22T14:27:00.000Z"),
        ("utc", "2026-11-22 14:27:00", "2026-11-22T14:27:00Z"),
        ("utc", "2026-11-22T14:27:00+02:00", "2026-11-22T14:27:00+02:00"),
        ("text", 17, "17"),
    ],
)
def test_a_conversion_makes_what_the_server_reads(how: str, value: Any, made: str) -> None:
    """CRMs tell times in seconds, or without a zone."""
    mapping = CrmMapping.model_validate(
        {"fields": {**CrmMapping().fields, "occurred_at": {"path": "occurred_at", "as": how}}}
    )
    assert transformed(login(occurred_at=value), mapping)["value"]["occurred_at"] == made


@under_node
@pytest.mark.parametrize(
    "record",
    [
        {},
        {"event_id": "l-1", "odd": True},
        login(event_id=None),
        login(crm_user_id=""),
        None,
        7,
        "text",
        [login()],
        {"__proto__x": 1, "constructor": {"prototype": {"event_id": "l-1"}}},
    ],
)
def test_a_record_without_its_ids_goes_as_it_came(record: Any) -> None:
    """The server quarantines it by its content, once, and shows people the original."""
    assert transformed(record) == {"value": record}


@under_node
@pytest.mark.parametrize("field", ["event_id", "crm_user_id", "occurred_at", "email", "feature_usage"])
@pytest.mark.parametrize("wrong", [{"a": 1}, [1, 2], True, 1.5])
def test_a_wrong_type_is_the_servers_to_judge(field: str, wrong: Any) -> None:
    """The transform does not repeat the server's rules."""
    record = login(**{field: wrong})
    assert transformed(record) == {"value": record}


@under_node
@pytest.mark.parametrize(
    ("record", "told"),
    [
        (login(crm_user_id=9007199254740993), "beyond 2^53"),
        (login(name="x" * 300_000), "are the most"),
        (json.loads('{"event_id":' + "[" * 150 + "]" * 150 + "}"), "levels deep"),
    ],
)
def test_a_record_that_cannot_be_sent_throws(record: Any, told: str) -> None:
    """A number that has lost digits would make two people one; the others the server could not read."""
    assert told in transformed(record)["error"]


@under_node
def test_half_a_character_does_not_spoil_the_batch() -> None:
    """A lone surrogate is no JSON to the server; it is replaced, in names too."""
    assert transformed(login(name="Dana \ud83d"))["value"]["name"] == "Dana \ufffd"
    assert transformed({"\ud800": "x"}) == {"value": {"\ufffd": "x"}}


# --- the poll


@under_node
def test_a_poll_reads_all_pages_and_saves_the_cursor() -> None:
    """Page by page from the beginning; null ends it and the last cursor stays."""
    run = poll(page(login(1), login(2), next_cursor="c1"), page(login(3), next_cursor="c2"), page(login(4)))
    assert run["error"] is None
    assert [call["query"] for call in sent(run, "Read page")] == [
        {"cursor": "", "limit": "500"},
        {"cursor": "c1", "limit": "500"},
        {"cursor": "c2", "limit": "500"},
    ]
    assert [event["event_id"] for event in events(run)] == ["l-1", "l-2", "l-3", "l-4"]
    assert run["static"]["cursor"] == "c2"
    assert all(call["method"] == "GET" and call["url"] == CRM for call in sent(run, "Read page"))
    assert all(call["url"] == f"{LEADLINE}/events/logins" for call in sent(run))


@under_node
def test_the_next_poll_goes_on_from_the_saved_cursor() -> None:
    """Also when nothing is new."""
    run = poll(page(), static={"cursor": "c2", "told": []})
    assert sent(run, "Read page")[0]["query"]["cursor"] == "c2"
    assert (run["error"], sent(run), run["static"]["cursor"]) == (None, [], "c2")


@under_node
def test_an_empty_page_with_a_cursor_is_passed() -> None:
    """A CRM may filter after it has counted."""
    run = poll(page(next_cursor="c1"), page(login(1)))
    assert (len(events(run)), run["static"]["cursor"]) == (1, "c1")


@under_node
def test_a_cursor_that_does_not_move_ends_the_run() -> None:
    """Else it would go round for ever."""
    run = poll(page(login(1), next_cursor="c1"), page(login(1), next_cursor="c1"), page(login(9)))
    assert (len(sent(run, "Read page")), run["static"]["cursor"]) == (2, "c1")


@under_node
def test_a_poll_reads_no_more_than_its_pages() -> None:
    """What is left is the next run's, from where this one ended."""
    pages = [page(login(n), next_cursor=n) for n in range(1, 6)]
    run = poll(*pages, rendering=RENDERING.model_copy(update={"pages_per_run": 3}))
    assert (len(events(run)), run["static"]["cursor"]) == (3, "3")


@under_node
def test_a_page_is_sent_in_batches_of_500() -> None:
    """Also when the CRM gives more than it was asked for."""
    run = poll(page(*(login(n) for n in range(1201))))
    assert [len(call["body"]["events"]) for call in sent(run)] == [500, 500, 201]
    assert len(set(keys(run))) == 3


@under_node
def test_a_batch_stays_below_what_the_server_takes() -> None:
    """Records of 100 kB go ten at a time: a body may have 2 MB."""
    run = poll(page(*(login(n, name="x" * 100_000) for n in range(25))))
    sizes = [len(json.dumps(call["body"])) for call in sent(run)]
    assert len(events(run)) == 25
    assert max(sizes) < 1_100_000


@under_node
@pytest.mark.parametrize(
    "answer",
    [
        [{"statusCode": 503, "data": "away"}],
        [{"statusCode": 500, "data": ""}],
        *(refused(status) for status in (401, 403, 404, 405, 408, 425, 429)),
        [],
        [{"statusCode": 200, "data": "<html>"}],
        [{"statusCode": 302, "data": ""}],
        [{"statusCode": 202, "data": '{"results": []}'}],
    ],
)
def test_a_batch_that_was_not_taken_fails_the_run_and_holds_the_cursor(answer: list[JSON]) -> None:
    """5xx, time-outs, a wrong key or address, no answer of ours: the next run repeats, with the same key."""
    first = page(login(1), next_cursor="c1")
    run = poll(first, page(login(2), next_cursor="c2"), post_logins=[None, answer])
    assert run["error"].startswith("POST /events/logins: ")
    assert run["static"]["cursor"] == "c1"
    assert letters(run) == []
    again = poll(page(login(2), next_cursor="c2"), page(), static=run["static"])
    assert keys(again)[0] == keys(run)[-1]
    assert again["static"]["cursor"] == "c2"


@under_node
@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_batch_that_was_refused_goes_to_the_dead_letters(status: int) -> None:
    """Trying again would not help: each record is kept with the reason, and the cursor goes on."""
    run = poll(page(login(1), login(2), next_cursor="c1"), page(), post_logins=[refused(status, "too odd")])
    assert [letter["record"] for letter in letters(run)] == [login(1), login(2)]
    assert {letter["error"] for letter in letters(run)} == {f"POST /events/logins answered {status} too odd"}
    assert (run["error"], run["static"]["cursor"], len(sent(run))) == (None, "c1", 1)


@under_node
def test_a_throw_costs_one_record_and_is_not_lost() -> None:
    """The transform of one record throws: the others are sent, that one is a dead letter with the original."""
    bad = {**CONTACT, "properties": {**CONTACT["properties"], "last_login_ms": "yesterday"}}  # type: ignore[dict-item]
    rendering = RENDERING.model_copy(update={"mapping": HUBSPOT})
    answer = [{"statusCode": 200, "data": json.dumps({"results": [CONTACT, bad], "paging": {"next": {"after": 2}}})}]
    end = [{"statusCode": 200, "data": '{"results": []}'}]
    run = poll(answer, end, rendering=rendering)
    assert [event["event_id"] for event in events(run)] == ["512"]
    (letter,) = letters(run)
    assert letter == {
        "workflow": POLL,
        "node": "Transform",
        "record": bad,
        "error": "a time is no number of (milli)seconds",
    }
    assert run["static"]["cursor"] == "2"
    assert sent(run, "Read page")[1]["query"] == {"after": "2", "limit": "500"}


@under_node
def test_a_dead_letter_that_was_not_taken_holds_the_cursor() -> None:
    """Nothing is passed over before somebody has it."""
    odd = login(crm_user_id=2**60)
    for answer in ([{"statusCode": 503, "data": ""}], refused(401), []):
        run = poll(page(login(1), odd, next_cursor="c1"), post_dead_letters=[answer])
        assert run["error"].startswith("POST /dead-letters: ")
        assert "cursor" not in run["static"]


@under_node
def test_the_last_page_is_read_again_but_its_dead_letters_are_sent_once() -> None:
    """null leaves the cursor where it is; a record that is still there is no news."""
    odd = login(9, crm_user_id=2**60)
    first = poll(page(login(1), odd), static={"cursor": "c1"})
    second = poll(page(login(1), odd, login(2)), static=first["static"])
    assert (len(letters(first)), letters(second)) == (1, [])
    assert [event["event_id"] for event in events(second)] == ["l-1", "l-2"]
    refused_again = poll(page(login(1)), static=second["static"], post_logins=[refused(422)])
    third = poll(page(login(1)), static=refused_again["static"], post_logins=[refused(422)])
    assert (len(letters(refused_again)), letters(third)) == (1, [])


@under_node
def test_a_monster_is_shown_as_far_as_it_goes() -> None:
    """A record too large or too deep for the server becomes text in its dead letter, which the server takes."""
    deep = json.loads('{"event_id":' + "[" * 500 + "]" * 500 + "}")
    run = poll(page(login(name="x" * 3_000_000), deep, login(2)))
    large, deepest = letters(run)
    assert large["record"].startswith('{"event_id":"l-1"')
    assert len(json.dumps(large)) < 100_000
    assert deepest["record"] == "(a record that is nested too deeply to be shown)"
    assert len(events(run)) == 1


@under_node
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"statusCode": 503, "data": ""}, "the CRM answered 503"),
        ({"statusCode": 401, "data": "{}"}, "the CRM answered 401"),
        ({"statusCode": 200, "data": "<html>"}, "is not JSON"),
        ({"statusCode": 200, "data": "null"}, "no list under items"),
        ({"statusCode": 200, "data": '{"items": {"0": {}}}'}, "no list under items"),
        ({"statusCode": 200, "data": '{"items": [], "next_cursor": {"a": 1}}'}, "cursor is no text"),
    ],
)
def test_what_is_no_page_fails_the_run(answer: JSON, told: str) -> None:
    """A CRM that is away or talks nonsense moves nothing."""
    run = poll([answer], static={"cursor": "c1"})
    assert told in run["error"]
    assert (run["static"], sent(run)) == ({"cursor": "c1"}, [])


@under_node
def test_keys_come_from_the_content() -> None:
    """The same batch has the same key in every run and workflow, another batch has another one."""
    records: Sequence[JSON] = [login(1), login(2)]
    first, again, other = (
        poll(page(*records)),
        poll(page(*records)),
        poll(page(login(1), login(2, email="a@b.example"))),
    )
    assert keys(first) == keys(again) == keys(webhook(records))
    assert keys(first) != keys(other)
    assert re.fullmatch(r"n8n-[0-9a-f]{64}", keys(first)[0])


# --- the webhook


@under_node
@pytest.mark.parametrize("body", [login(1), [login(1)], {"events": [login(1)]}])
def test_the_webhook_takes_one_event_or_several(body: Any) -> None:
    """Three shapes, one request to the server, and its results as the answer."""
    run = webhook(body)
    assert events(run) == [login(1)]
    (response,) = run["responses"]
    assert response["status"] == 200
    assert response["body"]["results"] == [{"event_id": "l-1", "status": "accepted"}]
    assert response["body"]["accepted"] == 1


@under_node
def test_the_webhook_answers_in_the_order_sent() -> None:
    """Over batches and dead letters: one result for each event, where it belongs."""
    records = [login(n) for n in range(501)]
    records[3] = login(3, crm_user_id=2**60)
    run = webhook(records)
    body = run["responses"][0]["body"]
    assert [result["event_id"] for result in body["results"]] == [f"l-{n}" for n in range(501)]
    assert body["results"][3]["status"] == "dead_lettered"
    assert body["results"][3]["review_id"].startswith("review of n8n-")
    assert {name: body[name] for name in ("accepted", "duplicate", "quarantined", "dead_lettered")} == {
        "accepted": 500,
        "duplicate": 0,
        "quarantined": 0,
        "dead_lettered": 1,
    }


@under_node
def test_the_webhook_takes_an_empty_list() -> None:
    """Nothing to do is done."""
    run = webhook([])
    assert (run["calls"], run["responses"][0]["body"]["results"]) == ([], [])


@under_node
@pytest.mark.parametrize("body", ["text", 7, None, True])
def test_the_webhook_tells_what_it_wants(body: Any) -> None:
    """A body without records is the caller's mistake."""
    run = webhook(body)
    assert (run["calls"], run["responses"][0]["status"]) == ([], 422)


@under_node
@pytest.mark.parametrize("answer", [[], [{"statusCode": 503, "data": ""}]])
def test_the_webhook_asks_for_a_repeat_when_the_server_is_away(answer: list[JSON]) -> None:
    """The caller hears it, and n8n's list of runs shows a failed one."""
    run = webhook([login(1)], post_logins=[answer])
    assert run["responses"][0]["status"] == 503
    assert run["error"].startswith("POST /events/logins: ")
