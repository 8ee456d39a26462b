"""What a node prints to try."""

from __future__ import annotations

import pytest

from lalmesh.runtime.config import Config
from services.standalone.urls import describe


def test_one_port_of_a_standalone_server_is_enough_for_everything_over_http() -> None:
    text = describe(Config(), "standalone", {"rtmp": 1935, "http": 8080, "hls": 8081, "metrics": 9090})
    assert "ffplay http://127.0.0.1:8080/live/test.flv\n" in text
    assert "ffplay http://127.0.0.1:8080/hls/live/test/index.m3u8\n" in text


def test_an_hls_node_without_an_edge_is_asked_itself() -> None:
    text = describe(Config(), "hls", {"hls": 8081, "grpc": 50054, "metrics": 9090})
    assert "ffplay http://127.0.0.1:8081/hls/live/test/index.m3u8\n" in text


@pytest.mark.parametrize(("tls", "asked"), [({}, "curl http"), ({"cert_file": "a.pem", "key_file": "a.pem"}, "curl -k https")])
def test_a_scheduler_with_a_certificate_is_looked_at_by_https(tls: dict[str, str], asked: str) -> None:
    config = Config.model_validate({"scheduler": {"http": {"tls": tls}}})
    assert describe(config, "scheduler", {"api": 8083}).endswith(f"  {asked}://127.0.0.1:8083/v1/streams")


def test_what_listens_on_all_addresses_is_reached_by_loopback() -> None:
    text = describe(Config.model_validate({"edge": {"rtmp": {"host": "::"}}}), "edge", {"rtmp": 1935})
    assert "rtmp://[::1]:1935/live/test" in text
