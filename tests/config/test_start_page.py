"""The start page and the outbox: a demo shows what is happening, everybody else learns only what Leadline is."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, web

from channels.outbox import OutboxSender
from channels.rendering import Rendered
from channels.sending import Outgoing
from config.app import Server, build
from config.demo import Demo
from config.happenings import MOST, happenings
from config.here import asks_here, is_here
from config.outbox_page import FRAME, in_new_tabs, newest
from config.settings import Settings
from config.start_page import pace
from tests.fakes import Clock
from tracker.events import Channel
from tracker.product import ProductConfig
from tracker.stages import Stage
from tracker.store.port import Store

KEY = "ll_the-key-of-the-start-page-tests"
SECRETS = ["the-secret-of-the-start-page-tests"]
TEXT = "<script>alert('x')</script> & more"


class Site:
    """A running server. Attributes: clock: its own."""

    def __init__(self, server: Server, url: str, session: ClientSession, clock: Clock):
        self.server, self.url, self.clock, self._session = server, url, clock, session

    async def get(self, path: str, **headers: str) -> tuple[int, str, Any]:
        async with self._session.get(self.url + path, headers=headers) as got:
            return got.status, await got.text(), got.headers

    async def logins(self, *logins: dict[str, Any]) -> None:
        common = {"organization_id": "o", "product_id": "flowdesk", "occurred_at": self.clock().isoformat()}
        headers = {"Authorization": f"Bearer {KEY}"}
        for start in range(0, len(logins), 1000):
            batch = [{**common, **login} for login in logins[start : start + 1000]]
            async with self._session.post(self.url + "/events/logins", json=batch, headers=headers) as got:
                assert got.status == 202


Opened = Callable[..., Any]


@pytest.fixture
def opened(store: Store, tmp_path: Path) -> Opened:
    """Opens a site with the product `flowdesk`; by default a demo of this machine's own."""

    @asynccontextmanager
    async def open(demo: bool = True, **more: Any) -> AsyncIterator[Site]:
        clock, outbox = Clock(), tmp_path / "outbox"
        what = Demo(outbox=outbox, **{"is_here": True, "speed": 3600, **more}) if demo else None
        settings = Settings(data=tmp_path, api_key=KEY)
        server = build(
            settings, store, secrets=SECRETS, base_url="http://demo.test", outbox=outbox, demo=what, clock=clock
        )
        rules = {"login_points": 10, "qualification_threshold": 30}
        product = {"product_id": "flowdesk", "name": TEXT, "engaged_threshold": 20, "scoring_rules": rules}
        await server.catalog.put(ProductConfig.model_validate(product), author="tests")
        runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with ClientSession() as session:
                yield Site(server, f"http://127.0.0.1:{runner.addresses[0][1]}", session, clock)
        finally:
            await runner.cleanup()

    return open


def logged_in(user: str, times: int = 1, **more: Any) -> list[dict[str, Any]]:
    return [
        {"event_id": f"{user}-{n}", "crm_user_id": user, "email": f"{user}@example.com", "name": user.title(), **more}
        for n in range(times)
    ]


async def test_the_demo_tells_what_is_happening(opened: Opened):
    """Leads by stage, the day's events, what waits: the numbers are those of the store."""
    async with opened() as site:
        await site.logins(*logged_in("ana"), *logged_in("bo", 2), *logged_in("cy", 3), {"event_id": "bad"})
        now = await happenings(site.server.store, site.server.catalog, now=site.clock())
        (product,) = now.products
        assert {stage: str(count) for stage, count in product.stages} == {
            Stage.USER: "1",
            Stage.ENGAGED: "1",
            Stage.QUALIFIED: "1",
            Stage.CUSTOMER: "0",
        }
        assert list(product.today) == [("logins", 6)]
        assert (str(now.handoffs), str(now.review), str(now.waiting)) == ("1", "1", "0")
        assert {(lead.name, lead.score, lead.did) for lead in now.newest} == {
            ("Ana", 10, "Logged in"),
            ("Bo", 20, "Logged in"),
            ("Cy", 30, "Logged in"),
        }
        status, page, headers = await site.get("/")
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        for words in ("Ana", "Bo", "Cy", "6 logins", "3,600 times as fast", "24 seconds", "/outbox", "/desk", "/docs"):
            assert words in page
        assert "/chat?product=flowdesk" in page
        site.clock.forward(hours=24)
        assert (await _now(site)).products[0].today == [], "yesterday is not today"


