"""Web chat as a client meets it: over web sockets and over HTTP, on a server that listens."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from channels.chat_frames import SocketQuery
from channels.chat_hub import MOST
from channels.chat_socket import BACKLOG, ChatSocket
from channels.ports import Line
from channels.webchat import widget_script
from tests.fakes import Clock
from tests.talking import Served, serve, serving
from tracker.store.port import Store
from tracker.store.schema import EVENTS_BY_LEAD, LEADS_ALL
from tracker.times import Instant

Frame: TypeAlias = dict[str, Any]
TIMEOUT = 5


@pytest.fixture
async def served(store: Store, clock: Clock, tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(store, tmp_path, clock=clock) as served:
        yield served


@pytest.fixture
async def http(served: Served) -> AsyncIterator[ClientSession]:
    async with ClientSession(served.url) as session:
        yield session


class Tab:
    """One open web socket."""

    def __init__(self, socket: ClientWebSocketResponse):
        self.socket = socket
        self.visitor = self.token = ""
        self.history: list[Frame] = []

    async def hello(self, **known: str) -> "Tab":
        await self.socket.send_json({"type": "hello", "product": "flowdesk", **known})
        welcome = await self.next("welcome")
        self.visitor, self.token, self.history = welcome["visitor"], welcome["token"], welcome["history"]
        return self

    async def say(self, text: str, id: str) -> Frame:
        """Send a text and return the first answer."""
        await self.socket.send_json({"type": "message", "id": id, "text": text})
        return await self.next("message")

    async def next(self, *types: str) -> Frame:
        """Return the next frame of these types."""
        while True:
            frame: Frame = await self.socket.receive_json(timeout=TIMEOUT)
            if frame["type"] in types:
                return frame

    @property
    def known(self) -> dict[str, str]:
        return {"visitor": self.visitor, "token": self.token}

    @property
    def texts(self) -> list[str]:
        return [line["text"] for line in self.history]


@contextlib.asynccontextmanager
async def tab(http: ClientSession, **known: str) -> AsyncIterator[Tab]:
    async with http.ws_connect("/chat/ws") as socket:
        yield await Tab(socket).hello(**known)


async def post(http: ClientSession, **body: Any) -> Frame:
    async with http.post("/chat/messages", json={"product_id": "flowdesk", **body}) as answer:
        assert answer.status == 200, await answer.text()
        found: Frame = await answer.json()
        return found


async def read(http: ClientSession, **query: str) -> Frame:
    async with http.get("/chat/messages", params={"product": "flowdesk", **query}) as answer:
        assert answer.status == 200, await answer.text()
        found: Frame = await answer.json()
        return found


async def interactions(store: Store) -> list[str]:
    """Every event that every lead has, by type."""
    leads = await store.find(LEADS_ALL)
    pages = [await store.find(EVENTS_BY_LEAD, lead.id) for lead in leads.items]
    return [event.body["event_type"] for page in pages for event in page.items]


# Over a web socket


async def test_a_hello_is_answered_with_a_visitor_and_a_token(http: ClientSession) -> None:
    async with tab(http) as visitor:
        assert visitor.visitor
        assert visitor.token
        assert visitor.history == []


async def test_a_message_is_acknowledged_and_answered(http: ClientSession) -> None:
    """`typing` comes first, then the acknowledgement that ends a client's repeats, then what the bot says."""
    async with tab(http) as visitor:
        await visitor.socket.send_json({"type": "message", "id": "m1", "text": " a demo\u0007, please "})
        frames = [await visitor.socket.receive_json(timeout=TIMEOUT) for _ in range(4)]
    assert [frame["type"] for frame in frames] == ["typing", "ack", "message", "message"]
    assert frames[1]["id"] == "m1"
    assert frames[2]["text"] == "See https://flowdesk.example/demo."
    assert frames[3]["from"] == "bot"
    assert frames[3]["buttons"] == [
        {"title": "Yes, please", "payload": "/affirm"},
        {"title": "Not now", "payload": "/deny"},
    ]


async def test_a_message_without_a_hello_is_answered_too(http: ClientSession) -> None:
    """The address may say who is there: `/chat/ws?product=…&visitor=…&token=…`."""
    known = await post(http, text="first", id="m1")
    who = {"product": "flowdesk", "visitor": known["visitor"], "token": known["token"]}
    async with http.ws_connect("/chat/ws", params=who) as socket:
        visitor = Tab(socket)
        await socket.send_json({"type": "message", "id": "m2", "text": "second"})
        welcome = await visitor.next("welcome")
        answer = await visitor.next("message")
    assert welcome["visitor"] == known["visitor"]
    assert [line["text"] for line in welcome["history"]] == ["first", "You said: first"]
    assert answer["text"] == "You said: second"


