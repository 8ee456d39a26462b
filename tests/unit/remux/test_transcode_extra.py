"""Whether G.711 can be made AAC here: asked with every run of units, found out once."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import NoReturn

import pytest

from lalmesh.remux import can_transcode


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    can_transcode.cache_clear()
    yield
    can_transcode.cache_clear()


def test_an_import_that_fails_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = list[str]()

    def fail(name: str) -> NoReturn:
        tried.append(name)
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", fail)
    assert [can_transcode() for _ in range(3)] == [False] * 3
    assert tried == ["av"]
