from __future__ import annotations

import json
from pathlib import Path

import yaml
from typer.testing import CliRunner

from services.standalone.config_cli import config_app

runner = CliRunner()


def test_check_of_a_good_configuration_says_ok() -> None:
    result = runner.invoke(config_app, ["check", "--set", "edge.rtmp.port=0"])
    assert (result.exit_code, result.output) == (0, "ok\n")


def test_check_prints_every_problem_and_fails(tmp_path: Path) -> None:
    file = tmp_path / "l.yaml"
    file.write_text("edge: {rtmp: {prot: 1}}")
    result = runner.invoke(config_app, ["check", "--config", str(file), "--set", "metrics.port=x"])
    assert result.exit_code == 1
    assert "edge.rtmp.prot: unknown key, did you mean edge.rtmp.port?" in result.output
    assert 'metrics.port: "x" is not allowed' in result.output


def test_check_of_a_role_asks_for_what_it_needs() -> None:
    assert runner.invoke(config_app, ["check", "--role", "edge"]).exit_code == 1
    key = {"LALMESH_CLUSTER__KEY": "0123456789abcdef"}
    assert runner.invoke(config_app, ["check", "--role", "edge"], env=key).exit_code == 0


def test_show_prints_what_is_in_force() -> None:
    result = runner.invoke(config_app, ["show"], env={"LALMESH_EDGE__RTMP__PORT": "1936"})
    assert yaml.safe_load(result.output)["edge"]["rtmp"]["port"] == 1936
    assert "port: 1936  # environment variable LALMESH_EDGE__RTMP__PORT" in result.output


def test_show_of_a_wrong_configuration_fails() -> None:
    assert runner.invoke(config_app, ["show", "--set", "nothing"]).exit_code == 1


def test_schema_prints_a_json_schema() -> None:
    schema = json.loads(runner.invoke(config_app, ["schema"]).output)
    roles = {"cluster", "edge", "origin", "scheduler", "hls"}
    assert set(schema["properties"]) == roles | {"relay", "auth", "notify", "metrics", "telemetry"}
