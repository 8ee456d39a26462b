"""UDP ports of an edge on real sockets: pairs of their own, one pair for all, strangers, and segmentation offload."""

from __future__ import annotations

import errno
import socket
from typing import cast

import pytest
from support.loops import Run as Runner
from support.udp_clients import Inbox, client

from lalmesh.protocol.rtp import Run, join_runs
from services.edge import rtp_ports, udp_sockets
from services.edge.rtp_ports import RtpPorts, UdpSettings
from services.edge.udp_sockets import Address, Route, Routes, UdpCounters, UdpSender

HOST, OTHER_HOST = "127.0.0.1", "127.0.0.2"
RANGE = UdpSettings(first_port=20_400, last_port=20_599)
ONE_PAIR = UdpSettings(first_port=20_600, last_port=20_601)
SHARED = UdpSettings(shared_port=0)
BOTH = [pytest.param(RANGE, id="range"), pytest.param(SHARED, id="shared")]


@pytest.mark.parametrize("settings", BOTH)
def test_both_ways(run: Runner, settings: UdpSettings) -> None:
    async def work() -> None:
        ports, inbox = RtpPorts(settings), Inbox()
        with client() as other:
            pair = ports.open(HOST, HOST, other.ports, 0, inbox.take)
            assert (pair.ports[0] % 2, pair.ports[1] - pair.ports[0], len(ports)) == (0, 1, 1)
            other.rtp.sendto(b"media", (HOST, pair.ports[0]))
            other.rtcp.sendto(b"report", (HOST, pair.ports[1]))
            assert await inbox.wait(2) == [(False, b"media"), (True, b"report")]
            ports.sender.send(join_runs((b"a" * 100, b"b" * 100, b"c" * 50)), Routes([pair.route]))
            pair.send_rtcp(b"ours")
            assert [other.rtp.recv(2000) for _ in range(3)] == [b"a" * 100, b"b" * 100, b"c" * 50]
            assert other.rtcp.recv(2000) == b"ours"
            pair.close()
            pair.close()
            assert len(ports) == 0
        ports.close()

    run(work())


@pytest.mark.parametrize("settings", BOTH)
def test_clients_come_by_ipv6_too(run: Runner, settings: UdpSettings) -> None:
    async def work() -> None:
        ports, inbox = RtpPorts(settings), Inbox()
        with client("::1") as other:
            pair = ports.open("::1", "::1", other.ports, 0, inbox.take)
            other.rtp.sendto(b"media", ("::1", pair.ports[0]))
            assert await inbox.wait(1) == [(False, b"media")]
            pair.send_rtcp(b"ours")
            assert other.rtcp.recv(100) == b"ours"
            pair.close()
        ports.close()

    run(work())


@pytest.mark.parametrize("settings", BOTH)
def test_strangers_are_counted_and_not_heard(run: Runner, settings: UdpSettings) -> None:
    async def work() -> None:
        ports, inbox = RtpPorts(settings), Inbox()
        with client() as known, client(OTHER_HOST) as stranger:
            pair = ports.open(HOST, HOST, known.ports, 0, inbox.take)
            stranger.rtp.sendto(b"not mine", (HOST, pair.ports[0]))
            known.rtp.sendto(b"mine", (HOST, pair.ports[0]))
            assert await inbox.wait(1) == [(False, b"mine")]
            assert ports.counters.strangers == 1
            pair.close()
        ports.close()

    run(work())


def test_a_client_behind_nat_is_answered_where_it_is_heard(run: Runner) -> None:
    async def work() -> None:
        ports, inbox = RtpPorts(RANGE), Inbox()
        with client() as named, client() as real:
            pair = ports.open(HOST, HOST, named.ports, 0, inbox.take)
            real.rtp.sendto(b"hole", (HOST, pair.ports[0]))
            await inbox.wait(1)
            ports.sender.send(join_runs((b"media",)), Routes([pair.route]))
            assert real.rtp.recv(100) == b"media"
            pair.close()

    run(work())


