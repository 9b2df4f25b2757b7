"""E-mail over real SMTP on the loopback: what the server says, and what it does instead of saying something."""

import asyncio
import contextlib
import email
import email.policy
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from typing import Any

import pytest

import channels.email
from channels.email import SmtpSender
from channels.rendering import Rendered
from channels.sending import Later, Outgoing, Refused, SendOutcome, Sent, Uncertain
from channels.states import State
from tests.channels.rig import Rig
from tests.fakes import CUT, SILENT, Clock, Mail, Mailbox, WilfulSmtp, serve_mail
from tracker.events import Channel, EventType
from tracker.review import ReviewKind
from tracker.store.port import Store

FROM = "Leadline <leadline@leads.test>"
CONTENT = Rendered("Hello", "Hello\n.\n..dots\nGrüße", "<p>Hello</p>")


def outgoing(id: str = "m1", to: str = "dana@example.com") -> Outgoing:
    return Outgoing(message_id=id, to=to, content=CONTENT)


def parsed(raw: bytes) -> EmailMessage:
    return email.message_from_bytes(raw, policy=email.policy.default)


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    content: str = part.get_content()
    return content


@pytest.fixture
async def smtp(wilful: WilfulSmtp) -> AsyncIterator[SmtpSender]:
    """A sender to the wilful server."""
    sender = postman(wilful.port)
    yield sender
    await sender.close()


def postman(port: int) -> SmtpSender:
    return SmtpSender(f"smtp://127.0.0.1:{port}", sender=FROM, timeout=10)


@contextlib.contextmanager
def hurry(sender: SmtpSender, deed: str | bytes, seconds: float = 0.6) -> Iterator[None]:
    """Shorten the time-out, for a server that is silent."""
    usual = sender._timeout
    if deed == SILENT:
        sender._timeout = seconds
    yield
    sender._timeout = usual


async def rig_over(store: Store, clock: Clock, sender: SmtpSender) -> Rig:
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish()
    return rig


##### A proper server


async def test_a_mail_is_delivered_once_in_text_and_html(store: Store, clock: Clock):
    """A lead's mail reaches the server once, readable as text and as HTML, with the headers that receivers expect."""
    mailbox = Mailbox()
    async with serve_mail(mailbox) as port:
        sender = postman(port)
        rig = await rig_over(store, clock, sender)
        lead_id = await rig.login(name="Zoë Müller-Łukasz")
        clock.forward(hours=1)
        await rig.quiet()
        await sender.close()
    (mail,) = mailbox.mails
    assert (mail.sender, mail.to) == ("leadline@leads.test", ("u1@example.com",))
    read = parsed(mail.raw)
    assert read["Subject"] == "welcome, Zoë"
    assert read["Message-ID"] == f"<{lead_id}.1.0@leads.test>"
    assert read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert read["List-Unsubscribe"].startswith("<https://leads.test/u/")
    assert read.get_content_type() == "multipart/alternative"
    assert body(read, "plain").strip() == "welcome for Zoë"
    assert "<p>Zoë Müller-Łukasz</p>" in body(read, "html")
    assert mail.raw.isascii()
    assert (await rig.stored(f"{lead_id}.1.0")).provider_id == f"{lead_id}.1.0@leads.test"


async def test_a_line_of_one_dot_arrives(wilful: WilfulSmtp, smtp: SmtpSender):
    """Text that looks like the end of a mail is only text."""
    mailbox = Mailbox()
    async with serve_mail(mailbox) as port:
        sender = postman(port)
        assert await sender.send(outgoing()) == Sent("m1@leads.test")
        await sender.close()
    assert body(parsed(mailbox.mails[0].raw), "plain").split() == ["Hello", ".", "..dots", "Grüße"]


async def test_many_mails_share_a_few_connections():
    """A hundred mails at once need four connections at most, and each arrives once."""
    mailbox = Mailbox()
    async with serve_mail(mailbox) as port:
        sender = postman(port)
        outcomes = await asyncio.gather(*(sender.send(outgoing(f"m{n}")) for n in range(100)))
        await sender.close()
    assert all(isinstance(outcome, Sent) for outcome in outcomes)
    assert mailbox.connections <= 4
    ids = Counter(parsed(mail.raw)["Message-ID"] for mail in mailbox.mails)
    assert ids == Counter(f"<m{n}@leads.test>" for n in range(100))


