"""Plugs into the review queue the rooms that can try again what ended there, or go on when it is discarded."""

from channels.delivery import Delivery
from channels.mending import InboundMender, MessageMender, TemplateMender, UncertainMender
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
    logins, uncertain = LoginMender(ingestion), UncertainMender(recorder)
    menders: dict[ReviewKind, Mender] = {
        ReviewKind.QUARANTINE: logins,
        ReviewKind.DEAD_LETTER: logins,
        ReviewKind.DROPPED_FIELD: FieldMender(Contacts(recorder), clock),
        ReviewKind.MESSAGE: MessageMender(store, clock),
        ReviewKind.UNCERTAIN: uncertain,
        ReviewKind.TEMPLATE: TemplateMender(store, delivery),
        ReviewKind.INBOUND: InboundMender(store, clock),
        ReviewKind.OUTBOUND: OutboundMender(store, subscriptions, clock),
        ReviewKind.THRESHOLD: ThresholdMender(recorder, subscriptions),
    }
    return Review(
        store,
        clock,
        menders,
        after=recorder.after,
        discarders={ReviewKind.UNCERTAIN: uncertain},
        reactors=recorder.reactors,
    )
