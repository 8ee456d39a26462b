"""What a client asks for that plays: DESCRIBE, SETUP of tracks, PLAY, PAUSE."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from lalmesh.errors import ServiceError, UnsupportedError
from lalmesh.protocol.rtsp import ControlUrls, DescribeRequested, PlayRequested, Request, SetupRequested, StreamPath
from lalmesh.runtime.sessions import SessionRole
from services.edge.rtsp_link import Described, RtspPlayer

if TYPE_CHECKING:
    from services.edge.rtsp_answers import RtspAnswers
    from services.edge.rtsp_link import RtspLink


class PlayerRequests:
    """Those of one connection."""

    def __init__(self, link: RtspLink, answers: RtspAnswers, make_player: Callable[[RtspLink], RtspPlayer]) -> None:
        """Nothing has been described on the connection `link`."""
        self.player: RtspPlayer | None = None
        self._link = link
        self._answers = answers
        self._make_player = make_player
        self._path = StreamPath("", "", "")  # of its stream
        self._undescribed: ControlUrls | None = None  # of a player that set tracks up without asking what there are

    async def describe(self, event: DescribeRequested) -> None:
        """A client that has set tracks up may look at another stream: then what it plays stays.

        Who asks for the same stream again, as some do that lost the answer or want to know of changes, keeps its session.
        """
        core = self._answers.core
        if self.player is not None and event.path == self._path and (same := self.player.describe_again()) is not None:
            core.accept_describe(same.sdp, same.controls, base_url=same.base)
            return
        player = self._make_player(self._link)
        described = await self._described(player, event.request, event.path)
        if described is None:
            return
        if core.transports:
            player.close("only described")
        else:
            self._replace(player, event.path)
        core.accept_describe(described.sdp, described.controls, base_url=described.base)

    async def setup_undescribed(self, event: SetupRequested) -> None:
        """The last part of the URL is that of a track, what is before it the stream."""
        app, _, name = event.path.app.rpartition("/")
        player = self._make_player(self._link)
        path = event.path._replace(app=app, name=name)
        described = await self._described(player, event.request, path)
        if described is None:
            return
        base = described.base or event.request.uri.rstrip("/").rpartition("/")[0]
        self._replace(player, path)
        self._undescribed = ControlUrls(base, described.controls)
        self.setup(event, player)
        if not self._answers.core.transports:
            self.close("nothing set up")

    def setup(self, event: SetupRequested, player: RtspPlayer) -> None:
        """Take a way for a track."""
        core, track, told = self._answers.core, event.track, self._undescribed
        if track is None and told is not None:
            track = told.match(event.request.uri, core.transports.keys())
        if track is None:
            core.reject(404)
        else:
            self._answers.choose_way(event, track, player.setup)

    def play(self, event: PlayRequested) -> None:
        """The client hears of it before the first packet comes."""
        player, core = self.player, self._answers.core
        if player is None:
            core.reject(454)
            return
        try:
            first = player.play(event.tracks)
        except ServiceError as error:
            self._answers.refuse_for(SessionRole.PLAYER, self._path, error)
            return
        core.accept_play(first)
        self._answers.send()
        player.start()

    def pause(self, tracks: Collection[int]) -> None:
        """Send nothing more of `tracks`."""
        if self.player is not None:
            self.player.pause(tracks)

    def remove(self, tracks: Collection[int]) -> None:
        """The client is done with `tracks`, but not with all."""
        if self.player is not None:
            self.player.remove(tracks)

    def close(self, reason: str) -> None:
        """End what plays."""
        player, self.player = self.player, None
        if player is not None:
            player.close(reason)

    async def _described(self, player: RtspPlayer, request: Request, path: StreamPath) -> Described | None:
        """Let `player` get hold of a stream; None where the request has been refused."""
        if not self._answers.may_begin(SessionRole.PLAYER, path):
            return None
        try:
            stream = self._link.context.stream_key(path.app, path.name)
            described = await player.describe(stream, self._link.client(request, path))
        except (ServiceError, UnsupportedError) as error:
            if isinstance(error, UnsupportedError):  # it is there, and had its session
                self._answers.begun()
            player.close("refused")
            self._answers.refuse_for(SessionRole.PLAYER, path, error)
            return None
        except BaseException:
            player.close("gone")
            raise
        self._answers.begun()
        self._answers.allowed(request, path)
        return described

    def _replace(self, player: RtspPlayer, path: StreamPath) -> None:
        if self.player is not None:
            self.player.close("described anew")
        self.player, self._path, self._undescribed = player, path, None
