"""Keeps the diagrams in docs/architecture.md equal to the tables in the code: `python -m config.diagrams`."""

from collections.abc import Callable
from pathlib import Path

from channels import states
from tracker import handoff, stages

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
DIAGRAMS: dict[str, Callable[[], str]] = {
    "stages": stages.diagram,
    "messages": states.diagram,
    "handoffs": handoff.diagram,
}


def renewed(text: str) -> str:
    """Return the page with every generated diagram as the code has it now."""
    for name, diagram in DIAGRAMS.items():
        before, mark, rest = text.partition(f"<!-- generated: {name} -->")
        if mark:
            _, end, after = rest.partition("<!-- end -->")
            text = f"{before}{mark}\n```mermaid\n{diagram()}```\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
