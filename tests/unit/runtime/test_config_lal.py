from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.lal import shipped_lal_config
from typer.testing import CliRunner

from lalmesh.runtime.config import Config, ConfigError, load, load_config
from lalmesh.runtime.config._keys import all_keys
from lalmesh.runtime.config.lal import ROWS, Conversion, Fate, convert, lal_yaml, parse_lal
from lalmesh.runtime.config.lal._rows_control import AUTH_SWITCHES, EVENTS
from services.standalone.config_cli import config_app

HASH_KEY = "0123456789abcdef"
RTSP_USERS = {"auth_enable": True, "username": "u", "password": "p"}
HLS_USERS = {"sub_session_hash_key": HASH_KEY, "fragment_num": 6, "fragment_duration_ms": 5000}
TLS = {"https_listen_addr": ":4433", "https_cert_file": "cert", "https_key_file": "key"}

#: A key, a file of lal with it, and what comes of that.
Becoming = tuple[str, dict[str, Any], dict[str, object]]


def _notified(event: str) -> Becoming:
    return f"http_notify.{event}", {"http_notify": {"enable": True, event: "http://a/b"}}, {f"notify.lal.{event}": "http://a/b"}


def _guarded(switch: str, action: str, protocols: str) -> Becoming:
    asked = {"simple_auth": {"key": "k", switch: True}}
    return f"simple_auth.{switch}", asked, {"auth.rules": [f"{action}:{protocols} * lal_secret"]}


