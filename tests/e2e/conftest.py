"""Fixtures of the end-to-end tests: media, servers, and what they said when a test failed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from support import browser as players
from support.cluster import Cluster, Node, Settings, Standalone
from support.console import BUILT, browsing
from support.forks import forking
from support.media import RECIPES
from support.media import media as make_media
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

StartStandalone = Callable[..., Standalone]
StartCluster = Callable[..., Cluster]

#: One after another: pods make interfaces of this machine, and a browser gives up what it asks for when those change.
NEVER_TOGETHER = ("test_chart", "test_chart_tls", "test_console")
#: The order in which files are begun: of those that keep the machine busy, since they push a table of streams at once, about one at
#: a time, beside those that wait most of the time; and the longest first, else all workers but one wait at the end.
ORDER = (
    *("test_rtsp", "test_alerts", "test_drain", "test_hls_storage", "test_hls", "test_relays", "test_frames", "test_hls_cluster"),
    *NEVER_TOGETHER,
    *("test_recording", "test_docs_commands", "test_dashboards", "test_event_loss", "test_origin_loss"),
    *("test_workers", "test_etcd_loss", "test_key_rotation", "test_cli"),
    *("test_webhooks", "test_drain_limits", "test_joins", "test_blacklist", "test_authorisation", "test_refusals"),
    *("test_load", "test_load_faults", "test_load_programs"),
    *("test_rtsp_auth", "test_slow_player", "test_readme", "test_api_schema", "test_sessions"),
    *("test_match_app", "test_rtsp_opaque", "test_http_formats", "test_settings", "test_lal_api", "test_routing"),
    *("test_every_output", "test_authorisation_cluster", "test_registry_keys", "test_addresses", "test_rtsp_play"),
    *("test_proxies", "test_republish", "test_rtsp_packets", "test_suspended"),
)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each file goes to one worker, as ``--dist loadfile`` has it, and those that are `NEVER_TOGETHER` to the same."""
    scheduling = LoadFileScheduling(config, log)
    scope_of = scheduling._split_scope

    def scope(node_id: str) -> str:
        file: str = scope_of(node_id)
        return "never together" if Path(file).stem in NEVER_TOGETHER else file

    scheduling._split_scope = scope
    return scheduling


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files into `ORDER`; those that it does not name come last."""
    place = {name: number for number, name in enumerate(ORDER)}
    items.sort(key=lambda item: place.get(item.path.stem, len(ORDER)))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Make all media before the first worker begins: a machine that encodes does not keep up with what tests push meanwhile."""
    if not hasattr(session.config, "workerinput"):
        for name in RECIPES:
            make_media(name)


@pytest.fixture(scope="session", autouse=True)
def _quick_nodes() -> Iterator[None]:
    """Nodes begin at once."""
    with forking():
        yield


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for those who look at the console."""
    if not players.available():
        pytest.skip("chromium, node or npm is not installed")
    assert BUILT.exists(), "make setup builds the console"
    players.install()
    with browsing() as made:
        yield made


@pytest.fixture(scope="session")
def media() -> Callable[[str], Path]:
    """The test file of a name (see `support.media.RECIPES`)."""
    return make_media


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is entered here is left, in reverse order, when the test ends: publishers and players too."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def start_standalone(tmp_path: Path, stack: ExitStack) -> StartStandalone:
    """Start a standalone server with settings; it ends with the test."""

    def start(settings: Settings | None = None, *, name: str = "standalone", arguments: Sequence[str] = ()) -> Standalone:
        return stack.enter_context(Standalone(tmp_path, settings, name=name, arguments=arguments))

    return start


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One standalone server with its defaults for all tests of a module: each takes stream names of its own."""
    with Standalone(tmp_path_factory.mktemp("standalone")) as node:
        yield node


@pytest.fixture
def start_cluster(tmp_path: Path, stack: ExitStack) -> StartCluster:
    """Start a cluster (arguments of `support.cluster.Cluster`); it ends with the test."""

    def start(
        *, schedulers: int = 1, origins: int = 2, edges: int = 2, hls: int = 0, settings: Mapping[str, Settings] | None = None
    ) -> Cluster:
        return stack.enter_context(
            Cluster(tmp_path, schedulers=schedulers, origins=origins, edges=edges, hls=hls, settings=settings)
        )

    return start


@pytest.fixture(autouse=True)
def logs_of_a_failed_test(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """Add the end of every log below the test's folder to the report of a test that failed."""
    failed_before = request.session.testsfailed
    yield
    if request.session.testsfailed > failed_before:
        for log in sorted(tmp_path.rglob("*.log")):
            request.node.add_report_section("teardown", log.name, log.read_text(errors="replace")[-3000:])
