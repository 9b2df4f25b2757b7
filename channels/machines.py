"""Was it a person, or a mail scanner or picture proxy that looked? Pure."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from tracker.model import Document
from tracker.times import Instant, moment

SECONDS = 2
"""Nobody reads a mail within so many seconds of its sending, nor follows two links in as many."""

AGENTS = (
    "bot",
    "crawler",
    "spider",
    "scanner",
    "googleimageproxy",
    "yahoomailproxy",
    "barracuda",
    "mimecast",
    "proofpoint",
    "symantec",
    "curl/",
    "python-requests",
    "go-http-client",
    "headlesschrome",
)
"""Parts of the User-Agent of scanners and proxies, lower case."""


class Hit(Document, frozen=True, kw_only=True):
    """A link that was followed. `machine`: as it was judged at that time."""

    link: int
    at: Instant
    machine: bool


class Judged(NamedTuple):
    """Attributes: machine: this hit was a machine's. also: links whose earlier hit turns out to be one too."""

    machine: bool
    also: tuple[int, ...] = ()


def of_open(agent: str, *, sent_at: Instant | None, at: Instant) -> bool:
    """Whether a machine fetched the pixel. `sent_at`: None while the mail is still on its way."""
    return _known(agent) or sent_at is None or _close(sent_at, at)


def of_click(agent: str, link: int, earlier: Sequence[Hit], *, sent_at: Instant | None, at: Instant) -> Judged:
    """Judge a followed link, and the earlier ones in its light."""
    others = [hit for hit in earlier if hit.link != link and _close(hit.at, at)]
    if others:
        return Judged(True, tuple(hit.link for hit in others if not hit.machine))
    return Judged(of_open(agent, sent_at=sent_at, at=at))


def _known(agent: str) -> bool:
    agent = agent.lower()
    return not agent or any(part in agent for part in AGENTS)


def _close(one: Instant, other: Instant) -> bool:
    return abs(moment(other) - moment(one)) <= timedelta(seconds=SECONDS)
