"""Rendering: a template's content and a lead become subject, text and HTML."""

from collections.abc import Mapping
from functools import lru_cache
from html import escape, unescape
from typing import Any, NamedTuple

import mrml
import nh3
from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tracker.errors import Fault
from tracker.model import Document

_LIMIT = 200_000
_MOST = 1000
"""Steps of a `range` that a template may ask for: it is rendered while others wait."""


def _range(*bounds: int) -> range:
    steps = range(*bounds)
    if len(steps) > _MOST:
        raise SecurityError(f"a range of more than {_MOST} steps is not allowed")
    return steps


class _Sandbox(ImmutableSandboxedEnvironment):
    """Templates come from people: they reach nothing but what they are given, and cannot ask for endless work."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            raise SecurityError("powers are not allowed")
        if operator == "%" and isinstance(left, str):
            raise SecurityError("formatting with % is not allowed")
        for repeated, times in ((left, right), (right, left)):
            if isinstance(repeated, str | list | tuple) and len(repeated) * times > 2 * _LIMIT:
                raise SecurityError("so many repeats are not allowed")
        return super().call_binop(context, operator, left, right)


def _sandbox(*, autoescape: bool) -> _Sandbox:
    sandbox = _Sandbox(autoescape=autoescape, undefined=StrictUndefined, keep_trailing_newline=True)
    sandbox.globals = {"range": _range, "dict": dict}
    for name in ("center", "format", "indent", "truncate", "wordwrap"):  # they make a text as wide as they are told
        del sandbox.filters[name]
    return sandbox


_ENVIRONMENTS = {autoescape: _sandbox(autoescape=autoescape) for autoescape in (True, False)}


class Content(Document, frozen=True, kw_only=True):
    """What a template says on one channel. `html` is made from MJML when the template was given so."""

    subject: str | None = None
    text: str | None = None
    html: str | None = None
    variables: dict[str, Any] = {}
    content_sid: str | None = None


class Rendered(NamedTuple):
    """Attributes: content_sid: of a template that the provider keeps and fills with `content_variables`."""

    subject: str
    text: str
    html: str | None
    content_sid: str | None = None
    content_variables: Mapping[str, str] = {}


class Unrenderable(Exception):
    """A template cannot be rendered; `fault` says which part and why."""

    def __init__(self, fault: Fault):
        super().__init__(f"{fault.path}: {fault.message}")
        self.fault = fault


def context(
    lead: Mapping[str, Any],
    person: Mapping[str, Any],
    product: Mapping[str, Any],
    variables: Mapping[str, Any],
    unsubscribe_url: str,
) -> dict[str, Any]:
    """What templates may name.

    Args: lead: the API's lead. person: `first_name`, `name`, `email`, `phone`. product: `name` and its facts.
    """
    return {
        "lead": lead,
        "person": person,
        "product": product,
        "variables": variables,
        "unsubscribe_url": unsubscribe_url,
    }


def render(content: Content, values: Mapping[str, Any]) -> Rendered:
    """Return the parts of a message. A missing text part is made from the HTML.

    Raises: Unrenderable.
    """
    everything = {**values, "variables": {**content.variables, **values.get("variables", {})}}
    subject = " ".join(_part("subject", content.subject or "", everything, autoescape=False).split())
    html = _part("html", content.html, everything, autoescape=True) if content.html else None
    text = _part("text", content.text, everything, autoescape=False) if content.text else as_text(html or "")
    if content.content_sid is None:
        return Rendered(subject, text, html)
    filled = _filled(content.variables, everything, given=values.get("variables", {}))
    return Rendered(subject, text, html, content.content_sid, filled)


def _filled(own: Mapping[str, Any], values: Mapping[str, Any], *, given: Mapping[str, Any]) -> dict[str, str]:
    """Return what a provider puts into its template: what the caller gave as it is, the rest rendered.

    One line each: WhatsApp takes no line breaks there.
    """
    words = {name: _part(f"variables/{name}", str(source), values, autoescape=False) for name, source in own.items()}
    words |= {name: str(value) for name, value in given.items() if name in own or name.isdecimal()}
    return {name: " ".join(text.split()) for name, text in words.items()}


_MISTAKES = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    AssertionError,
    RuntimeError,
    MemoryError,
)
"""What a template can stumble over: its author is told."""


def _part(name: str, source: str, values: Mapping[str, Any], *, autoescape: bool) -> str:
    try:
        rendered = _compiled(source, autoescape).render(values)
    except _MISTAKES as error:
        raise Unrenderable(Fault(name, str(error) or type(error).__name__)) from error
    if len(rendered) > _LIMIT:
        raise Unrenderable(Fault(name, f"is longer than {_LIMIT} characters"))
    return rendered


@lru_cache(maxsize=2000)
def _compiled(source: str, autoescape: bool) -> Template:
    return _ENVIRONMENTS[autoescape].from_string(source)


def html_of(mjml: str) -> str:
    """Return MJML as HTML. Raises: Unrenderable."""
    try:
        return str(mrml.to_html(mjml).content)
    except OSError as error:
        raise Unrenderable(Fault("mjml", str(error))) from error


def as_text(html: str) -> str:
    """Return the words of some HTML, one line a block."""
    for end in ("</p>", "<br>", "<br/>", "<br />", "</div>", "</h1>", "</h2>", "</li>", "</tr>"):
        html = html.replace(end, end + "\n")
    words = unescape(nh3.clean(html, tags=set()))
    return "\n".join(line for line in (" ".join(line.split()) for line in words.splitlines()) if line)


def as_html(text: str) -> str:
    """Return plain text as simple HTML."""
    paragraphs = (escape(part).replace("\n", "<br>") for part in text.split("\n\n"))
    return "".join(f"<p>{part}</p>" for part in paragraphs)


SAMPLE_LEAD: dict[str, Any] = {
    "id": "01JD0000000000000000000000",
    "person_id": "01JD0000000000000000000001",
    "crm_user_id": "u-1",
    "organization_id": "org-1",
    "product_id": "sample",
    "stage": "User",
    "engagement_score": 12,
    "created_at": "2026-01-01T09:00:00.000Z",
    "updated_at": "2026-01-02T09:00:00.000Z",
    "last_login_at": "2026-01-02T09:00:00.000Z",
    "contact_info": {"email": "dana@example.com", "phone": "+4915112345678", "preferred_channel": "email"},
    "demographics": {
        "name": "Dana Fox",
        "job_title": "Head of Sales",
        "company": "Acme",
        "company_size": "51-200",
        "industry": "Software",
    },
    "product_context": {"login_frequency": 3, "feature_usage": ["reports"], "trial_status": "active"},
    "version": 1,
}


def sample_context(variables: Mapping[str, Any]) -> dict[str, Any]:
    """A made-up lead, for the trial rendering of a template that is saved and for previews."""
    person = {"first_name": "Dana", "name": "Dana Fox", "email": "dana@example.com", "phone": "+4915112345678"}
    product = _Facts({"name": "Sample"})
    return context(SAMPLE_LEAD, person, product, variables, "https://leadline.example/u/sample")


class _Facts(dict[str, Any]):
    """A product with every fact: which facts a product has is known only when a message is made."""

    def __missing__(self, name: str) -> str:
        return f"({name})"
