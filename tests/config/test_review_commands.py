"""`leadline review` as somebody at a terminal meets it."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from config.__main__ import main
from config.app import build, open_store
from config.settings import PREFIX, load
from tests.e2e.client import login
from tracker.product import ProductConfig
from tracker.review import ReviewKind, item
from tracker.times import instant, now


@pytest.fixture
async def ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A store with three quarantined records in it; returns their ids: good by now, bad, bad."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(PREFIX + "SECRET", "a secret of the review commands")
    settings = load()
    store = await open_store(settings)
    server = build(settings, store, secrets=["s" * 20], base_url="http://leads.test")
    await server.catalog.put(ProductConfig(product_id="flowdesk", name="Flowdesk"), author="tests")
    records = [login(), login(event_id="l2", occurred_at="x"), login(event_id="l3", occurred_at="y")]
    items = [
        item(ReviewKind.QUARANTINE, reason="r", error=f"e{n}", input=record, at=instant(now()), id=f"q{n}")
        for n, record in enumerate(records)
    ]
    await store.commit(*items)
    await store.close()
    return [made.id for made in items]


def leadline(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["review", *arguments]) == code
    said = capsys.readouterr()
    return said.err if code == 2 else said.out + said.err


def shown(capsys: pytest.CaptureFixture[str], id: str) -> Any:
    return orjson.loads(leadline(capsys, "show", id))


def test_the_queue_from_a_terminal(ids: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """List, show, replay, correct, discard: what a script needs, with exit codes that it can use."""
    lines = leadline(capsys, "list", "--kind", "quarantine").splitlines()
    assert [line.split()[0] for line in lines] == ids
    assert shown(capsys, ids[1])["input"]["event_id"] == "l2"
    assert leadline(capsys, "replay", ids[0]).split()[:2] == [ids[0], "replayed"]
    assert shown(capsys, ids[0])["history"][0]["did"] == "counted as a login"
    assert "the record is no login" in leadline(capsys, "replay", ids[1], code=1)
    fixed = tmp_path / "fixed.json"
    fixed.write_bytes(orjson.dumps(login(event_id="l2")))
    assert leadline(capsys, "replay", ids[1], "--input", str(fixed)).split()[:2] == [ids[1], "replayed"]
    out = leadline(capsys, "replay", "--all", "--product", "flowdesk", code=1)
    assert out.startswith(f"{ids[2]}  open  occurred_at: ")
    assert leadline(capsys, "discard", ids[2], "--reason", "a test") == f"{ids[2]}  discarded\n"
    assert shown(capsys, ids[2])["history"][-1]["did"] == "discarded: a test"
    assert leadline(capsys, "list") == ""
    assert ids[2] in leadline(capsys, "list", "--status", "discarded")


def test_many_are_discarded_from_a_terminal(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """By the same filter as a replay, each with the reason."""
    assert leadline(capsys, "discard", "--all", "--product", "another") == ""
    out = leadline(capsys, "discard", "--all", "--kind", "quarantine", "--reason", "old").splitlines()
    assert [line.split() for line in out] == [[id, "discarded"] for id in ids]
    assert shown(capsys, ids[1])["history"][-1]["did"] == "discarded: old"
    assert leadline(capsys, "list") == ""


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["replay"], 2, "name one item, or give --all"),
        (["replay", "x", "--all"], 2, "name one item, or give --all"),
        (["replay", "--all", "--input", "x"], 2, "--input corrects one item"),
        (["replay", "x", "--kind", "quarantine"], 2, "go with --all"),
        (["replay", "q0", "--input", "bad.json"], 2, "--input: "),
        (["discard"], 2, "name one item, or give --all"),
        (["discard", "x", "--product", "flowdesk"], 2, "go with --all"),
        (["replay", "q0", "--input", "missing.json"], 1, "missing.json"),
        (["show", "nothing"], 1, "there is no review item nothing"),
    ],
)
def test_what_cannot_be_done_is_told(
    ids: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    """In a line, with 2 for a wrong command and 1 for what failed."""
    (tmp_path / "bad.json").write_text("{")
    assert told in leadline(capsys, *arguments, code=code)
