"""Try the mutations: `python -m tests.properties.mutate [number of a property ...]`. Fails when one goes unnoticed."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.properties.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
PARTS = ("bot", "channels", "config", "n8n", "nurture", "tracker", "tests", "pyproject.toml", "README.md")
SKIPPED = shutil.ignore_patterns("__pycache__", "node_modules", ".hypothesis")
SECONDS = 300
PASSED, FAILED = 0, 1
"""What pytest ends with when tests fail; anything else, such as code that does not load, proves nothing."""


def copied(folder: Path) -> None:
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=SKIPPED)
        else:
            shutil.copy(source, folder / part)


def broken(text: str, mutation: Mutation) -> str:
    """Return a file's text with the mutation. Raises: ValueError: the code has changed."""
    if text.count(mutation.old) != 1:
        raise ValueError(f"{mutation.file} has {mutation.old!r} {text.count(mutation.old)} times")
    return text.replace(mutation.old, mutation.new)


def caught(mutation: Mutation, folder: Path) -> bool:
    """Run the property's test in a copy of the tree with the mutation."""
    file = folder / mutation.file
    whole = file.read_text()
    file.write_text(broken(whole, mutation))
    try:
        return tested(mutation.number, folder) == FAILED
    finally:
        file.write_text(whole)


def tested(number: int, folder: Path) -> int:
    """Return what pytest ends with; `FAILED` when it does not end."""
    tests = [str(path) for path in (folder / "tests/properties").glob(f"test_property_{number:02}_*.py")]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    env = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LEADLINE_MUTATED": "1",
        "CI": "true",
    }
    try:
        return subprocess.run(
            [*command, *tests], cwd=folder, env=env, capture_output=True, timeout=SECONDS, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        return FAILED


def main(numbers: list[int]) -> int:
    survivors, sound = 0, dict[int, bool]()
    with tempfile.TemporaryDirectory(prefix="leadline-mutations-") as name:
        folder = Path(name)
        copied(folder)
        for mutation in MUTATIONS:
            if numbers and mutation.number not in numbers:
                continue
            if mutation.number not in sound:
                sound[mutation.number] = tested(mutation.number, folder) == PASSED
            started = time.monotonic()
            is_caught = sound[mutation.number] and caught(mutation, folder)
            survivors += not is_caught
            verdict = "caught" if is_caught else "NOT CAUGHT" if sound[mutation.number] else "FAILS WITHOUT"
            seconds = time.monotonic() - started
            print(f"{mutation.number:2} {verdict} in {seconds:.0f} s: {mutation.what} ({mutation.file})", flush=True)
    print("every mutation was caught" if not survivors else f"{survivors} went unnoticed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main([int(number) for number in sys.argv[1:]]))
