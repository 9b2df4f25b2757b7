"""The demo brings itself to life once, and only where nothing real is touched."""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from config.__main__ import main
from config.app import build
from config.commands import _crowd, _demo
from config.demo import DESK_USER, LOGINS, TALKS, Crowd, Demo, add_desk_user, is_new
from config.seeding import FOLDER, read, seed
from config.settings import Settings
from tests.talking import Parrot
from tracker.desk.users import Users
from tracker.product import ProductConfig
from tracker.reading import everything
from tracker.store.port import Store
from tracker.store.schema import LEADS_ALL, REVIEW_ALL
from tracker.times import now

KEY = "ll_a-key-of-the-demo-tests"


class Time:
    """Passes as soon as somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds / 4  # several sleep at once

    def clock(self) -> float:
        return self.now


@asynccontextmanager
async def demo(store: Store, folder: Path, engine: Parrot) -> AsyncIterator[str]:
    settings = Settings(data=folder, api_key=KEY)
    what = Demo(folder / "outbox", speed=3600, is_here=True)
    server = build(
        settings,
        store,
        secrets=["a secret of tests"],
        base_url="http://demo.test",
        outbox=what.outbox,
        demo=what,
        engine=engine,
    )
    await seed(server.catalog, server.templates)
    runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_new_demo_comes_to_life(store: Store, tmp_path: Path):
    """People log in to both products, some records are no logins, and everybody says what they have to say."""
    engine, time = Parrot(), Time()
    assert await is_new(store)
    async with demo(store, tmp_path, engine) as url:
        await Crowd(url, KEY, secret=None, at=now(), sleep=time.sleep, clock=time.clock).run()
    leads = [document.body async for document in everything(store, LEADS_ALL)]
    assert {lead["product_id"] for lead in leads} == {"flowdesk", "gridwise"}
    assert len(leads) > 25
    assert len([document async for document in everything(store, REVIEW_ALL)]) == round(LOGINS / 100)
    assert sorted(engine.heard) == sorted(text for _, _, texts in TALKS for text in texts)
    assert max(lead["last_login_at"] or "" for lead in leads) <= now().isoformat(), "nobody comes before their time"
    assert not await is_new(store)


async def test_a_server_that_refuses_is_left_alone(store: Store, tmp_path: Path):
    """What makes the demo nicer never ends it."""
    async with demo(store, tmp_path, Parrot()) as url:
        await Crowd(url, "ll_another-key-altogether", secret=None, at=now()).run()
    assert await is_new(store)


async def test_a_crowd_can_be_stopped_before_it_came(store: Store, tmp_path: Path):
    """A server that ends at once waits for nobody."""
    async with demo(store, tmp_path, Parrot()) as url:
        crowd = Crowd(url, KEY, secret=None, at=now())
        await crowd.stop()
        crowd.start()
        await crowd.stop()


async def test_the_desk_has_one_user_of_the_demo(store: Store):
    """Made once; where somebody may sign in already, nobody is added."""
    assert await add_desk_user(store, lambda: "a-long-password")
    assert not await add_desk_user(store, lambda: "another-password")
    assert [user.name for user in await Users(store).all()] == [DESK_USER]
    assert await Users(store).verified(DESK_USER, "a-long-password") is not None


def arguments(**more: Any) -> argparse.Namespace:
    given = {"host": "127.0.0.1", "port": 9, "role": "all", "demo": True, "demo_speed": None, "workers": 1, **more}
    return argparse.Namespace(**given)


TWILIO = {"twilio_account_sid": "AC" + "0" * 32, "twilio_auth_token": "t" * 32, "twilio_whatsapp_from": "+14155238886"}


@pytest.mark.parametrize(
    ("settings", "more", "comes"),
    [
        ({}, {}, True),
        ({}, {"host": "0.0.0.0"}, True),
        ({"smtp_url": "smtp://mail.example.com"}, {}, False),
        (TWILIO, {}, False),
        ({}, {"role": "web"}, False),
        ({}, {"role": "worker"}, False),
    ],
)
async def test_made_up_people_get_no_real_messages(
    store: Store, tmp_path: Path, settings: dict[str, Any], more: dict[str, Any], comes: bool
):
    """They come by themselves only where every message becomes a file, and only once for all processes."""
    given = Settings(data=tmp_path, api_key=KEY, **settings)
    assert (await _crowd(given, arguments(**more), store) is not None) is comes


async def test_a_demo_for_the_network_gets_no_user(store: Store, tmp_path: Path):
    """Its password would be of no use to those whom the address is for, and it shows nothing."""
    settings = Settings(data=tmp_path, api_key=KEY)
    await _crowd(settings, arguments(host="0.0.0.0"), store)
    assert await Users(store).all() == []
    assert not _demo(settings, arguments(host="0.0.0.0")).is_here
    assert _demo(settings, arguments(demo_speed=60.0)).speed == 60


def test_speed_without_a_demo_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Nobody's real sequences run 3,600 times as fast by a slip."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEADLINE_API_KEY", KEY)
    assert main(["serve", "--demo-speed", "3600"]) == 2
    assert "--demo-speed is for a demo" in capsys.readouterr().err
    for speed in ("0", "-1", "nan", "soon"):
        with pytest.raises(SystemExit) as left:
            main(["serve", "--demo", "--demo-speed", speed])
        assert left.value.code == 2


def test_the_demo_products_differ_in_everything():
    """Thresholds, points, facts, senders, goals, channels; and each has a sequence of three steps on two channels."""
    flowdesk, gridwise = (ProductConfig.model_validate(content["product"]) for content in read(FOLDER).values())
    for name in ("engaged_threshold", "conversion_goals", "sender", "facts", "qualification", "nurture_after_hours"):
        assert getattr(flowdesk, name) != getattr(gridwise, name), name
    rules, others = flowdesk.scoring_rules, gridwise.scoring_rules
    for name in (
        "login_points",
        "email_open_points",
        "email_click_points",
        "chatbot_points",
        "qualification_threshold",
    ):
        assert getattr(rules, name) != getattr(others, name), name
    for product in (flowdesk, gridwise):
        for sequence in product.nurturing_sequences:
            assert len(sequence.messages) >= 3
            assert len({step.channel for step in sequence.messages}) >= 2
    channels = [
        {s.channel for q in product.nurturing_sequences for s in q.messages} for product in (flowdesk, gridwise)
    ]
    assert channels[0] != channels[1]
    assert channels[0] | channels[1] == {"email", "whatsapp", "chatbot"}
