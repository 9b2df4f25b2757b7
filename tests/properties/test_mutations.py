"""The mutations fit the code as it is today."""

from collections import Counter

import pytest

from tests.properties.mutate import ROOT, broken
from tests.properties.mutations import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what)
def test_a_mutation_can_be_made(mutation: Mutation) -> None:
    """What it changes stands in its file once; `make mutations` says whether the property's test notices."""
    text = (ROOT / mutation.file).read_text()
    assert broken(text, mutation) != text


def test_every_property_has_two() -> None:
    """In different places, so that a test which sees only one corner is found out."""
    places = Counter(number for number, _ in {(m.number, m.old) for m in MUTATIONS})
    tests = {int(path.name.split("_")[2]) for path in (ROOT / "tests/properties").glob("test_property_*.py")}
    assert {number for number in tests if places[number] < 2} == set()
