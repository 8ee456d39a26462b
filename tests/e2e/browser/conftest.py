"""The pages that play, for the tests with a real browser."""

from collections.abc import Iterator

import pytest
from support import browser
from support.browser import Pages


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    """Pages on a port of their own, with the players from npm."""
    if not browser.available():
        pytest.skip("chromium, node or npm is not installed")
    browser.install()
    with Pages() as pages:
        yield pages
