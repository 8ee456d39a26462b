"""The whole configuration, one tree for all roles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from pydantic import ConfigDict, model_validator

from lalmesh.runtime.authorisation import parse_limit
from lalmesh.runtime.config._auth import AuthConfig
from lalmesh.runtime.config._base import ConfigModel
from lalmesh.runtime.config._cluster import ClusterConfig
from lalmesh.runtime.config._edge import EdgeConfig
from lalmesh.runtime.config._hls import HlsConfig
from lalmesh.runtime.config._notify import NotifyConfig
from lalmesh.runtime.config._origin import OriginConfig
from lalmesh.runtime.config._patterns import idle_patterns
from lalmesh.runtime.config._relay import RelayConfig
from lalmesh.runtime.config._scheduler import SchedulerConfig
from lalmesh.runtime.config._telemetry import MetricsConfig, TelemetryConfig


class Config(ConfigModel):
    """Configuration of lalmesh, one tree for all roles. ``Config()`` is the defaults; it reads neither files nor environment."""

    model_config = ConfigDict(title="lalmesh configuration")

    cluster: ClusterConfig = ClusterConfig()
    edge: EdgeConfig = EdgeConfig()
    origin: OriginConfig = OriginConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    hls: HlsConfig = HlsConfig()
    relay: RelayConfig = RelayConfig()
    auth: AuthConfig = AuthConfig()
    notify: NotifyConfig = NotifyConfig()
    metrics: MetricsConfig = MetricsConfig()
    telemetry: TelemetryConfig = TelemetryConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.edge.limits.message_bytes > self.cluster.link.max_unit_bytes:
            raise ValueError(
                f"edge.limits.message_bytes must not be above {self.cluster.link.max_unit_bytes}: "
                "what a publisher may send must fit a message of a link (cluster.link.max_message_bytes)"
            )
        if not self.cluster.match_app:
            for problem in idle_patterns(self._patterns(), [parse_limit(text).pattern for text in self.auth.limits]):
                raise ValueError(problem)
        return self

    def _patterns(self) -> Iterator[tuple[str, list[str]]]:
        """The patterns of streams of all rules, by key."""
        yield "auth.rules", [text.split()[1] for text in self.auth.rules]
        for key, rules in (
            ("hls.recording.rules", self.hls.recording.rules),
            ("relay.pulls", self.relay.pulls),
            ("relay.pushes", self.relay.pushes),
        ):
            yield key, [text.split()[0] for text in rules]
