"""The session of a connection, at the server: its tracks, where their packets go, which of them play."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from lalmesh.protocol.rtsp._messages import MAX_CHANNEL, Field
from lalmesh.protocol.rtsp._states import SERVER_STEPS, ServerState
from lalmesh.protocol.rtsp._transport import Pair, Transport
from lalmesh.protocol.rtsp._url import ControlUrls, StreamPath

MAX_TRACKS: Final = 16  #: as many as a description has media


@dataclass(slots=True)
class SessionTrack:
    """One track that was set up."""

    uri: str  #: as the client wrote it
    transport: Transport
    is_active: bool = False  #: plays or records


class ServerSession:
    """What a connection has asked for so far."""

    def __init__(self) -> None:
        """Begin without a stream."""
        self.reset()

    def reset(self) -> None:
        """Be as if nothing had been asked for."""
        self.session_id = ""  #: empty: there is none yet
        self.state = ServerState.INIT
        self.path: StreamPath | None = None  #: of what was described or announced last
        self.controls = ControlUrls("", ())  #: of its tracks
        self.tracks: dict[int, SessionTrack] = {}
        self._channels: dict[int, tuple[int, bool]] = {}  # to the track, and whether it is RTCP

    def begin(self, path: StreamPath, base_url: str, controls: Sequence[str]) -> None:
        """Take note of a stream that was described or announced."""
        self.path, self.controls = path, ControlUrls(base_url, controls)

    @property
    def fields(self) -> list[Field]:
        """What answers say of the session."""
        return [("Session", self.session_id)] if self.session_id else []

    @property
    def is_record(self) -> bool:
        """The client is a publisher."""
        return self.state in (ServerState.ANNOUNCED, ServerState.READY_TO_RECORD, ServerState.RECORDING)

    @property
    def has_udp(self) -> bool:
        """Some track does not use the connection, whose end would tell that the client is gone."""
        return any(track.transport.is_udp for track in self.tracks.values())

    def track_of(self, uri: str) -> int | None:
        """The track that a URI names; None: none, or all."""
        return self.controls.match(uri, self.tracks.keys())

    def meant(self, uri: str) -> tuple[int, ...]:
        """The tracks that a request about `uri` is about: the one that it names, else all that are set up."""
        named = [number for number, track in self.tracks.items() if track.uri == uri]
        track = self.track_of(uri) if len(self.controls) > 1 else None
        if track is not None and track in self.tracks:
            named = [track]
        return tuple(named if len(named) == 1 else self.tracks)

    def set_up(self, track: int, uri: str, transport: Transport) -> Transport:
        """Add a track, or change its way; the way as it is, with channels that nobody else has."""
        self._forget_channels(track)
        if transport.is_tcp:
            transport = replace(transport, interleaved=self._free_channels(transport.interleaved))
        self.tracks[track] = SessionTrack(uri, transport)
        if transport.interleaved is not None:
            rtp, rtcp = transport.interleaved
            self._channels |= {rtcp: (track, True), rtp: (track, False)}
        return transport

    def channel(self, number: int) -> tuple[int, bool] | None:
        """The track whose packets come on a channel, and whether they are RTCP; None where no active track has it."""
        found = self._channels.get(number)
        return found if found is not None and self.tracks[found[0]].is_active else None

    def activate(self, tracks: Sequence[int]) -> None:
        """Let tracks play or record."""
        for track in tracks:
            self.tracks[track].is_active = True

    def deactivate(self, tracks: Sequence[int]) -> None:
        """Pause tracks. With the last of them, the session pauses."""
        for track in tracks:
            self.tracks[track].is_active = False
        if not any(track.is_active for track in self.tracks.values()):
            self.state = SERVER_STEPS[self.state, "PAUSE"]

    def remove(self, tracks: Sequence[int]) -> None:
        """Forget tracks, but not all."""
        self.deactivate(tracks)
        for track in tracks:
            self._forget_channels(track)
            del self.tracks[track]

    def _forget_channels(self, track: int) -> None:
        self._channels = {number: found for number, found in self._channels.items() if found[0] != track}

    def _free_channels(self, wanted: Pair | None) -> Pair:
        """Those that the client wants; where it wants none, or they are taken, two others, as RFC 2326 §12.39 allows."""
        if wanted is not None and not self._channels.keys() & set(wanted):
            return wanted
        return next((at, at + 1) for at in range(0, MAX_CHANNEL, 2) if not self._channels.keys() & {at, at + 1})