async def test_what_waits_is_told_with_whom_and_when(opened: Opened):
    """The next messages of the due queues, the earliest first, whoever they are for."""
    async with opened() as site:
        await site.logins(*logged_in("ana"), *logged_in("bo"))
        leads = {lead.name: lead.id for lead in (await _now(site)).newest}
        headers = {"Authorization": f"Bearer {KEY}"}
        async with ClientSession(headers=headers) as session:
            for name, at in (("Ana", "2026-03-02T12:00:00Z"), ("Bo", "2026-03-02T10:00:00Z")):
                body = {"lead_id": leads[name], "text": "Hi", "send_at": at}
                async with session.post(site.url + "/messages/send", json=body) as got:
                    assert got.status == 202
        now = await _now(site)
        assert str(now.waiting) == "2"
        assert [(message.to, message.channel) for message in now.coming] == [("Bo", "email"), ("Ana", "email")]
        assert "in 1 hour" in (await site.get("/"))[1]


async def _now(site: Site) -> Any:
    return await happenings(site.server.store, site.server.catalog, now=site.clock())


async def test_an_empty_demo_says_so(opened: Opened):
    """Nothing there is no fault: the page says how to begin."""
    async with opened(speed=1) as site:
        status, page, _ = await site.get("/")
        assert status == 200
        assert "Nobody yet" in page
        assert "times as fast" not in page


async def test_nothing_of_a_lead_is_taken_for_markup(opened: Opened):
    """Names come from outside: whatever they hold is text."""
    async with opened() as site:
        await site.logins(*logged_in("ana", organization_name=TEXT), {**logged_in("bo")[0], "name": TEXT})
        _, page, _ = await site.get("/")
        assert "<script" not in page
        assert page.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; more") >= 3


@pytest.mark.parametrize(
    ("demo", "host"),
    [({"demo": False}, None), ({"is_here": False}, None), ({}, "evil.example"), ({}, "evil.example:80")],
)
async def test_strangers_learn_only_what_leadline_is(opened: Opened, demo: dict[str, Any], host: str | None):
    """Without a demo of this machine's own, or asked for by another name, the page shows nothing of the store."""
    async with opened(**demo) as site:
        _, before, _ = await site.get("/", **({"Host": host} if host else {}))
        await site.logins(*logged_in("ana", 3, organization_name="Acme"))
        status, page, _ = await site.get("/", **({"Host": host} if host else {}))
        assert status == 200
        assert page == before
        assert "Leadline" in page
        assert "flowdesk" not in page
        for path in ("/outbox", "/outbox/m.eml", "/outbox/m.eml/html"):
            assert (await site.get(path, **({"Host": host} if host else {})))[0] == 404


async def test_the_page_costs_the_same_however_much_there_is(opened: Opened):
    """Every read has a limit; what is beyond it is a plus."""
    async with opened() as site:
        store = site.server.store
        limits: list[int] = []
        find = store.find

        async def watched(*arguments: Any, **more: Any) -> Any:
            limits.append(more["limit"])
            return await find(*arguments, **more)

        await site.logins(*(login for n in range(MOST + 50) for login in logged_in(f"u{n}")))
        store.find = watched
        now = await _now(site)
        few = len(limits)
        assert max(limits) <= 4 * MOST
        assert few < 40
        assert str(now.products[0].stages[0][1]) == f"{MOST}+"
        assert str(now.products[0].stages[1][1]) == "0"


