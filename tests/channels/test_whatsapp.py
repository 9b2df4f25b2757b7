"""Sending by WhatsApp: what Twilio gets, and what each of its answers means."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from channels.rendering import Rendered
from channels.sending import Later, Outgoing, Refused, Sent, Uncertain
from channels.twilio_errors import ERRORS, answered, refused, told
from channels.whatsapp import LONGEST, NotTwilio, TwilioHttp, TwilioSender, address
from tests.channels.twilio import CUT, SENDER, SID, SILENT, TOKEN, FakeTwilio, Says, serve_twilio

OUTGOING = Outgoing("l.1.0", "+4915112345678", Rendered("", "Grüß Gott", None))
CALLBACK = "https://leads.test/webhooks/twilio/status"


@pytest.fixture
async def twilio() -> AsyncIterator[FakeTwilio]:
    async with serve_twilio() as fake:
        yield fake


def sender_to(url: str, *, timeout: float = 5, callback: str | None = CALLBACK) -> TwilioSender:
    return TwilioSender(SID, TOKEN, sender=SENDER, callback_url=callback, api_url=url, timeout=timeout)


@pytest.fixture
async def sender(twilio: FakeTwilio) -> AsyncIterator[TwilioSender]:
    made = sender_to(twilio.url)
    yield made
    await made.close()


async def test_a_message_goes_out_as_twilio_wants_it(twilio: FakeTwilio, sender: TwilioSender):
    """Sender, recipient, text, and an address for callbacks that names our message; with the account's password."""
    assert await sender.send(OUTGOING) == Sent("SM" + "0" * 31 + "1")
    assert twilio.taken == [
        {
            "From": SENDER,
            "To": "whatsapp:+4915112345678",
            "Body": "Grüß Gott",
            "StatusCallback": f"{CALLBACK}?message_id=l.1.0",
        }
    ]
    ((path, authorization),) = twilio.asked
    assert path == f"/2010-04-01/Accounts/{SID}/Messages.json"
    assert authorization == "Basic " + base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()


async def test_the_callback_names_any_id(twilio: FakeTwilio, sender: TwilioSender):
    """An id with signs of its own arrives whole."""
    id = "chat:whatsapp-49151:m:SM1&x=1/#"
    await sender.send(OUTGOING._replace(message_id=id))
    assert parse_qs(urlsplit(twilio.taken[0]["StatusCallback"]).query) == {"message_id": [id]}


async def test_without_an_address_for_callbacks_none_is_named(twilio: FakeTwilio):
    """Twilio refuses an address that it cannot reach; then none is better."""
    sender = sender_to(twilio.url, callback=None)
    await sender.send(OUTGOING)
    await sender.close()
    assert "StatusCallback" not in twilio.taken[0]


async def test_an_approved_template_goes_by_its_id(twilio: FakeTwilio, sender: TwilioSender):
    """Outside the window: no text, the template's id and what fills it."""
    content = Rendered("", "Hi Dana", None, "HX" + "b" * 32, {"1": "Dana", "2": "Gruß"})
    await sender.send(OUTGOING._replace(content=content))
    (form,) = twilio.taken
    assert "Body" not in form
    assert form["ContentSid"] == "HX" + "b" * 32
    assert orjson.loads(form["ContentVariables"]) == {"1": "Dana", "2": "Gruß"}


@pytest.mark.parametrize(("length", "goes"), [(0, False), (1, True), (LONGEST, True), (LONGEST + 1, False)])
async def test_a_text_of_a_length_that_whatsapp_does_not_take_is_refused(
    twilio: FakeTwilio, sender: TwilioSender, length: int, goes: bool
):
    """It is refused here, with the reason, and Twilio is not asked."""
    outcome = await sender.send(OUTGOING._replace(content=Rendered("", "x" * length, None)))
    assert isinstance(outcome, Sent if goes else Refused)
    assert len(twilio.asked) == goes


@pytest.mark.parametrize(
    ("to", "written"),
    [
        ("+4915112345678", "whatsapp:+4915112345678"),
        ("4915112345678", "whatsapp:+4915112345678"),
        ("US.1234abcd", "whatsapp:US.1234abcd"),
    ],
)
def test_whom_it_goes_to(to: str, written: str):
    """A phone, WhatsApp's id of a number, or a user without a number."""
    assert address(to) == written


