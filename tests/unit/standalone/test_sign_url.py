"""``lalmesh sign-url``: which stream a URL names, and what is signed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lalmesh.errors import LalmeshError
from lalmesh.names import StreamKey
from lalmesh.runtime.authorisation import Action, Allowed, Request, SignedUrls
from services.standalone.cli import app
from services.standalone.sign_url_cli import stream_of

KEY = "0123456789abcdef"


@pytest.mark.parametrize(
    "url",
    [
        "rtmp://host/live/cam",
        "rtmps://host:4935/live/cam?a=b",
        "rtsp://host:5544/live/cam",
        "http://host:8080/live/cam.flv",
        "wss://host/live/cam.mp4",
        "https://host/hls/live/cam.m3u8",
        "https://host/hls/live/cam/index.m3u8",
        "http://host/record/live/cam/2026.mp4",
    ],
)
def test_every_url_of_a_stream_names_it(url: str) -> None:
    assert stream_of(url) == StreamKey("live", "cam")


@pytest.mark.parametrize("url", ["http://host/hls/cam.m3u8", "rtmp://host/cam", "rtmp://host/live/..", "nothing"])
def test_what_names_no_stream_is_refused(url: str) -> None:
    with pytest.raises(LalmeshError):
        stream_of(url)


def test_the_command_prints_a_url_that_lets_in(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"a:{KEY}\nb:{KEY[::-1]}\n")
    arguments = ["sign-url", "rtmp://host/live/cam?x=1", "--action", "publish", "--key", "b", "--address", "192.0.2.0/24"]
    said = CliRunner().invoke(app, [*arguments, "--set", f"auth.signed.keys_file={file}"])
    assert said.exit_code == 0, said.output
    request = Request(
        action=Action.PUBLISH,
        stream=StreamKey("live", "cam"),
        protocol="rtmp",
        address="192.0.2.1",
        query=said.output.strip().partition("?")[2],
    )
    assert isinstance(SignedUrls({"b": KEY[::-1].encode()}).judge(request, time.time(), {}), Allowed)


def test_without_a_key_nothing_is_signed() -> None:
    assert CliRunner().invoke(app, ["sign-url", "rtmp://host/live/cam"]).exit_code == 1
