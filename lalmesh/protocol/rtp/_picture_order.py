"""Which picture order belongs to a track, for `DecodingTimes`."""

from __future__ import annotations

from lalmesh.codec import h264, h265
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import AccessUnit, Codec, Track
from lalmesh.protocol.rtp._decoding_times import DecodingTimes, PictureOrder

_STEPS = {Codec.H264: 2, Codec.H265: 1}  # of picture order counts: H.264 counts fields (§8.2.1), H.265 pictures


def configure_times(times: DecodingTimes, track: Track) -> list[AccessUnit]:
    """Let `times` be those of `track`; the pictures that waited under the configuration before."""
    return times.configure(_picture_order(track), track.reorder_depth, _STEPS.get(track.codec, 1))


def _picture_order(track: Track) -> PictureOrder | None:
    """None where nothing is shown out of order, or where parameter sets do not parse as far as that."""
    try:
        match track.codec:
            case Codec.H264 if track.reorder_depth:
                return h264.PictureOrder(h264.AvcDecoderConfigurationRecord.parse(track.configuration))
            case Codec.H265 if track.reorder_depth:
                return h265.PictureOrder(h265.HevcDecoderConfigurationRecord.parse(track.configuration))
            case _:
                return None
    except (RemoteProtocolError, UnsupportedError):
        return None