@pytest.mark.parametrize(
    ("says", "outcome"),
    [
        (Says(429, {"code": 20429, "message": "slow"}, {"Retry-After": "7"}), Later("Twilio error 20429: {}: slow", 7)),
        (Says(429, "busy"), Later("busy")),
        (Says(400, {"code": 63018, "message": "m"}), Later("Twilio error 63018: {}: m")),
        (Says(400, {"code": 21211, "message": "m"}), Refused("Twilio error 21211: {}: m", bounced=True)),
        (Says(400, {"code": 63016, "message": "m"}), Refused("Twilio error 63016: {}: m")),
        (Says(400, {"code": 21610, "message": "m"}), Refused("Twilio error 21610: {}: m", opted_out=True)),
        (Says(401, {"code": 20003, "message": "m"}), Refused("Twilio error 20003: {}: m")),
        (Says(400, {"code": 12345, "message": "m"}), Refused("Twilio error 12345: m")),
        (Says(404, "<html>not here</html>"), Refused("<html>not here</html>")),
        (Says(500, {"code": 20500, "message": "m"}), Uncertain("Twilio answered 500: m")),
        (Says(503, "<html>gone</html>", {"Retry-After": "5"}), Uncertain("Twilio answered 503: <html>gone</html>")),
        (Says(307, "", {"Location": "/elsewhere"}), Uncertain("Twilio answered 307: ")),
    ],
)
async def test_what_an_answer_means(twilio: FakeTwilio, sender: TwilioSender, says: Says, outcome: Any):
    """A 4xx is definite, and safe to repeat where Twilio asks for it; behind a 5xx the message may be on its way."""
    twilio.script.append(says)
    code = says.body.get("code") if isinstance(says.body, dict) else None
    words = ERRORS[code].words if code in ERRORS else ""
    assert await sender.send(OUTGOING) == outcome._replace(error=outcome.error.replace("{}", words))
    assert len(twilio.asked) == 1, "it is never asked twice"


@pytest.mark.parametrize("body", ["", "{", "[]", '{"sid": null}', '{"sid": 5}'])
async def test_a_yes_that_cannot_be_read_is_uncertain(twilio: FakeTwilio, sender: TwilioSender, body: str):
    """Twilio has the message, and we do not know its name."""
    twilio.script.append(Says(201, body))
    assert isinstance(await sender.send(OUTGOING), Uncertain)


async def test_a_message_that_failed_at_once_is_refused(twilio: FakeTwilio, sender: TwilioSender):
    """Twilio may know in its answer already that the message will not arrive."""
    twilio.script.append(Says(201, {"sid": "SM1", "status": "failed", "error_code": 63024, "error_message": "no"}))
    outcome = await sender.send(OUTGOING)
    assert isinstance(outcome, Refused)
    assert outcome.bounced


async def test_a_cut_connection_is_uncertain(twilio: FakeTwilio, sender: TwilioSender):
    """The request was read, and the connection broke: nobody knows."""
    twilio.script.append(CUT)
    assert isinstance(await sender.send(OUTGOING), Uncertain)
    assert len(twilio.asked) == 1
    assert isinstance(await sender.send(OUTGOING), Sent)


async def test_a_lost_answer_is_uncertain(twilio: FakeTwilio):
    """The time-out is for each request, whatever the SDK's constructor makes of it."""
    sender = sender_to(twilio.url, timeout=0.2)
    twilio.script.append(SILENT)
    assert isinstance(await sender.send(OUTGOING), Uncertain)
    assert len(twilio.asked) == 1
    await sender.close()


async def test_a_twilio_that_is_not_there_is_asked_later(unused_port: int):
    """Nothing was sent where nobody listens."""
    sender = sender_to(f"http://127.0.0.1:{unused_port}")
    assert isinstance(await sender.send(OUTGOING), Later)
    await sender.close()


async def test_a_name_that_is_not_found_is_asked_later():
    """Nor where the name leads nowhere."""
    sender = sender_to("http://twilio.invalid")
    assert isinstance(await sender.send(OUTGOING), Later)
    await sender.close()


async def test_many_messages_go_at_once(twilio: FakeTwilio, sender: TwilioSender):
    """One that hangs holds up no other."""
    twilio.script.append(SILENT)
    slow = asyncio.create_task(sender.send(OUTGOING))
    await twilio.arrived.acquire()
    assert all(isinstance(o, Sent) for o in await asyncio.gather(*(sender.send(OUTGOING) for _ in range(10))))
    twilio.over.set()
    await slow


@pytest.mark.parametrize("url", ["https://evil.example/x", "http://api.twilio.com/x", "https://api.twilio.com.evil/x"])
async def test_no_other_host_is_called(twilio: FakeTwilio, url: str):
    """The account's password goes to Twilio, or to what the settings name in its place, and nowhere else."""
    http = TwilioHttp(api_url=twilio.url)
    with pytest.raises(NotTwilio):
        await http.request("POST", url, auth=(SID, TOKEN))
    assert twilio.asked == []
    await http.close()


def test_an_error_is_told_in_words():
    """Whoever reads the review queue need not look up a number."""
    assert "24 h" in refused(63016).error
    assert told(None, "nothing known") == "nothing known"
    assert len(told(1, "x" * 1000)) == 500


def test_only_an_address_that_is_bad_bounces():
    """A sender that is not set up, a template or a limit says nothing of the person."""
    assert {code for code in ERRORS if refused(code).bounced} == {21211, 63003, 63024}
    assert {code for code in ERRORS if refused(code).opted_out} == {21610, 63014}
    assert isinstance(answered(500, 20429, "", 1), Uncertain)