async def test_a_payload_is_shown_by_the_title_of_its_button(http: ClientSession, served: Served) -> None:
    async with tab(http) as visitor:
        await visitor.say("a demo", "m1")
        await visitor.socket.send_json({"type": "message", "id": "m2", "payload": "/affirm"})
        while (await visitor.next("message"))["text"] != "You said: /affirm":
            pass
        async with tab(http, **visitor.known) as again:
            assert again.texts[3:] == ["Yes, please", "You said: /affirm"]
    assert served.engine.heard == ["a demo", "/affirm"]


async def test_the_same_id_is_answered_with_the_first_answer_and_counted_once(
    http: ClientSession, served: Served, store: Store, clock: Clock
) -> None:
    async with tab(http) as visitor:
        first = await visitor.say("hi", "m1")
        clock.forward(seconds=60)
        second = await visitor.say("something else", "m1")
        assert second == first
        over_http = await post(http, **visitor.known, text="hi", id="m1")
        assert over_http["messages"][0]["id"] == first["id"]
        assert (await tab_history(http, visitor)) == ["hi", "You said: hi"]
    assert served.engine.heard == ["hi"]
    assert await interactions(store) == ["chatbot_interaction"]


async def tab_history(http: ClientSession, visitor: Tab) -> list[str]:
    async with tab(http, **visitor.known) as again:
        return again.texts


async def test_repeats_at_the_same_moment_are_one_message(http: ClientSession, served: Served, store: Store) -> None:
    known = await read(http)
    who = {"visitor": known["visitor"], "token": known["token"]}
    answers = await asyncio.gather(*(post(http, **who, text="hi", id="m1") for _ in range(8)))
    assert len({answer["messages"][0]["id"] for answer in answers}) == 1
    assert served.engine.heard == ["hi"]
    assert await interactions(store) == ["chatbot_interaction"]


async def test_the_same_id_of_two_visitors_is_two_messages(http: ClientSession, served: Served) -> None:
    async with tab(http) as one, tab(http) as other:
        assert (await one.say("mine", "m1"))["text"] == "You said: mine"
        assert (await other.say("yours", "m1"))["text"] == "You said: yours"
    assert served.engine.heard == ["mine", "yours"]


@pytest.mark.parametrize("token", [None, "nonsense", "other's", "ü\u2028"])
async def test_a_visitor_without_its_token_is_a_new_visitor(http: ClientSession, token: str | None) -> None:
    """Nobody reads or writes another's thread: not with a made-up token, not with one's own token and their id."""
    async with tab(http) as victim, tab(http) as thief:
        await victim.say("my secret", "m1")
        known = {"visitor": victim.visitor}
        if token is not None:
            known["token"] = thief.token if token == "other's" else token
        async with tab(http, **known) as stranger:
            assert stranger.visitor not in {victim.visitor, thief.visitor}
            assert stranger.history == []
        posted = await post(http, **known, text="I am she", id="m2")
        assert posted["visitor"] not in {victim.visitor, thief.visitor}
        assert (await read(http, **known))["messages"] == []
        assert await tab_history(http, victim) == ["my secret", "You said: my secret"]


async def test_a_token_of_another_purpose_proves_nothing(http: ClientSession, served: Served) -> None:
    from channels.tokens import Purpose, Tokens

    token = Tokens(["a secret of the tests"]).make(Purpose.OPEN, "01VISITOR", "flowdesk")
    assert (await read(http, visitor="01VISITOR", token=token))["visitor"] != "01VISITOR"


async def test_two_tabs_of_a_visitor_show_the_same_thread(http: ClientSession) -> None:
    async with tab(http) as one, tab(http, **one.known) as two:
        await one.socket.send_json({"type": "message", "id": "m1", "text": "hi"})
        seen = [await two.next("typing", "message") for _ in range(3)]
    assert [frame["type"] for frame in seen] == ["typing", "message", "message"]
    assert [(frame["from"], frame["text"]) for frame in seen[1:]] == [("visitor", "hi"), ("bot", "You said: hi")]
    assert seen[1]["id"] == "m1"


