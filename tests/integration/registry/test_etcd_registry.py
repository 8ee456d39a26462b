"""What only a registry in another process can go through: the server killed, frozen, wiped, compacted; login, TLS, members."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import pytest
from support.etcd import CAN_RUN_ETCD, EtcdServer, make_certificates
from support.ports import free_ports

from lalmesh.runtime.registry import Changed, FollowEvent, LeaseLost, Listing, Put, Registry, RegistryUnavailable
from services.scheduler.reached import Reached
from services.scheduler.registry import EtcdRegistry, EtcdSettings

pytestmark = pytest.mark.skipif(not CAN_RUN_ETCD, reason="no etcd server here")

LIMIT_S = 30.0
USER = "scheduler"
PASSWORD = "s3cret"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EtcdServer]:
    with EtcdServer(tmp_path / "etcd") as running:
        yield running


def settings(server: EtcdServer, timeout_s: float = 10.0) -> EtcdSettings:
    return EtcdSettings(endpoints=(server.endpoint,), timeout_s=timeout_s)


@asynccontextmanager
async def connected(settings: EtcdSettings, reached: Reached | None = None) -> AsyncIterator[EtcdRegistry]:
    registry = EtcdRegistry(settings, reached)
    try:
        yield registry
    finally:
        await registry.close()


@asynccontextmanager
async def following(registry: Registry, prefix: str) -> AsyncIterator[AsyncIterator[FollowEvent]]:
    events = registry.follow(prefix)
    assert isinstance(events, AsyncGenerator)
    async with aclosing(events):
        yield events


async def take(events: AsyncIterator[FollowEvent]) -> FollowEvent:
    async with asyncio.timeout(LIMIT_S):
        return await anext(events)


async def take_listing(events: AsyncIterator[FollowEvent]) -> Listing:
    event = await take(events)
    assert isinstance(event, Listing)
    return event


async def take_value(events: AsyncIterator[FollowEvent]) -> bytes:
    event = await take(events)
    assert isinstance(event, Changed)
    return event.entry.value


class Relay:
    """A TCP relay to a port of this machine, whose connections can be made silent or cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._passes = asyncio.Event()
        self._passes.set()
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def go_silent(self) -> None:
        """Connections stay and are accepted; nothing passes."""
        self._passes.clear()

    def cut(self) -> None:
        """Break all connections, and new ones as soon as they are made, until `mend`."""
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def mend(self) -> None:
        self._is_cut = False

    async def start(self, stack: AsyncExitStack) -> str:
        """Listen until `stack` is left; the address."""
        listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        stack.push_async_callback(self._stop, listener)
        return f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        for pair in ((reader, far_writer), (far_reader, writer)):
            self._tasks.add(asyncio.create_task(self._pass_on(*pair)))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            while data := await reader.read(65536):
                await self._passes.wait()
                writer.write(data)

    async def _stop(self, listener: asyncio.Server) -> None:
        listener.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def put(registry: Registry, key: str, value: bytes) -> int:
    return (await registry.transact([], [Put(key, value)])).revision


async def put_at_last(registry: Registry, key: str, value: bytes) -> float:
    """Put as soon as the registry can be reached again; how long that took in seconds."""
    started = time.monotonic()
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                await put(registry, key, value)
            except RegistryUnavailable:
                await asyncio.sleep(0.05)
            else:
                return time.monotonic() - started


async def control(server: EtcdServer, *words: str) -> None:
    await asyncio.to_thread(server.control, *words)


async def test_a_killed_server_is_reached_again_and_followers_miss_nothing(server: EtcdServer) -> None:
    async with connected(settings(server, timeout_s=2.0)) as registry, following(registry, "claims/") as events:
        await take_listing(events)
        await put(registry, "claims/a", b"before")
        assert await take_value(events) == b"before"
        waiting = asyncio.create_task(take_value(events))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await control(server, "put", "/lalmesh/claims/a", "while away")
        assert await put_at_last(registry, "claims/a", b"after") < 3.0
        assert [await waiting, await take_value(events)] == [b"while away", b"after"]


