"""What retention removes: each room's row says which documents of a lead come to an end, and when."""

from bot import turns
from channels import messages
from tracker import handoff
from tracker.privacy import Privacy
from tracker.recorder import Recorder
from tracker.retention import Retention, Rule
from tracker.store.schema import CONVERSATIONS_BY_LEAD, HANDOFFS_BY_LEAD, MESSAGES_BY_LEAD, TURNS_BY_LEAD

RULES = (
    Rule("turns", TURNS_BY_LEAD, turns.ended),
    Rule("turns", CONVERSATIONS_BY_LEAD, turns.left, turns.emptied),
    Rule("messages", MESSAGES_BY_LEAD, messages.ended),
    Rule("handoffs", HANDOFFS_BY_LEAD, handoff.ended),
)


def make_retention(recorder: Recorder, privacy: Privacy) -> Retention:
    return Retention(recorder.store, recorder.catalog, privacy, RULES, recorder.clock)
