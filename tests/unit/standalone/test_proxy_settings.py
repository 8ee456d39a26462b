"""From the configuration to whom listeners trust."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from multidict import CIMultiDict
from pydantic import ValidationError

from lalmesh.runtime.config import Config
from lalmesh.runtime.forwarded import Remote, TrustedProxies
from services.standalone.edge_settings import edge_settings
from services.standalone.hls_settings import hls_settings
from services.standalone.scheduler_settings import api_settings

TRUSTED: Mapping[str, object] = {"trusted_proxies": ["10.0.0.0/8", "2001:db8::1"], "forwarded_header": "forwarded"}
HEADERS = CIMultiDict([("X-Forwarded-For", "203.0.113.8"), ("Forwarded", "for=203.0.113.7")])


def check(proxies: TrustedProxies) -> None:
    assert [proxies.trusts(address) for address in ("10.1.2.3", "2001:db8::1", "2001:db8::2")] == [True, True, False]
    assert proxies.client_of(Remote("10.0.0.1", "10.0.0.1:1"), HEADERS).address == "203.0.113.7"


def test_edges_trust_proxies_and_take_headers_where_told() -> None:
    config = Config.model_validate({"edge": {**TRUSTED, "proxy_protocol": ["rtmp", "http"], "limits": {"handshakes_per_s": 5}}})
    settings = edge_settings(config, (b"key",))
    check(settings.limits.proxies)
    assert settings.limits.handshakes_per_s == 5
    assert {listen.protocol for listen in settings.listen if listen.proxy_protocol} == {"rtmp", "http"}


def test_so_do_hls_nodes_and_schedulers() -> None:
    config = Config.model_validate(
        {"hls": {**TRUSTED, "proxy_protocol": ["http"]}, "scheduler": {"http": {**TRUSTED, "proxy_protocol": True}}}
    )
    hls, api = hls_settings(config, (b"key",)), api_settings(config)
    check(hls.limits.proxies)
    check(api.limits.proxies)
    assert (set(hls.proxy_protocol), api.proxy_protocol) == ({"http"}, True)


def test_by_default_nobody_is_trusted_and_edges_limit_no_address() -> None:
    limits = edge_settings(Config(), (b"key",)).limits
    assert (bool(limits.proxies), limits.handshakes_per_s, limits.connections_per_address) == (False, 0.0, 0)


def test_a_scheduler_has_limits_of_its_own() -> None:
    made = api_settings(Config())
    limits = made.limits
    assert (limits.connections, limits.connections_per_address, made.token_failures_per_minute) == (5_000, 1_000, 60)
    told = {"connections_per_address": 3, "handshakes_per_s": 5, "token_failures_per_minute": 7}
    made = api_settings(Config.model_validate({"scheduler": {"http": {"limits": told}}}))
    assert (made.limits.connections_per_address, made.limits.handshakes_per_s, made.token_failures_per_minute) == (3, 5, 7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"edge": {"proxy_protocol": ["rtmp"]}},
        {"hls": {"proxy_protocol": ["https"]}},
        {"scheduler": {"http": {"proxy_protocol": True}}},
        {"edge": {"trusted_proxies": ["10.0.0.0/33"]}},
        {"edge": {"trusted_proxies": ["a.proxy"]}},
        {"edge": {**TRUSTED, "proxy_protocol": ["hls"]}},
    ],
)
def test_headers_that_nobody_may_send_and_names_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate(wrong)