async def test_every_browser_finds_an_icon(opened: Opened):
    """Also where a page names none, so that no console shows a 404."""
    async with opened(demo=False) as site:
        for path, kind in (("/favicon.ico", "image/svg+xml"), ("/start.css", "text/css")):
            status, _, headers = await site.get(path)
            assert (status, headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")
            assert (await site.get(path, **{"If-None-Match": headers["ETag"]}))[0] == 304


def mail(id: str, *, html: str | None = "<p>Hi</p>", to: str = "ana@example.com") -> Outgoing:
    return Outgoing(id, to, Rendered(f"Subject {id}", "Hi in text", html))


async def test_the_outbox_is_read_in_the_browser(opened: Opened, tmp_path: Path):
    """Mails and WhatsApp messages are listed and shown; HTML is framed where nothing of it runs."""
    folder = tmp_path / "outbox"
    await OutboxSender(folder, Channel.EMAIL, sender="Mia <mia@example.com>").send(mail("m1", html="<b>Größe</b>"))
    await OutboxSender(folder, Channel.WHATSAPP, sender="x").send(mail("w1", html=None, to="+4915112345678"))
    async with opened() as site:
        _, page, _ = await site.get("/outbox")
        assert "Subject m1" in page
        assert "+4915112345678" in page
        status, page, headers = await site.get("/outbox/m1.eml")
        assert (status, "ana@example.com" in page, "Hi in text" in page) == (200, True, True)
        assert "frame-src 'self'" in headers["Content-Security-Policy"]
        assert "script-src" not in headers["Content-Security-Policy"]
        status, page, headers = await site.get("/outbox/m1.eml/html")
        assert (status, "<b>Größe</b>" in page) == (200, True)
        assert headers["Content-Security-Policy"] == FRAME
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Hi in text" in (await site.get("/outbox/w1.json"))[1]
        assert (await site.get("/outbox/w1.json/html"))[0] == 404


async def test_the_outbox_shows_its_own_files_only(opened: Opened, tmp_path: Path):
    """No path leads out of the folder, and what is half-written or no message is left out."""
    folder = tmp_path / "outbox"
    folder.mkdir()
    (tmp_path / "secret.eml").write_text("To: a@example.com\n\nsecret")
    (folder / "half.json").write_text('{"to": "+49')
    (folder / "list.json").write_bytes(orjson.dumps([1]))
    (folder / "empty.eml").write_text("")
    (folder / ".hidden.eml").write_text("To: a@example.com\n\nhidden")
    (folder / "notes.txt").write_text("notes")
    assert newest(folder, 10) == ([], 0)
    async with opened() as site:
        assert "Nothing has been written yet" in (await site.get("/outbox"))[1]
        names = (
            "..%2Fsecret.eml",
            "%2e%2e%2fsecret.eml",
            ".hidden.eml",
            "half.json",
            "list.json",
            "empty.eml",
            "none.eml",
        )
        for name in names:
            status, body, _ = await site.get(f"/outbox/{name}")
            assert (status, "secret" in body) == (404, False), name


async def test_the_newest_come_first_and_the_rest_is_counted(tmp_path: Path):
    """However full the folder is, a page shows a page."""
    import os

    sender = OutboxSender(tmp_path, Channel.EMAIL, sender="Mia <mia@example.com>")
    for n in range(7):
        await sender.send(mail(f"m{n}"))
        os.utime(tmp_path / f"m{n}.eml", (1_000 + n, 1_000 + n))
    letters, more = newest(tmp_path, 3)
    assert [letter.subject for letter in letters] == ["Subject m6", "Subject m5", "Subject m4"]
    assert more == 4


def test_links_of_a_mail_open_elsewhere():
    """The frame around a mail stays where it is, with a head or without one."""
    assert in_new_tabs('<html><head lang="en"><title>') == '<html><head lang="en"><base target="_blank"><title>'
    assert in_new_tabs("<p>Hi</p>") == '<base target="_blank"><p>Hi</p>'


@pytest.mark.parametrize(
    ("host", "public", "here"),
    [
        ("127.0.0.1", None, True),
        ("127.0.0.9", None, True),
        ("localhost", None, True),
        ("::1", None, True),
        ("0.0.0.0", None, False),
        ("192.168.0.4", None, False),
        ("leads.example.com", None, False),
        ("127.0.0.1", "https://leads.example.com", False),
        ("127.0.0.1", "http://localhost:8080", True),
    ],
)
def test_who_reaches_a_server(host: str, public: str | None, here: bool):
    """Behind a public address a server on loopback is everybody's."""
    assert is_here(host, public) is here


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "127.0.0.1:9", "[::1]:8080", "[::1]"])
def test_a_request_of_this_machine(host: str):
    """By every name that this machine has for itself."""
    assert asks_here(host)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.1"]
)
def test_a_request_from_elsewhere(host: str):
    """A name that only resolves to this machine is not its own."""
    assert not asks_here(host)


@pytest.mark.parametrize(
    ("speed", "words"),
    [
        (1, "24 hours"),
        (12, "2 hours"),
        (24, "60 minutes"),
        (3600, "24 seconds"),
        (86_400, "1 second"),
        (1e9, "less than a second"),
    ],
)
def test_the_pace_in_words(speed: float, words: str):
    """What a day of waiting comes to."""
    assert pace(speed) == words
