"""The tour of the README runs as it is printed."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.bench.servers import free_port, process

ROOT = Path(__file__).parents[2]


def test_the_tour_of_the_readme_works(tmp_path: Path) -> None:
    """Every command of the tour succeeds on a server as `make run` starts it, and shows what the text says."""
    port = free_port()
    block = re.search(r"<!-- tour.*?```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    script = block[1].replace("http://127.0.0.1:8080", f"http://127.0.0.1:{port}")
    speed = re.search(r"^SPEED \?= (\d+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert speed is not None
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    options = ["--demo", "--demo-speed", speed[1], "--port", str(port), "--data", str(tmp_path / "data")]
    with process([sys.executable, "-m", "config", "serve", *options], port):
        done = subprocess.run(["bash", "-eu", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    words = done.stdout
    assert '"accepted":1,"duplicate":0,"quarantined":1' in words, "one login is taken, one is quarantined"
    assert '"kind":"quarantine"' in words, "the bad one waits in review"
    assert re.search(r"^data/outbox/\S+\.eml$", words, re.MULTILINE), "the welcome mail is in the outbox"
    assert "29 USD" in words, "the bot says what it costs"
    assert re.search(r'"reason":"asked","status":"claimed","channel":"whatsapp"', words), "a person takes over"
    assert '"text":"Hello, this is Mia. How can I help?"' in words, "and answers"
    assert json.loads(words[words.rindex('{"total"') :])["total"] >= 5, "the score is explained"
