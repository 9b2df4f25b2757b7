"""Keeps the diagrams in docs/architecture.md equal to the tables in the code: `python -m config.diagrams`."""

import re
from collections.abc import Callable
from pathlib import Path

from channels import states
from tracker import stages

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
DIAGRAMS: dict[str, Callable[[], str]] = {"stages": stages.diagram, "messages": states.diagram}


def renewed(text: str) -> str:
    """Return the page with every generated diagram as the code has it now."""
    for name, diagram in DIAGRAMS.items():
        block = f"<!-- generated: {name} -->\n```mermaid\n{diagram()}```\n<!-- end -->"
        text = re.sub(rf"<!-- generated: {name} -->.*?<!-- end -->", lambda _, block=block: block, text, flags=re.DOTALL)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