async def test_a_mail_that_is_to_come_again_is_sent_then(store: Store, clock: Clock):
    """451, greylisting: the message stays due and is delivered when it comes again."""
    mailbox = Mailbox()
    mailbox.answers["rcpt"].append("451 4.7.1 come again")
    async with serve_mail(mailbox) as port:
        sender = postman(port)
        rig = await rig_over(store, clock, sender)
        lead_id = await rig.login()
        id = await rig.message(lead_id)
        await rig.quiet()
        assert (await rig.stored(id)).status is State.DUE
        assert mailbox.mails == []
        clock.forward(seconds=120)
        await rig.quiet()
        await sender.close()
    sent = await rig.stored(id)
    assert sent.status is State.SENT
    assert [(a.outcome, a.error) for a in sent.attempts] == [("retry", "451 4.7.1 come again"), ("sent", None)]
    assert len(mailbox.mails) == 1
    assert mailbox.connections == 1


async def test_a_mailbox_that_does_not_exist_is_written_to_once(store: Store, clock: Clock):
    """550 5.1.1: a bounce in the ledger, a review item, nothing on e-mail to that address ever again."""
    mailbox = Mailbox()
    mailbox.answers["rcpt"].append("550 5.1.1 no such user")
    async with serve_mail(mailbox) as port:
        sender = postman(port)
        rig = await rig_over(store, clock, sender)
        lead_id = await rig.login()
        await rig.live(2)
        other = await rig.message(lead_id)
        await rig.live(72, step=8)
        await sender.close()
    assert mailbox.mails == []
    assert await rig.states(lead_id) == {"welcome": State.DEAD, "tips": State.SKIPPED, "text": State.SKIPPED}
    assert (await rig.stored(other)).decision[0].outcome == "skipped: email_bounce"
    assert len(await rig.events(lead_id, EventType.EMAIL_BOUNCE)) == 1
    assert [s.scope for s in (await rig.person(lead_id)).suppressions] == ["all"]
    (item,) = await rig.reviews(lead_id)
    assert (item.body["kind"], item.body["error"]) == (ReviewKind.MESSAGE, "550 5.1.1 no such user")


async def test_a_mail_whose_text_is_refused_is_given_up(store: Store, clock: Clock):
    """554 after the text: the message is dead and before a person, and the address is not at fault."""
    mailbox = Mailbox()
    mailbox.answers["data"].append("554 5.7.1 looks like spam")
    async with serve_mail(mailbox) as port:
        sender = postman(port)
        rig = await rig_over(store, clock, sender)
        lead_id = await rig.login()
        await rig.live(2)
        assert (await rig.stored(f"{lead_id}.1.0")).status is State.DEAD
        await rig.live(48, step=8)
        await sender.close()
    assert (await rig.person(lead_id)).suppressions == ()
    (item,) = await rig.reviews(lead_id)
    assert (item.body["kind"], item.body["error"]) == (ReviewKind.MESSAGE, "554 5.7.1 looks like spam")
    (mail,) = mailbox.mails
    assert parsed(mail.raw)["Message-ID"] == f"<{lead_id}.1.1@leads.test>"


async def test_mail_waits_for_a_server_that_is_down(store: Store, clock: Clock, unused_port: int):
    """Connection refused: the message stays due, and goes out when the server is back."""
    mailbox = Mailbox()
    sender = postman(unused_port)
    rig = await rig_over(store, clock, sender)
    lead_id = await rig.login()
    id = await rig.message(lead_id)
    await rig.quiet()
    waiting = await rig.stored(id)
    assert waiting.status is State.DUE
    assert "cannot be reached" in (waiting.attempts[0].error or "")
    async with serve_mail(mailbox, port=unused_port):
        clock.forward(seconds=120)
        await rig.quiet()
        await sender.close()
    assert (await rig.stored(id)).status is State.SENT
    assert len(mailbox.mails) == 1


