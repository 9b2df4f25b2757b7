"""Signing in and out."""

from typing import Annotated, Any

from pydantic import Field

from tracker.desk import forms
from tracker.desk.forms import Form
from tracker.desk.guesses import Guesses
from tracker.desk.layout import COOKIE, FIRST_PAGE, HTML, ROOT, SIGN_IN, Desk, redirect
from tracker.desk.users import user_id
from tracker.errors import TooMany
from tracker.model import Input, clean
from tracker.web import Answer, Call, Route

WRONG = "The user name and the password do not match. Check both and try again."


class SignInQuery(Input):
    next: Annotated[str, Field(max_length=2000)] | None = None


class SignInForm(Input):
    """`next`: the page that was asked for."""

    name: Annotated[str, Field(max_length=1000)]
    password: Annotated[str, Field(max_length=20_000)]
    next: Annotated[str, Field(max_length=2000)] = ""


class SignIn:
    def __init__(self, desk: Desk, guesses: Guesses | None = None):
        self._desk, self._guesses = desk, guesses or Guesses()

    def routes(self) -> list[Route]:
        refused = dict.fromkeys((400, 401, 403, 413, 415, 422, 429, 503), HTML)
        return [
            Route("GET", SIGN_IN, None, self.form, "Sign in at the desk", {200: HTML, 303: None, 422: HTML, 503: HTML},
                  query=SignInQuery),
            Route("POST", SIGN_IN, None, self.enter, "Sign in at the desk", {303: None, **refused}, form=SignInForm),
            Route("POST", f"{ROOT}/sign-out", None, self.leave, "Sign out of the desk",
                  {303: None, **dict.fromkeys((400, 403, 413, 415, 422, 503), HTML)}, form=Form, session=True),
        ]  # fmt: skip

    async def form(self, call: Call[None, SignInQuery]) -> Answer:
        goal = forms.own_path(call.query.next)
        if await self._desk.visitor(call.request) is not None:
            return redirect(goal or FIRST_PAGE)
        return self._desk.show(call.request, "sign_in.html", name="", next=goal or "", problem=None)

    async def enter(self, call: Call[None, Any]) -> Answer:
        request = call.request
        forms.demand_own_site(request, self._desk.own_host)
        given = forms.read(SignInForm, await forms.fields(request))
        goal = forms.own_path(given.next)
        who = (request.remote or "", user_id(clean(given.name))[:100])
        try:
            self._guesses.count(*who)
        except TooMany as error:
            page = self._refused(call, given, error.detail, status=429)
            page.headers = {**page.headers, "Retry-After": str(error.retry_after)}
            return page
        user = await self._desk.users.verified(given.name, given.password)
        if user is None:
            return self._refused(call, given, WRONG, status=401)
        self._guesses.forgive(*who)
        await self._desk.sessions.end(request.cookies.get(COOKIE))
        answer = redirect(goal or FIRST_PAGE)
        cookie = f"{COOKIE}={await self._desk.sessions.open(user)}; {self._attributes()}"
        return Answer(303, headers={**answer.headers, "Set-Cookie": cookie})

    def _refused(self, call: Call[None, Any], given: SignInForm, problem: str, *, status: int) -> Answer:
        values = {"name": given.name, "next": forms.own_path(given.next) or "", "problem": problem}
        return self._desk.show(call.request, "sign_in.html", status=status, **values)

    async def leave(self, call: Call[None, Any]) -> Answer:
        visitor = await self._desk.visitor(call.request)
        if visitor is not None:
            await self._desk.sent(call.request, visitor)
            await self._desk.sessions.end(call.request.cookies.get(COOKIE))
        gone = f"{COOKIE}=; Max-Age=0; {self._attributes()}"
        return Answer(303, headers={**redirect(SIGN_IN).headers, "Set-Cookie": gone})

    def _attributes(self) -> str:
        """A link in a mail about a handoff must find its reader signed in, hence Lax; no GET changes anything."""
        return f"Path={ROOT}; HttpOnly; SameSite=Lax" + ("; Secure" if self._desk.is_secure else "")
