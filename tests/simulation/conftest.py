"""Schedules leave processes behind that ended in the middle of everything: they are cleared away where nobody looks."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest

from simulation.cluster import clear_away


@pytest.fixture(autouse=True)
def _cleared_away() -> Iterator[None]:
    gc.disable()
    logging.disable(logging.WARNING)
    yield
    clear_away()
    logging.disable(logging.NOTSET)
    gc.enable()
