"""Fixtures of the end-to-end tests: media, servers, and what they said when a test failed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.cluster import Cluster, Node, Settings, Standalone
from support.forks import forking
from support.media import media as make_media

StartStandalone = Callable[..., Standalone]
StartCluster = Callable[..., Cluster]

#: The files that take longest, 70 s and more, are begun first: else all workers but one wait at the end.
LONGEST = (
    *("test_drain", "test_hls_cluster", "test_hls_storage", "test_relays", "test_etcd_loss", "test_origin_loss", "test_hls"),
    *("test_recording", "test_frames", "test_rtsp_loss", "test_cli", "test_joins", "test_rtsp_camera", "test_webhooks"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))


@pytest.fixture(scope="session", autouse=True)
def _quick_nodes() -> Iterator[None]:
    """Nodes begin at once."""
    with forking():
        yield


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
