"""What has to be true of a workflow before n8n gets it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

API_CREDENTIAL, CRM_CREDENTIAL, WEBHOOK_CREDENTIAL = "leadline-api", "leadline-crm", "leadline-webhook"

VERSIONS: Mapping[str, float] = {
    "code": 2,
    "errorTrigger": 1,
    "executeWorkflow": 1.4,
    "executeWorkflowTrigger": 1.2,
    "httpRequest": 4.5,
    "if": 2.3,
    "manualTrigger": 1,
    "respondToWebhook": 1.5,
    "scheduleTrigger": 1.4,
    "set": 3.5,
    "splitInBatches": 3,
    "splitOut": 1,
    "switch": 3.4,
    "wait": 1.1,
    "webhook": 2.1,
}
"""Of each type of node, the version that was tried with n8n 2.41.1."""

TRIGGERS = {"errorTrigger", "executeWorkflowTrigger", "manualTrigger", "scheduleTrigger", "webhook"}
READING = {"GET", "HEAD"}
LEFT_OPEN = re.compile(r"@@.*?@@|\$env\b|process\.env\b")

LONGEST_ID = 21  # with a longer one n8n 2.41.1 runs a workflow, but takes it for one that was never saved

Node = Mapping[str, Any]


def lint(workflow: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a rendered workflow, in words; nothing where n8n can have it."""
    nodes = {node["name"]: node for node in workflow["nodes"]}
    return [
        *_settings(workflow),
        *_graph(workflow, nodes),
        *(f"{name}: {fault}" for name, node in nodes.items() for fault in _node(node, kind(node))),
    ]


def kind(node: Node) -> str:
    """The type without its package."""
    return str(node["type"]).removeprefix("n8n-nodes-base.")


def _settings(workflow: Mapping[str, Any]) -> Iterator[str]:
    settings = workflow.get("settings", {})
    if not str(workflow.get("name")).startswith("Leadline: "):
        yield "its name does not begin with Leadline"
    if len(workflow.get("id", "")) > LONGEST_ID:
        yield f"its id has more than {LONGEST_ID} characters: n8n would not keep the cursor"
    if settings.get("executionOrder") != "v1":
        yield "the execution order is not v1"
    if not _is_positive(settings.get("executionTimeout")):
        yield "runs have no time-out"


def _is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _graph(workflow: Mapping[str, Any], nodes: Mapping[str, Node]) -> Iterator[str]:
    names = [node["name"] for node in workflow["nodes"]]
    yield from (f"{name}: two nodes have this name" for name in nodes if names.count(name) > 1)
    targets = {name: list(_targets(outputs)) for name, outputs in workflow["connections"].items()}
    for name, its in targets.items():
        yield from (f"{end}: connected, but there is no such node" for end in [name, *its] if end not in nodes)
    kinds = {kind(node) for node in nodes.values()}
    if not kinds & TRIGGERS:
        yield "nothing starts it"
    if "scheduleTrigger" in kinds and "manualTrigger" not in kinds:
        yield "a schedule needs a Manual Trigger beside it, or it cannot be run by hand"
    reached = {name for name, node in nodes.items() if kind(node) in TRIGGERS}
    fresh = set(reached)
    while fresh:
        fresh = {target for name in fresh for target in targets.get(name, ())} - reached
        reached |= fresh
    yield from (f"{name}: nothing leads to it" for name in nodes if name not in reached)


def _targets(outputs: Mapping[str, Any]) -> Iterator[str]:
    for branches in outputs.values():
        for branch in branches:
            yield from (str(connection["node"]) for connection in branch or ())


def _node(node: Node, its_kind: str) -> Iterator[str]:
    version = VERSIONS.get(its_kind)
    if version is None:
        yield f"the type {its_kind} was not tried"
    elif node["typeVersion"] != version:
        yield f"version {node['typeVersion']} of {its_kind} was not tried, {version} was"
    yield from (f"{found} is left open" for text in _texts(node) for found in LEFT_OPEN.findall(text))
    if node.get("retryOnFail") and str(node.get("onError", "")).startswith("continue"):
        yield "trying again and going on after an error lose and double items"
    parameters = node["parameters"]
    if its_kind == "httpRequest":
        yield from _http(node, parameters)
    elif its_kind == "webhook" and not (parameters.get("authentication") == "headerAuth" and _credential_ids(node)):
        yield "everybody may call it"
    elif its_kind == "code" and re.search(r"\brequire\(|\bimport\b", parameters["jsCode"]):
        yield "a Code node cannot load modules"


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, Mapping):
        for name, value in part.items():
            yield from _texts(name)
            yield from _texts(value)
    elif isinstance(part, list):
        for value in part:
            yield from _texts(value)


def _credential_ids(node: Node) -> set[str]:
    return {its["id"] for its in node.get("credentials", {}).values()}


def _http(node: Node, parameters: Mapping[str, Any]) -> Iterator[str]:
    method = parameters.get("method", "GET")
    headers = [header["name"].lower() for header in parameters.get("headerParameters", {}).get("parameters", ())]
    if not _is_positive(parameters.get("options", {}).get("timeout")):
        yield "the request has no time-out"
    if not _credential_ids(node):
        yield "the request has no credential"
    if "authorization" in headers:
        yield "a secret belongs into a credential"
    if CRM_CREDENTIAL in _credential_ids(node) and method not in READING:
        yield f"{method} to the CRM, which is only read"
    if API_CREDENTIAL in _credential_ids(node) and method == "POST" and "idempotency-key" not in headers:
        yield "a write without an Idempotency-Key"