def test_a_neighbour_does_not_take_the_media_of_a_client_that_was_heard(run: Runner) -> None:
    async def work() -> None:
        ports, inbox = RtpPorts(RANGE), Inbox()
        with client() as named, client() as first, client() as neighbour:
            pair = ports.open(HOST, HOST, named.ports, 0, inbox.take)
            for count, heard in enumerate((first, named), 1):
                heard.rtp.sendto(b"hole", (HOST, pair.ports[0]))
                neighbour.rtp.sendto(b"mine now", (HOST, pair.ports[0]))
                assert await inbox.wait(count) == [(False, b"hole")] * count
                assert ports.counters.strangers == count
                ports.sender.send(join_runs((b"media",)), Routes([pair.route]))
                assert heard.rtp.recv(100) == b"media"
            pair.close()

    run(work())


def test_what_the_tracks_of_a_client_send_to_the_shared_pair_goes_on_in_its_order(run: Runner) -> None:
    async def work() -> None:
        ports, inbox = RtpPorts(SHARED), Inbox()
        with client() as sound, client() as pictures:
            tracks = (sound, pictures)
            ways = [ports.open(HOST, HOST, track.ports, number, inbox.take) for number, track in enumerate(tracks)]
            sent = [(number, bytes((at,))) for at in range(3) for number in (0, 1)]
            for number, datagram in sent:
                tracks[number].rtp.sendto(datagram, (HOST, ways[0].ports[0]))
            await inbox.wait(6)
            assert inbox.calls == [sent]
            for way in ways:
                way.close()
        ports.close()

    run(work())


@pytest.mark.parametrize("settings", BOTH)
def test_media_leave_from_the_address_that_the_client_connected_to(run: Runner, settings: UdpSettings) -> None:
    async def work() -> None:
        ports = RtpPorts(settings)
        with client() as one, client() as two:
            pairs = [ports.open(local, HOST, who.ports, 0, Inbox().take) for local, who in ((HOST, one), (OTHER_HOST, two))]
            for pair, who, local in zip(pairs, (one, two), (HOST, OTHER_HOST), strict=True):
                pair.send_rtcp(b"ours")
                assert who.rtcp.recvfrom(100) == (b"ours", (local, pair.ports[1]))
                pair.close()
        ports.close()

    run(work())


@pytest.mark.parametrize("settings", BOTH)
def test_all_that_waits_is_read_at_the_end(run: Runner, settings: UdpSettings) -> None:
    async def work() -> None:
        ports, inbox = RtpPorts(settings), Inbox()
        with client() as other:
            pair = ports.open(HOST, HOST, other.ports, 0, inbox.take)
            for _ in range(200):
                other.rtp.sendto(b"media", (HOST, pair.ports[0]))
            pair.read(udp_sockets.MAX_LAST_READS)
            assert len(inbox.got) == 200
            pair.close()
        ports.close()

    run(work())


