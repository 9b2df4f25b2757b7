"""Plugs the bot's conversations into WhatsApp."""

from bot.talks import Inbound, Talks
from channels.ports import Letter
from tracker.events import Channel


class TalkingCorrespondent:
    """Answers letters with `talks`, which puts its answers into the outbox. A contact has one conversation."""

    def __init__(self, talks: Talks):
        self._talks = talks

    async def answer(self, letter: Letter) -> None:
        await self._talks.take(
            Inbound(
                sender=f"whatsapp-{letter.contact}",
                text=letter.text,
                product_id=letter.product_id,
                keys=letter.keys,
                channel=Channel.WHATSAPP,
                trusted=letter.pressed,
                metadata=letter.enclosed,
                id=letter.id,
            )
        )
