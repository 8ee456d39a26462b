"""Bodies of lal's API: keys that are not known are passed over, those that may be missing have the defaults of lal."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

MAX_NUMBER: Final = 2**31 - 1  #: of milliseconds: 24 days
MAX_BAN_S: Final = 10 * 366 * 86_400
MAX_FORMATS: Final = 4  #: as many as there are
PULL_TIMEOUT_MS: Final = 10_000
NEVER: Final = -1


class LalBody(BaseModel):
    """A body."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class StreamBody(LalBody):
    """Which stream is meant."""

    stream_name: str = Field(min_length=1, description="Its name, or application and name with a slash between.", examples=["cam"])
    app_name: str = Field(default="", description="Of several streams of one name, that of this application.")


class PullBody(LalBody):
    """What is to be fetched."""

    url: str = Field(min_length=1, description="RTMP, RTSP or HTTP-FLV.", examples=["rtmp://192.0.2.1/live/cam"])
    stream_name: str = Field(default="", description="What it is called here; by default as in the URL.")
    app_name: str = Field(default="", description="The application here; by default as in the URL.")
    pull_timeout_ms: int = Field(default=PULL_TIMEOUT_MS, ge=0, le=MAX_NUMBER, description="To the first media; 0: none.")
    pull_retry_num: int = Field(default=0, ge=-1, le=MAX_NUMBER, description="Tries after one that failed; -1: without end.")
    auto_stop_pull_after_no_out_ms: int = Field(
        default=NEVER, ge=-MAX_NUMBER, le=MAX_NUMBER, description="After the last viewer left; -1: never."
    )
    rtsp_mode: int = Field(default=0, ge=0, le=1, description="0: interleaved, 1: UDP.")


class KickSessionBody(StreamBody):
    """Whom to end."""

    session_id: str = Field(min_length=1, description="As the objects of lal have it.", examples=["FLVSUB1"])


class BanBody(LalBody):
    """Who is let in nowhere."""

    ip: str = Field(min_length=1, description="An address or a network.", examples=["192.0.2.7"])
    duration_sec: int = Field(ge=1, le=MAX_BAN_S, description="For how long.")


class RecordBody(StreamBody):
    """What is to be recorded."""

    formats: list[str] = Field(default=["flv"], max_length=MAX_FORMATS, description="flv, ts, mp4, hls.")
