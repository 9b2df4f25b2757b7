"""What is held about a person, over HTTP: the export, and the erasure with its receipt."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from tracker.catalog import check_version
from tracker.keys import Scope
from tracker.model import Output
from tracker.privacy import Privacy, Whole
from tracker.recorder import Recorder
from tracker.times import Instant
from tracker.web import Answer, Call, Route


class Held(BaseModel):
    """Everything held about the person: per kind of document, a list of them."""

    model_config = ConfigDict(extra="allow")

    person_id: str
    exported_at: Instant


class ReceiptView(Output):
    """Attributes: persons, leads: ids that lead nowhere any more. counts: documents removed, by kind."""

    erasure_id: str
    persons: list[str]
    leads: list[str]
    counts: dict[str, int]
    by: str
    at: Instant
    done_at: Instant | None


class PrivacyRoutes:
    def __init__(self, recorder: Recorder, privacy: Privacy):
        self._recorder, self._privacy = recorder, privacy

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/leads/{id}/export", Scope.LEADS_READ, self.export, "Everything held about the person",
                  {200: Held}),
            Route("DELETE", "/leads/{id}", Scope.LEADS_WRITE, self.erase, "Erase the person everywhere",
                  {200: ReceiptView}, errors=(409, 412)),
        ]  # fmt: skip

    async def export(self, call: Call[None, Any]) -> Answer:
        loaded = await self._recorder.load(call.path["id"])
        return Answer(body=await self._privacy.export(loaded.person_id))

    async def erase(self, call: Call[None, Any]) -> Answer:
        loaded, expected = await self._recorder.load(call.path["id"]), call.if_match

        def as_known(whole: Whole) -> bool:
            check_version(expected, next((lead.version for lead in whole.leads if lead.id == loaded.id), 0))
            return True

        receipt = await self._privacy.erase(loaded.person_id, by=call.principal.name, only=as_known)
        erasure = receipt.erasure.body()
        shown = {name: erasure[name] for name in ("persons", "leads", "counts", "by", "at", "done_at")}
        return Answer(body={"erasure_id": receipt.id, **shown})