#: Each key that becomes one here.
BECOMES: list[Becoming] = [
    ("rtmp.enable", {}, {"edge.rtmp.enable": False}),
    ("rtmp.enable", {"rtmp": {"enable": True, "addr": ":1"}}, {"edge.rtmp.enable": True}),
    ("rtmp.addr", {"rtmp": {"enable": True, "addr": "[::1]:19"}}, {"edge.rtmp.host": "::1", "edge.rtmp.port": 19}),
    (
        "rtmp.rtmps_enable",
        {"rtmp": {"rtmps_enable": True, "rtmps_addr": ":4", "rtmps_cert_file": "cert", "rtmps_key_file": "key"}},
        {"edge.rtmps.enable": True, "edge.rtmps.port": 4, "edge.tls.cert_file": "cert", "edge.tls.key_file": "key"},
    ),
    ("rtmp.gop_num", {"rtmp": {"enable": True, "gop_num": 2}}, {"edge.play.gop_num": 2, "origin.gop_num": 2}),
    ("rtmp.gop_num", {}, {"edge.play.gop_num": 0, "origin.gop_num": 1}),
    (
        "in_session.add_dummy_audio_enable",
        {"in_session": {"add_dummy_audio_enable": True}},
        {"edge.publish.silent_audio": True, "edge.publish.silent_audio_wait_ms": 0},
    ),
    (
        "in_session.add_dummy_audio_wait_audio_ms",
        {"in_session": {"add_dummy_audio_enable": True, "add_dummy_audio_wait_audio_ms": 99}},
        {"edge.publish.silent_audio_wait_ms": 99},
    ),
    (
        "default_http.http_listen_addr",
        {"default_http": {"http_listen_addr": ":80"}, "httpts": {"enable": True}},
        {"edge.http.port": 80},
    ),
    (
        "default_http.https_listen_addr",
        {"default_http": TLS, "httpflv": {"enable_https": True}},
        {"edge.https.enable": True, "edge.https.port": 4433, "edge.tls.cert_file": "cert"},
    ),
    (
        "httpts.enable_https",
        {"default_http": TLS, "httpts": {"enable_https": True}},
        {"edge.https.enable": True, "edge.tls.key_file": "key"},
    ),
    ("log.is_to_stdout", {"log": {"is_to_stdout": True, "filename": "x"}}, {"telemetry.log_file": None}),
    ("httpflv.enable", {}, {"edge.http.enable": False}),
    ("httpflv.enable_https", {}, {"edge.https.enable": False}),
    ("httpflv.gop_num", {"httpflv": {"enable": True, "gop_num": 3}}, {"edge.play.gop_num": 3}),
    (
        "httpflv.http_listen_addr",
        {"default_http": {"http_listen_addr": ":80"}, "httpflv": {"enable": True, "http_listen_addr": ":81"}},
        {"edge.http.port": 81},
    ),
    (
        "httpflv.https_cert_file",
        {"default_http": TLS, "httpflv": {"enable_https": True, "https_cert_file": "cert", "https_key_file": "key"}},
        {"edge.tls.cert_file": "cert"},
    ),
    ("httpts.enable", {"httpts": {"enable": True, "http_listen_addr": ":82"}}, {"edge.http.enable": True, "edge.http.port": 82}),
    ("httpts.gop_num", {"httpts": {"enable": True, "gop_num": 4}}, {"edge.play.gop_num": 4}),
    ("hls.out_path", {"hls": {"out_path": "/x"}}, {"hls.storage.url": "/x"}),
    ("hls.fragment_duration_ms", {"hls": {"fragment_duration_ms": 20_000}}, {"hls.segment_ms": 20_000, "hls.max_target_s": 20}),
    ("hls.fragment_duration_ms", {"hls": {"fragment_duration_ms": 600}}, {"hls.segment_ms": 600, "hls.part_ms": 300}),
    ("hls.fragment_num", {"hls": {"fragment_num": 7}}, {"hls.list_num": 7, "hls.delete_threshold_num": 7}),
    ("hls.fragment_num", {"hls": {"fragment_num": 1}}, {"hls.list_num": 3, "hls.delete_threshold_num": 1}),
    ("hls.delete_threshold", {"hls": {"fragment_num": 7, "delete_threshold": 2}}, {"hls.delete_threshold_num": 2}),
    ("hls.cleanup_mode", {}, {"hls.cleanup": "after_end"}),
    ("hls.cleanup_mode", {"hls": {"cleanup_mode": 0}}, {"hls.cleanup": "never"}),
    ("hls.cleanup_mode", {"hls": {"cleanup_mode": 2}}, {"hls.cleanup": "rolling"}),
    ("hls.use_memory_as_disk_flag", {"hls": {"use_memory_as_disk_flag": True, "out_path": "/x"}}, {"hls.storage.url": "memory:"}),
    ("hls.sub_session_hash_key", {"hls": HLS_USERS}, {"hls.session.hash_key": HASH_KEY, "hls.session.idle_s": 60.0}),
    (
        "hls.sub_session_timeout_ms",
        {"hls": {**HLS_USERS, "sub_session_timeout_ms": 90_500}},
        {"hls.session.idle_s": 90.5, "scheduler.session_ttl_s": 96},
    ),
    ("hls.http_listen_addr", {"hls": {"enable": True, "http_listen_addr": ":83"}}, {"hls.http.port": 83}),
    (
        "hls.https_listen_addr",
        {"default_http": TLS, "hls": {"enable_https": True, "https_listen_addr": ":84"}},
        {"hls.https.port": 84, "hls.tls.cert_file": "cert"},
    ),
    ("rtsp.enable", {"rtsp": {"enable": True, "addr": "127.0.0.1:5"}}, {"edge.rtsp.enable": True, "edge.rtsp.port": 5}),
    (
        "rtsp.rtsps_enable",
        {"rtsp": {"rtsps_enable": True, "rtsps_addr": ":6", "rtsps_cert_file": "cert", "rtsps_key_file": "key"}},
        {"edge.rtsps.enable": True, "edge.rtsps.port": 6},
    ),
    (
        "rtsp.ws_rtsp_enable",
        {"rtsp": {"ws_rtsp_enable": True, "ws_rtsp_addr": ":7"}},
        {"edge.ws_rtsp.enable": True, "edge.ws_rtsp.port": 7},
    ),
    ("rtsp.auth_enable", {"rtsp": RTSP_USERS}, {"edge.rtsp.auth.publish_users": "u:p", "edge.rtsp.auth.play_users": "u:p"}),
    ("rtsp.auth_method", {"rtsp": RTSP_USERS}, {"edge.rtsp.auth.scheme": "basic"}),
    ("rtsp.auth_method", {"rtsp": {**RTSP_USERS, "auth_method": 1}}, {"edge.rtsp.auth.scheme": "digest"}),
    ("record.enable_flv", {"record": {"enable_flv": True}}, {"hls.recording.rules": ["* flv"]}),
    ("record.enable_mpegts", {"record": {"enable_flv": True, "enable_mpegts": True}}, {"hls.recording.rules": ["* flv+ts"]}),
    ("http_api.addr", {"http_api": {"enable": True, "addr": ":8"}}, {"scheduler.http.port": 8}),
    ("http_api.enable", {}, {"scheduler.http.host": "127.0.0.1"}),
    (
        "relay_push.addr_list",
        {"relay_push": {"enable": True, "addr_list": ["a:1935", "b"]}},
        {"relay.pushes": ["* rtmp://a:1935/{app}/{name}?{query} rtmp://b/{app}/{name}?{query}"]},
    ),
    ("static_relay_pull.addr", {"static_relay_pull": {"enable": True, "addr": "a:1"}}, {"relay.static_pull": "a:1"}),
    ("server_id", {"server_id": "7"}, {"notify.server_id": "7"}),
    (
        "http_notify.on_update",
        {"http_notify": {"enable": True, "on_update": "http://a/u"}},
        {"notify.lal.on_update": "http://a/u", "notify.update_interval_s": 0.0, "notify.raw_query": True},
    ),
    *map(_notified, EVENTS),
    (
        "http_notify.update_interval_sec",
        {"http_notify": {"enable": True, "update_interval_sec": 9}},
        {"notify.update_interval_s": 9.0},
    ),
    ("http_notify.enable", {"http_notify": {"on_update": "http://a/u"}}, {"notify.lal.on_update": None}),
    (
        "simple_auth.key",
        {"simple_auth": {"key": "k", "dangerous_lal_secret": "S", "pub_rtmp_enable": True}},
        {"auth.lal_secret.key": "k", "auth.lal_secret.master_secret": "S", "auth.rules": ["publish:rtmp * lal_secret"]},
    ),
    *(_guarded(switch, action, protocols) for switch, (action, protocols) in AUTH_SWITCHES.items()),
    ("simple_auth.pub_rtmp_enable", {"simple_auth": {"pub_rtmp_enable": True}}, {"auth.rules": ["publish:rtmp * deny"]}),
    ("log.level", {"log": {"level": 0}}, {"telemetry.log_level": "debug"}),
    ("log.level", {"log": {"level": 7}}, {"telemetry.log_level": "error"}),
    ("log.level", {}, {"telemetry.log_level": "info"}),
    ("log.filename", {"log": {"is_to_stdout": False}}, {"telemetry.log_file": "./logs/lalserver.log"}),
]


