"""The peer of the ingestion bench: an aiohttp handler that validates a login with pydantic and keeps nothing."""

import sys

import uvloop
from aiohttp import web
from pydantic import AwareDatetime, BaseModel, Field, ValidationError


class Login(BaseModel):
    event_id: str = Field(min_length=1, max_length=200)
    crm_user_id: str = Field(min_length=1, max_length=200)
    organization_id: str = Field(min_length=1, max_length=200)
    product_id: str = Field(min_length=1, max_length=200)
    occurred_at: AwareDatetime
    email: str | None = None
    name: str | None = None
    job_title: str | None = None


async def handle(request: web.Request) -> web.Response:
    try:
        login = Login.model_validate_json(await request.read())
    except ValidationError:
        return web.json_response({"title": "invalid", "status": 422}, status=422)
    result = {"event_id": login.event_id, "status": "accepted", "lead_id": login.crm_user_id}
    return web.json_response({"results": [result], "accepted": 1, "duplicate": 0, "quarantined": 0}, status=202)


if __name__ == "__main__":
    uvloop.install()
    app = web.Application()
    app.router.add_post("/events/logins", handle)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=lambda *_: None)