async def test_another_visitor_hears_nothing_of_it(http: ClientSession) -> None:
    async with tab(http) as one, tab(http) as other:
        await one.say("hi", "m1")
        await other.socket.send_json({"type": "message", "id": "n1", "text": "ho"})
        frames = [await other.socket.receive_json(timeout=TIMEOUT) for _ in range(3)]
    assert [frame.get("text") for frame in frames] == [None, None, "You said: ho"]


async def test_the_oldest_of_too_many_tabs_closes(http: ClientSession) -> None:
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(tab(http))
        for _ in range(MOST):
            await stack.enter_async_context(tab(http, **first.known))
        assert (await first.socket.receive(timeout=TIMEOUT)).data == 1001


async def test_a_slow_reader_is_let_go_and_nobody_waits(served: Served) -> None:
    """It finds what it missed in the history when it is back."""
    socket = ChatSocket(served.server.chat, None, SocketQuery())
    for n in range(BACKLOG + 1):
        socket.push({"type": "message", "id": n})
    assert socket.ends


async def test_what_goes_wrong_on_our_side_is_told_without_details(
    http: ClientSession, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    async with tab(http) as visitor:
        with monkeypatch.context() as broken:
            broken.setattr(served.engine, "handle", fail)
            await visitor.socket.send_json({"type": "message", "id": "m1", "text": "hi"})
            error = await visitor.next("error")
        assert (error["status"], error["id"], error["retry_after"]) == (500, "m1", 5)
        assert "secret" not in error["detail"]
        assert (await visitor.say("hi", "m1"))["text"] == "You said: hi"


async def test_a_human_is_heard_in_every_tab(http: ClientSession, served: Served) -> None:
    """What the desk publishes on the hub reaches the visitor at once."""
    async with tab(http) as visitor:
        chat = served.server.chat
        thread = (await chat.welcome(None, visitor.visitor, visitor.token)).thread
        chat.hub.publish(thread, Line("h1", Instant("2026-03-02T09:00:00.000Z"), "human", "Dana here"))
        frame = await visitor.next("message")
    assert (frame["from"], frame["text"], frame["buttons"]) == ("human", "Dana here", [])


async def test_the_history_survives_a_restart_in_the_middle(store: Store, clock: Clock, tmp_path: Path) -> None:
    """A second server over the same store knows the visitor, the thread and which messages were taken."""
    first = await serve(store, tmp_path, clock=clock)
    async with ClientSession(first.url) as http, tab(http) as visitor:
        before = await visitor.say("a demo", "m1")
        await first.stop()
        closed = await visitor.socket.receive(timeout=TIMEOUT)
        while closed.type is WSMsgType.TEXT:
            closed = await visitor.socket.receive(timeout=TIMEOUT)
        assert closed.data == 1001
    async with serving(store, tmp_path, clock=clock) as second, ClientSession(second.url) as http:
        async with tab(http, **visitor.known) as again:
            assert again.visitor == visitor.visitor
            assert again.texts == ["a demo", "See https://flowdesk.example/demo.", "Shall I book it?"]
            assert (await again.say("a demo", "m1")) == before
            await again.socket.send_json({"type": "message", "id": "m2", "payload": "/affirm"})
            assert (await again.next("ack"))["id"] == "m2"
        assert second.engine.heard == ["/affirm"]


async def test_a_stopping_server_does_not_wait_for_idle_sockets(store: Store, clock: Clock, tmp_path: Path) -> None:
    served = await serve(store, tmp_path, clock=clock)
    async with ClientSession(served.url) as http, http.ws_connect("/chat/ws") as socket:
        receiving = asyncio.create_task(socket.receive(timeout=TIMEOUT))
        await asyncio.wait_for(served.stop(), 0.9)
        assert (await receiving).data == 1001


@pytest.mark.parametrize(
    ("frame", "status", "told"),
    [
        ("{", 400, "not JSON"),
        ("[]", 422, "type"),
        ('{"type": "shout"}', 422, "shout"),
        ('{"type": "message"}', 422, "text or payload"),
        ('{"type": "message", "text": " "}', 422, "text"),
        ('{"type": "message", "text": "a", "payload": "b"}', 422, "text or payload"),
        ('{"type": "message", "text": "a", "colour": "red"}', 422, "colour"),
        ('{"type": "message", "text": 7}', 422, "text"),
        ('{"type": "message", "text": "\\ud800"}', 400, "not JSON"),
        ('{"type": "message", "id": "", "text": "a"}', 422, "id"),
        ('{"type": "message", "text": "' + "a" * 4001 + '"}', 422, "4000"),
        ('{"type": "hello", "product": "nope"}', 422, "nope"),
        (b"\x00", 400, "text"),
    ],
)
async def test_a_bad_frame_is_told_and_the_socket_stays_open(
    http: ClientSession, served: Served, frame: str | bytes, status: int, told: str
) -> None:
    async with tab(http) as visitor:
        await (visitor.socket.send_bytes(frame) if isinstance(frame, bytes) else visitor.socket.send_str(frame))
        error = await visitor.next("error")
        assert error["status"] == status
        assert told in error["detail"]
        assert (await visitor.say("still there?", "m1"))["text"] == "You said: still there?"
    assert served.engine.heard == ["still there?"]


async def test_four_thousand_characters_pass(http: ClientSession) -> None:
    async with tab(http) as visitor:
        assert len((await visitor.say("🐙" * 4000, "m1"))["text"]) == 4010


async def test_a_huge_frame_ends_the_connection(http: ClientSession) -> None:
    async with tab(http) as visitor:
        await visitor.socket.send_str("x" * 70_000)
        closed = await visitor.socket.receive(timeout=TIMEOUT)
    assert closed.type in {WSMsgType.CLOSE, WSMsgType.CLOSED}
    assert visitor.socket.close_code == 1009


# Over HTTP


async def test_a_thread_over_http(http: ClientSession, clock: Clock) -> None:
    """What the widget does where web sockets do not get through."""
    who = await read(http)
    known = {"visitor": who["visitor"], "token": who["token"]}
    assert (who["messages"], who["product"]) == ([], {"product_id": "flowdesk", "name": "Flowdesk"})
    first = await post(http, **known, text="hi", id="m1")
    assert first["visitor"] == who["visitor"]
    assert [(m["text"], m["buttons"]) for m in first["messages"]] == [("You said: hi", [])]
    clock.forward(seconds=5)
    await post(http, **known, text="and a demo", id="m2")
    everything = (await read(http, **known))["messages"]
    assert [(m["from"], m["text"]) for m in everything] == [
        ("visitor", "hi"),
        ("bot", "You said: hi"),
        ("visitor", "and a demo"),
        ("bot", "See https://flowdesk.example/demo."),
        ("bot", "Shall I book it?"),
    ]
    assert [m["id"] for m in everything[::2]] == ["m1", "m2", "2.2"]
    newer = (await read(http, **known, after=everything[2]["at"]))["messages"]
    assert newer == everything[2:]


async def test_a_post_without_a_product_goes_on_with_the_one_of_the_token(http: ClientSession) -> None:
    first = await post(http, product_id="gridwise", text="hi")
    known = {"visitor": first["visitor"], "token": first["token"]}
    async with http.post("/chat/messages", json={**known, "text": "more"}) as answer:
        assert answer.status == 200
        assert (await answer.json())["messages"][0]["id"] == "2.1"


async def test_two_products_are_two_threads_of_one_visitor(http: ClientSession, store: Store) -> None:
    first = await post(http, text="hi")
    known = {"visitor": first["visitor"], "token": first["token"]}
    second = await post(http, **known, product_id="gridwise", text="ho")
    assert second["visitor"] == first["visitor"]
    assert [m["text"] for m in (await read(http, **known))["messages"]] == ["hi", "You said: hi"]
    leads = (await store.find(LEADS_ALL)).items
    assert {lead.body["product_id"] for lead in leads} == {"flowdesk", "gridwise"}
    assert len({lead.body["person_id"] for lead in leads}) == 1


async def test_the_default_product(store: Store, clock: Clock, tmp_path: Path) -> None:
    async with serving(store, tmp_path, clock=clock, default="gridwise") as served, ClientSession(served.url) as http:
        async with http.get("/chat/messages") as answer:
            assert (await answer.json())["product"]["product_id"] == "gridwise"
        async with http.get("/chat") as answer:
            assert "Chat with Gridwise" in await answer.text()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"text": "hi"}, "product_id"),
        ({"text": "hi", "product_id": "nope"}, "product_id"),
        ({"product_id": "flowdesk"}, ""),
        ({"product_id": "flowdesk", "text": "\u0007"}, "text"),
        ({"product_id": "flowdesk", "text": "hi", "shout": True}, "shout"),
    ],
)
async def test_a_post_that_is_not_as_documented_is_a_problem(http: ClientSession, body: Frame, path: str) -> None:
    async with http.post("/chat/messages", json=body) as answer:
        assert answer.status == 422
        assert answer.content_type == "application/problem+json"
        assert (await answer.json())["errors"][0]["path"] == path