##### A server that misbehaves


@pytest.mark.parametrize("step", ["connect", "EHLO", "MAIL", "RCPT"])
@pytest.mark.parametrize("deed", [CUT, SILENT, "421 4.3.2 closing", b"451 4.3.0 \xe4 disk"])
async def test_what_breaks_before_the_text_has_sent_nothing(
    wilful: WilfulSmtp, smtp: SmtpSender, step: str, deed: str | bytes
):
    """Until the text goes out a broken connection, silence or a 4xx are safe to repeat, and the repeat arrives once."""
    wilful.will(step, deed)
    if step == "EHLO":
        wilful.will("HELO", deed)  # the client's second try
    with hurry(smtp, deed, 0.1):
        assert isinstance(await smtp.send(outgoing()), Later)
    wilful.script.clear()
    assert wilful.taken == []
    assert isinstance(await smtp.send(outgoing()), Sent)
    assert len(wilful.taken) == 1


@pytest.mark.parametrize("step", ["text", "dot"])
@pytest.mark.parametrize("deed", [CUT, SILENT, "250", "nonsense", "999 what", "354 go on"])
async def test_what_breaks_after_the_text_is_uncertain(wilful: WilfulSmtp, smtp: SmtpSender, step: str, deed: str):
    """Once the text is on its way, only a clear answer counts: anything else may mean that the mail was taken."""
    wilful.will(step, deed)
    with hurry(smtp, deed):
        while isinstance(outcome := await smtp.send(outgoing()), Later):
            assert deed == SILENT  # a busy machine did not come as far as the text in that time
    if (step, deed) == ("dot", "250"):
        assert isinstance(outcome, Sent)
    elif (step, deed) == ("text", "250"):  # an answer too early is still one
        assert isinstance(outcome, Sent | Uncertain)
    else:
        assert isinstance(outcome, Uncertain)


@pytest.mark.parametrize("deed", [CUT, SILENT])
async def test_a_mail_that_may_have_been_taken_is_never_sent_again(
    store: Store, clock: Clock, wilful: WilfulSmtp, smtp: SmtpSender, deed: str
):
    """The connection is cut, or times out, after the last dot: one review item, no second mail, ever."""
    wilful.will("dot", deed)
    rig = await rig_over(store, clock, smtp)
    lead_id = await rig.login()
    with hurry(smtp, deed):
        await rig.live(24 * 7, step=8)
    assert len(wilful.taken) == 1
    assert await rig.states(lead_id) == {"welcome": State.UNCERTAIN}
    (item,) = await rig.reviews(lead_id)
    assert (item.body["kind"], item.body["message_id"]) == (ReviewKind.UNCERTAIN, f"{lead_id}.1.0")


async def test_a_mail_that_is_cut_off_before_the_text_is_sent_once(
    store: Store, clock: Clock, wilful: WilfulSmtp, smtp: SmtpSender
):
    """The connection is cut before the text: the message is retried by itself and arrives once."""
    wilful.will("RCPT", CUT)
    rig = await rig_over(store, clock, smtp)
    lead_id = await rig.login()
    await rig.live(3)
    assert len(wilful.taken) == 1
    assert (await rig.stored(f"{lead_id}.1.0")).status is State.SENT


