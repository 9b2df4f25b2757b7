"""Writers that are killed."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

WRITER = Path(__file__).with_name("writer.py")


@pytest.fixture
def acknowledged() -> Callable[..., set[str]]:
    """Let a process write, kill it in the middle, and return the ids of the units that it had been told were kept."""

    def run(url: str, name: str, *, at_least: int) -> set[str]:
        with subprocess.Popen([sys.executable, WRITER, url, name], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(at_least)]
            writer.kill()
            lines += writer.stdout.readlines()
        return {line.strip() for line in lines if line.endswith("\n")}

    return run
