"""What lal's API is asked and what it answers, as its documents have it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from services.scheduler.api import ApiModel


class LalQuery(BaseModel):
    """A query of lal: what it does not know is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class StreamQuery(LalQuery):
    """Which stream is meant."""

    stream_name: str = Field(default="", description="Its name, or application and name with a slash between.")
    app_name: str = Field(default="", description="Of several streams of one name, that of this application.")


class AnyParts(BaseModel):
    """A path that leads nowhere."""

    rest: str = Field(description="What there is not.", examples=["stat/nothing"])


class StatSession(ApiModel):
    """A publisher, player or relay; all empty where there is none."""

    session_id: str = Field(default="", description="Ours, with the prefix that lal has for its kind.")
    protocol: str = Field(default="", description="RTMP, RTSP, FLV, TS, HLS; MP4, which lal has not.")
    base_type: str = Field(default="", description="PUB, SUB, PULL or PUSH.")
    remote_addr: str = Field(default="", description="Address and port of the other side.")
    start_time: str = Field(default="", description="When it began, in UTC.")
    read_bytes_sum: int = Field(default=0, description="Bytes received.")
    wrote_bytes_sum: int = Field(default=0, description="Bytes sent.")
    bitrate_kbits: int = Field(default=0, description="1,024 bits a second, in of PUB and PULL, out of SUB and PUSH.")
    read_bitrate_kbits: int = Field(default=0, description="In.")
    write_bitrate_kbits: int = Field(default=0, description="Out.")


class FramesOfSecond(ApiModel):
    """Frames that came in one second."""

    unix_sec: int = Field(description="The second.")
    v: int = Field(description="Pictures; of a stream without video audio frames.")


class StatGroup(ApiModel):
    """A stream."""

    stream_name: str = Field(description="Its name.")
    app_name: str = Field(description="Its application; where these are ignored, that of its publisher.")
    audio_codec: str = Field(description="AAC, PCMU, PCMA, OPUS ...; empty: none.")
    video_codec: str = Field(description="H264, H265 ...; empty: none.")
    video_width: int = Field(description="Pixels.")
    video_height: int = Field(description="Pixels.")
    pub: StatSession = Field(description="Who publishes it.")
    subs: list[StatSession] | None = Field(description="Who plays it, at all edges; null: nobody.")
    pull: StatSession = Field(description="The relay that fetches it.")
    pushs: list[StatSession] | None = Field(
        description="Relays that send it on; null: none. lal's documents have it, its code has not."
    )
    in_frame_per_sec: list[FramesOfSecond] = Field(description="The last seconds, the newest first, the present one left out.")


class GroupList(ApiModel):
    """All streams."""

    groups: list[StatGroup] | None = Field(description="Null: none.")


class LalInfo(ApiModel):
    """The server."""

    server_id: str = Field(description="notify.server_id.")
    bin_info: str = Field(description="What is running.")
    lal_version: str = Field(description="Of lalmesh.")
    api_version: str = Field(description="Of lal's API that is answered alike.")
    notify_version: str = Field(description="Of lal's events that are sent alike.")
    WebUiVersion: str = Field(description="Of lalmesh.")
    start_time: str = Field(description="When this scheduler began, in UTC.")


class PullStarted(ApiModel):
    """A relay that was begun."""

    stream_name: str = Field(description="What it is called here.")
    session_id: str = Field(description="What kick_session takes.")


class SessionEnded(ApiModel):
    """A relay that was ended."""

    session_id: str = Field(description="What it was.")


class RecordStarted(ApiModel):
    """A recording that was begun."""

    stream_name: str = Field(description="What is recorded.")
    record_id: str = Field(description="Of its rule, at /v1/recordings.")


class Reply(ApiModel):
    """What every answer has."""

    error_code: int = Field(default=0, description="0: done.")
    desp: str = Field(default="succ", description="succ, or what is wrong.")


class GroupReply(Reply):
    """One stream."""

    data: StatGroup | None = Field(default=None, description="Null where something is wrong.")


class GroupsReply(Reply):
    """All streams."""

    data: GroupList | None = Field(default=None, description="Null where something is wrong.")


class InfoReply(Reply):
    """The server."""

    data: LalInfo | None = Field(default=None, description="Null where something is wrong.")


class PullReply(Reply):
    """A relay that was begun."""

    data: PullStarted | None = Field(default=None, description="Null where something is wrong.")


class EndedReply(Reply):
    """A relay that was ended."""

    data: SessionEnded | None = Field(default=None, description="Null where something is wrong.")


class RecordReply(Reply):
    """A recording that was begun."""

    data: RecordStarted | None = Field(default=None, description="Null where something is wrong.")
