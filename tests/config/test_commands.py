"""The commands as somebody at a terminal meets them: processes, exit codes, signals, a crash."""

import argparse
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from email import message_from_bytes
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import orjson
import pytest

from config.__main__ import main, parser
from config.settings import PREFIX

KEY = "ll_a-key-for-the-commands"
START_SECONDS = 30
LOGIN = {
    "event_id": "l1",
    "crm_user_id": "u1",
    "organization_id": "org1",
    "product_id": "flowdesk",
    "email": "dana@example.com",
    "name": "Dana Doe",
}

ROOT = Path(__file__).resolve().parents[2]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**kept, "PYTHONPATH": str(ROOT), **{PREFIX + name: value for name, value in more.items()}}


def leadline(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in `folder`."""
    command = [sys.executable, "-m", "config", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(**settings), capture_output=True, text=True, timeout=60, check=False
    )


class Served:
    """A server process in a folder of its own."""

    def __init__(self, folder: Path, port: int, *arguments: str, **settings: str):
        self.folder, self.base = folder, f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "config", "serve", "--port", str(port), *arguments]
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment(**settings), stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        self.hello = self.process.stdout.readline()
        assert self.hello == "Leadline is ready\n", (folder / "log").read_text()
        self.key = settings.get("API_KEY", KEY)

    def call(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json"}
        data = orjson.dumps(body) if body is not None else None
        try:
            with urlopen(Request(self.base + path, data=data, headers=headers, method=method), timeout=10) as reply:
                return reply.status, orjson.loads(reply.read())
        except HTTPError as error:
            return error.code, orjson.loads(error.read())

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=30)


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path, unused_port: int) -> Iterator[Serve]:
    """Start servers in this test's folder, on this test's port."""
    running: list[Served] = []

    def start(*arguments: str, **settings: str) -> Served:
        served = Served(tmp_path, unused_port, *arguments, **{"API_KEY": KEY, **settings})
        running.append(served)
        return served

    yield start
    for served in running:
        with suppress(ProcessLookupError):
            served.process.kill()
        served.process.wait()
        if served.process.stdout:
            served.process.stdout.close()


def until(true: Callable[[], bool]) -> None:
    """Wait for another process."""
    deadline = time.monotonic() + START_SECONDS
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


# help and usage


def commands(of: argparse.ArgumentParser, name: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command that runs something."""
    inner = [action for action in of._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        yield name
    for action in inner:
        for word, sub in action.choices.items():
            yield from commands(sub, (*name, word))


@pytest.mark.parametrize("name", list(commands(parser())), ids=" ".join)
def test_every_help_has_an_example(name: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` shows a line that can be copied, which is that very command."""
    with pytest.raises(SystemExit) as left:
        main([*name, "--help"])
    assert left.value.code == 0
    words = capsys.readouterr().out.partition("example:")[2].split()
    assert words[: len(name) + 1] == ["leadline", *name]


@pytest.mark.parametrize(
    "arguments",
    [[], ["dance"], ["keys"], ["serve", "--port", "x"], ["serve", "--port", "70000"], ["keys", "create", "x"]],
)
def test_a_wrong_line_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the usage on standard error."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage: leadline" in capsys.readouterr().err


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process, in a folder of its own and without settings, as the command would find it."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "told"),
    [
        (["serve", "--host", "0.0.0.0"], {}, 2, "LEADLINE_API_KEY: wants a key"),
        (["serve", "--host", "leads.example.com"], {}, 2, "LEADLINE_API_KEY: wants a key"),
        (["serve", "--workers", "2"], {}, 2, "LEADLINE_MONGO_URL"),
        (["check-config"], {"LOG": "xml"}, 2, "LEADLINE_LOG: "),
        (
            ["keys", "create", "crm", "--scope", "everything"],
            {},
            2,
            "unknown scope everything; there are ingest, ",
        ),
        (["keys", "revoke", "nobody"], {}, 1, "no key in use named nobody"),
        (["check-config", "--data", "/dev/null"], {}, 1, "/dev/null"),
        (["check-config", "--data", "file/below"], {}, 1, "file"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    alone: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    settings: dict[str, str],
    code: int,
    told: str,
) -> None:
    """2 for what was asked wrongly, 1 for what failed; never a stack trace, and nothing on standard output."""
    (alone / "file").touch()
    for name, value in settings.items():
        monkeypatch.setenv(PREFIX + name, value)
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert all(line.startswith("leadline: ") for line in err.splitlines())


def test_a_database_that_is_none_is_told(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged file stops the command with its name, and is left as it is."""
    (alone / "data").mkdir()
    (alone / "data" / "leadline.db").write_bytes(b"not a database" * 500)
    assert main(["check-config"]) == 1
    assert "leadline.db" in capsys.readouterr().err
    assert (alone / "data" / "leadline.db").read_bytes() == b"not a database" * 500


def test_the_floor_commands_work_on_an_empty_folder(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Checking, listing and exporting nothing succeed, and the data folder is its owner's alone."""
    for arguments in (["check-config"], ["keys", "list"], ["review", "list"], ["export", "events"]):
        assert main(arguments) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("settings are fine")
    assert out[1].startswith("event_id,lead_id,event_type,channel,timestamp,score_impact")
    assert stat.S_IMODE((alone / "data").stat().st_mode) == 0o700


# a server


def command(*arguments: str) -> int:
    """Run a command beside the server, from this process."""
    return main([*arguments])


def test_the_first_start_makes_a_key_that_only_its_owner_can_read(serve: Serve, alone: Path) -> None:
    """Started without a key on loopback, the server keeps one (0600), prints it, and has the same one next time."""
    first = serve(API_KEY="")
    path = alone / "data" / "api_key"
    key = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.process.stdout is not None
    printed = [first.process.stdout.readline() for _ in range(2)]
    assert f"API key   {key}" in printed[1]
    assert first.call("GET", "/leads", key=key)[0] == 200
    assert first.stop(signal.SIGINT) == 0
    second = serve(API_KEY="")
    assert second.call("GET", "/leads", key=key)[0] == 200
    assert path.read_text().strip() == key


def test_a_stop_finishes_what_is_in_hand(serve: Serve, alone: Path, unused_port: int) -> None:
    """At SIGTERM a request that has arrived is still answered, whole, and then the process ends with 0."""
    server = serve()
    batch = [{**LOGIN, "event_id": f"l{n}", "product_id": "none", "occurred_at": now()} for n in range(200)]
    body = orjson.dumps(batch)
    head = (
        f"POST /events/logins HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", unused_port), timeout=START_SECONDS) as connection:
        connection.sendall(head.encode() + body)
        assert server.call("GET", "/healthz")[0] == 200
        server.process.terminate()
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert b'"quarantined":200' in answer
    assert server.process.wait(timeout=START_SECONDS) == 0


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    """A server that cannot listen ends with 1 and says where."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        second = leadline(tmp_path, "serve", "--port", str(port), API_KEY=KEY)
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == f"leadline: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_keys_come_and_go_while_the_server_runs(serve: Serve, alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A key made at the terminal works at once, a revoked one soon opens nothing, and no list shows a key."""
    server = serve()
    assert command("keys", "create", "crm", "--scope", "leads:read", "--scope", "review") == 0
    key = capsys.readouterr().out.strip()
    assert server.call("GET", "/leads", key=key)[0] == 200
    assert server.call("POST", "/leads", {}, key=key)[0] == 403
    assert command("keys", "list") == 0
    listed = capsys.readouterr().out
    assert listed.startswith("crm  leads:read,review  ")
    assert "in use" in listed
    assert key not in listed
    assert command("keys", "create", "crm", "--scope", "ingest") == 1
    assert "a key named crm is in use" in capsys.readouterr().err
    assert command("keys", "revoke", "crm") == 0
    until(lambda: server.call("GET", "/leads", key=key)[0] == 401)


@pytest.mark.parametrize("role", ["all", "web", "worker"])
def test_the_receivers_of_the_settings_are_taken_over_once(serve: Serve, alone: Path, role: str) -> None:
    """Whatever a process does, and with one warning for an address that may not be reached."""
    url = "http://127.0.0.1:9/hook"
    assert serve("--role", role, OUTBOUND_URLS=url).stop() == 0
    assert (alone / "log").read_text().count("an address of LEADLINE_OUTBOUND_URLS gets nothing") == 1
    assert command("store", "backup", "all.jsonl") == 0
    assert (alone / "all.jsonl").read_text().count(f'"{url}"') == 1


def test_an_acknowledged_login_survives_a_kill_and_is_greeted_once(
    serve: Serve, alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Logins that got their 202 are there after SIGKILL and count once however often they are sent. The welcome mail
    is planned with the login, so a crash before the sending loses it not, and a restart repeats it not."""
    outbox = alone / "data" / "outbox"
    batch = [{**LOGIN, "event_id": f"l{n}", "occurred_at": now()} for n in range(3)]

    server = serve("--role", "web", "--demo")  # which sends nothing
    acknowledged = [server.call("POST", "/events/logins", login)[1] for login in batch]
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    assert [answer["accepted"] for answer in acknowledged] == [1] * 3
    assert command("export", "events") == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert not outbox.exists()

    def story() -> list[dict[str, Any]]:
        lead_id = acknowledged[0]["results"][0]["lead_id"]
        items: list[dict[str, Any]] = server.call("GET", f"/leads/{lead_id}/timeline")[1]["items"]
        return [entry for entry in items if entry["kind"] == "event"]

    server = serve("--demo")
    assert server.call("POST", "/events/logins", batch)[1]["duplicate"] == 3
    until(lambda: len(story()) == 4)
    assert [entry["event_type"] for entry in story()].count("login") == 3
    (mail,) = outbox.glob("*.eml")
    parsed = message_from_bytes(mail.read_bytes())
    assert (parsed["To"], parsed["Subject"]) == ("dana@example.com", "Welcome to Flowdesk, Dana")
    written = mail.stat().st_mtime_ns
    assert server.stop() == 0

    server = serve("--demo")
    assert server.call("POST", "/events/logins", batch)[1]["duplicate"] == 3
    assert server.stop() == 0
    assert [path.stat().st_mtime_ns for path in outbox.glob("*.eml")] == [written]
    assert command("export", "events") == 0
    assert capsys.readouterr().out.count("email_sent") == 1
