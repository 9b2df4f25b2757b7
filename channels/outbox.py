"""The demo's sender: messages become files, so that the whole journey is seen with no account anywhere."""

import asyncio
from email.errors import MessageError
from pathlib import Path
from typing import Any

import orjson

from channels.email import compose
from channels.sending import Later, Outgoing, Refused, SendOutcome, Sent
from tracker.events import Channel

ENDINGS = (".eml", ".json")


async def forget(folder: Path, message_id: str) -> None:
    """Remove what was written of a message. There may be nothing."""

    def remove() -> None:
        for ending in ENDINGS:
            (folder / f"{message_id}{ending}").unlink(missing_ok=True)

    await asyncio.to_thread(remove)


class OutboxSender:
    """Writes `<message id>.eml` for e-mail, `<message id>.json` for other channels."""

    def __init__(self, folder: Path, channel: Channel, *, sender: str):
        self._folder, self._channel, self._sender = folder, channel, sender

    async def send(self, outgoing: Outgoing) -> SendOutcome:
        try:
            await asyncio.to_thread(self._write, outgoing)
        except OSError as error:
            return Later(f"the outbox cannot be written: {error}")
        except (ValueError, LookupError, MessageError) as error:
            return Refused(f"the mail cannot be written: {error}")
        return Sent(outgoing.message_id)

    def _write(self, outgoing: Outgoing) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._channel is Channel.EMAIL:
            (self._folder / f"{outgoing.message_id}.eml").write_bytes(compose(outgoing, sender=self._sender).as_bytes())
            return
        told: dict[str, Any] = {"message_id": outgoing.message_id, "channel": self._channel, "to": outgoing.to}
        told["text"] = outgoing.content.text
        if outgoing.content.content_sid is not None:
            told["content_sid"] = outgoing.content.content_sid
            told["content_variables"] = dict(outgoing.content.content_variables)
        (self._folder / f"{outgoing.message_id}.json").write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))

    async def close(self) -> None:
        return None
