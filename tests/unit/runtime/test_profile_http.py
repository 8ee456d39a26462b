from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lalmesh.runtime.profile_http import ProfileHttp


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer another", "Bearer \udcff", "Bearer \u00ff", "Basic let-me-see"])
async def test_who_does_not_have_the_token_is_told_so_whatever_bytes_he_shows(shown: str) -> None:
    request = SimpleNamespace(headers={"Authorization": shown}, query={})
    assert (await ProfileHttp("let-me-see", "here").answer(cast(Any, request))).status == 401