@pytest.mark.parametrize(
    ("step", "answer", "outcome"),
    [
        ("RCPT", "550 5.1.1 no such user", Refused("550 5.1.1 no such user", bounced=True)),
        ("RCPT", "550 no such user", Refused("550 no such user", bounced=True)),
        ("RCPT", "553 5.1.3 bad syntax", Refused("553 5.1.3 bad syntax", bounced=True)),
        ("RCPT", "550 5.0.0 no", Refused("550 5.0.0 no", bounced=True)),
        ("RCPT", "550 5.7.1 blocked", Refused("550 5.7.1 blocked")),
        ("RCPT", "552 5.2.2 mailbox full", Refused("552 5.2.2 mailbox full")),
        ("RCPT", "550 5.2.2 mailbox full", Refused("550 5.2.2 mailbox full")),
        ("RCPT", "554 relay denied", Refused("554 relay denied")),
        ("MAIL", "550 sender unknown", Refused("550 sender unknown")),
        ("MAIL", "553 5.1.8 bad sender", Refused("553 5.1.8 bad sender")),
        ("MAIL", "550 5.1.0 sender rejected", Refused("550 5.1.0 sender rejected")),
        ("DATA", "550 too many errors", Refused("550 too many errors")),
        ("dot", "550 spam", Refused("550 spam")),
        ("dot", "550 5.1.1 no such user", Refused("550 5.1.1 no such user", bounced=True)),
        ("dot", "452 4.2.2 over quota", Later("452 4.2.2 over quota")),
        ("dot", "421 4.3.2 closing", Later("421 4.3.2 closing")),
        ("DATA", "451 4.3.0 busy", Later("451 4.3.0 busy")),
    ],
)
async def test_what_an_answer_means(wilful: WilfulSmtp, smtp: SmtpSender, step: str, answer: str, outcome: SendOutcome):
    """4xx comes again, 5xx does not; only a refusal of the recipient is a bounce, which suppresses the address."""
    wilful.will(step, answer)
    assert await smtp.send(outgoing()) == outcome
    assert wilful.taken == []
    assert isinstance(await smtp.send(outgoing("m2")), Sent)


async def test_an_answer_in_another_encoding_can_be_kept(
    store: Store, clock: Clock, wilful: WilfulSmtp, smtp: SmtpSender
):
    """What a server says in Latin-1, and however much of it, is kept with the attempt."""
    wilful.will("RCPT", b"554 5.7.1 unzul\xe4ssig " + b"x" * 5000)
    rig = await rig_over(store, clock, smtp)
    lead_id = await rig.login()
    id = await rig.message(lead_id)
    await rig.quiet()
    dead = await rig.stored(id)
    assert dead.status is State.DEAD
    error = dead.attempts[0].error or ""
    assert error.startswith("554 5.7.1 unzul�ssig")
    assert len(error) == 500


async def test_a_connection_that_the_server_closed_is_replaced(wilful: WilfulSmtp, smtp: SmtpSender):
    """Servers close idle connections: the next mail takes a new one, without failing once."""
    assert isinstance(await smtp.send(outgoing("m1")), Sent)
    await wilful.hang_up()
    assert isinstance(await smtp.send(outgoing("m2")), Sent)
    assert len(wilful.taken) == 2
    assert wilful.connections == 2


@pytest.mark.parametrize("deed", [CUT, SILENT, "421 4.4.2 idle too long"])
async def test_a_connection_that_was_idle_is_asked_first(
    wilful: WilfulSmtp, smtp: SmtpSender, deed: str, monkeypatch: pytest.MonkeyPatch
):
    """A connection that was idle for a while and no longer works is noticed before a mail is given to it."""
    monkeypatch.setattr(channels.email, "PROBE_SECONDS", 0)
    assert isinstance(await smtp.send(outgoing("m1")), Sent)
    wilful.will("NOOP", deed)
    with hurry(smtp, deed, 0.1):
        outcome = await smtp.send(outgoing("m2"))
    wilful.script.clear()
    assert isinstance(outcome, Later if deed == SILENT else Sent)
    assert wilful.connections == (1 if deed == SILENT else 2)
    assert isinstance(await smtp.send(outgoing("m3")), Sent)


async def test_a_connection_that_was_idle_for_long_is_not_used(
    wilful: WilfulSmtp, smtp: SmtpSender, monkeypatch: pytest.MonkeyPatch
):
    """A connection unused for half a minute is opened anew."""
    monkeypatch.setattr(channels.email, "IDLE_SECONDS", 0)
    assert isinstance(await smtp.send(outgoing("m1")), Sent)
    assert isinstance(await smtp.send(outgoing("m2")), Sent)
    assert wilful.connections == 2


