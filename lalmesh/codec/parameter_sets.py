"""The configuration of a video track, learnt from the parameter sets that come in its pictures."""

from __future__ import annotations

from collections.abc import Sequence

from lalmesh.codec._tracks import build_track
from lalmesh.codec.nalu import MAX_PARAMETER_SET_BYTES
from lalmesh.codec.nalu_codecs import NaluCodec, ParameterSetsByType
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import Track


class ParameterSetStore:
    """The parameter sets in use, and the track that they make."""

    def __init__(self, track_id: int, codec: NaluCodec) -> None:
        """Start without any."""
        self._track_id = track_id
        self._codec = codec
        self._sets: ParameterSetsByType = {}
        self.track: Track | None = None  #: None before all that a configuration needs, and behind sets that are broken

    def learn(self, nalus: Sequence[bytes]) -> Track | None:
        """Take the parameter sets of a picture, or those of a session description; the track, where they change it.

        With an SPS, those of each type replace the former; else they are added. Those over `MAX_PARAMETER_SET_BYTES` are left out.

        Raises:
            RemoteProtocolError: they are broken; all are forgotten, and there is no track until there are others.
            UnsupportedError: legal, but not known here; the same.
        """
        sets = dict(self._sets)
        replaces = any(self._codec.type_of(nalu) == self._codec.sps for nalu in nalus)
        for kind in self._codec.sets:
            new = tuple(nalu for nalu in nalus if self._codec.type_of(nalu) == kind and len(nalu) <= MAX_PARAMETER_SET_BYTES)
            if new:
                sets[kind] = tuple(dict.fromkeys((*(() if replaces else sets.get(kind, ())), *new)))
        if sets == self._sets:
            return None
        self._sets = sets
        return self._configure() if all(sets.get(kind) for kind in self._codec.needed) else None

    def _configure(self) -> Track:
        try:
            self.track = build_track(self._track_id, self._codec.codec, self._codec.configuration(self._sets))
        except (RemoteProtocolError, UnsupportedError):
            self._sets, self.track = {}, None
            raise
        return self.track
