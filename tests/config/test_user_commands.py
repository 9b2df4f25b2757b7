"""`leadline users` as somebody at a terminal meets it, beside a server that runs."""

import getpass
import io
import os
import sys
from pathlib import Path

import pytest

from config.__main__ import main
from config.settings import PREFIX
from tracker.desk import users
from tracker.desk.passwords import Cost

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, no settings, and passwords that are cheap to hash."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(users, "Cost", lambda: Cost(n=16, r=1, p=1))
    return tmp_path


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def given(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What stands on standard input, which is a pipe."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def typed(monkeypatch: pytest.MonkeyPatch, *passwords: str) -> list[str]:
    """Type passwords at a terminal; returns the prompts."""
    prompts: list[str] = []
    answers = iter(passwords)
    monkeypatch.setattr(sys, "stdin", Terminal())

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return next(answers)

    monkeypatch.setattr(getpass, "getpass", ask)
    return prompts


def add(monkeypatch: pytest.MonkeyPatch, *arguments: str, password: str = PASSWORD) -> int:
    given(monkeypatch, password + "\n")
    return main(["users", "add", *arguments, "--password-stdin"])


def test_a_user_is_made_from_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The password is one line, its spaces kept; nothing prints it."""
    assert add(monkeypatch, "ana") == 0
    assert add(monkeypatch, "Ben Okafor", "--role", "admin", password=" spaces at both ends \r") == 0
    assert main(["users", "list"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[:2] == ["ana (sales) may sign in at /desk", "Ben Okafor (admin) may sign in at /desk"]
    assert [line.split("  ")[:2] for line in lines[2:]] == [["ana", "sales"], ["Ben Okafor", "admin"]]
    assert PASSWORD not in out + err
    assert err == ""


def test_a_user_is_made_at_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Asked twice, and never echoed."""
    prompts = typed(monkeypatch, PASSWORD, PASSWORD)
    assert main(["users", "add", "ana"]) == 0
    assert prompts == ["Password (10 characters or more): ", "Once more: "]
    assert PASSWORD not in "".join(capsys.readouterr())


def test_two_passwords_that_differ_make_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, PASSWORD, PASSWORD + "x")
    assert main(["users", "add", "ana"]) == 1
    assert capsys.readouterr().err == "leadline: the two passwords differ; nothing was changed\n"
    typed(monkeypatch, "short")
    assert main(["users", "add", "ana"]) == 1
    assert main(["users", "list"]) == 0
    assert capsys.readouterr().out == ""


def test_nobody_is_asked_on_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A script that forgot the flag is told so instead of waiting for ever."""
    given(monkeypatch, PASSWORD)
    for what in ("add", "passwd"):
        assert main(["users", what, "ana"]) == 2
        assert "--password-stdin" in capsys.readouterr().err


@pytest.mark.parametrize("password", ["", "short", "x" * 1001], ids=["none", "short", "long"])
def test_a_password_that_cannot_be_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], password: str
) -> None:
    assert add(monkeypatch, "ana", password=password) == 1
    assert capsys.readouterr().err == "leadline: the password wants 10 to 1,000 characters\n"


def test_a_name_that_is_taken_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert add(monkeypatch, "ana") == 0
    assert add(monkeypatch, "Ana") == 1
    assert capsys.readouterr().err == "leadline: there is a user named Ana already\n"


def test_another_password_and_the_end_of_a_user(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add(monkeypatch, "ana") == 0
    given(monkeypatch, "another password\n")
    assert main(["users", "passwd", "ANA", "--password-stdin"]) == 0
    assert "ana has a new password" in capsys.readouterr().out
    assert main(["users", "remove", "ana"]) == 0
    assert main(["users", "remove", "ana"]) == 1
    given(monkeypatch, "another password\n")
    assert main(["users", "passwd", "ana", "--password-stdin"]) == 1
    assert capsys.readouterr().err == "leadline: there is no user named ana\n" * 2


def test_a_role_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as left:
        add(monkeypatch, "ana", "--role", "boss")
    assert left.value.code == 2