def converted(tree: dict[str, Any], *, files: tuple[str, ...] = ("cert", "key")) -> Conversion:
    return convert(parse_lal(json.dumps(tree).encode(), "lal.json"), lambda name: name in files)


def note_of(made: Conversion, key: str) -> tuple[Fate, str]:
    return next((note.fate, note.says) for note in made.notes if note.key == key)


def leaves(tree: dict[str, Any]) -> set[str]:
    return {f"{name}.{below}" for name, value in tree.items() if isinstance(value, dict) for below in value} | {
        name for name, value in tree.items() if not isinstance(value, dict)
    }


def test_the_table_has_every_key_that_lal_ships() -> None:
    assert leaves(shipped_lal_config()) <= ROWS.keys()


@pytest.mark.parametrize("key", ROWS)
def test_a_row_names_keys_that_there_are_and_says_a_sentence(key: str) -> None:
    row = ROWS[key]
    assert set(row.ours) <= all_keys().keys()
    assert (row.fate is Fate.NOTHING) <= (not row.ours)
    assert row.says.endswith(".")


@pytest.mark.parametrize(("key", "tree", "becomes"), BECOMES)
def test_what_a_key_becomes_is_a_configuration(key: str, tree: dict[str, Any], becomes: dict[str, object]) -> None:
    Config.model_validate(nested(converted(tree)))


@pytest.mark.parametrize(("key", "tree", "becomes"), BECOMES)
def test_a_key_becomes_keys_here(key: str, tree: dict[str, Any], becomes: dict[str, object]) -> None:
    made = converted(tree).values
    assert {path: made.get(path) for path in becomes} == becomes
    assert key in ROWS


@pytest.mark.parametrize("key", [key for key, row in ROWS.items() if row.fate is Fate.MAPPED])
def test_every_mapped_key_is_shown_to_become_what_it_says(key: str) -> None:
    assert key in {name for _, tree, _ in BECOMES for name in leaves(tree)}


@pytest.mark.parametrize("key", ROWS)
def test_every_key_that_is_given_is_reported(key: str) -> None:
    tree: dict[str, Any] = {}
    section, dot, name = key.partition(".")
    absent = ROWS[key].absent
    value = list(absent) if isinstance(absent, tuple) else absent
    tree.update({section: {name: value}} if dot else {key: value})
    assert key in {note.key for note in converted(tree).notes}


@pytest.mark.parametrize(
    ("key", "tree"),
    [
        ("rtmp.rtmps_enable", {"rtmp": {"rtmps_enable": True, "rtmps_cert_file": "gone", "rtmps_key_file": "key"}}),
        ("rtmp.addr", {"rtmp": {"enable": True, "addr": "nowhere"}}),
        ("rtmp.addr", {"rtmp": {"enable": True, "addr": ""}}),
        ("httpts.http_listen_addr", {"httpflv": {"enable": True}, "httpts": {"enable": True, "http_listen_addr": ":82"}}),
        ("hls.url_pattern", {"hls": {"url_pattern": "/live/"}}),
        ("hls.fragment_num", {"hls": {"fragment_num": 1}}),
        ("hls.cleanup_mode", {"hls": {"cleanup_mode": 9}}),
        ("hls.sub_session_hash_key", {"hls": {"sub_session_hash_key": "short"}}),
        ("rtsp.auth_enable", {"rtsp": {"auth_enable": True}}),
        ("rtsp.auth_enable", {"rtsp": {**RTSP_USERS, "password": "my secret"}}),
        ("rtsp.auth_method", {"rtsp": {**RTSP_USERS, "auth_method": 2}}),
        ("http_notify.on_update", {"http_notify": {"enable": True, "on_update": "a:1/u"}}),
        ("simple_auth.sub_rtmp_enable", {"simple_auth": {"sub_rtmp_enable": True}}),
    ],
)
def test_what_is_not_taken_as_given_is_said(key: str, tree: dict[str, Any]) -> None:
    fate, says = note_of(converted(tree, files=("key",)), key)
    assert fate is Fate.DIFFERENT
    assert len(says) > len(ROWS[key].says)


