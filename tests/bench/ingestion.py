"""Logins per second: one by one beside a bare handler, and in batches of 100."""

import re
import shutil
import statistics
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.bench.servers import KEY, bare, leadline

SECONDS = 4
ROUNDS = 5
CONNECTIONS = 32


class Load(NamedTuple):
    """Requests and logins per second, requests that were not answered as they should, p99 in milliseconds."""

    requests: float
    logins: float
    bad: int
    p99: float


def load(port: int, round: str, *, size: int, connections: int) -> Load:
    """Drive a server with wrk for some seconds."""
    script = Path(__file__).with_name("logins.lua")
    url = f"http://127.0.0.1:{port}"
    command = ["wrk", "-t2", f"-c{connections}", f"-d{SECONDS}s", "--timeout", "10s", "-s", str(script), url, "--"]
    out = subprocess.run([*command, round, str(size), KEY], capture_output=True, text=True, check=True).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", out)
    if found is None:
        raise SystemExit(f"wrk gave no result: {out}")
    requests, micros, logins, bad, p99 = map(int, found.groups())
    return Load(requests / micros * 1e6, logins / micros * 1e6, bad, p99 / 1000)


def run() -> list[str]:
    """Return lines to print."""
    if shutil.which("wrk") is None:
        return ["ingestion: not measured, since wrk is missing (Debian package wrk)"]
    with bare() as bare_port, leadline() as port:
        load(port, "warm", size=1, connections=CONNECTIONS)
        pairs = [
            (
                load(bare_port, f"x{n}", size=1, connections=CONNECTIONS),
                load(port, f"s{n}", size=1, connections=CONNECTIONS),
            )
            for n in range(ROUNDS)
        ]
        batches = [load(port, f"b{n}", size=100, connections=8) for n in range(3)]
    ratio = statistics.median(ours.requests / peer.requests for peer, ours in pairs)
    single = statistics.median(ours.requests for _, ours in pairs)
    peer_rate = statistics.median(peer.requests for peer, _ in pairs)
    p99 = statistics.median(ours.p99 for _, ours in pairs)
    rate = statistics.median(batch.logins for batch in batches)
    bad = sum(ours.bad for _, ours in pairs) + sum(batch.bad for batch in batches)
    return [
        f"single durable logins: {single:,.0f}/s = {ratio:.2f} × a bare validating handler ({peer_rate:,.0f}/s); "
        f"wanted 0.50; p99 {p99:.0f} ms at {CONNECTIONS} connections",
        f"batches of 100: {rate:,.0f} logins/s = {rate / 10_000:.2f} × the wanted 10,000/s",
        f"requests not answered as they should: {bad}",
    ]
