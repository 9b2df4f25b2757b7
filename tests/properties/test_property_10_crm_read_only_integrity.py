"""A CRM that would notice being written to, behind the workflows as n8n gets them."""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from n8n.linting import CRM_CREDENTIAL, lint
from n8n.rendering import CrmMapping, Rendering, render, workflow_names
from tests.n8n.test_workflows import CRM, HUBSPOT, LEADLINE, POLL, WEBHOOK, js, login, under_node
from tests.properties.rig import examples
from tests.strategies import json_values

READING = {"GET", "HEAD"}
WRITES = {"POST", "PUT", "PATCH", "DELETE"}

odd = st.one_of(
    st.builds(lambda n: login(n, occurred_at="yesterday"), st.integers(0, 20)),
    st.builds(lambda n: login(n, crm_user_id=2**60), st.integers(0, 20)),
    json_values,
)
contacts = st.builds(
    lambda id, email, at: {
        "id": id,
        "properties": {"email": email, "last_login_ms": at, "product": "flowdesk", "company_id": "c"},
    },
    st.integers(1, 20).map(str),
    st.sampled_from(["a@example.com", "no address", ""]),
    st.sampled_from(["1700000000000", "yesterday", ""]),
)
records = st.lists(st.builds(login, st.integers(0, 20)) | odd | contacts, max_size=6)
faults = st.sampled_from(
    [
        {"statusCode": 503, "data": ""},
        {"statusCode": 401, "data": "{}"},
        {"statusCode": 405, "data": "use another method"},
        {"statusCode": 200, "data": "<html>"},
        {"statusCode": 200, "data": '{"items": {"method": "DELETE"}}'},
    ]
)
answers = st.lists(
    st.sampled_from(
        [
            None,
            [],
            [{"statusCode": 503, "data": "away"}],
            [{"statusCode": 422, "data": '{"detail": "too odd"}'}],
            [{"statusCode": 307, "data": json.dumps({"location": CRM})}],
        ]
    ),
    max_size=3,
)
renderings = st.builds(
    lambda size, pages, mapping: Rendering(
        leadline_url=LEADLINE, crm_url=CRM, batch_size=size, pages_per_run=pages, mapping=mapping
    ),
    st.integers(1, 5),
    st.integers(1, 4),
    st.sampled_from([CrmMapping(), HUBSPOT]),
)


class ReadOnlyCrm:
    """The CRM, page by page. Everything but reading changes its records, as it would in earnest."""

    def __init__(self, pages: Sequence[Sequence[Any]], mapping: CrmMapping):
        self.pages, self.mapping = [list(page) for page in pages], mapping
        self.before = copy.deepcopy(self.pages)

    def take(self, method: str, body: Any) -> None:
        """One request, whatever it was."""
        if method == "DELETE":
            self.pages.clear()
        elif method not in READING:
            self.pages.append([body])

    def answers(self) -> list[list[dict[str, Any]]]:
        """The pages as the HTTP node hears them."""
        return [
            [{"statusCode": 200, "data": json.dumps(self._page(n, page))}] for n, page in enumerate(self.pages, start=1)
        ]

    def _page(self, number: int, page: Sequence[Any]) -> dict[str, Any]:
        is_last = number == len(self.pages)
        if self.mapping.items == "items":
            return {"items": list(page), "next_cursor": None if is_last else f"c{number}"}
        return {"results": list(page), **({} if is_last else {"paging": {"next": {"after": number}}})}


def run_of(name: str, rendering: Rendering, read: Sequence[Any], body: Any, posts: Mapping[str, Any]) -> dict[str, Any]:
    """What the harness is asked to run."""
    started = {"node": "Schedule", "items": [{"json": {}}]}
    if name == WEBHOOK:
        started = {"node": "Webhook", "items": [{"json": {"headers": {}, "body": body}}]}
    workflow = render(name, rendering)
    return {"workflow": workflow, "start": started, "answers": {"Read page": list(read), **posts}, "static": {}}


@under_node
@examples(most=1000)
@given(
    pages=st.lists(records, min_size=1, max_size=3),
    rendering=renderings,
    trouble=st.dictionaries(st.integers(0, 3), faults, max_size=2),
    logins=answers,
    letters=answers,
)
def test_crm_read_only_integrity(
    pages: list[list[Any]],
    rendering: Rendering,
    trouble: dict[int, dict[str, Any]],
    logins: list[Any],
    letters: list[Any],
) -> None:
    """Feature: lead-nurturing-automation, Property 10: CRM Read-Only Integrity

    Whatever the CRM holds and whatever goes wrong on either side, the workflows ask it with GET alone and send it
    nothing, so its records are afterwards what they were before; every write goes to this server. What they need the
    CRM's credential for is reading, and no other node has it.

    Seen to catch: a poll that asks by POST, dead letters that go back to the CRM, and (with the test below) a lint that
    lets a PATCH pass.
    """
    crm = ReadOnlyCrm(pages, rendering.mapping)
    read = crm.answers()
    for number, fault in trouble.items():
        read[number:number] = [[fault]]
    posts = {"Post logins": logins, "Post dead letters": letters}
    body = [record for page in pages for record in page]
    names = [POLL, WEBHOOK]
    for name, run in zip(names, js(*(run_of(name, rendering, read, body, posts) for name in names)), strict=True):
        for call in run["calls"]:
            if call["url"].startswith(LEADLINE):
                assert call["method"] == "POST"
                assert call["url"] in {f"{LEADLINE}/events/logins", f"{LEADLINE}/dead-letters"}
                continue
            assert call["url"].startswith(CRM), call["url"]
            crm.take(call["method"], call.get("body"))
            assert call["method"] in READING, f"{name}: {call['method']} to the CRM"
            assert not call.get("body"), "a request that reads carries nothing"
        assert name != POLL or any(call["url"] == CRM for call in run["calls"]), "the poll reads the CRM"
    assert crm.pages == crm.before, "the CRM is as it was"


@examples()
@given(rendering=renderings, name=st.sampled_from(workflow_names()), method=st.sampled_from(sorted(WRITES)))
def test_the_lint_guards_the_crm(rendering: Rendering, name: str, method: str) -> None:
    """No workflow gives the CRM's credential to anything that writes, and the lint refuses one that would."""
    workflow = render(name, rendering)
    assert lint(workflow) == []
    holders = [node for node in workflow["nodes"] if _has_crm_credential(node)]
    for node in holders:
        assert node["parameters"].get("method", "GET") in READING
        node["parameters"]["method"] = method
    assert bool(holders) is any("only read" in fault for fault in lint(workflow))


def _has_crm_credential(node: Mapping[str, Any]) -> bool:
    return any(its["id"] == CRM_CREDENTIAL for its in node.get("credentials", {}).values())
