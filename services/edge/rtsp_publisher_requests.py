"""What a client asks for that publishes: ANNOUNCE, SETUP of the tracks that it announced, RECORD."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from lalmesh.errors import RemoteProtocolError, ServiceError
from lalmesh.protocol.rtsp import AnnounceRequested, SetupRequested
from lalmesh.protocol.sdp import parse_session
from lalmesh.runtime.sessions import SessionRole
from services.edge.rtp_tracks import IncomingTrack, incoming_tracks
from services.edge.rtsp_publish import RtspPublisher

if TYPE_CHECKING:
    from services.edge.rtsp_answers import RtspAnswers
    from services.edge.rtsp_link import RtspLink


class PublisherRequests:
    """Those of one connection."""

    def __init__(self, link: RtspLink, answers: RtspAnswers) -> None:
        """Nothing has been announced on the connection `link`."""
        self.publisher: RtspPublisher | None = None
        self._link = link
        self._answers = answers

    async def announce(self, event: AnnounceRequested, make_way: Callable[[str], None]) -> None:
        """Claim the stream, and tell the client only then.

        Args:
            event: what was asked.
            make_way: ends with a reason what the connection was there for until now; called once the description will do.
        """
        try:
            description = parse_session(event.description)
        except RemoteProtocolError as error:
            self._answers.refuse(SessionRole.PUBLISHER, event.path, 400, "description", str(error))
            return
        tracks = incoming_tracks(description, event.request.uri)
        if all(track.depacketizer is None for track in tracks):
            detail = "none of its media is carried by RTP"
            self._answers.refuse(SessionRole.PUBLISHER, event.path, 415, "description", detail)
            return
        if not self._answers.may_begin(SessionRole.PUBLISHER, event.path):
            return
        make_way("announced anew")
        try:
            await self._publish(event, tracks)
        except ServiceError as error:
            self._answers.refuse_for(SessionRole.PUBLISHER, event.path, error)

    async def _publish(self, event: AnnounceRequested, tracks: list[IncomingTrack]) -> None:
        link, context = self._link, self._link.context
        stream, client = context.stream_key(event.path.app, event.path.name), link.client(event.request, event.path)
        publishing = await context.publish(stream, client, link.close)
        self._answers.begun()
        self._answers.allowed(event.request, event.path)
        session = context.sessions.open(client, SessionRole.PUBLISHER, stream, link.close, publishing.trace)
        self.publisher = RtspPublisher(link, publishing, session, tracks)
        self._answers.core.accept_announce([track.control for track in tracks])

    def setup(self, event: SetupRequested) -> None:
        """Take a way for a track."""
        if self.publisher is None or event.track is None:
            self._answers.core.reject(454)
        elif self.publisher.has_recorded:
            self._answers.core.reject(455)
        else:
            self._answers.choose_way(event, event.track, self.publisher.setup)

    def record(self) -> None:
        """Take media in from now on."""
        if self.publisher is None:
            self._answers.core.reject(454)
            return
        self.publisher.record()
        self._answers.core.accept_record()

    def take_in(self, packets: list[tuple[int, bytes]]) -> None:
        """Bring the packets of one read to the publication, in one run; `packets` is empty afterwards.

        Raises:
            UnsupportedError: the stream needs what is not implemented.
        """
        if not packets:
            return
        taken = list(packets)
        packets.clear()
        if self.publisher is not None:
            self.publisher.feed(taken)

    def pause(self, tracks: Collection[int]) -> None:
        """Take nothing more in of `tracks`."""
        if self.publisher is not None:
            self.publisher.pause(tracks)

    def remove(self, tracks: Collection[int]) -> None:
        """The client is done with `tracks`, but not with all."""
        if self.publisher is not None:
            self.publisher.remove(tracks)

    def sweep(self, now_s: float, silence_s: float) -> str:
        """Once a second. Gives a reason to close the connection; empty: there is none."""
        return self.publisher.sweep(now_s, silence_s) if self.publisher is not None else ""

    def leave(self, reason: str) -> None:
        """The client is done with all of it; datagrams may still be on their way."""
        publisher, self.publisher = self.publisher, None
        if publisher is not None:
            publisher.leave(reason)

    def close(self, reason: str) -> None:
        """End what is published."""
        publisher, self.publisher = self.publisher, None
        if publisher is not None:
            publisher.close(reason)
