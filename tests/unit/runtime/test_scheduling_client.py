"""What becomes of calls that end on this side, and of what no replica will ever take. Channels are fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc.aio
import pytest

from lalmesh.errors import LocalProtocolError, Unavailable
from lalmesh.rpc.lalmesh.v1 import control_pb2, scheduler_pb2
from lalmesh.runtime.events import Event
from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.scheduling import GrpcSchedulerClient, Membership, NodeCommand, NodeReport, RelayState, RelayStatus, Role
from lalmesh.runtime.scheduling.control import KickSessions

ME = NodeAddress(NodeId("n1", b"12345678"), "n1:1")
REPORT = NodeReport(node=ME, role=Role.EDGE)
BROKEN = replace(REPORT, relays=(RelayStatus(id="\udcff", state=RelayState.PAUSED),))
EVENT = Event(id="a-1", kind="pub_start", at_us=1, node="n1")


JOINED = scheduler_pb2.NodeCommand(joined=scheduler_pb2.Joined(term=7))
KICK = scheduler_pb2.NodeCommand(kick_sessions=control_pb2.KickSessions(session_ids=["a"]))
BROKEN_KICK = scheduler_pb2.NodeCommand(kick_sessions=control_pb2.KickSessions(session_ids=["a\0b"]))
BROKEN_SETTINGS = scheduler_pb2.NodeCommand(live_settings=control_pb2.LiveSettings(values={"a": "nothing"}))


class Channel:
    """Answers the reports of each stream as is told, then with `JOINED`, and each question as it is told."""

    def __init__(self, answer: Callable[[], Awaitable[Any]], *commands: scheduler_pb2.NodeCommand) -> None:
        self.answer = answer
        self.commands = commands
        self.streams = 0
        self.reports: list[scheduler_pb2.NodeReport] = []

    def stream_stream(self, *_: object) -> Callable[[AsyncIterator[scheduler_pb2.NodeReport]], Call]:
        return lambda reports: Call(self, reports)

    def unary_unary(self, *_: object) -> Callable[..., Awaitable[Any]]:
        return lambda _request, timeout: self.answer()


class Call:
    def __init__(self, channel: Channel, reports: AsyncIterator[scheduler_pb2.NodeReport]) -> None:
        self._channel = channel
        self._reports = reports
        self._commands = list(channel.commands)
        channel.streams += 1

    def __aiter__(self) -> Call:
        return self

    async def __anext__(self) -> scheduler_pb2.NodeCommand:
        if self._commands:
            return self._commands.pop(0)
        try:
            self._channel.reports.append(await anext(self._reports))
        except UnicodeEncodeError:
            raise asyncio.CancelledError from None  # as grpc has it
        return JOINED

    def cancel(self) -> None:
        pass


async def ended() -> Any:
    raise asyncio.CancelledError


async def invalid() -> Any:
    none = grpc.aio.Metadata()
    raise grpc.aio.AioRpcError(grpc.StatusCode.INVALID_ARGUMENT, none, none, "facts of 73765, limit 65536", "")


async def pending() -> Any:
    await asyncio.sleep(60)


def client(channel: Channel) -> GrpcSchedulerClient:
    return GrpcSchedulerClient(["a:1"], dial=lambda _: channel)  # type: ignore[arg-type, return-value]


async def told(*reports: NodeReport) -> AsyncIterator[NodeReport]:
    for report in reports:
        yield report


async def test_a_report_that_cannot_be_told_is_told_as_it_was_last() -> None:
    channel = Channel(ended)
    commands = client(channel).join(told(REPORT, BROKEN, BROKEN))
    for _ in range(3):
        await anext(commands)
    assert len(channel.reports) == 3
    assert channel.reports[0] == channel.reports[1] == channel.reports[2]
    await commands.aclose()


async def test_a_first_report_that_cannot_be_told_breaks_the_stream_and_no_task() -> None:
    with pytest.raises(Unavailable):
        await anext(client(Channel(ended)).join(told(BROKEN)))


async def test_a_question_under_a_channel_that_closes_is_not_answered() -> None:
    with pytest.raises(Unavailable):
        await client(Channel(ended)).tell_events(ME, [EVENT], 1.0)


async def test_a_task_that_is_to_end_ends() -> None:
    task = asyncio.create_task(client(Channel(pending)).tell_events(ME, [EVENT], 1.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_events_that_nobody_will_ever_take_are_not_told_as_unavailable() -> None:
    with pytest.raises(LocalProtocolError):
        await client(Channel(invalid)).tell_events(ME, [EVENT], 1.0)


async def test_a_command_that_cannot_be_read_ends_no_membership_and_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    channel = Channel(ended, BROKEN_SETTINGS, BROKEN_KICK, BROKEN_KICK, KICK)  # before it has joined, as settings come
    told: list[NodeCommand] = []
    membership = Membership(client(channel).join, lambda: REPORT, told.append, interval_s=1000)
    running = asyncio.create_task(membership.run())
    async with asyncio.timeout(5):
        await membership.joined.wait()
    running.cancel()
    assert (channel.streams, told) == (1, [KickSessions(("a",), "")])
    said = [record.getMessage() for record in caplog.records if "is passed over" in record.getMessage()]
    assert [line.split()[0] for line in said] == ["live_settings", "kick_sessions"]


async def test_a_kind_of_command_that_could_be_read_again_is_told_of_again(caplog: pytest.LogCaptureFixture) -> None:
    commands = client(Channel(ended, BROKEN_KICK, KICK, BROKEN_KICK, JOINED)).join(told(REPORT))
    assert [type(await anext(commands)).__name__ for _ in range(2)] == ["KickSessions", "Joined"]
    await commands.aclose()
    assert caplog.text.count("is passed over") == 2
