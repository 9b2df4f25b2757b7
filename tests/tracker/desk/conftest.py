"""The desk over HTTP, with users whose passwords are cheap to check, and a lead who waits."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from html import unescape
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from channels.templates import TemplateCatalog
from config.desk import desk_routes, make_desk
from config.operation import Traffic
from config.problems import edge
from tests.fakes import Clock
from tracker.catalog import Catalog
from tracker.contacts import Contacts, NewLead
from tracker.desk.layout import COOKIE, Desk
from tracker.desk.passwords import Cost
from tracker.desk.users import Role, Users
from tracker.errors import Fault, Invalid
from tracker.events import Channel, EventType, Happening
from tracker.handoffs import Handoffs
from tracker.keys import Keys
from tracker.lead import Lead
from tracker.model import new_id
from tracker.person import Person
from tracker.ports import Mended, Spoken, ToMend, Way
from tracker.product import ProductConfig
from tracker.recorder import Recorder
from tracker.review import ReviewKind
from tracker.reviews import Review
from tracker.routes.leads import TIMELINE
from tracker.stages import Stage
from tracker.store.port import Change, Insert, Store
from tracker.store.schema import MESSAGES_BY_LEAD, Kind
from tracker.times import Instant, instant
from tracker.web import MAX_BODY, mount

CHEAP = Cost(n=16, r=1, p=1)
PASSWORD = "correct horse battery"
HOST = "leadline.test"
MENDED = frozenset(ReviewKind) - {ReviewKind.SCORING}


class PaperReplies:
    """Replies that are written down and go nowhere. Attributes: obstacle: why none would arrive."""

    obstacle: str | None = None

    def way(self, lead: Lead, person: Person, *, now: datetime) -> Way:
        return Way(Channel.CHATBOT, self.obstacle)

    def planned(
        self, id: str, *, lead_id: str, lead: Lead, channel: Channel, text: str, author: str, at: Instant
    ) -> Sequence[Change]:
        return [Insert(Kind.MESSAGES, id, {"lead_id": lead_id, "text": text, "author": author, "created_at": at})]

    async def spoken(self, store: Store, lead_id: str, *, limit: int) -> list[Spoken]:
        page = await store.find(MESSAGES_BY_LEAD, lead_id, limit=limit)
        return [
            Spoken(d.body["created_at"], d.body.get("by", "human"), d.body["text"], d.body["author"])
            for d in page.items
        ]


class PaperMender:
    """Takes everything but the number 13. Attributes: took: every input, as it was replayed."""

    acts_itself = False
    lead_id: str | None = None

    def __init__(self) -> None:
        self.took: list[Any] = []

    async def mend(self, wanted: ToMend) -> Mended:
        if wanted.input == 13:
            raise Invalid("the record is no login", Fault("organization_id", "Field required"))
        self.took.append(wanted.input)
        return Mended("counted as a login", self.lead_id)


class Page(NamedTuple):
    status: int
    headers: Mapping[str, str]
    html: str

    @property
    def words(self) -> str:
        """What a reader sees, white space folded."""
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", self.html)).split())

    @property
    def goal(self) -> str:
        return self.headers["Location"]


class Window:
    """A browser without a screen: it keeps cookies and fills in hidden fields of the page it is on."""

    def __init__(self, base: str):
        self._base = base
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    @property
    def cookie(self) -> str:
        """The session's token."""
        return self.session.cookie_jar.filter_cookies(URL(self._base + "/desk"))[COOKIE].value

    async def get(self, path: str, **headers: str) -> Page:
        return await self._send("GET", path, None, headers)

    async def post(self, path: str, fields: Mapping[str, str], **headers: str) -> Page:
        """Send a form as it is given. Headers are written with underscores."""
        return await self._send("POST", path, fields, headers)

    async def press(self, on: str, action: str, **fields: str) -> Page:
        """Send the form of the page `on` that goes to `action`, its hidden fields as they are."""
        return await self.post(action, {**hidden(await self.get(on), action), **fields})

    async def _send(self, method: str, path: str, data: Any, headers: Mapping[str, str]) -> Page:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method, self._base + path, data=data, headers=sent, allow_redirects=False
        ) as got:
            return Page(got.status, got.headers, await got.text())

    async def sign_in(self, name: str, password: str = PASSWORD, **more: str) -> Page:
        return await self.post("/desk/sign-in", {"name": name, "password": password, **more})


