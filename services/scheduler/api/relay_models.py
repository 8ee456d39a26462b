"""Relays and their rules as the API takes and shows them. What may be a secret in URLs is taken, and never shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lalmesh.runtime.push_targets import shown_target
from lalmesh.runtime.relay_rules import (
    DEFAULT_STOP_S,
    ENDLESS,
    MAX_PATTERN_BYTES,
    MAX_RETRIES,
    MAX_START_S,
    MAX_STOP_S,
    NEVER_S,
    RelayOptions,
    RelayRule,
    without_secrets,
)
from lalmesh.runtime.scheduling.control import MAX_RELAY_URLS, MAX_URL_BYTES
from services.scheduler.api import MAX_STREAM_CHARS, ApiModel
from services.scheduler.relay_records import RelayRecord, RelayRuleRecord
from services.scheduler.relays import ShownRelay

RelayKind = Literal["pull", "push"]
_Transport = Literal["tcp", "udp"]
_Url = Annotated[str, Field(min_length=1, max_length=MAX_URL_BYTES)]
_Start = Annotated[float, Field(ge=0, le=MAX_START_S, description="Seconds from the dial to the first media; 0: as configured.")]
_Retries = Annotated[
    int, Field(ge=ENDLESS, le=MAX_RETRIES, description="Rounds over all URLs after one that failed; -1: without end.")
]
_Stop = Annotated[
    float, Field(ge=NEVER_S, le=MAX_STOP_S, description="A pull ends so many seconds after the last one has left; -1: never.")
]
_Ca = Annotated[str, Field(description="File at the edges that certificates are checked with, of rules of the configuration.")]


class RelayOptionsModel(ApiModel):
    """How a relay is run."""

    start_timeout_s: _Start = 0.0
    retries: _Retries = ENDLESS
    rtsp_transport: _Transport = Field(default="tcp", description="How the packets of RTSP go.")
    verify_tls: bool = Field(default=True, description="Whether the certificate of the other side is checked.")


class RelayBody(RelayOptionsModel):
    """A stream that is to be fetched or sent."""

    kind: RelayKind = Field(description="From there to here, or from here to there.")
    stream: str = Field(min_length=3, max_length=MAX_STREAM_CHARS, description="What it is called here.", examples=["live/cam"])
    urls: list[_Url] = Field(
        min_length=1,
        max_length=MAX_RELAY_URLS,
        description="Of a pull: sources, in the order in which they are tried. Of a push: the one target.",
        examples=[["rtmp://source.example/live/cam"]],
    )
    stop_after_s: _Stop = NEVER_S


class RelayModel(RelayOptionsModel):
    """A relay."""

    ca_file: _Ca = ""
    id: str = Field(description="What it is called.")
    kind: RelayKind = Field(description="pull: fetched from elsewhere; push: sent elsewhere.")
    stream: str = Field(description="What it is called here.")
    urls: list[str] = Field(
        description="Sources in their order, or the target, without logins and queries; a key of the target is ***."
    )
    rule: str | None = Field(description="Id of the rule that it is by; null: it was asked for by API.")
    stop_after_s: _Stop
    state: Literal["waiting", "connecting", "running", "paused", "failed"] = Field(
        description="How far it is: waiting where no edge has it; paused until the next attempt; failed where none is left."
    )
    edge: str | None = Field(description="Node that runs it.")
    url: str | None = Field(description="In use, or tried last.")
    session: str | None = Field(description="Id of its session while it runs.")
    attempts: int | None = Field(description="That failed since it ran last; null where that is not known here.")
    error: str | None = Field(description="Why the last attempt ended.")
    since_us: int | None = Field(description="Unix microseconds of its state.")
    created_us: int = Field(description="Unix microseconds at which it was made.")
    via: list[str] = Field(description="Clusters that the stream goes to or comes from, as far as they are known.")


class RuleBody(RelayOptionsModel):
    """What is to be fetched when somebody wants it, or sent when it is published."""

    kind: RelayKind = Field(description="From there to here, or from here to there.")
    pattern: str = Field(
        min_length=1,
        max_length=MAX_PATTERN_BYTES,
        description="Of application and name, with *, ? and []; * also goes over slashes.",
        examples=["live/*"],
    )
    urls: list[_Url] = Field(
        min_length=1,
        max_length=MAX_RELAY_URLS,
        description="Templates with {app}, {name} and {query}; of a pull in the order in which they are tried, of a push targets.",
        examples=[["rtmp://source.example/{app}/{name}"]],
    )
    on_demand: bool = Field(default=True, description="Of a pull: only while somebody wants the stream; otherwise always.")
    stop_after_s: _Stop = DEFAULT_STOP_S


class RuleModel(RuleBody):
    """A rule of relays; its URLs without logins and queries, and with *** for keys of targets."""

    ca_file: _Ca = ""
    id: str = Field(description="What it is called.")
    source: Literal["config", "api"] = Field(description="Where it comes from; what the configuration says stays.")
    created_us: int | None = Field(description="Unix microseconds at which it was added; null: of the configuration.")


class RelayParts(ApiModel):
    """Which one is meant."""

    id: str = Field(description="What it is called.")


def kind_of(relay: RelayRecord | RelayRule) -> RelayKind:
    """What a relay, or one by a rule, does."""
    return "push" if relay.is_push else "pull"


def options_of(body: RelayOptionsModel) -> RelayOptions:
    """The options in the body of a request."""
    return RelayOptions(
        start_timeout_s=body.start_timeout_s,
        retries=body.retries,
        rtsp_udp=body.rtsp_transport == "udp",
        verify_tls=body.verify_tls,
    )


def relay_model(shown: ShownRelay) -> RelayModel:
    """A relay as it is shown."""
    record, status = shown.record, shown.status
    return RelayModel(
        **_options_said(record.options),
        id=record.id,
        kind=kind_of(record),
        stream=str(record.stream),
        urls=[shown_target(url, record.stream.name) if record.is_push else without_secrets(url) for url in record.urls],
        rule=record.rule or None,
        stop_after_s=record.stop_after_s,
        state=shown.state,
        edge=record.edge.node.name if record.edge is not None else None,
        url=(status.url or None) if status is not None else None,
        session=(status.session_id or None) if status is not None else None,
        attempts=status.attempts if status is not None else None,
        error=(status.error or None) if status is not None else None,
        since_us=status.since_us if status is not None else None,
        created_us=record.created_us,
        via=list(record.via),
    )


def rule_model_of(record: RelayRuleRecord) -> RuleModel:
    """A rule that was added by API as it is shown."""
    return rule_model(record.id, record.rule, "api", record.created_us)


def rule_model(rule_id: str, rule: RelayRule, source: Literal["config", "api"], created_us: int | None) -> RuleModel:
    """A rule as it is shown."""
    return RuleModel(
        **_options_said(rule.options),
        id=rule_id,
        source=source,
        created_us=created_us,
        kind=kind_of(rule),
        pattern=rule.pattern,
        urls=[shown_target(url) if rule.is_push else without_secrets(url) for url in rule.urls],
        on_demand=rule.on_demand,
        stop_after_s=rule.stop_after_s,
    )


def _options_said(options: RelayOptions) -> dict[str, Any]:
    return {
        "start_timeout_s": options.start_timeout_s,
        "retries": options.retries,
        "rtsp_transport": "udp" if options.rtsp_udp else "tcp",
        "verify_tls": options.verify_tls,
        "ca_file": options.ca_file,
    }