def test_a_range_that_is_full_asks_the_kernel_for_nothing(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        ports, asked = RtpPorts(ONE_PAIR), list[int]()
        pair = ports.open(HOST, HOST, (5000, 5001), 0, Inbox().take)
        monkeypatch.setattr(rtp_ports, "bind_pair", lambda _, port: asked.append(port))
        with pytest.raises(OSError, match="no UDP ports are free"):
            ports.open(HOST, HOST, (5002, 5003), 0, Inbox().take)
        assert not asked
        pair.close()

    run(work())


def test_a_range_ends_and_what_is_given_back_is_used_again(run: Runner) -> None:
    async def work() -> None:
        ports = RtpPorts(ONE_PAIR)
        pair = ports.open(HOST, HOST, (5000, 5001), 0, Inbox().take)
        with pytest.raises(OSError, match="no UDP ports are free in 20600-20601"):
            ports.open(HOST, HOST, (5002, 5003), 0, Inbox().take)
        pair.close()
        ports.open(HOST, HOST, (5002, 5003), 0, Inbox().take).close()

    run(work())


def test_clients_share_a_pair_as_long_as_they_can_be_told_apart(run: Runner) -> None:
    async def work() -> None:
        ports, inboxes = RtpPorts(SHARED), (Inbox(), Inbox())
        with client() as one, client() as two:
            first, second = (ports.open(HOST, HOST, who.ports, 0, to.take) for who, to in zip((one, two), inboxes, strict=True))
            assert (first.ports, len(ports)) == (second.ports, 2)
            with pytest.raises(OSError, match="are in use here"):
                ports.open(HOST, HOST, one.ports, 0, Inbox().take)
            two.rtp.sendto(b"two", (HOST, first.ports[0]))
            one.rtp.sendto(b"one", (HOST, first.ports[0]))
            assert [await inbox.wait(1) for inbox in inboxes] == [[(False, b"one")], [(False, b"two")]]
            first.close()
            ports.open(HOST, HOST, one.ports, 0, Inbox().take).close()
            second.close()
        ports.close()

    run(work())


def test_a_run_is_one_system_call_where_the_kernel_cuts_it() -> None:
    with client() as one, client() as two:
        counters = UdpCounters()
        sender = UdpSender(counters)
        sender.send((Run(b"x" * 1000 + b"y" * 10, 500),), Routes([Route(one.rtp, (HOST, two.ports[0]))]))
        assert [len(two.rtp.recv(2000)) for _ in range(3)] == [500, 500, 10]
        assert counters.sends == (1 if sender.offload else 4)


def test_without_offload_packets_go_one_by_one() -> None:
    with client() as one, client() as two:
        counters = UdpCounters()
        UdpSender(counters, offload=False).send(
            (Run(b"x" * 1000 + b"y" * 10, 500),), Routes([Route(one.rtp, (HOST, two.ports[0]))])
        )
        assert [len(two.rtp.recv(2000)) for _ in range(3)] == [500, 500, 10]
        assert counters.sends == 3


def test_each_client_gets_all_that_can_be_sent_to_it() -> None:
    with client() as one, client() as two:
        counters = UdpCounters()
        closed = Route(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), (HOST, two.ports[0]))
        closed.sock.close()
        routes = (closed, Route(one.rtp, (HOST, two.ports[0])), closed, Route(one.rtp, (HOST, one.ports[0])))
        UdpSender(counters).send((Run(b"x" * 1000, 500), Run(b"y", 1)), Routes(routes))
        for who in (one, two):
            assert [len(who.rtp.recv(2000)) for _ in range(3)] == [500, 500, 1]
        assert counters.unsent == 6


def test_what_the_kernel_refuses_once_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp_sockets, "_UDP_SEGMENT", 0x7FFF)  # no such message: EINVAL, each run on its own
    with client() as one, client() as two:
        sender = UdpSender(UdpCounters())
        sender.send((Run(b"x" * 1000, 500),), Routes([Route(one.rtp, (HOST, two.ports[0]))]))
        assert [len(two.rtp.recv(2000)) for _ in range(2)] == [500, 500]


class Unoffloaded:
    """A socket whose way has no checksum offload."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendmsg(self, *_: object) -> int:
        raise OSError(errno.EIO, "as IPsec on the way has it")

    def sendto(self, data: bytes, _: Address) -> int:
        self.sent.append(bytes(data))
        return len(data)


def test_a_way_without_offload_costs_the_others_nothing() -> None:
    sender, way = UdpSender(UdpCounters()), Unoffloaded()
    sender.send((Run(b"x" * 1000, 500),), Routes([Route(cast(socket.socket, way), (HOST, 9))]))
    assert way.sent == [b"x" * 500] * 2
    assert sender.offload


def test_what_cannot_be_sent_is_counted() -> None:
    with client() as one:
        counters = UdpCounters()
        UdpSender(counters).send((Run(b"x" * 1000, 500), Run(b"y", 1)), Routes([Route(one.rtp, ("192.0.2.1", 9))]))
        assert counters.unsent in (0, 3)  # bound to loopback: no way there, or a kernel that says nothing
