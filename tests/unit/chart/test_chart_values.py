"""What of the chart comes from models: current, and refusing secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.yaml_text import parse_yaml

from lalmesh.runtime.config import Config, config_schema
from lalmesh.runtime.config._keys import all_keys
from tools.chart import CHART, ROLES, defaults, generated, secrets, values_schema
from tools.chart_values import ChartValues

VALUES = parse_yaml((CHART / "values.yaml").read_text())
VALIDATOR = Draft202012Validator(values_schema())


def refusals(**config: Any) -> list[str]:
    return [error.json_path for error in VALIDATOR.iter_errors({**VALUES, "config": config})]


def test_what_is_generated_is_current() -> None:
    assert {path.name: path.read_text() for path in generated()} == {path.name: text for path, text in generated().items()}


def test_values_are_as_the_schema_says_and_say_all_that_it_knows() -> None:
    VALIDATOR.check_schema(values_schema())
    assert not list(VALIDATOR.iter_errors(VALUES))
    known = ChartValues.model_validate({key: value for key, value in VALUES.items() if key != "config"})
    dumped = known.model_dump(by_alias=True, exclude_unset=True)
    whole = known.model_dump(by_alias=True)
    whole.pop("global")
    assert dumped == whole, "values.yaml lacks some of what tools/chart_values.py has"


def test_any_configuration_may_stand_there_but_for_its_secrets() -> None:
    assert refusals(**json.loads(Config().model_dump_json(exclude={"edge": {"rtsp": {"udp_ports"}}}))) == []
    for key in (key for key in all_keys().values() if key.secret):
        value: Any = "a secret of some length"
        for part in reversed(key.path.split(".")):
            value = {part: value}
        assert refusals(**value) == [f"$.config.{key.path}"]


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"edge": {"rtmp": {"prot": 1935}}}, "$.config.edge.rtmp"),
        ({"edge": {"rtmp": {"port": "1935"}}}, "$.config.edge.rtmp.port"),
        ({"cluster": {"lease_s": 1}}, "$.config.cluster.lease_s"),
        ({"hls": {"start": "never"}}, "$.config.hls.start"),
    ],
)
def test_what_the_service_would_refuse_the_schema_refuses(config: dict[str, Any], where: str) -> None:
    assert refusals(**config) == [where]


def test_defaults_are_all_keys_of_the_configuration() -> None:
    Draft202012Validator(config_schema()).validate(defaults())
    assert defaults()["edge"]["rtmp"]["port"] == Config().edge.rtmp.port


def test_each_secret_has_its_readers() -> None:
    listed = {secret["key"]: secret for secret in secrets()}
    assert listed["cluster.key"] == {"key": "cluster.key", "env": "LALMESH_CLUSTER__KEY", "roles": ROLES}
    assert listed["scheduler.etcd.password"]["roles"] == ["scheduler"]
    assert listed["hls.session.hash_key"]["roles"] == ["edge", "hls"]
    assert all(secret["roles"] for secret in secrets())