async def test_any_site_may_call(http: ClientSession) -> None:
    """No cookie is used, so every origin is as good as another; errors can be read too."""
    asked = {"Origin": "https://site.example", "Access-Control-Request-Method": "POST"}
    async with http.options("/chat/messages", headers=asked) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert "Content-Type" in answer.headers["Access-Control-Allow-Headers"]
    async with http.post("/chat/messages", json={}) as answer:
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (422, "*")
    async with http.get("/chat/messages", params={"product": "flowdesk"}) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Set-Cookie" not in answer.headers
    async with http.get("/products") as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_plain_request_to_the_web_socket_is_a_problem(http: ClientSession) -> None:
    async with http.get("/chat/ws") as answer:
        assert answer.status == 400
        assert "/chat/messages" in (await answer.json())["detail"]


# How often


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of the rate limits."""
    now = SimpleNamespace(at=1_000_000.0)
    stopped = SimpleNamespace(time=lambda: now.at)
    monkeypatch.setattr("limits.storage.memory.time", stopped)
    monkeypatch.setattr("channels.throttle.time", stopped)
    return now


async def test_a_visitor_who_writes_too_often_waits(http: ClientSession, seconds: SimpleNamespace) -> None:
    known = await read(http)
    who = {"visitor": known["visitor"], "token": known["token"], "product_id": "flowdesk"}
    for n in range(60):
        await post(http, **who, text="hi", id=f"m{n}")
    seconds.at += 20.5
    async with http.post("/chat/messages", json={**who, "text": "hi", "id": "one more"}) as answer:
        assert answer.status == 429
        assert answer.headers["Retry-After"] == "40"
    async with tab(http, visitor=who["visitor"], token=who["token"]) as visitor:
        await visitor.socket.send_json({"type": "message", "id": "one more", "text": "hi"})
        error = await visitor.next("error")
        assert (error["status"], error["id"], error["retry_after"]) == (429, "one more", 40)
        seconds.at += 40
        assert (await visitor.say("hi", "one more"))["text"] == "You said: hi"
    await post(http, text="another visitor is not held up")


async def test_an_address_that_calls_too_often_waits(http: ClientSession, seconds: SimpleNamespace) -> None:
    for _ in range(600):
        await read(http)
    for call in (http.get("/chat/messages"), http.post("/chat/messages", json={"text": "hi"})):
        async with call as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "61")
    seconds.at += 60.5
    await read(http)


# What browsers load


async def test_the_page_allows_scripts_and_connections_of_this_host_only(http: ClientSession, served: Served) -> None:
    async with http.get("/chat", params={"product": "flowdesk"}) as answer:
        text, rules = await answer.text(), answer.headers["Content-Security-Policy"]
    host = served.url.removeprefix("http://")
    assert "Chat with Flowdesk" in text
    assert "style=" not in text
    assert text.count("<script") == 1
    assert "default-src 'none'" in rules
    assert "script-src 'self';" in rules
    assert f"connect-src 'self' ws://{host} wss://{host}" in rules
    async with http.get("/chat", params={"product": "flowdesk"}, headers={"Host": "a;script-src *"}) as answer:
        assert "*" not in answer.headers.get("Content-Security-Policy", "")


async def test_a_page_of_an_unknown_product_is_a_problem(http: ClientSession) -> None:
    for query in ({"product": "nope"}, {}):
        async with http.get("/chat", params=query) as answer:
            assert answer.status == 422


@pytest.mark.parametrize(
    ("name", "kind"), [("widget.js", "text/javascript"), ("widget.css", "text/css"), ("icon.svg", "image/svg+xml")]
)
async def test_the_widgets_files_are_kept_by_browsers(http: ClientSession, name: str, kind: str) -> None:
    async with http.get(f"/chat/{name}") as answer:
        assert (answer.status, answer.content_type) == (200, kind)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        tag = answer.headers["ETag"]
    async with http.get(f"/chat/{name}", headers={"If-None-Match": tag}) as answer:
        assert answer.status == 304


def test_the_widget_never_makes_html_of_text() -> None:
    script = widget_script().decode()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert way not in script
