"""`lalmesh token`, and what a scheduler makes of tokens in its configuration."""

from __future__ import annotations

import re

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from lalmesh.runtime.api_tokens import ApiRole, Tokens
from lalmesh.runtime.config import Config, ConfigError, SchedulerConfig, SchedulerHttpConfig, load_config
from services.standalone.cli import app
from services.standalone.scheduler_settings import api_settings

RUNNER = CliRunner()


def configured(http: SchedulerHttpConfig) -> Tokens:
    return Tokens(api_settings(Config(scheduler=SchedulerConfig(http=http))).tokens)


def test_a_token_is_made_and_known_by_the_line_for_the_configuration() -> None:
    done = RUNNER.invoke(app, ["token", "ci", "--role", "operator", "--expires", "2030-01-31"])
    assert done.exit_code == 0
    token, line = re.search(r"lalmesh_\S+", done.output), re.search(r"- (ci .*)", done.output)
    assert token is not None
    assert line is not None
    found = configured(SchedulerHttpConfig(tokens=(line[1],))).find(token[0])
    assert found is not None
    assert (found.name, found.role, found.expires_s) == ("ci", ApiRole.OPERATOR, 1_896_048_000)


@pytest.mark.parametrize("arguments", [["a b"], ["a", "--role", "root"], ["a", "--expires", "soon"], [""]])
def test_what_cannot_be_is_said(arguments: list[str]) -> None:
    done = RUNNER.invoke(app, ["token", *arguments])
    assert done.exit_code == 2
    assert "lalmesh token:" in done.output


def test_the_one_token_is_an_admin() -> None:
    found = configured(SchedulerHttpConfig(token=SecretStr("0123456789abcdef"))).find("0123456789abcdef")
    assert found is not None
    assert (found.name, found.role) == ("token", ApiRole.ADMIN)


def test_two_tokens_have_two_names() -> None:
    line = "a admin sha256:" + "0" * 64
    with pytest.raises(ConfigError, match="same name"):
        load_config(None, [f"scheduler.http.tokens={line},{line}"], {})
