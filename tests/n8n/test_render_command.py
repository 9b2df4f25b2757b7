"""`leadline n8n render`: files that n8n imports."""

import argparse
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from config import n8n_commands
from config.settings import WrongSettings
from n8n.linting import lint
from n8n.rendering import FOLDER, workflow_names


class Given:
    """The settings of a test."""

    def __init__(self, data: Path, **changes: str | None):
        self.data = data
        self.api_key: str | None = "ll_0123456789abcdef"
        self.public_url: str | None = "https://leadline.test"
        self.crm_url: str | None = "https://crm.test/logins"
        self.crm_token: str | None = "crm-token"
        self.n8n_webhook_token: str | None = "hook-token"
        vars(self).update(changes)


def render(settings: Given, *arguments: str) -> int:
    parser = argparse.ArgumentParser()

    def command(name: str, text: str, example: str, to: Any) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = to.add_parser(name, help=text, epilog=example)
        return made

    n8n_commands.add(parser.add_subparsers(), command)
    parsed = parser.parse_args(["n8n", "render", *arguments])
    return int(parsed.run(settings, parsed))


def test_it_writes_one_file_for_each_workflow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says which; without --credentials no secret leaves the settings."""
    to = tmp_path / "import"
    assert render(Given(tmp_path), "--to", str(to)) == 0
    assert sorted(path.stem for path in to.iterdir()) == workflow_names()
    assert all(lint(json.loads(path.read_text())) == [] for path in to.iterdir())
    assert not any(secret in path.read_text() for path in to.iterdir() for secret in ("ll_0123", "crm-token", "hook-"))
    assert str(to / "crm-ingestion-poll.json") in capsys.readouterr().out


def test_the_credentials_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Also when the file was there before, open to all."""
    file = tmp_path / "credentials.json"
    file.touch(mode=0o644)
    assert render(Given(tmp_path), "--to", str(tmp_path / "import"), "--credentials", str(file)) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [made["id"] for made in json.loads(file.read_text())] == ["leadline-api", "leadline-crm", "leadline-webhook"]


def test_the_key_is_the_one_that_the_server_made(tmp_path: Path) -> None:
    """Without LEADLINE_API_KEY there is the one in the data folder, and without that none."""
    file = tmp_path / "credentials.json"
    settings = Given(tmp_path, api_key=None)
    with pytest.raises(WrongSettings, match="LEADLINE_API_KEY"):
        render(settings, "--to", str(tmp_path / "import"), "--credentials", str(file))
    (tmp_path / "api_key").write_text("ll_kept\n")
    render(settings, "--to", str(tmp_path / "import"), "--credentials", str(file))
    assert json.loads(file.read_text())[0]["data"] == {"token": "ll_kept"}


def test_a_mapping_is_taken_from_a_file(tmp_path: Path) -> None:
    """The example for HubSpot."""
    mapping = FOLDER.parent / "mappings" / "hubspot.json"
    assert render(Given(tmp_path), "--to", str(tmp_path), "--mapping", str(mapping), "--every", "300") == 0
    text = (tmp_path / "crm-ingestion-poll.json").read_text()
    assert "paging.next.after" in text
    assert '"minutesInterval": 5' in text


@pytest.mark.parametrize(
    ("changes", "arguments", "told"),
    [
        ({"public_url": None}, [], "LEADLINE_PUBLIC_URL"),
        ({"crm_url": None}, [], "LEADLINE_CRM_URL"),
        ({"crm_token": None}, ["--credentials", "never-written"], "LEADLINE_CRM_TOKEN"),
        ({"n8n_webhook_token": None}, ["--credentials", "never-written"], "LEADLINE_N8N_WEBHOOK_TOKEN"),
        ({}, ["--every", "90"], "schedule_seconds"),
        ({}, ["--batch-size", "501"], "batch_size"),
        ({}, ["--mapping", "no-such-file"], "--mapping"),
    ],
)
def test_what_is_missing_is_told_by_name(
    tmp_path: Path, changes: dict[str, str | None], arguments: list[str], told: str
) -> None:
    """Nothing is written then."""
    with pytest.raises(WrongSettings) as caught:
        render(Given(tmp_path, **changes), "--to", str(tmp_path / "import"), *arguments)
    assert told in [fault.path for fault in caught.value.faults]
    assert list(tmp_path.iterdir()) == []
