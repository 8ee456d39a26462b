from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.yaml_text import parse_yaml

from lalmesh.runtime.config import Config, config_schema, load, load_config, reference_markdown, sample_yaml, show_yaml
from lalmesh.runtime.config.__main__ import main
from lalmesh.runtime.config._keys import all_keys
from lalmesh.runtime.config.lal import lal_keys_markdown

ROOT = Path(__file__).parents[3]


def leaves(tree: object, path: str = "") -> dict[str, object]:
    if not isinstance(tree, dict):
        return {path: tree}
    return {leaf: value for name, below in tree.items() for leaf, value in leaves(below, f"{path}.{name}".strip(".")).items()}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lalmesh.sample.yaml", sample_yaml()),
        ("docs/configuration.md", reference_markdown()),
        ("docs/lal-configuration.md", lal_keys_markdown()),
    ],
)
def test_what_is_generated_is_current(name: str, text: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == text, "run: python -m lalmesh.runtime.config"


def test_the_sample_has_every_key_with_its_default() -> None:
    assert leaves(parse_yaml(sample_yaml())) == {key.path: key.default for key in all_keys().values()}


def test_the_sample_is_the_defaults() -> None:
    assert load_config(ROOT / "lalmesh.sample.yaml", [], {}) == Config()


def test_the_reference_has_every_key() -> None:
    rows = reference_markdown().count("\n| `")
    assert rows == len(all_keys())


def test_the_generator_writes_both_files(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    main(tmp_path)
    assert (tmp_path / "lalmesh.sample.yaml").read_text(encoding="utf-8") == sample_yaml()
    assert (tmp_path / "docs/configuration.md").read_text(encoding="utf-8") == reference_markdown()


def test_what_is_shown_loads_as_the_same_configuration(tmp_path: Path) -> None:
    loaded = load(None, ["cluster.schedulers=a:1,b:2", "edge.advertise.host=ä.example"], {"LALMESH_ORIGIN__GRACE_S": "0.5"})
    file = tmp_path / "shown.yaml"
    file.write_text(show_yaml(loaded), encoding="utf-8")
    assert load_config(file, [], {}) == loaded.config


def test_only_values_that_are_not_the_default_are_shown_with_their_source() -> None:
    shown = show_yaml(load(None, ["edge.rtmp.port=1935", "edge.http.port=80"], {}))
    assert [line.strip() for line in shown.splitlines() if "#" in line] == ["port: 80  # --set"]


def test_the_schema_refuses_unknown_keys_in_every_section() -> None:
    schema = config_schema()
    json.dumps(schema)
    assert all(model["additionalProperties"] is False for model in [schema, *schema["$defs"].values()])
