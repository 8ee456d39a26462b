from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from lalmesh.runtime import config
from lalmesh.runtime.config import (
    ClusterConfig,
    Config,
    ConfigError,
    EdgeConfig,
    EdgeTlsConfig,
    EtcdConfig,
    HlsConfig,
    HlsHttpsConfig,
    HlsTlsConfig,
    HttpsConfig,
    load_config,
    users_of,
)
from lalmesh.runtime.config._keys import all_keys, all_sections
from lalmesh.runtime.networks import Networks

UNITS = {"s", "ms", "bytes", "bps", "num", "units", "port", "percent"}


def test_every_key_and_section_is_described() -> None:
    assert [key.path for key in all_keys().values() if not key.description.endswith(".")] == []
    assert [path for path, section in all_sections().items() if not section.description.endswith(".")] == []


def test_every_number_is_bounded_and_names_what_it_counts() -> None:
    numbers = [key for key in all_keys().values() if key.kind in ("integer", "number")]
    assert [key.path for key in numbers if " to " not in key.allowed] == []
    unitless = {key.name for key in numbers if key.name.rpartition("_")[2] not in UNITS}
    per_minute = {"failures_per_minute", "token_failures_per_minute"}
    assert unitless == {"connections", "connections_per_address", "database", "sessions", "streams"} | per_minute


def test_defaults_are_valid() -> None:
    assert Config.model_validate(Config().model_dump()) == Config()


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().edge.rtmp.port = 1
    assert hash(Config()) == hash(Config())


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"edge": {"tls": {"cert_file": "c"}}}, "belong together"),
        ({"edge": {"rtmps": {"enable": True}}}, "rtmps.enable needs tls.cert_file"),
        ({"edge": {"rtsps": {"enable": True}}}, "rtsps.enable needs tls.cert_file"),
        ({"edge": {"rtsp": {"udp_ports": "20001-20010"}}}, "begins with an even one and ends with an odd one"),
        ({"edge": {"rtsp": {"udp_ports": "20000"}}}, "pattern"),
        ({"edge": {"rtsp": {"shared_udp_port": 20_001}}}, "multiple of 2"),
        ({"edge": {"rtsp": {"auth": {"play_users": SecretStr("a:b c")}}}}, "user 2 is not NAME:PASSWORD"),
        ({"edge": {"https": {"enable": True}}}, "https.enable needs tls.cert_file"),
        ({"hls": {"https": {"enable": True}}}, "https.enable needs tls.cert_file"),
        ({"hls": {"tls": {"key_file": "k"}}}, "belong together"),
        ({"edge": {"publish": {"replay_s": 40.0}}}, "replay_max_s must not be below replay_s"),
        ({"cluster": {"tls": {"cert_file": "c", "key_file": "k"}}}, "not all are given"),
        ({"cluster": {"link": {"heartbeat_ms": 1500}}}, "at most half of dead_s"),
        ({"cluster": {"link": {"batch_bytes": 2 << 20, "max_message_bytes": 1 << 20}}}, "not be above max_message_bytes"),
        ({"cluster": {"report_interval_ms": 2000}}, "report_interval_ms must be below silence_s"),
        ({"cluster": {"silence_s": 10.0}}, "silence_s must be below lease_s"),
        ({"scheduler": {"etcd": {"cert_file": "c", "key_file": "k"}}}, "needs ca_file"),
        ({"scheduler": {"etcd": {"username": "u"}}}, "username and password belong together"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(tree: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Config.model_validate(tree)


def test_hls_nodes_follow_their_own_certificate() -> None:
    certified = HlsTlsConfig(cert_file="c", key_file="k")
    assert not HlsConfig().https_enabled
    assert HlsConfig(tls=certified).https_enabled
    assert not HlsConfig(tls=certified, https=HlsHttpsConfig(enable=False)).https_enabled


def test_every_section_of_the_tree_is_exported() -> None:
    kinds: set[type[BaseModel]] = set()

    def look(section: BaseModel) -> None:
        kinds.add(type(section))
        for _, value in section:
            if isinstance(value, BaseModel):
                look(value)

    look(Config())
    assert {kind.__name__ for kind in kinds} <= set(config.__all__)


def test_tls_listeners_follow_the_certificate_unless_told() -> None:
    certified = EdgeTlsConfig(cert_file="c", key_file="k")
    assert not EdgeConfig().rtmps_enabled
    assert not EdgeConfig().https_enabled
    assert EdgeConfig(tls=certified).rtmps_enabled
    assert not EdgeConfig(tls=certified, https=HttpsConfig(enable=False)).https_enabled


def test_users_stand_with_blanks_or_line_ends_between() -> None:
    assert users_of(SecretStr("alice:in\nbob:out:side  carol:x")) == {"alice": "in", "bob": "out:side", "carol": "x"}
    assert users_of(SecretStr("")) == {}


def test_a_node_without_a_name_takes_host_name_and_role() -> None:
    assert ClusterConfig().node_name(role="edge", host_name="h") == "h-edge"
    assert ClusterConfig(node="n").node_name(role="edge", host_name="h") == "n"
    assert ClusterConfig().machine_name(host_name="h") == "h"


def test_roles_that_share_a_name_have_their_own_behind_it() -> None:
    shared = [made.node_name(role="edge", host_name="h", is_shared=True) for made in (ClusterConfig(), ClusterConfig(node="n"))]
    assert shared == ["h-edge", "n-edge"]


@pytest.mark.parametrize("prefix", ["", "/", "lalmesh/", "/lalmesh", "//"])
def test_an_etcd_prefix_that_could_swallow_other_keys_is_refused(prefix: str) -> None:
    with pytest.raises(ValidationError):
        EtcdConfig(prefix=prefix)


def test_what_a_publisher_may_send_must_fit_a_message_of_a_link() -> None:
    with pytest.raises(ConfigError, match=r"edge\.limits\.message_bytes must not be above"):
        load_config(None, ["edge.limits.message_bytes=16777215"], {})


@pytest.mark.parametrize(
    ("key", "rule", "idle"),
    [
        ("auth.rules", "publish * deny", False),
        ("auth.rules", "publish -/* deny", False),
        ("auth.rules", "publish ?/cam* deny", False),
        ("auth.rules", "publish *cam deny", False),
        ("auth.rules", "publish [-/]*cam deny", False),
        ("auth.rules", "publish live/* deny", True),
        ("auth.rules", "publish live* deny", True),
        ("auth.rules", "publish cam deny", True),
        ("auth.limits", "* players=1", False),
        ("auth.limits", "live players=1", True),
        ("hls.recording.rules", "live/* flv", True),
        ("relay.pulls", "live/* rtmp://h/{app}/{name}", True),
        ("relay.pushes", "live/* rtmp://h/{app}/{name}", True),
    ],
)
def test_a_rule_that_can_match_nothing_is_refused_where_applications_mean_nothing(key: str, rule: str, idle: bool) -> None:
    def load(match_app: bool) -> Config:
        return load_config(None, [f"cluster.match_app={str(match_app).lower()}", f"{key}={json.dumps([rule])}"], {})

    assert load(True).cluster.match_app
    if idle:
        with pytest.raises(ConfigError, match=rf"{key}: .*cluster\.match_app is false"):
            load(False)
    else:
        assert not load(False).cluster.match_app


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1%eth0", "fd00:ec2::254"])
def test_where_clouds_tell_their_machines_secrets_no_relay_goes(address: str) -> None:
    relay = load_config(None, [], {}).relay
    assert address in Networks(relay.deny)
    assert "10.0.0.1" not in Networks(relay.deny)
