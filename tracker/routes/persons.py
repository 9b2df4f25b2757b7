"""Persons over HTTP: consent, and which two of them are one."""

from typing import Annotated, Any

from pydantic import Field

from tracker import audit
from tracker.errors import NotFound
from tracker.events import Channel
from tracker.keys import Scope
from tracker.logins import person_changes
from tracker.merges import Done, Merges
from tracker.model import Input, Line, Name, Output, PastTime
from tracker.people import followed
from tracker.person import Consent, ConsentStatus, Person, Suppression, SuppressionScope
from tracker.recorder import Recorder
from tracker.store.port import Document
from tracker.times import Instant, instant
from tracker.unit import Decision, run
from tracker.web import Answer, Call, Route


class ConsentGiven(Input):
    status: ConsentStatus
    basis: Line | None = None
    source: Line | None = None
    at: PastTime | None = None


class SuppressionGiven(Input):
    channel: Channel
    reason: Name
    at: PastTime | None = None
    scope: SuppressionScope = "nurture"


class ConsentChange(Input):
    """Channels left out keep their consent. Suppressions are added; none is lifted."""

    email: ConsentGiven | None = None
    whatsapp: ConsentGiven | None = None
    suppressed: Annotated[tuple[SuppressionGiven, ...], Field(max_length=100)] = ()

    def news(self, person: Person, at: Instant) -> dict[str, Consent]:
        """Return the consents that differ from a person's, by field. What was read of them may be sent back."""
        given = {"email_consent": self.email, "whatsapp_consent": self.whatsapp}
        return {
            name: Consent(status=said.status, basis=said.basis, source=said.source or "api", at=said.at or at)
            for name, said in given.items()
            if said is not None and said.model_dump() != getattr(person, name).body()
        }


class ConsentKept(Output):
    status: ConsentStatus
    basis: str | None
    source: str | None
    at: Instant | None


class SuppressionView(Output):
    channel: Channel
    reason: str
    at: Instant
    scope: str


class ConsentView(Output):
    email: ConsentKept
    whatsapp: ConsentKept
    suppressed: list[SuppressionView]


class Into(Input):
    """The other person. The older of the two survives."""

    into: Name


class MergeView(Output):
    """Attributes: survivor: the person that stays; absorbed: the one whose id redirects from now on."""

    merge_id: str
    survivor: str
    absorbed: str
    at: Instant
    by: str
    undone_at: Instant | None


class PersonRoutes:
    def __init__(self, recorder: Recorder):
        self._store, self._clock, self._merges = recorder.store, recorder.clock, Merges(recorder)

    def routes(self) -> list[Route]:
        path = "/persons/{id}/consent"
        return [
            Route("GET", path, Scope.LEADS_READ, self.get, "What a person allows", {200: ConsentView}),
            Route("PUT", path, Scope.LEADS_WRITE, self.put, "Record what a person allows", {200: ConsentView},
                  body=ConsentChange),
            Route("POST", "/persons/{id}/merge", Scope.LEADS_WRITE, self.merge, "Make two persons one",
                  {200: MergeView}, body=Into, errors=(409,)),
            Route("POST", "/persons/merges/{id}/undo", Scope.LEADS_WRITE, self.undo, "Take a merge back",
                  {200: MergeView}, errors=(409,)),
        ]  # fmt: skip

    async def get(self, call: Call[None, Any]) -> Answer:
        return Answer(body=_view(Person.read((await self._found(call.path["id"])).body)))

    async def put(self, call: Call[ConsentChange, Any]) -> Answer:
        at = instant(self._clock())

        def decide(found: Document) -> Decision[Person]:
            person = Person.read(found.body)
            changes = call.body.news(person, at)
            after = person.updated(changes, at=at)
            told = [f"{name.removesuffix('_consent')} {given.status}" for name, given in changes.items()]
            for given in call.body.suppressed:
                stop = Suppression(channel=given.channel, reason=given.reason, at=given.at or at, scope=given.scope)
                before = after
                # What was read may be put back, and says nothing new; it does not show which address was bad.
                if stop not in [kept.but(address=None) for kept in person.suppressions]:
                    after = after.suppress(stop)
                told += [f"{stop.channel} suppressed"] if after is not before else []
            if after is person:
                return Decision(person)
            noted = audit.entry(call.principal.name, "person.consent", found.id, at=at, detail=", ".join(told))
            return Decision(after, [*person_changes(found.id, found.version, after, person), noted])

        return Answer(body=_view(await run(self._store, lambda: self._found(call.path["id"]), decide)))

    async def merge(self, call: Call[Into, Any]) -> Answer:
        return _merged(await self._merges.merge(call.path["id"], call.body.into, by=call.principal.name))

    async def undo(self, call: Call[None, Any]) -> Answer:
        return _merged(await self._merges.undo(call.path["id"], by=call.principal.name))

    async def _found(self, id: str) -> Document:
        found = (await followed(self._store, [id])).get(id)
        if found is None:
            raise NotFound(f"there is no person {id}")
        return found


def _merged(done: Done) -> Answer:
    merge = done.merge
    shown = {"survivor": merge.survivor, "absorbed": merge.absorbed, "at": merge.at, "by": merge.by}
    return Answer(body={"merge_id": done.id, **shown, "undone_at": merge.undone_at})


def _view(person: Person) -> dict[str, Any]:
    body = person.body()
    return {
        "email": body["email_consent"],
        "whatsapp": body["whatsapp_consent"],
        "suppressed": [{name: stop[name] for name in SuppressionView.model_fields} for stop in body["suppressions"]],
    }
