"""Stores for tests: SQLite on a memory disk, MongoDB as a server of its own. Hypothesis profiles."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest
import structlog
from hypothesis import HealthCheck, settings
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tracker.store.mongo import MongoStore
from tracker.store.port import Store
from tracker.store.sqlite import SqliteStore

# A fixture that lives as long as the test is meant: examples keep apart by the ids they use.
_COMMON: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
settings.register_profile("quick", max_examples=50, **_COMMON)
settings.register_profile("ci", max_examples=200, print_blob=True, **_COMMON)
settings.register_profile("deep", max_examples=5000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "quick"))

START_SECONDS = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class MongoServer:
    """A MongoDB server of the tests: a `mongod` on the PATH, else SecantusDB, which speaks its protocol.

    Attributes: url: where it listens, without a database. The port stays the same over `stop` and `start`.
    """

    def __init__(self, folder: Path, *, standalone: bool = False):
        self.folder, self.standalone, self.port = folder, standalone, free_port()
        self.url = f"mongodb://127.0.0.1:{self.port}"
        self.mongod = shutil.which("mongod")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it takes writes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log)
        client: MongoClient[dict[str, Any]] = MongoClient(self.url, directConnection=True, serverSelectionTimeoutMS=200)
        with client:
            deadline = time.monotonic() + START_SECONDS
            while not self._is_ready(client):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop(kill=True)  # what does not start may not listen to a request to end, either
                    raise RuntimeError(f"the MongoDB server of the tests did not start; see {log.name}")
                time.sleep(0.02)

    def stop(self, *, kill: bool = False) -> None:
        """End it and wait for that: the next one wants its files."""
        if self._process is not None:
            if kill:
                self._process.kill()
            else:
                self._process.terminate()
            self._process.wait()
            self._process = None

    def _command(self) -> list[str]:
        # Tests that are killed have no time to stop a server: where there is such a tool, it goes with them.
        tool = shutil.which("setpriv")
        return [*([tool, "--pdeathsig", "KILL", "--"] if tool else []), *self._server()]

    def _server(self) -> list[str]:
        if self.mongod:
            replicas = [] if self.standalone else ["--replSet", "tests"]
            address = ["--bind_ip", "127.0.0.1", "--port", str(self.port)]
            return [self.mongod, "--dbpath", str(self.folder), *address, *replicas]
        flags = ["--standalone"] if self.standalone else []
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        program = [sys.executable, "-P", str(Path(__file__).with_name("secantusd.py"))]
        return [*program, *address, "--storage-path", str(self.folder), "--sync-on-commit", *flags]

    def _is_ready(self, client: "MongoClient[dict[str, Any]]") -> bool:
        try:
            hello = client.admin.command("hello")
            if hello["isWritablePrimary"]:
                return True
            if hello.get("isreplicaset"):  # a mongod that was never told who its replicas are
                member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
                client.admin.command("replSetInitiate", {"_id": "tests", "members": [member]})
        except PyMongoError:
            pass
        return False


@pytest.fixture
def unused_port() -> int:
    """A port on which nobody listens."""
    return free_port()


@pytest.fixture(scope="session")
def memory_folder() -> Iterator[Path]:
    """A folder on a disk without a disk, where there is one: what is synced there costs nothing."""
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="leadline-tests-", dir=parent) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def mongo_url(memory_folder: Path) -> Iterator[str]:
    """The URL of a MongoDB with transactions. Each worker of pytest-xdist that needs one starts its own."""
    if url := os.environ.get("LEADLINE_TEST_MONGO_URL"):
        yield url
        return
    server = MongoServer(memory_folder / "mongo")
    server.start()
    yield server.url
    server.stop(kill=True)


@pytest.fixture
def start_mongo(memory_folder: Path) -> Iterator[Callable[..., MongoServer]]:
    """Start a MongoDB for this test alone, which may stop and start it."""
    servers: list[MongoServer] = []

    def start(*, standalone: bool = False) -> MongoServer:
        server = MongoServer(memory_folder / f"mongo-{secrets.token_hex(4)}", standalone=standalone)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop(kill=True)
        shutil.rmtree(server.folder)


@pytest.fixture(scope="session")
def spare_mongo_url(memory_folder: Path) -> Iterator[str]:
    """The URL of a MongoDB for tests that leave transactions open, which would hold up whoever drops a database."""
    server = MongoServer(memory_folder / "spare-mongo")
    server.start()
    yield server.url
    server.stop(kill=True)


@pytest.fixture(scope="session")
def mongo_client(mongo_url: str) -> "Iterator[MongoClient[dict[str, Any]]]":
    """The driver itself, to look behind the adapter and to clean up."""
    with MongoClient[dict[str, Any]](mongo_url) as client:
        yield client


@pytest.fixture
def mongo_database(mongo_url: str, mongo_client: "MongoClient[dict[str, Any]]") -> Iterator[str]:
    """The URL of a database of this test's own."""
    parts = urlsplit(mongo_url)
    name = f"leadline_test_{secrets.token_hex(6)}"
    query = dict(parse_qsl(parts.query))
    if parts.username:  # the driver would look for the user in the database of the path
        query.setdefault("authSource", parts.path.strip("/") or "admin")
    yield urlunsplit(parts._replace(path=f"/{name}", query=urlencode(query)))
    mongo_client.drop_database(name)


@pytest.fixture
def sqlite_path(memory_folder: Path) -> Iterator[Path]:
    """Where a database of this test's own may be made."""
    with tempfile.TemporaryDirectory(dir=memory_folder) as folder:
        yield Path(folder) / "leadline.db"


Opener: TypeAlias = Callable[[], Awaitable[Store]]


def _opener(request: pytest.FixtureRequest, engine: str) -> Opener:
    if engine == "mongo":
        url = request.getfixturevalue("mongo_database")
        return lambda: MongoStore.open(url)
    path = request.getfixturevalue("sqlite_path")
    return lambda: SqliteStore.open(path)


@pytest.fixture
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """An empty store: SQLite, or what `LEADLINE_TEST_STORE` (sqlite, mongo) says."""
    store = await _opener(request, os.environ.get("LEADLINE_TEST_STORE", "sqlite"))()
    yield store
    await store.close()


@pytest.fixture(params=["sqlite", "mongo"])
def open_any(request: pytest.FixtureRequest) -> Opener:
    """Opens a database of this test's own, as often as it is called; once for each engine."""
    return _opener(request, request.param)


@pytest.fixture
async def any_store(open_any: Opener) -> AsyncIterator[Store]:
    """An empty store, once of each engine."""
    store = await open_any()
    yield store
    await store.close()


@pytest.fixture(autouse=True)
def _logs_are_nobodys() -> Iterator[None]:
    """A command run in process points the logs at its own standard error, which is closed when the test is over."""
    yield
    structlog.reset_defaults()
