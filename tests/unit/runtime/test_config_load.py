from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lalmesh.errors import LalmeshError
from lalmesh.runtime.config import Config, ConfigError, check_role, load, load_config
from lalmesh.runtime.config._load import SESSIONS_TOLD_S
from lalmesh.runtime.hls_sessions import TOUCH_S

KEY = "0123456789abcdef"


def problems(text: str, tmp_path: Path, *, sets: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> list[str]:
    file = tmp_path / "l.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file, sets, environ or {})
    return [str(problem).replace(f"{file} ", "").replace(f"{file}:", "FILE:") for problem in caught.value.problems]


def test_nothing_given_is_the_defaults() -> None:
    assert load_config(None, [], {"PATH": "/bin"}) == Config()


def test_set_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "l.yaml"
    file.write_text("edge: {rtmp: {port: 1}, http: {port: 1}, https: {port: 1}}")
    environ = {"LALMESH_EDGE__RTMP__PORT": "2", "LALMESH_EDGE__HTTP__PORT": "2"}
    edge = load_config(file, ["edge.rtmp.port=3"], environ).edge
    assert (edge.rtmp.port, edge.http.port, edge.https.port, edge.rtmps.port) == (3, 2, 1, 4935)


def test_of_two_sets_of_one_key_the_later_counts() -> None:
    assert load_config(None, ["edge.rtmp.port=1", "edge.rtmp.port=0"], {}).edge.rtmp.port == 0


def test_an_unknown_key_of_each_source_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    found = problems("edge:\n  rtmp:\n    prot: 1", tmp_path, sets=["rtmp.port=1"], environ={"LALMESH_EGDE__RTMP__PORT": "1"})
    assert found == [
        "edge.rtmp.prot: unknown key, did you mean edge.rtmp.port? (line 3)",
        "egde.rtmp.port: unknown key, did you mean edge.rtmp.port? (environment variable LALMESH_EGDE__RTMP__PORT)",
        "rtmp.port: unknown key, did you mean edge.rtmp.port? (--set)",
    ]


def test_an_unknown_section_is_one_problem(tmp_path: Path) -> None:
    assert problems("egde: {rtmp: {port: 1, host: a}}", tmp_path) == ["egde: unknown key, did you mean edge? (line 1)"]


def test_a_key_like_no_other_is_refused_with_what_its_section_has(tmp_path: Path) -> None:
    has = "metrics has host, port, profile_token, profile_token_file"
    assert problems("metrics: {zzzzzzz: 1}", tmp_path) == [f"metrics.zzzzzzz: unknown key, {has} (line 1)"]


def test_a_key_in_the_wrong_place_is_told_its_place() -> None:
    with pytest.raises(ConfigError, match=r"did you mean edge.play.linger_s\?"):
        load_config(None, ["edge.publish.linger_s=1"], {})


def test_wrong_values_name_key_value_allowed_and_source_all_at_once(tmp_path: Path) -> None:
    text = "cluster:\n  lease_s: true\nedge:\n  publish: {second_publisher: kick}\n"
    found = problems(text, tmp_path, sets=["edge.rtmp.port=70000"], environ={"LALMESH_EDGE__HTTP__ENABLE": "maybe"})
    assert found == [
        "cluster.lease_s: true is not allowed, allowed is an integer from 2 to 3600 (line 2)",
        "edge.rtmp.port: 70000 is not allowed, allowed is an integer from 0 to 65535 (--set)",
        'edge.http.enable: "maybe" is not allowed, allowed is true or false (environment variable LALMESH_EDGE__HTTP__ENABLE)',
        'edge.publish.second_publisher: "kick" is not allowed, allowed is one of refuse, take_over (line 4)',
    ]


def test_a_wrong_item_of_a_list_is_shown(tmp_path: Path) -> None:
    found = problems("cluster: {schedulers: ['a:1', 'b:99999']}", tmp_path)
    assert found == ['cluster.schedulers: "b:99999" is not allowed, allowed is a list, each HOST:PORT (line 1)']


def test_a_long_wrong_value_is_cut(tmp_path: Path) -> None:
    assert len(problems(f"cluster: {{node: '{'ä' * 5000}'}}", tmp_path)[0]) < 250


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("edge: [1\ncluster: {}", "FILE: line 2, column 8: expected ',' or ']', but got ':'"),
        ("a: b: c", "FILE: line 1, column 5: mapping values are not allowed here"),
        ("edge: {}\n---\nedge: {}", "FILE: line 2, column 1: but found another document"),
        ("edge: {rtmp: {port: !!python/none x}}", "could not determine a constructor"),
        ("edge: \x01", "FILE: not YAML: unacceptable character"),
        ("- 1", "a section of keys is needed here (line 1)"),
        ("edge: {}\nedge: {}", "edge: given twice (line 2)"),
        ("edge: {rtmp: 5}", "edge.rtmp: a section of keys is needed here (line 1)"),
        ("edge: {rtmp: {port: {a: 1}}}", 'edge.rtmp.port: {"a": 1} is not allowed'),
        ("cluster: {schedulers: &a [*a]}", "cluster.schedulers: "),
        ('cluster: {node: "\\ud800"}', "cluster.node: "),
        ("cluster: {node: 2001-13-41}", "FILE: cannot be read as YAML"),
        ("1: 2", "1: unknown key"),
        ("[1]: 2", "?: unknown key"),
        ("[" * 500, "FILE: cannot be read as YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused_with_its_line(text: str, problem: str, tmp_path: Path) -> None:
    assert problem in problems(text, tmp_path)[0]


@pytest.mark.parametrize("text", ["", "# nothing\n", "edge:\n", "edge:\n  rtmp: null\n", "{}"])
def test_empty_sections_are_the_defaults(text: str, tmp_path: Path) -> None:
    file = tmp_path / "l.yaml"
    file.write_text(text)
    assert load_config(file, [], {}) == Config()


def test_a_missing_file_and_a_huge_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        load_config(tmp_path / "none.yaml", [], {})
    assert "larger than" in problems("#" * (1 << 20) + "\n", tmp_path)[0]


def test_variables_that_kubernetes_makes_for_services_are_let_be() -> None:
    names = ["PORT", "SERVICE_HOST", "SERVICE_PORT_RTMP", "EDGE_PORT", "EDGE_PORT_1935_TCP", "EDGE_PORT_1935_TCP_ADDR"]
    assert load_config(None, [], {f"LALMESH_{name}": "tcp://10.0.0.1:1935" for name in names}) == Config()


def test_text_outside_of_yaml_is_read_as_the_kind_of_its_key() -> None:
    environ = {
        "LALMESH_EDGE__PLAY__LINGER_S": "1",
        "LALMESH_EDGE__RTMP__ENABLE": "False",
        "LALMESH_EDGE__HTTPS__ENABLE": "null",
        "LALMESH_CLUSTER__NODE": "007",
        "LALMESH_CLUSTER__SCHEDULERS": "a:1, [::1]:2",
        "LALMESH_EDGE__HTTP__CORS_ORIGINS": '["*"]',
    }
    config = load_config(None, [], environ)
    assert (config.edge.play.linger_s, config.edge.rtmp.enable, config.edge.https.enable) == (1.0, False, None)
    assert (config.cluster.node, config.cluster.schedulers) == ("007", ("a:1", "[::1]:2"))
    assert config.edge.http.cors_origins == ("*",)


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "x", "", "1" * 5000])
def test_numbers_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="allowed is a number from 0 to 3600"):
        load_config(None, [f"edge.play.linger_s={text}"], {})


