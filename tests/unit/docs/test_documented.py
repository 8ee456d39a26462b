"""The pages of docs/ say all that there is, and nothing that there is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from support.doc_blocks import DOCS, ROOT, Block, blocks, pages
from support.yaml_text import parse_all_yaml, parse_yaml

from bench import sizing
from lalmesh.runtime.config import Config, load_config
from lalmesh.runtime.event_kinds import KINDS
from services.scheduler import SchedulerApp
from services.scheduler.registry import MemoryRegistry
from tools import alerts
from tools.chart import values_schema

VALUES = ROOT / "charts" / "lalmesh" / "values.yaml"
RUNBOOKS = DOCS / "runbooks"
SECTIONS = tuple(Config.model_fields)
SCENES = {"alone", "standalone", "token", "cluster", "publisher"}  #: of tests/e2e/test_docs_commands.py
#: What the files of secrets in examples hold, where that has a form of its own.
SECRETS = {"otlp-headers": "Authorization=Bearer something"}
#: Pages that name the keys of others.
OF_OTHERS = ("lal-configuration.md",)
#: Words in code that look like metrics of ours, and are none: a key of an answer, a file, a method.
NOT_METRICS = {"origin_cluster", "hls_players", "hls_pass"}


def texts() -> Iterator[tuple[str, str]]:
    """Name and text of each page."""
    for page in pages():
        yield page.relative_to(DOCS).as_posix(), page.read_text(encoding="utf-8")


def in_code(text: str) -> set[str]:
    """What stands between single backticks."""
    return set(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text))


def keys_of(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, bool]]:
    """Every key and section of the models, with whether it is a key; straight from pydantic."""
    for name, field in model.model_fields.items():
        full = f"{path}.{name}".lstrip(".")
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield full, False
            yield from keys_of(inner, full)
        else:
            yield full, True


async def document() -> dict[str, dict[str, object]]:
    """The paths of the OpenAPI document, with their methods."""
    paths: dict[str, dict[str, object]] = SchedulerApp(MemoryRegistry(lambda: 0.0), [b"key"]).document()["paths"]
    return paths


def values_of_the_chart(tree: object, path: str = "") -> Iterator[str]:
    """Every path of values of the chart."""
    if isinstance(tree, dict):
        for name, below in tree.items():
            yield f"{path}.{name}".lstrip(".")
            yield from values_of_the_chart(below, f"{path}.{name}".lstrip("."))


def over(values: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Values as Helm has them with those that are given."""
    merged = {name: over(values[name], more) if isinstance(values.get(name), dict) else more for name, more in given.items()}
    return {**values, **merged}


# configuration


def test_every_key_of_the_configuration_is_in_the_reference_under_its_section() -> None:
    found: set[str] = set()
    section = ""
    for line in (DOCS / "configuration.md").read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"#{2,} ([a-z_.]+)$", line):
            section = heading[1]
        elif row := re.match(r"\| `(\w+)` \|(?:[^|]|\\\|)*\|.*\| (.+) \|$", line):
            assert row[2].strip(), f"{section}.{row[1]} has no meaning"
            found.add(f"{section}.{row[1]}")
    assert found == {path for path, is_key in keys_of(Config) if is_key}


def test_every_key_that_a_page_names_is_one() -> None:
    known = {path for path, _ in keys_of(Config)} | set(values_of_the_chart(parse_yaml(VALUES.read_text(encoding="utf-8"))))
    pattern = re.compile(rf"^({'|'.join(SECTIONS)})(\.[a-z_0-9]+)+$")
    wrong = [
        f"{name}: {word}"
        for name, text in texts()
        if name not in OF_OTHERS
        for word in in_code(text)
        for key in [word.partition(":")[0].partition("=")[0].removeprefix("config.")]
        if pattern.match(key) and key not in known and not key.endswith(".py")
        if name != "telemetry.md" or key.startswith("telemetry.")  # its spans are called alike
    ]
    assert wrong == []


def settings() -> Iterator[tuple[str, str, str]]:
    """Page, key and value of each setting that a text gives as `key: value`."""
    known = {path for path, is_key in keys_of(Config) if is_key}
    for name, text in texts():
        for word in sorted(in_code(text)):
            key, colon, value = word.partition(": ")
            if colon and key in known:
                yield name, key, value


