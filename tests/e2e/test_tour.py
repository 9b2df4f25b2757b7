"""The tour of the README runs as it is printed."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.bench.servers import free_port, process

ROOT = Path(__file__).parents[2]


def test_the_tour_of_the_readme_works(tmp_path: Path) -> None:
    """Every command of the tour succeeds on a fresh demo server and shows what the text says."""
    port = free_port()
    block = re.search(r"<!-- tour.*?```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    script = block[1].replace("http://127.0.0.1:8080", f"http://127.0.0.1:{port}")
    command = [sys.executable, "-m", "config", "serve", "--demo", "--port", str(port), "--data", str(tmp_path / "data")]
    with process(command, port):
        done = subprocess.run(["bash", "-eu", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    words = done.stdout
    assert '"accepted":1,"duplicate":0,"quarantined":1' in words, "one login is taken, one is quarantined"
    assert '"kind":"quarantine"' in words, "the bad one waits in review"
    assert re.search(r"^\S+\.eml$", words, re.MULTILINE), "the welcome mail is in the outbox"
    assert "29 USD" in words, "the bot says what it costs"
    assert json.loads(words[words.rindex('{"total"') :])["total"] >= 5, "the score is explained"
