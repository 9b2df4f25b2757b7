"""Signed ids in addresses: what a link, a pixel or an unsubscribe address is about. Never an address itself."""

from collections.abc import Sequence
from enum import StrEnum

from itsdangerous import BadData, URLSafeSerializer


class Purpose(StrEnum):
    """Keeps a token made for one thing from being used for another."""

    OPEN = "open"
    CLICK = "click"
    UNSUBSCRIBE = "unsubscribe"
    VISITOR = "visitor"


class Tokens:
    def __init__(self, secrets: Sequence[str]):
        """Args: secrets: the first signs, all verify, so that a secret can be changed without breaking links."""
        keys = list(reversed(secrets))
        self._serializers = {p: URLSafeSerializer(keys, salt=f"leadline.{p}") for p in Purpose}

    def make(self, purpose: Purpose, *parts: str | int) -> str:
        return str(self._serializers[purpose].dumps(list(parts)))

    def read(self, purpose: Purpose, token: str) -> list[str | int] | None:
        """Return the parts, None for a token that was not made here for this purpose."""
        try:
            parts: list[str | int] = self._serializers[purpose].loads(token)
        except BadData:
            return None
        return parts