@pytest.mark.parametrize(("page", "key", "value"), list(settings()))
def test_a_setting_that_a_text_gives_is_taken(page: str, key: str, value: str, tmp_path: Path) -> None:
    tree: object = parse_yaml(value)
    for part in reversed(key.split(".")):
        tree = {part: tree}
    assert isinstance(tree, dict)
    tree.setdefault("edge", {}).setdefault("trusted_proxies", ["192.0.2.1"])  # what some cannot be without
    file = tmp_path / "lalmesh.yaml"
    file.write_text(yaml.safe_dump(tree))
    load_config(file, [], {})


@pytest.mark.parametrize("block", [each for each in blocks() if each.language == "yaml"], ids=str)
def test_a_block_of_yaml_is_a_configuration_or_says_whose_it_is(block: Block, tmp_path: Path) -> None:
    text = block.text
    given, *others = parse_all_yaml(text)
    if block.page == "kubernetes.md":
        values = over(parse_yaml(VALUES.read_text(encoding="utf-8")), given)
        assert [error.message for error in Draft202012Validator(values_schema()).iter_errors(values)] == []
        given = given.get("config", {})
    if others or not set(given) <= set(SECTIONS):
        assert text.lstrip().startswith("#"), "neither a configuration of ours nor told whose it is"
        return
    for name in re.findall(r"/run/secrets/([\w-]+)", text):
        (tmp_path / name).write_text(SECRETS.get(name, "k1:a-secret-of-thirty-two-bytes-and-more\n"))
    file = tmp_path / "lalmesh.yaml"
    file.write_text(yaml.safe_dump(given).replace("/run/secrets", str(tmp_path)))
    load_config(file, [], {})


@pytest.mark.parametrize("block", [each for each in blocks() if each.language == "json"], ids=str)
def test_a_block_of_json_can_be_read(block: Block) -> None:
    json.loads(block.text)


# the API


async def test_every_operation_of_the_api_is_in_its_page() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    rows = {(row[1], row[2]) for row in re.finditer(r"^\| ([A-Z]+) \| `([^`]+)` \| \w+ \| .+ \|$", text, re.M)}
    wanted = {(method.upper(), path) for path, methods in (await document()).items() for method in methods}
    assert wanted
    assert wanted <= rows


async def test_every_path_of_the_api_that_a_page_names_is_there() -> None:
    patterns = [re.compile(re.sub(r"\\{[^/]+?\\}", "[^/?]+", re.escape(path)) + r"(\?.*)?$") for path in await document()]
    named = re.compile(r"^(?:(?:GET|POST|PUT|PATCH|DELETE) )?(?:https?://[^/]+)?(/v1/[^ ]+|/api/(?:stat|ctrl)/[a-z_]+)$")
    wrong = [
        f"{name}: {word}"
        for name, text in texts()
        for word in in_code(text)
        if (found := named.match(word))
        and not any(each.match(found[1].rstrip("/")) for each in patterns)
        and "*" not in word
        and "..." not in word
        # paths of another server, in the left column of a table of what is what
        if not (name.startswith("migration-from-srs") and "/api/v1" in word)
    ]
    assert wrong == []


def test_every_event_has_its_section() -> None:
    text = (DOCS / "webhooks.md").read_text(encoding="utf-8")
    assert [kind.value for kind in KINDS if f"\n### {kind.value}\n" not in text] == []


# runbooks and figures


def test_every_alert_has_a_runbook_with_its_rules_and_there_is_none_without_an_alert() -> None:
    found = {rule.page.name for rule in alerts.rules()}
    assert {page.name for page in RUNBOOKS.glob("*.md")} - {"index.md"} == found
    assert [path.name for path, text in alerts.pages().items() if path.read_text(encoding="utf-8") != text] == [], "run `make docs`"


