"""`leadline erase`."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from config.__main__ import main
from config.commands import who
from tests.e2e.client import login
from tracker.catalog import Catalog
from tracker.ingestion import Ingestion
from tracker.logins import read_login
from tracker.product import ProductConfig
from tracker.store.port import Insert
from tracker.store.schema import Kind
from tracker.store.sqlite import SqliteStore
from tracker.times import instant, now


class NoTemplates:
    async def missing(self, wanted: object, product_id: str) -> set[tuple[str, object]]:
        return set()


async def _fill(data: Path) -> str:
    store = await SqliteStore.open(data / "leadline.db")
    catalog = Catalog(store, NoTemplates())  # type: ignore[arg-type]
    await catalog.put(ProductConfig(product_id="flowdesk", name="Flowdesk"), author="tests")
    read = read_login(login(email="dana@acme.example"), now=now()).login
    assert read is not None
    (result,) = await Ingestion(store, catalog, now).record([read])
    await store.close()
    assert result.lead_id is not None
    return result.lead_id


async def _leads(data: Path, id: str) -> bool:
    store = await SqliteStore.open(data / "leadline.db")
    (found,) = await store.get(Kind.LEADS, id)
    await store.close()
    return found is not None


async def _message(data: Path, lead_id: str) -> None:
    store = await SqliteStore.open(data / "leadline.db")
    await store.commit(Insert(Kind.MESSAGES, "m1", {"lead_id": lead_id, "created_at": instant(now())}))
    await store.close()


@pytest.fixture
def lead_id(tmp_path: Path) -> str:
    return asyncio.run(_fill(tmp_path))


@pytest.mark.parametrize("named", ["dana@acme.example", " DANA@acme.example", "lead"])
def test_a_person_is_erased_by_any_name(
    named: str, lead_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By address or by lead; the receipt is on standard output; a second time there is nobody."""
    person = lead_id if named == "lead" else named
    arguments = ["erase", person, "--yes", "--data", str(tmp_path)]
    assert main(arguments) == 0
    receipt = orjson.loads(capsys.readouterr().out)
    assert (receipt["leads"], receipt["counts"]["leads"], receipt["running"]) == ([lead_id], 1, False)
    assert receipt["by"] == who("nobody")
    assert not asyncio.run(_leads(tmp_path, lead_id))
    assert main(arguments) == 1
    assert "there is no person" in capsys.readouterr().err


def test_what_the_demo_wrote_goes_too(lead_id: str, tmp_path: Path) -> None:
    """A message that a demo put into the outbox is no file any more, also where no server runs."""
    asyncio.run(_message(tmp_path, lead_id))
    file = tmp_path / "outbox" / "m1.eml"
    file.parent.mkdir()
    file.write_text("To: dana@acme.example")
    assert main(["erase", lead_id, "--yes", "--data", str(tmp_path)]) == 0
    assert not file.exists()


def test_nobody_to_ask_is_a_no(lead_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --yes it asks; in a pipe it does nothing."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["erase", "dana@acme.example", "--data", str(tmp_path)]) == 1
    assert asyncio.run(_leads(tmp_path, lead_id))


@pytest.mark.parametrize(("said", "gone"), [("y", True), ("Yes ", True), ("", False), ("n", False)])
def test_it_asks(said: str, gone: bool, lead_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a yes is needed."""
    questions: list[str] = []

    def answer(question: str) -> str:
        questions.append(question)
        return said

    ask: Callable[[str], str] = answer
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", ask)
    assert main(["erase", "dana@acme.example", "--data", str(tmp_path)]) == (0 if gone else 1)
    assert "dana@acme.example" in questions[0]
    assert asyncio.run(_leads(tmp_path, lead_id)) is not gone
