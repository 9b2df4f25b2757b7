"""Workflows from templates: what n8n imports, and what has to be true of it.

A template is a workflow in which `@@name@@` stands for a value, and `@@code:a.js b.js@@` for the files of
`workflows/code`, one after the other, behind a constant SETTINGS.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from n8n.linting import API_CREDENTIAL, CRM_CREDENTIAL, WEBHOOK_CREDENTIAL
from tracker.logins import REQUIRED, Login

FOLDER = Path(__file__).parent / "workflows"
PLACEHOLDER = re.compile(r"@@([^@]+)@@")

Workflow = dict[str, Any]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Constant(_Part):
    value: Any


class Converted(_Part):
    path: str
    how: Literal["epoch_ms", "epoch_s", "lower", "text", "utc"] | None = Field(None, alias="as")
    map: dict[str, Any] | None = None


Rule = str | Constant | Converted | list[str | Constant | Converted]


def _known_fields(fields: Mapping[str, Rule]) -> Mapping[str, Rule]:
    unknown = fields.keys() - Login.model_fields.keys()
    missing = REQUIRED - fields.keys()
    if unknown:
        raise ValueError(f"a login has no {', '.join(sorted(unknown))}")
    if missing:
        raise ValueError(f"no rule for {', '.join(sorted(missing))}")
    return fields


class CrmMapping(_Part):
    """How the CRM's answers are to be read: by default as the contract has them.

    Attributes: items, next_cursor: paths in a page. cursor_parameter, limit_parameter: how the CRM calls them. fields:
    per field of a login where its value comes from; see `code/transform.js`.
    """

    items: str = "items"
    next_cursor: str = "next_cursor"
    cursor_parameter: str = "cursor"
    limit_parameter: str = "limit"
    fields: Annotated[Mapping[str, Rule], AfterValidator(_known_fields)] = {name: name for name in Login.model_fields}


def _web_address(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s{}@]+", url):
        raise ValueError("wants an address such as https://leadline.example.com")
    return url.rstrip("/")


def interval(seconds: int) -> dict[str, Any]:
    """Return the rule of a Schedule Trigger. Raises: ValueError: n8n counts whole seconds, minutes or hours."""
    for unit, size, most in (("seconds", 1, 59), ("minutes", 60, 59), ("hours", 3600, 23)):
        count, rest = divmod(seconds, size)
        if 1 <= count <= most and not rest:
            return {"field": unit, f"{unit}Interval": count}
    raise ValueError(f"{seconds} seconds are no whole minutes or hours, or more than 23 hours")


def _regular(seconds: int) -> int:
    interval(seconds)
    return seconds


class Rendering(_Part):
    """What the templates are filled with.

    Attributes: schedule_seconds: between two polls. pages_per_run: the most that one poll reads; the next goes on.
    timeout_seconds: for one HTTP request. error_workflow: id of the workflow that n8n runs for failed runs.
    """

    leadline_url: Annotated[str, AfterValidator(_web_address)]
    crm_url: Annotated[str, AfterValidator(_web_address)]
    batch_size: int = Field(500, ge=1, le=500)
    schedule_seconds: Annotated[int, AfterValidator(_regular)] = 60
    pages_per_run: int = Field(20, ge=1, le=1000)
    timeout_seconds: int = Field(30, ge=1, le=300)
    execution_timeout: int = Field(600, ge=10, le=3600)
    error_workflow: str | None = None
    mapping: CrmMapping = CrmMapping()


def workflow_names(folder: Path = FOLDER) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.json"))


def render(name: str, rendering: Rendering, folder: Path = FOLDER) -> Workflow:
    """Return a workflow as `n8n import:workflow` takes it."""
    template = orjson.loads((folder / f"{name}.json").read_bytes())
    values = _values(name, rendering)
    workflow: Workflow = _filled(template, values, folder / "code")
    if rendering.error_workflow is None:
        del workflow["settings"]["errorWorkflow"]
    return workflow


def _values(name: str, rendering: Rendering) -> dict[str, Any]:
    mapping = rendering.mapping
    constants = {
        "workflow": name,
        "batch_size": rendering.batch_size,
        "pages_per_run": rendering.pages_per_run,
        "items": mapping.items,
        "next_cursor": mapping.next_cursor,
        "fields": mapping.model_dump(mode="json", by_alias=True, exclude_none=True)["fields"],
    }
    return {
        "leadline_url": rendering.leadline_url,
        "crm_url": rendering.crm_url,
        "cursor_parameter": mapping.cursor_parameter,
        "limit_parameter": mapping.limit_parameter,
        "page_size": str(rendering.batch_size),
        "interval": interval(rendering.schedule_seconds),
        "timeout_ms": rendering.timeout_seconds * 1000,
        "execution_timeout": rendering.execution_timeout,
        "error_workflow": rendering.error_workflow,
        "SETTINGS": constants,
    }


def _filled(part: Any, values: Mapping[str, Any], code: Path) -> Any:
    if isinstance(part, dict):
        filled = ((_filled(name, values, code), _filled(value, values, code)) for name, value in part.items())
        return dict(filled)
    if isinstance(part, list):
        return [_filled(value, values, code) for value in part]
    if not isinstance(part, str):
        return part
    whole = PLACEHOLDER.fullmatch(part)
    if whole is None:
        return PLACEHOLDER.sub(lambda found: str(_value(found[1], values, code)), part)
    return _value(whole[1], values, code)


def _value(name: str, values: Mapping[str, Any], code: Path) -> Any:
    if not name.startswith("code:"):
        return values[name]
    constants = orjson.dumps(values["SETTINGS"]).decode()
    files = ((code / file).read_text() for file in name.removeprefix("code:").split())
    return "\n".join([f"const SETTINGS = {constants};\n", *files])


def credentials(*, api_key: str, crm_token: str, webhook_token: str) -> list[dict[str, Any]]:
    """Return what `n8n import:credentials` takes: secrets in clear, which n8n encrypts at import."""
    return [
        _credential(API_CREDENTIAL, "httpBearerAuth", {"token": api_key}),
        _credential(CRM_CREDENTIAL, "httpBearerAuth", {"token": crm_token}),
        _credential(
            WEBHOOK_CREDENTIAL, "httpHeaderAuth", {"name": "Authorization", "value": f"Bearer {webhook_token}"}
        ),
    ]


NAMES = {
    API_CREDENTIAL: "Leadline: API key",
    CRM_CREDENTIAL: "Leadline: CRM token",
    WEBHOOK_CREDENTIAL: "Leadline: webhook token",
}


def _credential(id: str, kind: str, data: dict[str, str]) -> dict[str, Any]:
    return {"id": id, "name": NAMES[id], "type": kind, "data": data}