def test_every_runbook_names_its_alert_and_is_listed() -> None:
    index = (RUNBOOKS / "index.md").read_text(encoding="utf-8")
    runbooks = [page for page in RUNBOOKS.glob("*.md") if page.name != "index.md"]
    assert runbooks
    for page in runbooks:
        alert = re.search(r"^Alert: `(Lalmesh\w+)`\.$", page.read_text(encoding="utf-8"), re.M)
        assert alert, page
        assert alerts.slug(alert[1]) == page.stem
        assert f"[`{alert[1]}`]({page.name})" in index
        assert f"runbooks/{page.name}" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_every_metric_that_a_page_names_is_made() -> None:
    """By the names that are written in the sources, with what Prometheus puts behind them."""
    sources = [file.read_text(encoding="utf-8") for folder in ("lalmesh", "services") for file in (ROOT / folder).rglob("*.py")]
    made = set(re.findall(r"\"((?:edge|origin|hls|scheduler|lalmesh)_[a-z0-9_]+)\"", "\n".join(sources)))
    by_role = set(re.findall(r"f\"\{\w+\}_([a-z0-9_]+)\"", "\n".join(sources)))
    named = re.compile(r"^(edge|origin|hls|scheduler|lalmesh)_([a-z0-9_]+?)(_total|_bucket|_sum|_count)?(\{.*\})?$")
    metrics = {
        (name, found[0], found[1], found[2])
        for name, text in texts()
        if name.startswith(("runbooks/", "troubleshooting", "cluster", "sizing", "routing", "authorisation"))
        for word in in_code(text) - NOT_METRICS
        if (found := named.match(word))
    }
    assert metrics
    wrong = [f"{name}: {role}_{rest}" for name, _, role, rest in metrics if f"{role}_{rest}" not in made and rest not in by_role]
    assert wrong == []


def test_what_a_load_takes_is_worked_out_from_what_was_measured() -> None:
    assert sizing.PAGE.read_text(encoding="utf-8") == sizing.page_as_it_has_to_be(), "run `make docs`"


def test_figures_beside_the_requests_of_the_chart_are_those_that_were_measured() -> None:
    """Within what another measurement may differ by."""
    page = (DOCS / "sizing.md").read_text(encoding="utf-8")
    measured = {row[1].strip(): float(row[2]) for row in re.finditer(r"^\| ([^|]+) \| +([\d.]+) \|", page, re.M)}
    values = re.sub(r"\n *# ?", " ", VALUES.read_text(encoding="utf-8"))
    by_flv, cut = "1,000 players by HTTP-FLV, ", "100 streams cut into segments, both"
    sentences = {
        r"1,000 players of 2.6 Mbit/s take ([\d.]+)% of a core, with each frame sent at once (\d+)%": [
            measured[f"{by_flv}gathered 100 ms"],
            measured[f"{by_flv}each frame at once"],
        ],
        r"with 500 of them a server is (\d+) MB": [measured["standalone, 500 players of one stream"]],
        r"100 streams of 2.6 Mbit/s take (\d+)% of a core to take in and (\d+)% for each edge": [
            measured["100 streams from another node"],
            measured["100 streams to another node"],
        ],
        r"100 nodes with 10,000 streams take (\d+)% of a core and (\d+) MB": [
            measured["100 nodes, 10,000 streams, each played at another edge"],
            measured["scheduler, 100 nodes and 10,000 streams"],
        ],
        r"a stream of 2.6 Mbit/s takes ([\d.]+)% of a core and (\d+) MB as TS and fMP4": [
            measured[cut] / 100,
            measured["each stream more that is cut into segments, both formats"],
        ],
    }
    for sentence, figures in sentences.items():
        (said,) = re.findall(sentence, values)
        assert [float(each) for each in ((said,) if isinstance(said, str) else said)] == pytest.approx(figures, rel=0.2), sentence


# blocks and links


@pytest.mark.parametrize("block", [each for each in blocks() if each.is_typed], ids=str)
def test_commands_are_run_by_a_test_or_it_is_said_why_not(block: Block) -> None:
    assert block.scene in SCENES or len(block.reason) > 10, (
        f"{block}: `<!-- run: SCENE -->`, `<!-- not run: REASON -->`, or a language that is no shell"
    )


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as the site makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M):
        plain = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading)
        found.add(re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower()))
    return found


def test_links_within_the_repository_lead_somewhere() -> None:
    wrong = []
    for page in [*pages(), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" in target or target.startswith("mailto:"):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
                wrong.append(f"{page.relative_to(ROOT)}: {target}")
    assert wrong == []
