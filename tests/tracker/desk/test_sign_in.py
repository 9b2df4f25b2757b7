"""Signing in and out over HTTP: cookies, forged forms, guessing."""

from io import BytesIO

import pytest

from tests.tracker.desk.conftest import HOST, PASSWORD, Rig, Window, hidden
from tracker.desk.forms import own_path
from tracker.desk.layout import COOKIE
from tracker.desk.sign_in import WRONG
from tracker.desk.users import Role
from tracker.store.port import Store

PAGES = ["/desk/handoffs", "/desk/leads", "/desk/leads.csv", "/desk/review", "/desk/leads/x", "/desk/handoffs/x/thread"]
FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": f"http://{HOST}.evil.example"},
    {"Origin": "http://["},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
]


async def test_the_desk_leads_to_its_first_page(rig: Rig) -> None:
    assert (await rig.window().get("/desk")).goal == "/desk/handoffs"


@pytest.mark.parametrize("path", PAGES)
async def test_nobody_sees_a_page_without_signing_in(rig: Rig, path: str) -> None:
    page = await rig.window().get(path)
    assert page.status == 303
    assert page.goal.startswith("/desk/sign-in")
    assert page.html == ""


async def test_after_signing_in_one_is_where_one_wanted_to_be(rig: Rig) -> None:
    await rig.users.add("ana", PASSWORD)
    window = rig.window()
    asked = await window.get("/desk/leads?q=dana")
    form = await window.get(asked.goal)
    fields = {**hidden(form, "/desk/sign-in"), "name": "ana", "password": PASSWORD}
    assert (await window.post("/desk/sign-in", fields)).goal == "/desk/leads?q=dana"
    assert (await window.get("/desk/sign-in?next=%2Fdesk%2Freview")).goal == "/desk/review"


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example", "//evil.example", "/\\evil.example", "/desk\\evil", "/desk/../leads", "/leads",
        "/deskx", "/desk/x\r\nX: y", "javascript:alert(1)", "/desk/x#y", "",
    ],
)  # fmt: skip
async def test_nobody_is_sent_away(rig: Rig, path: str) -> None:
    """What is no path of the desk leads to the first page, before and after signing in."""
    assert own_path(path) is None
    await rig.users.add("ana", PASSWORD)
    window = rig.window()
    assert (await window.sign_in("ana", next=path)).goal == "/desk/handoffs"


async def test_the_cookie_is_out_of_reach(rig: Rig, store: Store) -> None:
    """Not for scripts, not for other sites, not for the API; over https never in clear."""
    window = await rig.signed_in()
    cookie = (await rig.window().sign_in("Ana")).headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert cookie.endswith("; Path=/desk; HttpOnly; SameSite=Lax")
    assert "Ana" in (await window.get("/desk/handoffs")).words
    secure = Rig(store, base_url=f"https://{HOST}")
    runner = await secure.start()
    other = secure.window()
    assert (await other.sign_in("Ana")).headers["Set-Cookie"].endswith("; Secure")
    await other.session.close()
    await runner.cleanup()


async def test_a_wrong_password_is_told_in_words(rig: Rig) -> None:
    """The same words for a name that nobody has; what was typed as a name stays, as text."""
    await rig.users.add("ana", PASSWORD)
    window = rig.window()
    for name in ("ana", '"><b>nobody'):
        page = await window.sign_in(name, "wrong password")
        assert page.status == 401
        assert WRONG in page.words
        assert "<b>nobody" not in page.html
        assert "wrong password" not in page.html
    assert (await window.get("/desk/handoffs")).status == 303


async def test_pages_are_kept_by_nobody_and_frame_nothing(rig: Rig) -> None:
    page = await rig.window().get("/desk/sign-in")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert " style=" not in page.html
    assert "<script>" not in page.html


async def test_signing_out_ends_the_session(rig: Rig) -> None:
    window = await rig.signed_in()
    token = window.cookie
    page = await window.press("/desk/leads", "/desk/sign-out")
    assert page.goal == "/desk/sign-in"
    assert "Max-Age=0" in page.headers["Set-Cookie"]
    assert (await rig.window().get("/desk/leads", Cookie=f"{COOKIE}={token}")).status == 303
    assert (await window.post("/desk/sign-out", {})).goal == "/desk/sign-in"


async def test_signing_in_again_ends_the_session_before(rig: Rig) -> None:
    window = await rig.signed_in()
    token = window.cookie
    await window.sign_in("Ana")
    assert window.cookie != token
    assert (await rig.window().get("/desk/leads", Cookie=f"{COOKIE}={token}")).status == 303


# forged forms


async def acting(rig: Rig) -> tuple[Window, str, dict[str, str]]:
    """Ana on the page of a handoff: the window, where its Claim goes, the fields of that form."""
    window = await rig.signed_in()
    action = f"/desk/handoffs/{await rig.waiting()}/claim"
    return window, action, hidden(await window.get(action.removesuffix("/claim")), action)


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_a_form_from_another_site_does_nothing(rig: Rig, headers: dict[str, str]) -> None:
    """Even with the right token: no session's form is sent from elsewhere."""
    window, action, fields = await acting(rig)
    page = await window.post(action, fields, **headers)
    assert page.status == 403
    assert "came from another site" in page.words
    assert (await window.post("/desk/sign-out", fields, **headers)).status == 403
    assert (await rig.window().post("/desk/sign-in", {"name": "Ana", "password": PASSWORD}, **headers)).status == 403
    (item,), _ = await rig.handoffs.list()
    assert item["status"] == "open"


