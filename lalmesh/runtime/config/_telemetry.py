"""The sections `metrics` and `telemetry`: what a node shows and says of itself."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, model_validator

from lalmesh.runtime.config._base import Allowed, ConfigModel, Host, Port, SharedKey, Text, live_keys

_HEADER_NAME = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")  # RFC 9110, 5.6.2


class MetricsConfig(ConfigModel):
    """Health and metrics of an edge or origin; a scheduler serves its own on its HTTP port too."""

    host: Host = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=9090, description="TCP port; 0 takes a free one.")
    profile_token: SharedKey = Field(
        default=SecretStr(""),
        description="Bearer token for a profile of the process, at /debug/profile, and for what it holds, at /debug/objects; "
        "empty: there is none.",
    )
    profile_token_file: Text = Field(default="", description="File that holds profile_token.")


class TracesConfig(ConfigModel):
    """Traces, by OpenTelemetry's protocol."""

    endpoint: Annotated[
        str, StringConstraints(max_length=4096, pattern=r"^(https?://[^\s/]+(/[^\s]*)?)?$"), Allowed("a URL, or nothing")
    ] = Field(
        default="",
        description="Where spans are sent, such as http://collector:4317, or with http the whole URL, such as "
        "http://collector:4318/v1/traces; empty: there are none.",
    )
    protocol: Literal["grpc", "http"] = Field(
        default="grpc", description="How they are sent: OTLP over gRPC, or protobuf over HTTP."
    )
    headers: SecretStr = Field(
        default=SecretStr(""),
        description="Headers that go along, as NAME=VALUE with commas between, such as Authorization=Bearer ...",
    )
    headers_file: Text = Field(default="", description="File that holds headers.")
    ca_file: Text = Field(default="", description="Certificates that a collector with https is checked by; empty: the system's.")
    sample_percent: float = Field(
        default=100.0,
        ge=0.0,
        le=100.0,
        description="Of all traces, how many are recorded. It is decided where a trace begins, and holds for all of it.",
    )
    queue_num: int = Field(
        default=4096,
        ge=16,
        le=1_000_000,
        description="Spans that wait to be sent at most; of more the new ones are lost, and counted.",
    )

    @property
    def header_map(self) -> dict[str, str]:
        """The headers by name."""
        return dict(_header(part) for part in self.headers.get_secret_value().split(",") if part.strip())

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.header_map
        return self


def _header(part: str) -> tuple[str, str]:
    name, mark, value = (text.strip() for text in part.partition("="))
    if not mark or not name or not _HEADER_NAME.issuperset(name) or not value.isascii() or not value.isprintable():
        raise ValueError("headers have to be NAME=VALUE, with commas between")
    return name, value


class TelemetryConfig(ConfigModel):
    """Logs, traces, and how much metrics tell."""

    live = live_keys("log_level")

    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level that is logged.")
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="One JSON object a line, or text for people; auto: text on a terminal, else JSON."
    )
    log_file: Text = Field(default="", description="File that is logged to, reopened when it is moved away; empty: standard error.")
    per_stream_metrics: bool = Field(
        default=False, description="Whether metrics have series of each stream too: their number grows with that of the streams."
    )
    per_stream_num: int = Field(
        default=200,
        ge=1,
        le=10_000,
        description="Streams of a node that have series of their own at most; those left out are counted.",
    )
    traces: TracesConfig = TracesConfig()

    @property
    def stream_series(self) -> int:
        """Streams that have series of their own at most."""
        return self.per_stream_num if self.per_stream_metrics else 0
