"""`leadline n8n`: workflows for n8n."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import orjson
from pydantic import ValidationError

from config.settings import WrongSettings
from n8n.linting import lint
from n8n.rendering import CrmMapping, Rendering, credentials, render, workflow_names
from tracker.errors import Fault

KEY_FILE = "api_key"


class N8nSettings(Protocol):
    """The settings that these commands read."""

    @property
    def data(self) -> Path: ...
    @property
    def api_key(self) -> str | None: ...
    @property
    def public_url(self) -> str | None: ...
    @property
    def crm_url(self) -> str | None: ...
    @property
    def crm_token(self) -> str | None: ...
    @property
    def n8n_webhook_token(self) -> str | None: ...


def add(sub: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the `n8n` commands. Args: sub: the subparsers of the main parser. command: makes one, as `__main__` does."""
    n8n = sub.add_parser("n8n", help="Workflows for n8n.").add_subparsers(dest="what", required=True, metavar="WHAT")
    made = command("render", "Write the workflows that n8n imports.", "leadline n8n render --to n8n-import", n8n)
    made.add_argument("--to", type=Path, required=True, help="folder for the workflows, one file each")
    made.add_argument("--credentials", type=Path, metavar="FILE", help="also write the credentials, secrets in clear")
    made.add_argument(
        "--key-stdin", action="store_true", help="read the API key for the credentials from standard input"
    )
    made.add_argument("--mapping", type=Path, metavar="FILE", help="JSON: how the CRM's records are to be read")
    made.add_argument("--batch-size", type=int, default=500, help="records in one request (default 500, the most)")
    made.add_argument("--every", type=int, default=60, metavar="SECONDS", help="time between two polls (default 60)")
    made.add_argument("--error-workflow", metavar="ID", help="the workflow that n8n runs when one of these fails")
    made.set_defaults(run=run_render)


def run_render(settings: N8nSettings, arguments: argparse.Namespace) -> int:
    """Raises: WrongSettings."""
    rendering = _rendering(settings, arguments)
    workflows = {name: render(name, rendering) for name in workflow_names()}
    faults = [f"{name}: {fault}" for name, workflow in workflows.items() for fault in lint(workflow)]
    if faults:
        print("\n".join(faults), file=sys.stderr)
        return 1
    secrets = _credentials(settings, arguments) if arguments.credentials else None
    arguments.to.mkdir(parents=True, exist_ok=True)
    for name, workflow in workflows.items():
        path = arguments.to / f"{name}.json"
        path.write_bytes(orjson.dumps(workflow, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        print(path)
    if secrets is not None:
        _write_secret(arguments.credentials, orjson.dumps(secrets, option=orjson.OPT_INDENT_2))
        print(f"{arguments.credentials}  (secrets in clear: remove it after the import)")
    return 0


def _rendering(settings: N8nSettings, arguments: argparse.Namespace) -> Rendering:
    leadline_url = _wanted(
        settings.public_url, "LEADLINE_PUBLIC_URL", "wants the address at which n8n reaches Leadline"
    )
    crm_url = _wanted(settings.crm_url, "LEADLINE_CRM_URL", "wants the address at which n8n reads the CRM")
    try:
        return Rendering(
            leadline_url=leadline_url,
            crm_url=crm_url,
            batch_size=arguments.batch_size,
            schedule_seconds=arguments.every,
            error_workflow=arguments.error_workflow,
            mapping=_mapping(arguments.mapping),
        )
    except ValidationError as error:
        faults = [
            Fault("/".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, "))
            for e in error.errors(include_url=False)
        ]
        raise WrongSettings("the workflows cannot be rendered", *faults) from error


def _wanted(value: str | None, name: str, wish: str) -> str:
    if value is None:
        raise WrongSettings(f"{name} is not set", Fault(name, wish))
    return value


def _mapping(path: Path | None) -> CrmMapping:
    if path is None:
        return CrmMapping()
    try:
        return CrmMapping.model_validate_json(path.read_bytes())
    except OSError as error:
        raise WrongSettings("no mapping", Fault("--mapping", f"{path} cannot be read: {error.strerror}")) from error


def _credentials(settings: N8nSettings, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    return credentials(
        api_key=_key(settings, arguments),
        crm_token=_wanted(settings.crm_token, "LEADLINE_CRM_TOKEN", "wants the token with which n8n reads the CRM"),
        webhook_token=_wanted(
            settings.n8n_webhook_token, "LEADLINE_N8N_WEBHOOK_TOKEN", "wants what callers of n8n's webhooks send"
        ),
    )


def _key(settings: N8nSettings, arguments: argparse.Namespace) -> str:
    """Return the key that n8n uses. Raises: WrongSettings."""
    if arguments.key_stdin:
        return _wanted(sys.stdin.readline().strip() or None, "--key-stdin", "found no key on standard input")
    kept = settings.data / KEY_FILE
    found = settings.api_key or (kept.read_text().strip() if kept.exists() else None)
    return _wanted(found, "LEADLINE_API_KEY", "wants a key; or give one by --key-stdin, from `leadline keys create`")


def _write_secret(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(content)
