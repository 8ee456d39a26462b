from __future__ import annotations

from pathlib import Path

import pytest

from lalmesh.runtime.config import ConfigError, load, load_config, show_yaml, users_of

SECRET = "hunter2-hunter2-hunter2"


def test_a_secret_comes_from_its_file_without_the_line_end(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(SECRET + "\n")
    config = load_config(None, [f"cluster.key_file={file}"], {})
    assert config.cluster.key.get_secret_value() == SECRET


def test_a_secret_comes_from_the_environment() -> None:
    config = load_config(None, [], {"LALMESH_CLUSTER__PREVIOUS_KEY": SECRET})
    assert config.cluster.previous_key.get_secret_value() == SECRET


def test_a_secret_in_the_file_or_on_the_command_line_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "l.yaml"
    file.write_text(f"cluster: {{key: {SECRET}}}\nscheduler: {{etcd: {{password: ''}}}}")
    with pytest.raises(ConfigError) as caught:
        load_config(file, [f"cluster.previous_key={SECRET}"], {})
    assert [problem.key for problem in caught.value.problems] == ["cluster.key", "cluster.previous_key"]
    assert SECRET not in str(caught.value)
    assert "cluster.key_file or the environment variable LALMESH_CLUSTER__KEY" in str(caught.value)


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cluster.key: given twice, here and as cluster.key_file"):
        load_config(None, [f"cluster.key_file={tmp_path}"], {"LALMESH_CLUSTER__KEY": SECRET})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file"),
        (b" \n", "is empty"),
        (b"x" * 5000, "larger than 4096 bytes"),
        (b"\xff", "not a file of UTF-8 text"),
    ],
)
def test_a_secret_file_that_holds_none_is_refused(content: bytes | None, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"^cluster\.key_file: .*{problem}.*\(--set\)$"):
        load_config(None, [f"cluster.key_file={file}"], {})


def test_a_file_of_users_may_be_longer_than_one_secret(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("".join(f"camera-{number}:{SECRET}\n" for number in range(1000)))
    for key in ("publish_users", "play_users"):
        config = load_config(None, [f"edge.rtsp.auth.{key}_file={file}"], {})
        assert len(users_of(getattr(config.edge.rtsp.auth, key))) == 1000
    file.write_bytes(b"x" * (1 << 20) + b"x")
    with pytest.raises(ConfigError, match="larger than 1048576 bytes"):
        load_config(None, [f"edge.rtsp.auth.play_users_file={file}"], {})


def test_a_short_key_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, [], {"LALMESH_CLUSTER__KEY": "hunter2"})
    assert str(caught.value) == "cluster.key: 7 characters, at least 16 are needed (environment variable LALMESH_CLUSTER__KEY)"


def test_no_secret_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET)
    sets = ["scheduler.etcd.username=u", f"scheduler.etcd.password_file={file}"]
    loaded = load(None, sets, {"LALMESH_CLUSTER__KEY": SECRET})
    shown = show_yaml(loaded)
    assert SECRET not in shown + repr(loaded) + loaded.config.model_dump_json()
    assert 'key: "********"  # environment variable LALMESH_CLUSTER__KEY' in shown
    assert 'password: "********"  # scheduler.etcd.password_file' in shown