@pytest.mark.parametrize(("given_set", "problem"), [("edge", "edge: expected KEY=VALUE"), ("edge=1", "edge: a section, not a key")])
def test_a_set_that_names_no_key_is_refused(given_set: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_config(None, [given_set], {})


def test_where_each_value_came_from_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "l.yaml"
    file.write_text("edge:\n  rtmp: {port: 1}")
    loaded = load(file, ["metrics.port=1"], {"LALMESH_EDGE__HTTP__PORT": "1"})
    assert loaded.sources == {
        "edge.rtmp.port": f"{file} line 2",
        "edge.http.port": "environment variable LALMESH_EDGE__HTTP__PORT",
        "metrics.port": "--set",
    }


def test_config_errors_are_errors_of_lalmesh() -> None:
    assert issubclass(ConfigError, LalmeshError)


@pytest.mark.parametrize(("text", "workers"), [("2", 2), ('"2"', 2), ("auto", "auto"), ("64", 64)])
def test_workers_are_a_number_or_a_word(text: str, workers: object, tmp_path: Path) -> None:
    file = tmp_path / "l.yaml"
    file.write_text(f"edge: {{workers: {text}}}")
    assert load_config(file, [f"origin.workers={text.strip(chr(34))}"], {}).edge.workers == workers


@pytest.mark.parametrize("text", ["0", "65", "true", "2.5", "null", "all", "-1"])
def test_other_numbers_of_workers_are_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (problem,) = problems(f"edge: {{workers: {text}}}", tmp_path)
    shown = text if text != "all" else '"all"'
    assert problem == f"edge.workers: {shown} is not allowed, allowed is auto, or an integer from 1 to 64 (line 1)"


@pytest.mark.parametrize("workers", ["2", "auto"])
def test_a_standalone_server_has_one_origin(workers: str) -> None:
    config = load_config(None, [f"origin.workers={workers}"], {"LALMESH_CLUSTER__KEY": KEY})
    with pytest.raises(ConfigError, match=f"origin.workers: standalone has one origin, {workers} cannot be; a cluster can"):
        check_role(config, "standalone")
    check_role(config, "origin")
    check_role(load_config(None, [f"edge.workers={workers}"], {}), "standalone")


def test_roles_are_told_what_they_lack() -> None:
    check_role(Config(), "standalone")
    with pytest.raises(ConfigError, match=r"(?s)cluster\.key: scheduler .*scheduler\.etcd\.endpoints: "):
        check_role(Config(), "scheduler")
    keyed = load_config(None, ["scheduler.etcd.endpoints=e:2379", "cluster.schedulers="], {"LALMESH_CLUSTER__KEY": KEY})
    check_role(keyed, "scheduler")
    with pytest.raises(ConfigError, match=r"cluster\.schedulers: edge needs a scheduler"):
        check_role(keyed, "edge")


def test_a_standalone_server_misses_no_player_that_has_not_left() -> None:
    assert TOUCH_S <= SESSIONS_TOLD_S
    check_role(load_config(None, ["hls.session.idle_s=55"], {}), "standalone")
    late = ["hls.session.idle_s=56"]
    with pytest.raises(ConfigError, match=r"scheduler\.session_ttl_s: 60 is less than 5 above hls\.session\.idle_s, 56"):
        check_role(load_config(None, late, {}), "standalone")
    check_role(load_config(None, [*late, "scheduler.session_ttl_s=61"], {}), "standalone")
    check_role(load_config(None, [*late, "hls.session.enable=false"], {}), "standalone")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text("edgrtmp: {}[]\n-&*!|'\"#1", max_size=60).map(str.encode))
def test_any_bytes_as_file_give_a_configuration_or_the_documented_error(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "l.yaml"
    file.write_bytes(data)
    try:
        load_config(file, [], {})
    except ConfigError as exc:
        str(exc).encode()


@given(
    st.sampled_from(["", "edge.rtmp.port=", "cluster.node=", "cluster.schedulers=", "edge.play.linger_s="]), st.text(max_size=20)
)
def test_any_set_gives_a_configuration_or_the_documented_error(start: str, text: str) -> None:
    try:
        load_config(None, [start + text], {})
    except ConfigError as exc:
        str(exc).encode()
