"""The sections `metrics` and `telemetry`: what a node shows and says of itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from lalmesh.runtime.config._base import ConfigModel, Host, Port, SharedKey, Text, live_keys


class MetricsConfig(ConfigModel):
    """Health and metrics of an edge or origin; a scheduler serves its own on its HTTP port too."""

    host: Host = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=9090, description="TCP port; 0 takes a free one.")
    profile_token: SharedKey = Field(
        default=SecretStr(""), description="Bearer token for a profile of the process, at /debug/profile; empty: there is none."
    )
    profile_token_file: Text = Field(default="", description="File that holds profile_token.")


class TelemetryConfig(ConfigModel):
    """Logs."""

    live = live_keys("log_level")

    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level that is logged.")
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="One JSON object a line, or text for people; auto: text on a terminal, else JSON."
    )
    log_file: Text = Field(default="", description="File that is logged to, reopened when it is moved away; empty: standard error.")