async def test_a_call_to_a_dead_server_ends_at_its_deadline(server: EtcdServer) -> None:
    await asyncio.to_thread(server.kill)
    async with connected(settings(server, timeout_s=0.3)) as registry:
        started = time.monotonic()
        with pytest.raises(RegistryUnavailable) as caught:
            await registry.get("a")
        assert 0.25 < time.monotonic() - started < 2.0
        assert 0.5 <= caught.value.retry_after_s <= 1.5


async def test_a_call_to_a_frozen_server_ends_at_its_deadline(server: EtcdServer) -> None:
    reached = Reached()
    async with connected(settings(server, timeout_s=0.3), reached) as registry:
        async with connected(settings(server)) as patient:
            lease_id = await patient.grant_lease(60)
        await put_at_last(registry, "a", b"")
        server.freeze()
        assert reached.is_up
        for call in (registry.get("a"), registry.renew_lease(lease_id), put(registry, "a", b"")):
            with pytest.raises(RegistryUnavailable):
                await call
            assert not reached.is_up
        server.thaw()
        await put_at_last(registry, "a", b"")
        assert await registry.renew_lease(lease_id)
        failures = reached.failures
        assert failures >= 3
        with pytest.raises(LeaseLost):  # a refusal by one that is well
            await registry.transact([], [Put("b", b"", lease_id + 1)])
        assert (reached.is_up, reached.failures) == (True, failures)


async def test_a_follower_opened_while_the_server_is_away_waits_for_it(server: EtcdServer) -> None:
    await asyncio.to_thread(server.kill)
    async with connected(settings(server, timeout_s=0.2)) as registry, following(registry, "") as events:
        listing = asyncio.create_task(take_listing(events))
        with pytest.raises(RegistryUnavailable):
            await registry.get("a")
        assert not listing.done()
        await asyncio.to_thread(server.start)
        assert (await listing).entries == ()


async def test_a_wiped_store_is_listed_again(server: EtcdServer) -> None:
    async with connected(settings(server)) as registry, following(registry, "claims/") as events:
        await take_listing(events)
        for value in (b"1", b"2", b"3"):
            await put(registry, "claims/a", value)
            assert await take_value(events) == value
        waiting = asyncio.create_task(take_listing(events))
        await asyncio.to_thread(server.kill)
        server.wipe()
        await asyncio.to_thread(server.start)
        listing = await waiting
        assert (listing.entries, listing.revision) == ((), 1)
        assert await put(registry, "claims/a", b"new") == 2
        assert await take_value(events) == b"new"


@pytest.mark.parametrize("told", [False, True])
async def test_a_store_that_went_back_and_on_again_unseen_is_listed_again(
    server: EtcdServer, tmp_path: Path, *, told: bool
) -> None:
    async with AsyncExitStack() as stack:
        relay = Relay(server.port)
        away = EtcdSettings(endpoints=(await relay.start(stack),), timeout_s=2.0)
        registry = await stack.enter_async_context(connected(settings(server)))
        follower = await stack.enter_async_context(connected(away))
        await put(registry, "claims/a", b"kept")
        await asyncio.to_thread(server.save, tmp_path / "snapshot")
        if not told:  # what is lost was in the listing that following began with
            await put(registry, "claims/b", b"lost")
        events = await stack.enter_async_context(following(follower, "claims/"))
        await take_listing(events)
        if told:
            await put(registry, "claims/b", b"lost")
            assert await take_value(events) == b"lost"
        waiting = asyncio.create_task(take_listing(events))
        await asyncio.sleep(0)
        relay.cut()
        await asyncio.to_thread(server.kill)
        server.wipe()
        await asyncio.to_thread(server.restore, tmp_path / "snapshot")  # the cluster has the id that it had
        await asyncio.to_thread(server.start)
        await put_at_last(registry, "claims/c", b"new")  # at the revision that what is lost was at
        relay.mend()
        assert [entry.value for entry in (await waiting).entries] == [b"kept", b"new"]
        await put(registry, "claims/d", b"after")
        assert await take_value(events) == b"after"


