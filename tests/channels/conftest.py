"""A clock, a sender that is told what to answer, and the parts of a server around them."""

from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.channels.rig import Rig
from tests.fakes import Clock, ScriptedSender, WilfulSmtp
from tracker.events import Channel
from tracker.store.port import Store


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged; nothing of it is printed."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sender() -> ScriptedSender:
    """The provider of every channel that is on: e-mail."""
    return ScriptedSender()


@pytest.fixture
async def rig(store: Store, clock: Clock, sender: ScriptedSender) -> Rig:
    """A server with the product "flow": two mails for users, one for engaged leads."""
    rig = Rig(store, clock, {Channel.EMAIL: sender})
    await rig.furnish()
    return rig


@pytest.fixture
async def wilful() -> AsyncIterator[WilfulSmtp]:
    server = WilfulSmtp()
    await server.start()
    yield server
    await server.stop()