async def test_a_form_without_its_token_does_nothing(rig: Rig) -> None:
    window, action, fields = await acting(rig)
    await rig.users.add("Ben", PASSWORD)
    other = rig.window()
    await other.sign_in("Ben")
    strange = hidden(await other.get("/desk/leads"), "/desk/sign-out")
    for given in ({}, {"csrf_token": ""}, {"csrf_token": "\u00e9"}, strange):
        page = await window.post(action, given)
        assert page.status == 403
        assert "out of date" in page.words
        assert (await window.post("/desk/sign-out", given)).status == 403
    (item,), _ = await rig.handoffs.list()
    assert item["status"] == "open"
    assert (await window.post(action, fields, Origin=rig.base, Sec_Fetch_Site="same-origin")).status == 303


async def test_a_form_of_our_own_passes_behind_a_proxy(rig: Rig) -> None:
    """The proxy may rewrite Host; the public address is ours as well."""
    window, action, fields = await acting(rig)
    assert (await window.post(action, fields, Origin=f"https://{HOST}")).status == 303


async def test_a_form_without_a_session_does_nothing(rig: Rig) -> None:
    _, action, fields = await acting(rig)
    assert (await rig.window().post(action, fields)).goal == "/desk/sign-in"
    (item,), _ = await rig.handoffs.list()
    assert item["status"] == "open"


async def test_what_is_no_form_is_refused_in_words(rig: Rig) -> None:
    """No 5xx, whatever is posted: another type, other fields, too many of them, bytes that are no text."""
    window, action, fields = await acting(rig)
    json, form = {"Content_Type": "application/json"}, {"Content_Type": "application/x-www-form-urlencoded"}
    for path in (action, "/desk/sign-in", "/desk/sign-out"):
        assert (await window._send("POST", path, b"{}", json)).status == 415
        assert (await window._send("POST", path, b"a=1&" * 60, form)).status == 400
        assert (await window._send("POST", path, b"\xff\xfe=%ff&\x00", form)).status in {403, 422}
        assert (await window._send("POST", path, BytesIO(b"x" * (3 << 20)), form)).status == 413
        broken = {**form, "Content_Encoding": "gzip", "Connection": "close"}
        assert (await window._send("POST", path, b"no gzip", broken)).status == 400
        odd = {"Content_Type": "application/x-www-form-urlencoded; charset=klingon"}
        assert (await window._send("POST", path, b"a=1", odd)).status in {403, 422}
    assert (await window.post(action, {**fields, "more": "1"})).status == 422
    assert (await rig.window().sign_in("x" * 2000)).status == 422


# guessing


async def test_guessing_is_limited_in_words(rig: Rig) -> None:
    """Ten tries at a name from an address; then it is told when to come back, also with the right password."""
    await rig.users.add("ana", PASSWORD)
    await rig.users.add("ben", PASSWORD)
    window = rig.window()
    for _ in range(10):
        assert (await window.sign_in("ana", "wrong password")).status == 401
    for password in ("wrong password", PASSWORD):
        page = await window.sign_in("ANA ", password)
        assert page.status == 429
        assert 0 < int(page.headers["Retry-After"]) <= 900
        assert "Too many tries. Try again in 15 minutes." in page.words
        assert 'type="password"' in page.html
    assert (await window.sign_in("ben")).status == 303


async def test_who_knows_the_password_is_not_counted(rig: Rig) -> None:
    await rig.users.add("ana", PASSWORD)
    for _ in range(3):
        window = rig.window()
        for _ in range(5):
            await window.sign_in("ana", "wrong password")
        assert (await window.sign_in("ana")).status == 303


# roles


async def test_marketing_reads_and_does_not_act(rig: Rig) -> None:
    """No buttons, and a refusal in words for whoever sends the form anyway."""
    window = await rig.signed_in("Mia", Role.MARKETING)
    id = await rig.waiting()
    page = await window.get(f"/desk/handoffs/{id}")
    assert page.status == 200
    assert "Claim" not in page.words
    token = hidden(page, "/desk/sign-out")
    for verb in ("claim", "reply", "release", "resolve"):
        refused = await window.post(f"/desk/handoffs/{id}/{verb}", {**token, "text": "x", "reply_id": "r"})
        assert refused.status == 403
        assert "Your role reads; people of sales and admins act" in refused.words
    assert (await rig.handoffs.get(id))["status"] == "open"


@pytest.mark.parametrize("role", [Role.SALES, Role.ADMIN])
async def test_sales_and_admins_act(rig: Rig, role: Role) -> None:
    window = await rig.signed_in("Ana", role)
    here = f"/desk/handoffs/{await rig.waiting()}"
    assert (await window.press(here, f"{here}/claim")).status == 303