async def test_prefixes_keep_clusters_apart(server: EtcdServer) -> None:
    other = dataclasses.replace(settings(server), prefix="/lalmesh-2/")
    async with connected(settings(server)) as one, connected(other) as two, following(two, "") as events:
        await take_listing(events)
        await put(one, "a", b"one")
        await put(two, "a", b"two")
        assert await take_value(events) == b"two"
        assert [entry.value for entry in (await one.list("")).entries] == [b"one"]
    await control(server, "get", "/lalmesh-2/a")


async def test_a_login_is_renewed_when_its_token_is_lost(server: EtcdServer) -> None:
    await asyncio.to_thread(server.enable_login, USER, PASSWORD, "/lalmesh/")
    known = dataclasses.replace(settings(server), username=USER, password=PASSWORD)
    async with connected(known) as registry, following(registry, "") as events:
        await take_listing(events)
        await put(registry, "a", b"1")
        assert await take_value(events) == b"1"
        waiting = asyncio.create_task(take_value(events))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)  # its tokens lived in memory
        await put_at_last(registry, "a", b"2")
        assert await waiting == b"2"
        lease_id = await registry.grant_lease(60)
        assert await registry.renew_lease(lease_id)


async def test_changed_rights_do_not_disturb_a_login(server: EtcdServer) -> None:
    await asyncio.to_thread(server.enable_login, USER, PASSWORD, "/lalmesh/")
    async with connected(dataclasses.replace(settings(server), username=USER, password=PASSWORD)) as registry:
        await put(registry, "a", b"1")
        await control(server, "user", "add", "another:one")
        await put(registry, "a", b"2")


async def test_a_login_that_was_turned_on_later_is_used(server: EtcdServer) -> None:
    async with connected(dataclasses.replace(settings(server), username=USER, password=PASSWORD)) as registry:
        await put(registry, "a", b"1")
        await asyncio.to_thread(server.enable_login, USER, PASSWORD, "/lalmesh/")
        await put(registry, "a", b"2")


async def test_a_wrong_password_is_an_unavailable_registry_that_does_not_show_it(server: EtcdServer) -> None:
    await asyncio.to_thread(server.enable_login, USER, PASSWORD, "/lalmesh/")
    wrong = dataclasses.replace(settings(server), username=USER, password="wr0ng")
    assert "wr0ng" not in repr(wrong)
    async with connected(wrong) as registry:
        with pytest.raises(RegistryUnavailable, match="authentication failed") as caught:
            await registry.get("a")
        assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_mutual_tls_with_login(tmp_path: Path, host: str) -> None:
    certificates = make_certificates(tmp_path / "certificates")
    with EtcdServer(tmp_path / "etcd", certificates=certificates) as server:
        await asyncio.to_thread(server.enable_login, USER, PASSWORD, "/lalmesh/")
        ours = EtcdSettings(
            endpoints=(f"{host}:{server.port}",), username=USER, password=PASSWORD, timeout_s=2.0,
            ca_file=certificates.ca_file, cert_file=certificates.cert_file("client"), key_file=certificates.key_file("client"),
        )  # fmt: skip
        async with connected(ours) as registry, following(registry, "") as events:
            await take_listing(events)
            await put(registry, "a", b"1")
            assert await take_value(events) == b"1"


