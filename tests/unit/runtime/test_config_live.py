from __future__ import annotations

import pytest

from lalmesh.runtime.config import Config, ConfigError, LiveConfig, api_catalogue, live_catalogue, load
from lalmesh.runtime.config._base import ConfigModel
from lalmesh.runtime.config._keys import all_keys


def live(*sets: str) -> LiveConfig:
    return LiveConfig(load(None, sets, {}))


def sections(model: type[ConfigModel]) -> list[type[ConfigModel]]:
    return [model, *(each for below in model.__subclasses__() for each in sections(below))]


@pytest.mark.parametrize("model", sections(ConfigModel), ids=lambda model: model.__name__)
def test_every_live_key_of_a_section_is_one_of_its_keys(model: type[ConfigModel]) -> None:
    assert model.live | model.live_by_file <= model.model_fields.keys()


def test_live_keys_are_known_by_their_paths() -> None:
    assert "edge.play.gop_num" in live_catalogue()
    assert "edge.rtmp.port" not in live_catalogue()
    assert not any(key.secret for key in api_catalogue().values())
    assert live_catalogue().keys() <= all_keys().keys()


def test_what_may_hold_logins_is_live_by_the_file_alone() -> None:
    node = live()
    assert node.reload(load(None, ["relay.static_pull=a:1"], {}))[0].key.path == "relay.static_pull"
    assert node.tell((1, 1), {"relay.static_pull": "b:1"}) == ()


def test_a_reload_takes_live_keys_and_says_what_changed() -> None:
    node = live("edge.play.gop_num=1")
    changed = node.reload(load(None, ["edge.play.gop_num=2"], {}))
    assert [str(change) for change in changed] == ["edge.play.gop_num: 1 -> 2"]
    assert node.config.edge.play.gop_num == 2


def test_a_reload_with_one_key_that_cannot_change_takes_nothing() -> None:
    node = live()
    with pytest.raises(ConfigError, match=r"edge\.rtmp\.port: cannot change while the node runs"):
        node.reload(load(None, ["edge.play.gop_num=2", "edge.rtmp.port=1"], {}))
    assert node.config.edge.play.gop_num == 1


def test_settings_of_the_api_stand_above_the_sources_also_after_a_reload() -> None:
    node = live("edge.play.gop_num=2")
    node.tell((1, 5), {"edge.play.gop_num": 3})
    node.reload(load(None, ["edge.play.gop_num=4", "edge.play.linger_s=9"], {}))
    assert (node.config.edge.play.gop_num, node.config.edge.play.linger_s) == (3, 9)
    assert [str(change) for change in node.tell((1, 6), {})] == ["edge.play.gop_num: 3 -> 4"]


def test_settings_that_are_older_than_those_told_change_nothing() -> None:
    node = live()
    node.tell((1, 5), {"edge.play.gop_num": 3})
    assert node.tell((1, 4), {"edge.play.gop_num": 2}) == ()
    assert node.config.edge.play.gop_num == 3


def test_settings_that_are_not_known_here_or_not_live_are_left_out() -> None:
    node = live()
    changed = node.tell((1, 1), {"edge.rtmp.port": 1, "edge.later": 1, "edge.play.gop_num": 3})
    assert [change.key.path for change in changed] == ["edge.play.gop_num"]


def test_settings_that_contradict_the_configuration_of_a_node_change_nothing() -> None:
    node = live("hls.part_ms=500", "hls.segment_ms=3000")
    with pytest.raises(ConfigError, match="part_ms"):
        node.tell((1, 1), {"hls.segment_ms": 600, "edge.play.gop_num": 3})
    assert node.config.edge.play.gop_num == 1


def test_settings_that_were_refused_are_taken_once_the_sources_allow_them() -> None:
    node = live("hls.part_ms=2000", "hls.segment_ms=4000")
    node.tell((1, 5), {"edge.play.gop_num": 2})
    with pytest.raises(ConfigError):
        node.tell((1, 6), {"edge.play.gop_num": 3, "hls.segment_ms": 3000})
    assert (node.taken, node.told, node.config.edge.play.gop_num) == ((1, 5), (1, 6), 2)
    node.reload(load(None, ["hls.part_ms=500", "hls.segment_ms=4000"], {}))
    assert (node.taken, node.config.edge.play.gop_num, node.config.hls.segment_ms) == ((1, 6), 3, 3000)


def test_a_reload_is_taken_with_what_is_in_force_where_later_settings_are_still_refused() -> None:
    node = live("hls.part_ms=2000", "hls.segment_ms=4000")
    with pytest.raises(ConfigError):
        node.tell((1, 6), {"hls.segment_ms": 3000})
    node.reload(load(None, ["hls.part_ms=2000", "hls.segment_ms=4000", "edge.play.gop_num=4"], {}))
    assert (node.taken, node.told, node.config.edge.play.gop_num) == ((0, 0), (1, 6), 4)


def test_settings_of_a_later_term_are_newer_whatever_their_revision() -> None:
    node = live()
    node.tell((1, 5000), {"edge.play.gop_num": 3})
    node.tell((2, 7), {"edge.play.gop_num": 4})
    assert node.tell((1, 5001), {}) == ()
    assert (node.taken, node.config.edge.play.gop_num) == ((2, 7), 4)


def test_a_reload_goes_by_the_files_that_it_names_also_where_no_key_changed() -> None:
    applied: list[Config] = []
    node = LiveConfig(load(None, [], {}), applied.append)
    assert node.reload(load(None, [], {})) == ()
    node.tell((1, 1), {})
    assert applied == [node.config]


def test_what_a_node_cannot_go_by_changes_nothing() -> None:
    def refuse(config: Config) -> None:
        raise ConfigError([])

    node = LiveConfig(load(None, [], {}), refuse)
    with pytest.raises(ConfigError):
        node.tell((1, 1), {"edge.play.gop_num": 3})
    with pytest.raises(ConfigError):
        node.reload(load(None, ["edge.play.gop_num=4"], {}))
    assert (node.taken, node.config.edge.play.gop_num) == ((0, 0), 1)


@pytest.mark.parametrize("value", ["2", True, 2.5, None, -1, 10**9, [1]])
def test_settings_are_held_to_the_models(value: object) -> None:
    with pytest.raises(ConfigError, match=r"edge\.play\.gop_num"):
        live().tell((1, 1), {"edge.play.gop_num": value})
