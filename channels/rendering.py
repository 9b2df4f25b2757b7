"""Rendering: a template's content and a lead become subject, text and HTML."""

from collections.abc import Mapping
from functools import lru_cache
from html import escape, unescape
from typing import Any, NamedTuple

import mrml
import nh3
from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tracker.errors import Fault
from tracker.model import Document

_ENVIRONMENTS = {
    autoescape: ImmutableSandboxedEnvironment(
        autoescape=autoescape, undefined=StrictUndefined, keep_trailing_newline=True
    )
    for autoescape in (True, False)
}
_LIMIT = 200_000


class Content(Document, frozen=True, kw_only=True):
    """What a template says on one channel. `html` is made from MJML when the template was given so."""

    subject: str | None = None
    text: str | None = None
    html: str | None = None
    variables: dict[str, Any] = {}


class Rendered(NamedTuple):
    subject: str
    text: str
    html: str | None


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
    return Rendered(subject, text, html)


def _part(name: str, source: str, values: Mapping[str, Any], *, autoescape: bool) -> str:
    try:
        rendered = _compiled(source, autoescape).render(values)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
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
