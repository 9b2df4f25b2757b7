"""Stores that a test opens and closes by itself."""

import os

import pytest

from tests.conftest import Opener, _opener


@pytest.fixture
def opener(request: pytest.FixtureRequest) -> Opener:
    """Opens a database of this test's own, as often as it is called: SQLite, or what `LEADLINE_TEST_STORE` says."""
    return _opener(request, os.environ.get("LEADLINE_TEST_STORE", "sqlite"))
