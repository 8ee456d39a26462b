"""The section `hls.recording`: what is recorded, and where files grow until they are stored."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from lalmesh.runtime.config._base import Allowed, ConfigModel, Text, live_keys
from lalmesh.runtime.recording import MAX_RULES, parse_rule


def _checked(text: str) -> str:
    parse_rule(text)
    return text


RuleText = Annotated[
    str,
    StringConstraints(max_length=4096),
    AfterValidator(_checked),
    Allowed("PATTERN FORMAT+FORMAT [segment_s=N] [segment_bytes=N] [keep_s=N] [keep_bytes=N]; formats: flv, ts, mp4, hls"),
]


class HlsRecordingConfig(ConfigModel):
    """Recording: an hls node writes files into its spool and uploads them to shared storage when they are whole."""

    live = live_keys("rules")

    rules: tuple[RuleText, ...] = Field(
        default=(),
        strict=False,
        max_length=MAX_RULES,
        description="What is recorded: of streams whose app/name matches the pattern (*, ?, []); "
        "a new file after segment_s or segment_bytes, those stored go after keep_s or when all have keep_bytes. "
        "The first rule that names a format holds. Schedulers read it; more rules by POST /v1/recordings.",
    )
    spool_dir: Text = Field(default="lalmesh-spool", description="Folder of this node alone in which files grow; made when needed.")
    spool_max_bytes: int = Field(
        default=20 << 30, ge=1 << 20, le=1 << 50, description="Over it the oldest files that are not uploaded yet are dropped."
    )
    upload_s: float = Field(
        default=0.0, ge=0, le=86_400, description="Growing files are uploaded so often, in pieces; 0: only whole ones are."
    )
