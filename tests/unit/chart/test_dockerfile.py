"""The Dockerfile, as far as it can be told without an engine: linted, and held to what the chart and the configuration say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lalmesh.runtime.config import Config
from lalmesh.runtime.config._keys import all_keys
from tools.chart import CHART
from tools.dockerfile import Stage, ignores, parse

ROOT = CHART.parents[1]
STAGES = parse((ROOT / "Dockerfile").read_text())
IGNORED = (ROOT / ".dockerignore").read_text()


@pytest.fixture
def image() -> Stage:
    return STAGES[-1]


def test_the_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_base_is_one_release() -> None:
    assert {stage.base for stage in STAGES} == {"debian:12.11-slim"}


def test_it_runs_as_the_user_of_the_pods_with_a_folder_of_its_own(image: Stage) -> None:
    helpers = (CHART / "templates" / "_pod.tpl").read_text()
    (user,) = set(re.findall(r'"user" (\d+)', helpers))
    assert image.last("USER").text == f"{user}:{user}"
    assert f"workingDir: {image.last('WORKDIR').text}" in helpers
    assert image.last("VOLUME").text == image.last("WORKDIR").text


def test_it_is_the_program_and_by_itself_a_standalone_server(image: Stage) -> None:
    assert image.last("ENTRYPOINT").words == ["lalmesh"]
    assert image.last("CMD").words == ["standalone"]


@pytest.mark.parametrize("given", [{}, {"LALMESH_METRICS__PORT": "19090"}], ids=["by default", "by a variable"])
def test_its_health_is_that_of_the_port_of_the_metrics(
    image: Stage, monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    check = image.last("HEALTHCHECK")
    assert check.words[:2] == ["python3", "-c"], "no shell"
    assert set(check.flags) == {"interval", "timeout", "start-period", "retries"}
    asked: list[str] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: asked.append(url))
    monkeypatch.setattr("os.environ", given)
    exec(check.words[2], {})
    assert asked == [f"http://{Config().metrics.host}:{given.get('LALMESH_METRICS__PORT', Config().metrics.port)}/healthz"]


def test_it_has_what_was_built_and_nothing_to_build_with(image: Stage) -> None:
    (copied,) = image.all("COPY")
    assert copied.flags == {"from": "build"}
    (installing,) = image.all("RUN")
    packages = installing.text.split("--no-install-recommends ")[1].split(" &&")[0].split()
    assert packages == ["ca-certificates", "python3"]


def test_versions_are_those_of_the_lock_files() -> None:
    texts = [step.text for stage in STAGES for step in stage.all("RUN")]
    installs = [
        part for text in texts for part in text.split("&&") if re.search(r"pip .*\binstall\b", part) and "apt-get" not in part
    ]
    assert installs
    assert all("--constraint constraints.txt" in part and "--only-binary :all:" in part for part in installs)
    assert [text.split()[1] for text in texts if text.startswith("npm")] == ["ci", "run"]


def test_the_context_has_all_that_is_copied_and_no_more() -> None:
    copied = [word for stage in STAGES for step in stage.all("COPY") if "from" not in step.flags for word in step.words[:-1]]
    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert not ignores(IGNORED, Path(name)), name
    for name in (
        "tests",
        ".git",
        ".venv",
        "charts",
        "Makefile",
        "lalmesh/__pycache__/x.pyc",
        "console/node_modules/x",
        "console/dist",
    ):
        assert ignores(IGNORED, Path(name)), name


def test_the_ports_are_those_that_the_configuration_has_by_default(image: Stage) -> None:
    ports = {str(key.default) for path, key in all_keys().items() if path.endswith(".port") and "redis" not in path}
    assert set(image.last("EXPOSE").text.split()) == ports | {f"{Config().edge.rtsp.udp_ports}/udp"}


@pytest.mark.parametrize(
    ("path", "out"),
    [("a", True), ("b", False), ("b/c/d", False), ("b/x", True), ("b/x/y", True), ("b/q/skip/z", True), ("skip", True)],
)
def test_the_last_pattern_that_fits_holds(path: str, out: bool) -> None:
    assert ignores("# words\n*\n!b\nb/x\n**/skip\n", Path(path)) is out