def hidden(page: Page, action: str) -> dict[str, str]:
    """The hidden fields of a form."""
    form = re.search(rf'<form[^>]*action="{re.escape(action)}".*?</form>', page.html, re.DOTALL)
    assert form is not None, f"no form goes to {action}"
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[0])
    return {name: unescape(value) for name, value in found}


class Rig:
    """A desk that runs, and what stands behind it."""

    def __init__(self, store: Store, *, base_url: str = f"http://{HOST}"):
        self.store, self.clock = store, Clock()
        self.catalog = Catalog(store, TemplateCatalog(store))
        self.recorder = Recorder(store, self.catalog, self.clock)
        self.contacts = Contacts(self.recorder)
        self.users = Users(store, self.clock, cost=CHEAP)
        self.replies, self.mender = PaperReplies(), PaperMender()
        self.handoffs = Handoffs(self.recorder, self.replies, [self.replies])
        self.desk: Desk = make_desk(self.recorder, base_url=base_url)
        self.desk.users = self.users
        self.review = Review(store, self.clock, dict.fromkeys(MENDED, self.mender))
        self.windows: list[Window] = []
        self.base, self.count = "", 0

    async def start(self) -> web.AppRunner:
        await self.catalog.put(ProductConfig(product_id="flowdesk", name="Flowdesk"), author="tests")
        app = web.Application(client_max_size=MAX_BODY)
        mount(
            app,
            desk_routes(self.desk, self.recorder, self.handoffs, self.review, TIMELINE),
            Keys(self.store),
            self.store,
            edge(Traffic(), self.desk.tell),
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    def window(self) -> Window:
        self.windows.append(Window(self.base))
        return self.windows[-1]

    async def signed_in(self, name: str = "Ana", role: Role = Role.SALES) -> Window:
        """A window of a new user."""
        await self.users.add(name, PASSWORD, role)
        window = self.window()
        assert (await window.sign_in(name)).status == 303
        return window

    async def lead(self, name: str = "Dana Fox", **fields: Any) -> str:
        """Make a lead and return its id."""
        self.count += 1
        known = {"product_id": "flowdesk", "name": name, "email": f"p{self.count}@example.com"}
        given = NewLead.model_validate({**known, **fields})
        return (await self.contacts.create(given, actor="tests", record=lambda: None)).lead_id

    async def happened(self, lead_id: str, event_type: EventType, channel: Channel, **metadata: Any) -> None:
        at = instant(self.clock())
        await self.recorder.event(lead_id, Happening("tests", new_id(), event_type, channel, at, metadata))

    async def waiting(self, name: str = "Dana Fox", **fields: Any) -> str:
        """Make a lead that qualifies, and return the id of its handoff."""
        lead_id = await self.lead(name, **fields)
        for stage in (Stage.ENGAGED, Stage.QUALIFIED):
            await self.recorder.move(lead_id, stage, actor="tests", reason="ready")
        items, _ = await self.handoffs.list("open")
        return str(next(item["id"] for item in items if item["lead_id"] == lead_id))

    async def said(self, lead_id: str, text: str) -> None:
        """The visitor writes."""
        body = {"lead_id": lead_id, "text": text, "author": None, "created_at": instant(self.clock()), "by": "visitor"}
        await self.store.commit(Insert(Kind.MESSAGES, new_id(), body))


@pytest.fixture
async def rig(store: Store) -> AsyncIterator[Rig]:
    rig = Rig(store)
    runner = await rig.start()
    yield rig
    for window in rig.windows:
        await window.session.close()
    await runner.cleanup()
