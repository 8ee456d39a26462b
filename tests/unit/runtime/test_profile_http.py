from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from lalmesh.runtime.profile_http import PATH, ProfileHttp


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer another", "Bearer \udcff", "Bearer \u00ff", "Basic let-me-see"])
async def test_who_does_not_have_the_token_is_told_so_whatever_bytes_he_shows(shown: str) -> None:
    request = make_mocked_request("GET", PATH, headers={"Authorization": shown})
    assert (await ProfileHttp("let-me-see", "here").answer(request)).status == 401
