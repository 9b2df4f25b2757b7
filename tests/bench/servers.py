"""Servers for the benches: started on free ports, ended by their process."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KEY = "bench-key-0123456789abcdef"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextlib.contextmanager
def process(command: list[str], port: int, **environment: str) -> Iterator[None]:
    """Run a server until the block ends; it answers when the block begins."""
    with subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL) as running:
        try:
            _wait(running, port)
            yield
        finally:
            running.terminate()
            running.wait(20)


def _wait(running: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if running.poll() is not None:
            raise SystemExit(f"a server ended with {running.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    raise SystemExit("a server did not answer in time")


@contextlib.contextmanager
def bare() -> Iterator[int]:
    port = free_port()
    with process([sys.executable, "-m", "tests.bench.bare", str(port)], port):
        yield port


@contextlib.contextmanager
def leadline(**environment: str) -> Iterator[int]:
    """A Leadline server with the product `bench`, whose leads stay where they are."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="leadline-bench-") as data:
        command = [sys.executable, "-m", "config", "serve", "--port", str(port), "--data", str(Path(data))]
        with process(command, port, LEADLINE_API_KEY=KEY, **environment):
            far = 1e9
            rules = {"login_points": 1, "qualification_threshold": far}
            product = {"product_id": "bench", "name": "Bench", "engaged_threshold": far, "scoring_rules": rules}
            call(port, "PUT", "/products/bench", product)
            yield port


def call(port: int, method: str, path: str, body: Any = None) -> Any:
    """Raises: urllib.error.HTTPError."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())
