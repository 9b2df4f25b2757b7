"""Puts the desk together: its frame, its sign-in, and the pages of the rooms."""

from collections.abc import Callable, Sequence
from datetime import datetime

from tracker.desk.dashboard import DashboardPages
from tracker.desk.handoffs import HandoffPages
from tracker.desk.layout import Desk
from tracker.desk.leads import LeadPages
from tracker.desk.reviewing import ReviewPages
from tracker.desk.sign_in import SignIn
from tracker.handoffs import Handoffs
from tracker.reading import Source
from tracker.recorder import Recorder
from tracker.reviews import Review
from tracker.web import Route

LINKS = (
    ("Handoffs", "/desk/handoffs"),
    ("Leads", "/desk/leads"),
    ("Dashboard", "/desk/dashboard"),
    ("Review", "/desk/review"),
)
"""The navigation."""


def make_desk(recorder: Recorder, *, base_url: str) -> Desk:
    clock: Callable[[], datetime] = recorder.clock
    return Desk(recorder.store, clock, base_url=base_url, links=LINKS)


def desk_routes(
    desk: Desk, recorder: Recorder, handoffs: Handoffs, review: Review, timeline: Sequence[Source]
) -> list[Route]:
    """Args: timeline: every source of a lead's story."""
    return [
        *desk.routes(),
        *SignIn(desk).routes(),
        *HandoffPages(desk, recorder, handoffs).routes(),
        *LeadPages(desk, recorder, timeline).routes(),
        *DashboardPages(desk, recorder.catalog).routes(),
        *ReviewPages(desk, review).routes(),
    ]