def test_lals_own_file_is_a_configuration_with_lals_ports() -> None:
    made = converted(shipped_lal_config(), files=("./conf/cert.pem", "./conf/key.pem"))
    config = Config.model_validate(nested(made))
    edge = config.edge
    ports = (edge.rtmp.port, edge.rtmps.port, edge.rtsp.port, edge.rtsps.port, edge.ws_rtsp.port, edge.http.port, edge.https.port)
    assert ports == (1935, 4935, 5544, 5322, 5566, 8080, 4433)
    assert config.scheduler.http.port == 8083
    assert edge.rtmps_enabled
    assert not config.cluster.match_app


def nested(made: Conversion) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in made.values.items():
        *parents, name = path.split(".")
        section = tree
        for parent in parents:
            section = section.setdefault(parent, {})
        section[name] = value
    return tree


def test_a_key_that_lal_does_not_know_is_named() -> None:
    assert note_of(converted({"rtmp": {"prot": 1}}), "rtmp.prot")[0] is Fate.NOTHING


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"rtmp": {"enable": 1}}', b'{"rtmp": {"gop_num": true}}', b'{"relay_push": {"addr_list": [1]}}']
)
def test_what_lal_could_not_read_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_lal(data, "lal.json")


_SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=2)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(ROWS, _SCALARS)))
def test_any_values_give_a_configuration_or_a_documented_error(values: dict[str, Any]) -> None:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        section, dot, name = key.partition(".")
        tree.update({section: {**tree.get(section, {}), name: value}} if dot else {key: value})
    try:
        made = converted(tree)
    except ConfigError:
        return
    assert made.values.keys() <= all_keys().keys()


def test_every_other_source_beats_lals_file(tmp_path: Path) -> None:
    file, ours = tmp_path / "lal.json", tmp_path / "l.yaml"
    file.write_text(json.dumps({"rtmp": {"enable": True, "addr": ":1", "gop_num": 5}}))
    ours.write_text("edge: {rtmp: {port: 2}}")
    loaded = load(ours, [], {}, lal=file)
    assert (loaded.config.edge.rtmp.port, loaded.config.edge.play.gop_num) == (2, 5)
    assert loaded.sources["edge.play.gop_num"] == f"lal's {file}"


def test_the_yaml_says_the_same_with_its_secrets_in_files(tmp_path: Path) -> None:
    made = converted({"rtsp": RTSP_USERS, "hls": HLS_USERS})
    file = tmp_path / "l.yaml"
    file.write_text(lal_yaml(made, tmp_path / "secrets"))
    assert load_config(file, [], {}).edge.rtsp.auth.play_users.get_secret_value() == "u:p"
    assert (tmp_path / "secrets" / "hls.session.hash_key").stat().st_mode & 0o777 == 0o600
    assert HASH_KEY not in lal_yaml(made)
    assert "list_num" not in yaml.safe_load(lal_yaml(made))["hls"]


def test_an_account_that_cannot_be_taken_closes_rtsp_before_all_other_rules() -> None:
    tree = {"rtsp": {**RTSP_USERS, "password": "my secret"}, "simple_auth": {"key": "0123456789", "pub_rtsp_enable": True}}
    rules = converted(tree).values["auth.rules"]
    assert rules == ["any:rtsp * deny", "publish:rtsp * lal_secret"]


@pytest.mark.parametrize("tree", [{"rtsp": RTSP_USERS}, {"hls": HLS_USERS}])
def test_the_yaml_is_refused_until_its_secrets_are_there(tree: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "l.yaml"
    file.write_text(lal_yaml(converted(tree)))
    with pytest.raises(ConfigError, match="REPLACE-ME cannot be read"):
        load_config(file, [], {})


def test_from_lal_prints_yaml_and_reports_on_standard_error(tmp_path: Path) -> None:
    file = tmp_path / "lal.json"
    file.write_text(json.dumps(shipped_lal_config()))
    result = CliRunner().invoke(config_app, ["from-lal", str(file)])
    assert result.exit_code == 0
    assert yaml.safe_load(result.stdout)["cluster"]["match_app"] is False
    assert "different meaning:" in result.stderr
    assert CliRunner().invoke(config_app, ["from-lal", str(tmp_path / "none")]).exit_code == 1
