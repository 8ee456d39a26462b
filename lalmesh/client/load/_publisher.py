"""One publisher of a load: it sends what is on the tape when it is due, and knows how late that was."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from array import array
from contextlib import suppress
from typing import Final

from lalmesh.client.load._begin import begin, drop
from lalmesh.client.load._crowd import Crowd
from lalmesh.client.load._matching import UnitLog
from lalmesh.client.load._pacing import Lateness, Paced
from lalmesh.client.load._rtsp_talk import Ports, RtspTalk, rtsp_publisher
from lalmesh.client.load._talks import RtmpTalk, Talk
from lalmesh.client.load._tape import InterleavedTape
from lalmesh.client.load._wire import Wire, is_ordinary
from lalmesh.errors import LalmeshError
from lalmesh.media import TICKS_PER_SECOND, Kind, MediaEvent

CLOSE_S: Final = 2.0  #: for what was sent last to arrive


class LoadPublisher(Paced):
    """Publishes to one URL."""

    _wire: Wire
    _talk: Talk

    def __init__(self, url: str, crowd: Crowd, lateness: Lateness) -> None:
        """Publish to `url`; how late units leave because of this program goes to `lateness`."""
        self.url = url
        self.began_s: float | None = None  #: when the first unit left
        self.refused = ""  #: why it did not begin
        self.lost = ""  #: why it ended, once it had begun
        self.sent_bytes = 0
        self.number = 0  #: of the unit that is next
        self.held_s = 0.0  #: the furthest behind that the server kept it, as it took nothing, or less than is published
        #: when each unit left, for those that somebody looks for
        self.moments: array[float] | None = None
        self.published = asyncio.Event()  #: it has begun, or will not
        self._crowd = crowd
        self._lateness = lateness
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._held_since_s: float | None = None  # the server has not taken all of what was sent then
        self._late_before_s: float | None = None  # how late it was when that began; None: it has caught up since
        media = crowd.media
        assert media is not None
        self._due_s = crowd.due_s
        self._run_s = media.run_ticks / TICKS_PER_SECOND
        self._place = 0
        self._zero_s = 0.0

    async def run(self) -> None:
        """Publish until that ends or is cancelled."""
        try:
            await self._begin()
        except Exception as error:
            if not is_ordinary(error):
                raise
            self.refused = str(error)
            return
        finally:
            self.published.set()
        stop = self._crowd.each_second(self._each_second)
        try:
            self.lost = await self._over
        finally:
            stop()
            await self._close()

    async def _begin(self) -> None:
        await self._dial()
        try:
            self._send_first()
        except BaseException:
            drop(self._wire, self._talk)
            raise
        self._wire.on_readable(self._readable)
        self.began_s = self.due_s = self._zero_s = time.monotonic()
        self._crowd.pacing.add(self)

    @abstractmethod
    async def _dial(self) -> None:
        """Be let in."""

    def _send_first(self) -> None:
        """Send what goes before the first unit."""

    @abstractmethod
    def _send(self, number: int) -> bool:
        """Send a unit; whether the server takes more."""

    def watch(self) -> None:
        """Note when each unit leaves: somebody looks for them."""
        self.moments = array("d")

    def sent_logs(self) -> dict[Kind, UnitLog]:
        """The units that left, where they were noted."""
        logs: dict[Kind, UnitLog] = {}
        keys = self._crowd.unit_keys
        for number, moment_s in enumerate(self.moments or ()):
            kind, key = keys[number % len(keys)]
            logs.setdefault(kind, UnitLog()).add(key, moment_s)
        return logs

    @property
    def is_sending(self) -> bool:
        """It has begun, and has not ended."""
        return self.began_s is not None and not self._over.done()

    # time

    def send_due(self, now_s: float) -> bool:
        """As `Paced.send_due`."""
        if self._over.done():
            return False
        moment_s = time.monotonic()
        late_s = moment_s - self.due_s
        self._lateness.add(late_s if self._late_before_s is None else 0.0)
        if self.moments is not None and self._crowd.noting.goes_on(self.number, moment_s):
            self.moments.append(moment_s)
        try:
            goes_on = self._send(self.number)
        except LalmeshError as error:
            self.over(str(error))
            return False
        self._step()
        if self.due_s > moment_s:
            self._late_before_s = None
        if not goes_on:
            self._held_since_s = moment_s
            self._late_before_s = late_s if self._late_before_s is None else self._late_before_s
        return goes_on

    def _step(self) -> None:
        self.number += 1
        self._place += 1
        if self._place == len(self._due_s):
            self._place = 0
            self._zero_s += self._run_s
        self.due_s = self._zero_s + self._due_s[self._place]

    def _sent(self) -> None:
        """What the server did not take is gone now."""
        self._note_behind(time.monotonic())
        self._held_since_s = None
        if not self._over.done():
            self._crowd.pacing.add(self)

    def _note_behind(self, now_s: float) -> float:
        """How far behind the server keeps it."""
        behind_s = 0.0 if self._late_before_s is None else now_s - self.due_s - self._late_before_s
        self.held_s = max(self.held_s, behind_s)
        return behind_s

    def _each_second(self, now_s: float) -> None:
        limit_s, behind_s = self._crowd.options.stall_timeout_s, self._note_behind(now_s)
        if self._held_since_s is not None and now_s - self._held_since_s > limit_s:
            self.over(f"the server took nothing for {limit_s:g} s")
        elif behind_s > limit_s:
            self.over(f"{limit_s:g} s behind: the server takes less than is published")
        elif self._held_since_s is None and isinstance(self._talk, RtspTalk):
            self._say(self._talk.sign_of_life(0, now_s))

    # the server

    def _readable(self) -> None:
        try:
            while (data := self._wire.read()) is not None:
                self._talk.feed(data, time.monotonic())
                self._say(self._talk.data_to_send())
        except Exception as error:
            if not is_ordinary(error):
                raise
            self.over(str(error))
            return
        if self._talk.ended:
            self.over(self._talk.ended)

    def _say(self, data: bytes) -> None:
        if data:
            with suppress(LalmeshError):  # a read says it too
                self._wire.send(data)

    def over(self, reason: str) -> None:
        """It has ended."""
        if not self._over.done():
            self._wire.on_readable(None)
            self._over.set_result(reason)

    async def _close(self) -> None:
        """Say goodbye, and let it arrive."""
        wire = self._wire
        self._say(self._talk.goodbye())
        try:
            if not self._over.done() or self._over.cancelled():
                with suppress(TimeoutError, LalmeshError):
                    async with asyncio.timeout(CLOSE_S):
                        await wire.finish()
        finally:
            wire.close()


class RtmpLoadPublisher(LoadPublisher):
    """Publishes by RTMP."""

    _talk: RtmpTalk

    async def _dial(self) -> None:
        self._wire, self._talk = await begin(self.url, "publish", _rtmp_talk, self._crowd.dialler, _ignore)
        self._tape = self._crowd.rtmp_tape(self._talk.stream_id)

    def _send_first(self) -> None:
        self._talk.send_first(self._tape.head())
        self._wire.send(self._talk.data_to_send())

    def _send(self, number: int) -> bool:
        data = self._tape.at(number)
        self.sent_bytes += len(data)
        return self._wire.send(data, self._sent)


class InterleavedLoadPublisher(LoadPublisher):
    """Publishes by RTSP, packets among the messages, inside a WebSocket where the URL is of one."""

    _talk: RtspTalk
    _tape: InterleavedTape

    async def _dial(self) -> None:
        self._wire, self._talk = await begin(self.url, "publish", self._make, self._crowd.dialler, _ignore)

    def _make(self, url: str, before: RtspTalk | None) -> RtspTalk:
        self._tape = self._crowd.interleaved_tape() if url.startswith("rtsp") else self._crowd.socket_tape()
        return rtsp_publisher(url, self._tape.description, self._tape.controls, None)

    def _send(self, number: int) -> bool:
        data = self._tape.at(number)
        self.sent_bytes += len(data)
        return self._wire.send(data, self._sent)


class DatagramLoadPublisher(LoadPublisher):
    """Publishes by RTSP, packets by UDP."""

    _talk: RtspTalk

    async def _dial(self) -> None:
        self._tape = self._crowd.datagram_tape()
        self._wire, self._talk = await begin(self.url, "publish", self._make, self._crowd.dialler, _ignore)

    def _make(self, url: str, before: RtspTalk | None) -> RtspTalk:
        return rtsp_publisher(url, self._tape.description, self._tape.controls, Ports())

    def _send(self, number: int) -> bool:
        assert self._talk.ports is not None
        for track, packets, is_rtcp in self._tape.at(number):
            self._talk.ports.pairs[track].send(packets, is_rtcp=is_rtcp)
            self.sent_bytes += sum(map(len, packets))
        return True

    async def _close(self) -> None:
        try:
            await super()._close()
        finally:
            if self._talk.ports is not None:
                self._talk.ports.close()


def _rtmp_talk(url: str, before: RtmpTalk | None) -> RtmpTalk:
    return RtmpTalk(url, "publish", before)


def _ignore(events: list[MediaEvent], size: int, now_s: float) -> None:
    """A server has no media for a publisher."""


def load_publisher(url: str, crowd: Crowd, lateness: Lateness) -> LoadPublisher:
    """The publisher for a URL, by its scheme."""
    if url.startswith("rtmp"):
        return RtmpLoadPublisher(url, crowd, lateness)
    by_udp = crowd.udp and url.startswith("rtsp")
    return (DatagramLoadPublisher if by_udp else InterleavedLoadPublisher)(url, crowd, lateness)
