"""Publishing and playing over RTSP and RTSPS."""

from __future__ import annotations

import os
import time

from lalmesh.client._options import DEFAULT_OPTIONS, ClientOptions
from lalmesh.client._player import Player
from lalmesh.client._publisher import Publisher
from lalmesh.client._rtsp_dial import dial_rtsp
from lalmesh.client._rtsp_link import RtspLink
from lalmesh.client._rtsp_receiving import RtspReceiving
from lalmesh.client._rtsp_sending import RtspSending
from lalmesh.media import AccessUnit, TrackSet
from lalmesh.protocol.rtp import ReceiverSettings


class RtspPlayer(Player):
    """Plays ``rtsp://[USER:PASSWORD@]HOST/PATH`` or ``rtsps://``: the first video and the first audio track, as FLV tags."""

    _link: RtspLink | None = None
    _receiving: RtspReceiving

    async def _open(self) -> None:
        options = self.options
        settings = ReceiverSettings(reorder_ms=options.reorder_ms, drop_broken_gop=options.drop_broken_gop)
        self._link, self._receiving = await dial_rtsp(self.url, "play", options, lambda: RtspReceiving(settings, os.urandom))
        self.first_byte_at = self._link.first_byte_at

    async def _read(self) -> None:
        assert self._link is not None
        await self._link.wait_untaken()
        tags = self._receiving.tags.take()
        self._take(tags)
        if not tags:
            self.end_reason = self._link.ended

    async def _close(self) -> None:
        if self._link is not None:
            await self._link.close()


class RtspPublisher(Publisher[RtspLink]):
    """Publishes FLV tags, as far as RTP carries them: no script data. One that is malformed raises `RemoteProtocolError`."""

    _sending: RtspSending

    def __init__(self, url: str, tracks: TrackSet, options: ClientOptions = DEFAULT_OPTIONS) -> None:
        """Publish to `url`; nothing is dialled before it is entered.

        Args:
            url: ``rtsp://[USER:PASSWORD@]HOST/PATH`` or ``rtsps://``.
            tracks: what is published: RTSP says it once, at the beginning. Their ids are those of `lalmesh.container.flv`.
            options: limits and trust.
        """
        super().__init__(url, options)
        self._tracks = tracks

    async def _dial(self) -> RtspLink:
        link, self._sending = await dial_rtsp(self.url, "publish", self._options, lambda: RtspSending(self._tracks, os.urandom))
        return link

    def send(self, type_id: int, timestamp_ms: int, *body: bytes) -> None:
        """As `Publisher.send`."""
        link = self._link
        for given in self._sending.package(type_id, timestamp_ms, b"".join(body), time.time_ns() // 1000):
            link.send(given.track, given.packets, is_rtcp=given.is_rtcp)

    def send_unit(self, unit: AccessUnit, tracks: TrackSet) -> None:
        """Publish a unit under `tracks`, of any codec that RTP carries and whatever ids they have.

        Raises:
            UnsupportedError: `tracks` need another description than the server has.
            ConnectionFailed, Refused, RemoteProtocolError: what ended the connection.
        """
        for given in self._sending.package_unit(unit, tracks):
            self._link.send(given.track, given.packets, is_rtcp=given.is_rtcp)
