"""The section `notify`: who is told of what happens."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator

from lalmesh.runtime.config._base import Allowed, ConfigModel, SharedKey, Text, live_keys
from lalmesh.runtime.notify import MAX_RECEIVERS, MAX_URL_CHARS, check_url, parse_receiver


def _checked(text: str) -> str:
    parse_receiver(text)
    return text


def _checked_url(text: str) -> str:
    if text:
        check_url(text)
    return text


ReceiverText = Annotated[
    str,
    StringConstraints(max_length=4096),
    AfterValidator(_checked),
    Allowed(
        "NAME URL [format=lalmesh or lal] [events=KIND+KIND] [secret_file=PATH] [timeout_s=N] [give_up_s=N]; "
        "{event} in the URL is the name of the event"
    ),
]
OptionalUrl = Annotated[
    str,
    StringConstraints(max_length=MAX_URL_CHARS),
    AfterValidator(_checked_url),
    Allowed("an http or https URL, or nothing: not sent"),
]


class LalNotifyConfig(ConfigModel):
    """URLs of events as lal sends them, one each; together they are one receiver, which is called lal."""

    live_by_file = live_keys(
        "on_server_start on_update on_rtmp_connect on_pub_start on_pub_stop on_sub_start on_sub_stop on_relay_pull_start "
        "on_relay_pull_stop on_hls_make_ts timeout_s give_up_s"
    )

    on_server_start: OptionalUrl = Field(default="", description="A process has started.")
    on_update: OptionalUrl = Field(default="", description="The streams, every update_interval_s.")
    on_rtmp_connect: OptionalUrl = Field(default="", description="An RTMP client has connected.")
    on_pub_start: OptionalUrl = Field(default="", description="A publisher was let in.")
    on_pub_stop: OptionalUrl = Field(default="", description="A publisher has gone.")
    on_sub_start: OptionalUrl = Field(default="", description="A player was let in.")
    on_sub_stop: OptionalUrl = Field(default="", description="A player has gone.")
    on_relay_pull_start: OptionalUrl = Field(default="", description="A stream comes from elsewhere.")
    on_relay_pull_stop: OptionalUrl = Field(default="", description="It does not any more.")
    on_hls_make_ts: OptionalUrl = Field(default="", description="An MPEG-TS segment was begun or is whole.")
    timeout_s: float = Field(default=3.0, ge=0.1, le=60, description="Longest wait for an answer.")
    give_up_s: float = Field(
        default=86_400.0, ge=1, le=30 * 86_400, description="What was not taken for so long becomes a dead letter."
    )

    @property
    def urls(self) -> dict[str, str]:
        """Those that are set, by the name of the event without ``on_``."""
        values = ((name.removeprefix("on_"), getattr(self, name)) for name in type(self).model_fields if name.startswith("on_"))
        return {name: value for name, value in values if value}


class AlarmsConfig(ConfigModel):
    """When what a publisher sends is worth an alarm; 0: never. Edges look once a second."""

    live = live_keys("no_keyframe_s bitrate_low_bps frames_per_s timestamp_jump")

    no_keyframe_s: float = Field(default=0.0, ge=0, le=3600, description="No key frame of a video track for so long.")
    bitrate_low_bps: int = Field(default=0, ge=0, le=1 << 40, description="Fewer bits per second, for 5 s.")
    frames_per_s: float = Field(default=0.0, ge=0, le=1000, description="Fewer video frames per second, for 5 s.")
    timestamp_jump: bool = Field(default=False, description="Whether each jump of the publisher's clock is one.")


class NotifyConfig(ConfigModel):
    """Events: who is told of them by HTTP (docs/webhooks.md). Schedulers tell; edges and hls nodes read the rest."""

    live = live_keys("server_id update_interval_s raw_query shard_events_num shard_events_bytes kept_events_num dead_letters_num")
    live_by_file = live_keys("receivers secret secret_file")

    receivers: tuple[ReceiverText, ...] = Field(
        default=(), strict=False, max_length=MAX_RECEIVERS, description="Who is told, of all events or of some."
    )
    secret: SharedKey = Field(
        default=SecretStr(""),
        description="Secret that events are signed with for receivers without a secret_file. Empty: unsigned.",
    )
    secret_file: Text = Field(default="", description="File that holds the secret.")
    server_id: Text = Field(default="1", description="What events and lal's API name this cluster by.")
    update_interval_s: float = Field(
        default=5.0, ge=0, le=86_400, description="Time between two events that list all streams; 0: none after the first."
    )
    raw_query: bool = Field(
        default=False, description="Whether events carry the queries of clients with the tokens and signatures in them."
    )
    shard_events_num: int = Field(
        default=10_000,
        ge=1000,
        le=10_000_000,
        description="Events that each of the 16 shards of the log holds at most, some 700 bytes each; of more the oldest are lost.",
    )
    shard_events_bytes: int = Field(
        default=32 << 20,
        ge=1 << 20,
        le=4 << 30,
        description="Most bytes of JSON of a shard; of more the oldest are lost.",
    )
    kept_events_num: int = Field(
        default=1000, ge=0, le=1_000_000, description="Of those the ones that stay when all receivers have them, for /v1/events."
    )
    dead_letters_num: int = Field(default=10_000, ge=1, le=1_000_000, description="Dead letters that are kept.")
    lal: LalNotifyConfig = LalNotifyConfig()
    alarms: AlarmsConfig = AlarmsConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [parse_receiver(text).name for text in self.receivers] + (["lal"] if self.lal.urls else [])
        if len(set(names)) < len(names):
            raise ValueError("two receivers have one name")
        return self
