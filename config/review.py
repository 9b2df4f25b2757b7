"""Plugs into the review queue the rooms that can try again what ended there."""

from channels.delivery import Delivery
from channels.mending import InboundMender, MessageMender, TemplateMender
from n8n.mending import FieldMender, LoginMender, OutboundMender, ThresholdMender
from n8n.subscriptions import Subscriptions
from tracker.contacts import Contacts
from tracker.ingestion import Ingestion
from tracker.ports import Mender
from tracker.recorder import Recorder
from tracker.review import ReviewKind
from tracker.reviews import Review


def make_review(recorder: Recorder, ingestion: Ingestion, delivery: Delivery, subscriptions: Subscriptions) -> Review:
    store, clock = recorder.store, recorder.clock
    logins, messages = LoginMender(ingestion), MessageMender(store, clock)
    menders: dict[ReviewKind, Mender] = {
        ReviewKind.QUARANTINE: logins,
        ReviewKind.DEAD_LETTER: logins,
        ReviewKind.DROPPED_FIELD: FieldMender(Contacts(recorder), clock),
        ReviewKind.MESSAGE: messages,
        ReviewKind.UNCERTAIN: messages,
        ReviewKind.TEMPLATE: TemplateMender(store, delivery),
        ReviewKind.INBOUND: InboundMender(store, clock),
        ReviewKind.OUTBOUND: OutboundMender(store, subscriptions, clock),
        ReviewKind.THRESHOLD: ThresholdMender(recorder, subscriptions),
    }
    return Review(store, clock, menders, after=recorder.after)
