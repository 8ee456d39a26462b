"""Media that many players get in one call of the kernel, by UDP on real sockets: to whom it goes so, and what else goes on."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from support.loops import Run as Runner
from support.ports import LOOPBACK
from support.udp_clients import Client, Inbox, client

from lalmesh.protocol.rtp import MAX_PACKET_BYTES, Run, join_runs
from services.edge.direct import MANY_SOCKETS
from services.edge.kernel_writes import MAX_BLOCK_BYTES, kernel_writes
from services.edge.rtp_ports import RtpPair, RtpPorts, UdpSettings
from services.edge.udp_sockets import Routes

MANY = MANY_SOCKETS + 1
RANGE = UdpSettings(first_port=20_700, last_port=20_799)
SHARED = UdpSettings(shared_port=0)
FULL = b"f" * MAX_PACKET_BYTES
PICTURE = (b"s" * 18, FULL, FULL, b"r" * 700)  #: what goes before it, and its fragments
HOLE = b"hole"
SO_NO_CHECK = 11  #: asm-generic/socket.h; Python does not name it

pytestmark = pytest.mark.skipif(kernel_writes() is None, reason="this kernel takes no writes to many")


@dataclass(frozen=True)
class Stage:
    """Players, and the ways to them."""

    ports: RtpPorts
    clients: Sequence[Client]
    pairs: Sequence[RtpPair]
    inboxes: Sequence[Inbox]
    routes: Routes

    def send(self, *packets: bytes) -> None:
        self.ports.sender.send(join_runs(packets), self.routes)

    def check_all_get(self, *packets: bytes, but: Sequence[Client] = ()) -> None:
        """Send these, and have everybody get them."""
        self.send(*packets)
        for who in self.clients:
            if who not in but:
                assert [who.rtp.recv(1 << 16) for _ in packets] == list(packets)


@asynccontextmanager
async def stage(settings: UdpSettings = RANGE, *, count: int = MANY, host: str = LOOPBACK) -> AsyncIterator[Stage]:
    """So many players, of whom the first `MANY` have been heard at the ports that they have named."""
    ports = RtpPorts(settings)
    async with AsyncExitStack() as stack:
        stack.callback(ports.close)
        clients = [stack.enter_context(client(host)) for _ in range(count)]
        inboxes = [Inbox() for _ in clients]
        pairs = [ports.open(host, host, who.ports, 0, inbox.take) for who, inbox in zip(clients, inboxes, strict=True)]
        for pair in pairs:
            stack.callback(pair.close)
        for who, pair, inbox in itertools.islice(zip(clients, pairs, inboxes, strict=True), MANY):
            who.rtp.sendto(HOLE, (host, pair.ports[0]))
            await inbox.wait(1)
        yield Stage(ports, clients, pairs, inboxes, Routes([pair.route for pair in pairs]))


@pytest.mark.parametrize("host", [LOOPBACK, "::1"])
def test_a_picture_goes_to_all_of_them_by_a_call_for_each_of_its_runs(run: Runner, host: str) -> None:
    async def work() -> None:
        async with stage(host=host) as made:
            made.check_all_get(*PICTURE)
            made.check_all_get(b"a sound")
            assert (len(made.routes.settled), len(made.routes.plain)) == (MANY, 0)
            assert (made.ports.counters.sends, made.ports.counters.unsent) == (3 * MANY, 0)

    run(work())


@pytest.mark.parametrize(
    "packets",
    [
        pytest.param((b"x" * 500, b"x" * 500, b"x" * 20), id="smaller-packets"),
        pytest.param((b"x" * 3000,), id="a-packet-that-is-larger"),
        pytest.param((b"x" * 3000, b"x" * 3000, b"x" * 1000), id="larger-packets"),
        pytest.param((FULL,) * (1 + MAX_BLOCK_BYTES // MAX_PACKET_BYTES), id="more-than-a-block"),
    ],
)
def test_what_is_cut_in_another_way_comes_as_it_was(run: Runner, packets: tuple[bytes, ...]) -> None:
    async def work() -> None:
        async with stage() as made:
            made.check_all_get(*PICTURE)
            made.check_all_get(*packets)
            made.check_all_get(*PICTURE)
            assert (len(made.routes.settled), made.ports.counters.unsent) == (MANY, 0)

    run(work())


@pytest.mark.parametrize("left", [1, MANY_SOCKETS - 1])
def test_few_that_are_left_of_many_get_all_as_before(run: Runner, left: int) -> None:
    async def work() -> None:
        async with stage() as made:
            made.check_all_get(*PICTURE)
            for pair in made.pairs[left:]:
                pair.close()
            few = replace(made, clients=made.clients[:left], routes=Routes([pair.route for pair in made.pairs[:left]]))
            few.check_all_get(*PICTURE)
            few.check_all_get(b"x" * 3000)
            assert made.ports.counters.unsent == 0

    run(work())


def test_who_has_not_been_heard_where_it_said_gets_the_same(run: Runner) -> None:
    async def work() -> None:
        async with stage(count=MANY + 1) as made:
            made.check_all_get(*PICTURE)
            assert (len(made.routes.settled), made.routes.plain) == (MANY, [made.pairs[-1].route])
            with client() as elsewhere:
                elsewhere.rtp.sendto(HOLE, (LOOPBACK, made.pairs[-1].ports[0]))
                await made.inboxes[-1].wait(1)
                joined = Routes([pair.route for pair in made.pairs])
                made.ports.sender.send(join_runs(PICTURE), joined)
                assert tuple(elsewhere.rtp.recv(2000) for _ in PICTURE) == PICTURE
                assert joined.plain == [made.pairs[-1].route]  # it may still be heard where it said

    run(work())


@pytest.mark.parametrize(
    ("settings", "count"), [pytest.param(RANGE, MANY_SOCKETS - 1, id="few"), pytest.param(SHARED, MANY, id="shared")]
)
def test_few_and_those_of_a_shared_pair_have_a_call_each(run: Runner, settings: UdpSettings, count: int) -> None:
    async def work() -> None:
        async with stage(settings, count=count) as made:
            made.check_all_get(*PICTURE)
            assert not made.routes.settled

    run(work())


def test_a_neighbour_is_refused_and_the_player_is_still_heard(run: Runner) -> None:
    async def work() -> None:
        async with stage() as made:
            made.check_all_get(*PICTURE)
            with client() as neighbour:
                neighbour.rtp.connect((LOOPBACK, made.pairs[0].ports[0]))
                neighbour.rtp.send(b"mine now")
                with pytest.raises(ConnectionRefusedError):
                    neighbour.rtp.recv(100)
            made.clients[0].rtp.sendto(b"again", (LOOPBACK, made.pairs[0].ports[0]))
            assert await made.inboxes[0].wait(2) == [(False, b"again"), (False, HOLE)]
            made.check_all_get(*PICTURE)

    run(work())


def test_who_has_gone_costs_the_others_nothing(run: Runner) -> None:
    async def work() -> None:
        async with stage() as made:
            made.check_all_get(*PICTURE)
            gone = made.clients[1]
            gone.close()
            for _ in range(3):
                made.check_all_get(*PICTURE, but=[gone])
            assert made.pairs[1].route not in made.routes.settled

    run(work())


def test_a_way_that_cannot_cut_so_is_sent_each_packet(run: Runner) -> None:
    async def work() -> None:
        async with stage() as made:
            made.check_all_get(*PICTURE)
            made.pairs[2].route.sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)  # the kernel cuts nothing without checksums
            for _ in range(2):
                made.check_all_get(*PICTURE)
            assert (len(made.routes.settled), made.routes.plain) == (MANY - 1, [made.pairs[2].route])
            assert made.ports.counters.unsent == 0

    run(work())


@contextlib.contextmanager
def taking_descriptors(count: int) -> Iterator[list[socket.socket]]:
    """Sockets that have the descriptors that are free, and their other ends."""
    with contextlib.ExitStack() as stack:
        ours = []
        for _ in range(count):
            one, other = socket.socketpair()
            ours += [stack.enter_context(one), stack.enter_context(other)]
        yield ours


def test_a_descriptor_that_means_another_connection_by_now_is_not_written_to(run: Runner) -> None:
    async def work() -> None:
        async with stage() as made:
            made.check_all_get(*PICTURE)
            freed = made.pairs[0].route.sock.fileno()
            made.pairs[0].close()
            with taking_descriptors(2) as others:
                assert freed in [sock.fileno() for sock in others]
                made.check_all_get(*PICTURE, but=made.clients[:1])
                for sock in others:
                    sock.setblocking(False)
                    with pytest.raises(BlockingIOError):
                        sock.recv(1)

    run(work())


def test_a_run_that_nobody_can_be_sent_is_counted(run: Runner) -> None:
    async def work() -> None:
        async with stage() as made:
            made.check_all_get(*PICTURE)
            for pair in made.pairs:
                pair.close()
            made.ports.sender.send((Run(FULL * 2 + b"r", MAX_PACKET_BYTES),), made.routes)
            assert made.ports.counters.unsent == 3 * MANY

    run(work())
