"""Relays as the API takes them."""

from __future__ import annotations

import json

import pytest

from services.scheduler.api import ApiModel, ProblemError
from services.scheduler.api._checking import check_body
from services.scheduler.api.relay_models import RelayBody, RuleBody

RELAY = {"kind": "pull", "stream": "live/cam", "urls": ["rtmps://a/live/cam"]}
RULE = {"kind": "pull", "pattern": "live/*", "urls": ["rtmps://a/live/cam"]}


@pytest.mark.parametrize(("model", "body"), [(RelayBody, RELAY), (RuleBody, RULE)])
def test_no_file_of_an_edge_is_named_by_api(model: type[ApiModel], body: dict[str, object]) -> None:
    check_body(model, json.dumps(body).encode())
    with pytest.raises(ProblemError) as refused:
        check_body(model, json.dumps({**body, "ca_file": "/etc/passwd"}).encode())
    assert [error.field for error in refused.value.errors] == ["ca_file"]
