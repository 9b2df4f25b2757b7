"""The diagrams in the docs are made from the tables in the code."""

from config.diagrams import DIAGRAMS, PAGE, renewed


def test_the_page_shows_the_tables_as_they_are() -> None:
    """A table that changed without its diagram is noticed: run `python -m config.diagrams`."""
    assert renewed(PAGE.read_text()) == PAGE.read_text()


def test_a_stale_diagram_is_renewed() -> None:
    """Each generated block is replaced whole, whatever it held."""
    for name, diagram in DIAGRAMS.items():
        stale = f"before\n<!-- generated: {name} -->\nold\n<!-- end -->\nafter"
        assert renewed(stale) == f"before\n<!-- generated: {name} -->\n```mermaid\n{diagram()}```\n<!-- end -->\nafter"