async def test_a_server_that_dies_under_the_pool(store: Store, clock: Clock, wilful: WilfulSmtp, smtp: SmtpSender):
    """The server restarts while four connections are kept and mails wait: every mail arrives exactly once."""
    rig = await rig_over(store, clock, smtp)
    leads = [await rig.login(f"u{n}") for n in range(8)]
    first = [await rig.message(lead_id) for lead_id in leads]
    await rig.quiet()
    assert wilful.most_open == 4
    port = wilful.port
    await wilful.stop()
    second = [await rig.message(lead_id) for lead_id in leads]
    await rig.quiet()
    assert {(await rig.stored(id)).status for id in second} == {State.DUE}
    await wilful.start(port)
    clock.forward(seconds=120)
    await rig.quiet()
    assert {(await rig.stored(id)).status for id in first + second} == {State.SENT}
    taken = Counter(str(parsed(text)["Message-ID"]) for text in wilful.taken)
    assert taken == Counter(f"<{id}@leads.test>" for id in first + second)
    assert wilful.most_open <= 4


async def test_a_server_that_never_answers_makes_nothing_uncertain(
    store: Store, clock: Clock, wilful: WilfulSmtp, smtp: SmtpSender, monkeypatch: pytest.MonkeyPatch
):
    """However many mails wait for a server that hangs, none is claimed before a connection is free, and all stay due.

    A claimed mail that had to wait for a connection would outlive its lease and be called uncertain.
    """
    wilful.will("connect", *[SILENT] * 12)
    rig = await rig_over(store, clock, smtp)
    lead_id = await rig.login()
    ids = [await rig.message(lead_id) for _ in range(12)]
    under_way: list[int] = []
    claimed = 0
    real = smtp.send

    async def counted(outgoing: Outgoing) -> SendOutcome:
        nonlocal claimed
        claimed += 1
        under_way.append(claimed)
        outcome = await real(outgoing)
        claimed -= 1
        return outcome

    monkeypatch.setattr(smtp, "send", counted)
    with hurry(smtp, SILENT, 0.1):
        await rig.quiet()
    wilful.script.clear()
    assert len(under_way) == 12
    assert max(under_way) <= channels.email.CONNECTIONS
    assert {(await rig.stored(id)).status for id in ids} == {State.DUE}
    clock.forward(seconds=120)
    await rig.quiet()
    assert len(wilful.taken) == 12


async def test_a_server_that_dawdles_is_given_the_time_out_and_no_more(
    wilful: WilfulSmtp, smtp: SmtpSender, monkeypatch: pytest.MonkeyPatch
):
    """The time-out is for the whole mail: a server that answers each command just in time does not stretch it."""
    real = wilful._answer

    async def slow(*args: Any) -> bytes | None:
        await asyncio.sleep(0.08)
        return await real(*args)

    monkeypatch.setattr(wilful, "_answer", slow)
    with hurry(smtp, SILENT, 0.2):
        assert isinstance(await smtp.send(outgoing()), Later)


@pytest.mark.parametrize("to", ["dänä@example.com", "no address", "a@b\r\nBcc: c@d", "", "@"])
async def test_an_address_that_cannot_be_written_is_refused(wilful: WilfulSmtp, smtp: SmtpSender, to: str):
    """An address that no server takes is refused with a reason, before anything is sent."""
    outcome = await smtp.send(outgoing(to=to))
    assert isinstance(outcome, Refused)
    assert not outcome.bounced
    assert wilful.seen == []


async def test_a_domain_in_other_letters_is_written_as_servers_take_it(smtp: SmtpSender):
    """`dana@straße.example` is a mailbox like any other."""
    mailbox = Mailbox()
    async with serve_mail(mailbox) as port:
        sender = postman(port)
        assert isinstance(await sender.send(outgoing(to="dana@straße.example")), Sent)
        await sender.close()
    (mail,) = mailbox.mails
    assert isinstance(mail, Mail)
    assert mail.to == ("dana@xn--strae-oqa.example",)
    assert parsed(mail.raw)["To"] == "dana@xn--strae-oqa.example"
