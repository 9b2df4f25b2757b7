"""The demo's sender: what would have been sent lies in a folder."""

import email
import email.policy
from pathlib import Path

import orjson

from channels.outbox import OutboxSender
from channels.rendering import Rendered
from channels.sending import Later, Outgoing, Refused, Sent
from tracker.events import Channel

OUTGOING = Outgoing("l.1.0", "dana@example.com", Rendered("Hellö", "Hi", "<p>Hi</p>"))
FROM = "Leadline <leadline@localhost>"


async def test_a_mail_is_a_file_that_mail_programs_open(tmp_path: Path):
    """E-mail is written as it would go over the wire."""
    sender = OutboxSender(tmp_path / "outbox", Channel.EMAIL, sender=FROM)
    assert await sender.send(OUTGOING) == Sent("l.1.0")
    await sender.close()
    raw = (tmp_path / "outbox" / "l.1.0.eml").read_bytes()
    read = email.message_from_bytes(raw, policy=email.policy.default)
    assert (read["Subject"], read["To"], read["From"]) == ("Hellö", "dana@example.com", FROM)


async def test_other_messages_are_json(tmp_path: Path):
    """A WhatsApp message is its text and whom it is for."""
    sender = OutboxSender(tmp_path, Channel.WHATSAPP, sender=FROM)
    assert await sender.send(OUTGOING._replace(to="+4915112345678")) == Sent("l.1.0")
    assert orjson.loads((tmp_path / "l.1.0.json").read_bytes()) == {
        "message_id": "l.1.0",
        "channel": "whatsapp",
        "to": "+4915112345678",
        "text": "Hi",
    }


async def test_a_folder_that_cannot_be_written_is_tried_again(tmp_path: Path):
    """A full disk or a missing right is not the message's fault: nothing was sent, and it comes again."""
    (tmp_path / "outbox").write_text("a file, not a folder")
    sender = OutboxSender(tmp_path / "outbox", Channel.EMAIL, sender=FROM)
    outcome = await sender.send(OUTGOING)
    assert isinstance(outcome, Later)
    assert "outbox" in outcome.error


async def test_a_mail_that_cannot_be_written_is_refused(tmp_path: Path):
    """As over SMTP, an address that no mail can carry is refused with the reason, and leaves no file."""
    sender = OutboxSender(tmp_path, Channel.EMAIL, sender=FROM)
    outcome = await sender.send(OUTGOING._replace(to="dänä@example.com"))
    assert isinstance(outcome, Refused)
    assert not outcome.bounced
    assert not (tmp_path / "l.1.0.eml").exists()