async def test_a_server_under_another_name_is_not_trusted_unless_the_name_is_given(tmp_path: Path) -> None:
    ours, foreign = make_certificates(tmp_path / "ours"), make_certificates(tmp_path / "foreign")
    with EtcdServer(tmp_path / "etcd", certificates=ours) as server:
        named = EtcdSettings(
            endpoints=(server.endpoint,), server_name="localhost", timeout_s=2.0,
            ca_file=ours.ca_file, cert_file=ours.cert_file("client"), key_file=ours.key_file("client"),
        )  # fmt: skip
        async with connected(named) as registry:
            await put(registry, "a", b"1")
        wrong_name = dataclasses.replace(named, timeout_s=0.5, server_name="etcd.example")
        wrong_authority = dataclasses.replace(named, timeout_s=0.5, ca_file=foreign.ca_file)
        for wrong in (wrong_name, wrong_authority):
            async with connected(wrong) as registry:
                with pytest.raises(RegistryUnavailable):
                    await registry.get("a")


@pytest.mark.parametrize("dead_first", [True, False])
async def test_one_of_two_endpoints_is_enough(server: EtcdServer, dead_first: bool) -> None:
    endpoints = [f"127.0.0.1:{free_ports(1)[0]}", f"localhost:{server.port}"]
    two = EtcdSettings(endpoints=tuple(endpoints if dead_first else reversed(endpoints)), timeout_s=2.0)
    async with connected(two) as registry, following(registry, "") as events:
        await take_listing(events)
        for number in range(5):
            await put(registry, "a", b"%d" % number)
            assert await take_value(events) == b"%d" % number


async def test_a_follower_whose_next_revision_was_compacted_lists_again(server: EtcdServer) -> None:
    async with AsyncExitStack() as stack:
        relay = Relay(server.port)
        away = EtcdSettings(endpoints=(await relay.start(stack),), timeout_s=2.0)
        registry = await stack.enter_async_context(connected(settings(server)))
        follower = await stack.enter_async_context(connected(away))
        events = await stack.enter_async_context(following(follower, "claims/"))
        await take_listing(events)
        relay.cut()
        for value in (b"1", b"2", b"3"):
            revision = await put(registry, "claims/a", value)
        await asyncio.to_thread(server.compact, revision)
        relay.mend()
        listing = await take_listing(events)
        assert ([entry.value for entry in listing.entries], listing.revision) == ([b"3"], revision)
        await put(registry, "claims/a", b"4")
        assert await take_value(events) == b"4"


async def test_a_follower_that_was_away_hears_what_it_missed(server: EtcdServer) -> None:
    async with AsyncExitStack() as stack:
        relay = Relay(server.port)
        away = EtcdSettings(endpoints=(await relay.start(stack),), timeout_s=2.0)
        registry = await stack.enter_async_context(connected(settings(server)))
        follower = await stack.enter_async_context(connected(away))
        events = await stack.enter_async_context(following(follower, "claims/"))
        await take_listing(events)
        for round_ in range(3):  # also before the first event: the watch has then only been told that it was created
            relay.cut()
            values = [b"%d.%d" % (round_, number) for number in range(3)]
            for value in values:
                await put(registry, "claims/a", value)
            relay.mend()
            assert [await take_value(events) for _ in values] == values


async def test_a_follower_leaves_a_member_that_went_silent(server: EtcdServer) -> None:
    async with AsyncExitStack() as stack:
        relay = Relay(server.port)
        endpoints = (await relay.start(stack), f"127.0.0.1:{server.port}")
        registry = await stack.enter_async_context(connected(EtcdSettings(endpoints=endpoints[:1], timeout_s=0.3)))
        both = await stack.enter_async_context(connected(EtcdSettings(endpoints=endpoints, timeout_s=0.3)))
        events = await stack.enter_async_context(following(both, ""))
        await take_listing(events)
        await put(both, "a", b"1")
        assert await take_value(events) == b"1"
        relay.go_silent()
        with pytest.raises(RegistryUnavailable):
            await registry.get("a")
        await put_at_last(both, "a", b"2")
        assert await take_value(events) == b"2"
