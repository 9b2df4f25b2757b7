"""What is installed and committed: our six package names, the pins, no address of an index."""

import importlib
import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("bot", "channels", "config", "n8n", "nurture", "tracker")
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")

PIN = re.compile(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", re.MULTILINE)

INDEX = re.compile(
    r"\bpypi\.(org|python)|pythonhosted\.org|registry\.(npmjs|yarnpkg)\.|(deb|security)\.debian\.org|(crates|rubygems)\.io"
    r"|//[^/\s\"']+(:\d+)?/(simple|packages)/"  # any index or mirror
    r"|\"resolved\": *\"(https?|file):"
    r"|^ *(-i|-f|--(extra-)?index|--find)[-\w]*[ =]*(https?|file):",
    re.MULTILINE | re.IGNORECASE,
)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_imported_from_this_checkout(room: str) -> None:
    """Short names such as `channels` are taken by other projects; ours must win, from this folder."""
    found = importlib.import_module(room).__file__
    assert found is not None, f"{room} has no __init__.py"
    assert Path(found).resolve().parent == ROOT / room, f"{found} shadows ours; try: make clean install-dev"


def test_no_dependency_brings_a_package_of_our_names() -> None:
    """Whoever comes first on the path wins, so a dependency with one of our names is a fault waiting to happen."""
    owners = importlib.metadata.packages_distributions()
    assert {name: owners[name] for name in (*ROOMS, "tests") if set(owners.get(name, ())) - {"leadline"}} == {}


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_pin_has_hashes(name: str) -> None:
    """What is installed is what was locked, byte for byte."""
    entries = re.split(r"\n(?=\S)", re.sub(r"^ *#.*\n", "", text(ROOT / name), flags=re.MULTILINE).strip())
    assert len(entries) > 50
    for entry in entries:
        assert PIN.match(entry), f"not a pin: {entry[:80]}"
        assert "--hash=sha256:" in entry, f"no hash: {entry[:80]}"


def test_both_requirements_pin_the_same_versions() -> None:
    """Tests run on what is shipped."""
    runtime, dev = (pins(ROOT / name) for name in REQUIREMENTS)
    assert {name: version for name, version in runtime.items() if dev.get(name) != version} == {}


@pytest.mark.parametrize(
    ("group", "name"), [(None, "requirements.txt"), ("build", "requirements.txt"), ("dev", "requirements-dev.txt")]
)
def test_every_dependency_of_ours_is_pinned(group: str | None, name: str) -> None:
    """`pyproject.toml` was not changed without `make lock`."""
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    wanted = project["optional-dependencies"][group] if group else project["dependencies"]
    names = {re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower() for requirement in wanted}
    assert names - pins(ROOT / name).keys() == set()


def test_no_file_names_an_index() -> None:
    """A checkout installs from whatever index its machine is set up for."""
    named = {str(path.relative_to(ROOT)): found[0] for path in committed() if (found := INDEX.search(text(path)))}
    assert named == {}


@pytest.mark.parametrize(
    "line",
    [
        "--extra-" + "index-url http://mirror.test/x",
        "https://files.python" + "hosted.org/packages/a.whl",
        "https://mirror.test:8080/" + "simple/orjson/",
        '"resolved"' + ': "https://mirror.test/a.tgz"',
    ],
)
def test_an_index_is_recognised(line: str) -> None:
    assert INDEX.search(f"first\n{line}\n")


def committed() -> list[Path]:
    """Files that are in the repository or would be added to it."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def text(path: Path) -> str:
    return path.read_text(errors="replace")


def pins(path: Path) -> dict[str, str]:
    return {name.lower(): version for name, version in PIN.findall(text(path))}
