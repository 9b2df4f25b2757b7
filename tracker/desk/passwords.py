"""Passwords as they are stored: scrypt, with the parameters beside each hash, so that they may grow later."""

import hashlib
import secrets
import unicodedata
from typing import NamedTuple

from tracker.errors import Fault, Invalid
from tracker.model import Document

SHORTEST, LONGEST = 10, 1000
"""Characters of a password."""


class Cost(NamedTuple):
    """How hard a hash is to compute: scrypt's n, r and p."""

    n: int = 2**15
    r: int = 8
    p: int = 3


class PasswordHash(Document, frozen=True, kw_only=True):
    """Attributes: salt, digest: hexadecimal."""

    n: int
    r: int
    p: int
    salt: str
    digest: str


def check(password: str) -> None:
    """Raises: Invalid: too short, or too long to be hashed."""
    if not SHORTEST <= len(password) <= LONGEST:
        wanted = f"wants {SHORTEST} to {LONGEST:,} characters"
        raise Invalid(f"the password {wanted}", Fault("password", wanted))


def hashed(password: str, cost: Cost) -> PasswordHash:
    """Takes 0.1 to 0.3 s: call it in a thread."""
    salt = secrets.token_bytes(16)
    return PasswordHash(n=cost.n, r=cost.r, p=cost.p, salt=salt.hex(), digest=_digest(password, salt, cost).hex())


def matches(password: str, stored: PasswordHash) -> bool:
    """Takes as long as `hashed`."""
    cost = Cost(stored.n, stored.r, stored.p)
    digest = _digest(password, bytes.fromhex(stored.salt), cost)
    return secrets.compare_digest(digest, bytes.fromhex(stored.digest))


def _digest(password: str, salt: bytes, cost: Cost) -> bytes:
    """Keyboards write the same letter in different code points, hence NFKC."""
    text = unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")
    memory = 128 * cost.r * (cost.n + cost.p + 2) + 2**20
    return hashlib.scrypt(text, salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=memory, dklen=32)
