"""Who has which conversation open, in this process. What is missed here is read from the store on the next hello."""

from typing import Any, Protocol

from channels.chat_frames import message_frame
from channels.ports import Line

MOST = 20
"""Open tabs of one conversation; the oldest closes when there are more."""


class Listener(Protocol):
    def push(self, frame: dict[str, Any]) -> None:
        """Take a frame for the client; never waits."""
        ...

    def end(self) -> None:
        """Close the connection; the client comes again when it likes."""
        ...


class Hub:
    """Attributes: present: everybody who is connected, in a conversation or not yet."""

    def __init__(self) -> None:
        self._open: dict[str, list[Listener]] = {}
        self.present: set[Listener] = set()

    def join(self, conversation_id: str, listener: Listener) -> None:
        listeners = self._open.setdefault(conversation_id, [])
        listeners.append(listener)
        if len(listeners) > MOST:
            listeners[0].end()

    def leave(self, conversation_id: str, listener: Listener) -> None:
        listeners = self._open.get(conversation_id, [])
        if listener in listeners:
            listeners.remove(listener)
        if not listeners:
            self._open.pop(conversation_id, None)

    def publish(self, conversation_id: str, line: Line, *, but: Listener | None = None) -> None:
        """Show a line to everybody who has the conversation open."""
        self._push(conversation_id, message_frame(line), but)

    def typing(self, conversation_id: str) -> None:
        """Show that an answer is under way."""
        self._push(conversation_id, {"type": "typing"}, None)

    def _push(self, conversation_id: str, frame: dict[str, Any], but: Listener | None) -> None:
        for listener in tuple(self._open.get(conversation_id, ())):
            if listener is not but:
                listener.push(frame)

    def close(self) -> None:
        """Let go of everybody: the server stops."""
        for listener in tuple(self.present):
            listener.end()
