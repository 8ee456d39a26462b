"""Blocks that the kernel writes to many sockets in one call."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from services.edge.kernel_writes import MAX_AT_ONCE, MAX_BLOCK_BYTES, KernelWrites, WriteRequests, kernel_writes

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def writes() -> KernelWrites:
    found = kernel_writes()
    if found is None:
        pytest.skip("this kernel takes no writes so")
    return found


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def pairs(stack: ExitStack, count: int) -> list[Pair]:
    """Sockets that are written to, and their other ends."""
    made = [socket.socketpair() for _ in range(count)]
    for pair in made:
        for sock in pair:
            stack.enter_context(sock).setblocking(False)
    return made


def requests_of(writes: KernelWrites, made: list[Pair]) -> WriteRequests:
    return WriteRequests(writes, [ours.fileno() for ours, _ in made])


@pytest.mark.parametrize("count", [1, 7, 40])
def test_every_socket_gets_each_block_whole(writes: KernelWrites, stack: ExitStack, count: int) -> None:
    made = pairs(stack, count)
    requests = requests_of(writes, made)
    for first, block in enumerate((b"a", b"bc" * 1000, b"d" * 2000, b"e" * MAX_BLOCK_BYTES)):
        assert requests.write(block, first % count) == []
        assert {theirs.recv(MAX_BLOCK_BYTES + 1) == block for _, theirs in made} == {True}


@pytest.mark.parametrize("count", [MAX_AT_ONCE, MAX_AT_ONCE + 1, 3 * MAX_AT_ONCE])
@pytest.mark.parametrize("first", [0, 1, 500])
def test_more_than_one_call_takes_are_written_too(writes: KernelWrites, stack: ExitStack, count: int, first: int) -> None:
    """A few sockets, each of them many times: as many descriptors as players are more than every machine lets a test have."""
    made = pairs(stack, 32)
    places = [made[place % len(made)] for place in range(count)]
    assert requests_of(writes, places).write(b"block", first) == []
    for place, (_, theirs) in enumerate(made):
        assert theirs.recv(1 << 20) == b"block" * len(range(place, count, len(made)))


@pytest.mark.parametrize("first", [0, 2, 4])
def test_who_took_less_is_told_with_how_much(writes: KernelWrites, stack: ExitStack, first: int) -> None:
    made = pairs(stack, 5)
    (slow, slow_end), (_, gone_end), block = made[3], made[1], b"z" * 20_000
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 10)
    gone_end.close()
    late = dict(requests_of(writes, made).write(block, first))
    assert late.keys() == {1, 3}
    assert late[1] == 0
    assert 0 <= late[3] < len(block)
    others = [theirs for place, (_, theirs) in enumerate(made) if place not in late]
    assert [theirs.recv(1 << 20) for theirs in others] == [block] * 3
    got = b""
    while len(got) < late[3]:
        got += slow_end.recv(1 << 20)
    assert got == block[: late[3]]


@pytest.mark.parametrize("first", [0, 1, 3])
def test_a_descriptor_that_is_none_holds_up_no_other(writes: KernelWrites, stack: ExitStack, first: int) -> None:
    made = pairs(stack, 4)
    requests = requests_of(writes, made)
    made[1][0].close()
    assert requests.write(b"block", first) == [(1, 0)]
    assert [theirs.recv(100) for place, (_, theirs) in enumerate(made) if place != 1] == [b"block"] * 3


def test_where_the_kernel_does_not_tell_nothing_goes_this_way_any_more(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one block did is never taken for what another did."""
    if kernel_writes() is None:
        pytest.skip("this kernel takes no writes so")
    own, made = KernelWrites(), pairs(stack, 3)
    requests = requests_of(own, made)
    monkeypatch.setattr(own, "_get_events", -1)  # no call of any kernel
    with pytest.raises(OSError, match="not implemented"):
        requests.write(b"untold", 0)
    monkeypatch.undo()
    assert requests.write(b"block", 1) == [(1, 0), (2, 0), (0, 0)]
    assert [theirs.recv(100) for _, theirs in made] == [b"untold"] * 3


def test_where_there_is_none_to_be_had_it_is_told_once() -> None:
    """In a process of its own, as that is found out once in each."""
    code = """
import logging, platform
logging.basicConfig(level="INFO")
platform.machine = lambda: "another"
from services.edge.kernel_writes import kernel_writes
assert kernel_writes() is None and kernel_writes() is None
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.count("io_submit is not to be had") == 1
