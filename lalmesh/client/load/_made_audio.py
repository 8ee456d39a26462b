"""AAC of any bit rate, made without an encoder: silence, and behind it bytes that decoders pass over."""

from __future__ import annotations

from random import Random
from typing import Final

from lalmesh.bits import BitWriter
from lalmesh.codec import aac

SAMPLE_RATE_HZ: Final = 48_000
FRAME_SAMPLES: Final = 1024

_SILENCE_END_BITS: Final = 5  # of the silent frame: its END and what fills the last byte
_FILL, _END = 6, 7  # elements (ISO/IEC 14496-3 Table 4.85)
_MAX_COUNT, _MAX_FILL_BYTES = 15, 269  # a count of 4 bits, and 8 more where it is at its most (Table 4.11)


class MadeAudio:
    """A sequence of AAC-LC frames, stereo at `SAMPLE_RATE_HZ`."""

    def __init__(self, *, bitrate_bps: int, seed: int = 1) -> None:
        """Frames of `bitrate_bps`; the least is silence and a number of two bytes."""
        config = aac.AudioSpecificConfig(sample_rate_hz=SAMPLE_RATE_HZ, channel_configuration=2)
        self.configuration = config.serialize()  #: AudioSpecificConfig
        silence = aac.silent_frame(config)
        self._silence = int.from_bytes(silence, "big") >> _SILENCE_END_BITS, 8 * len(silence) - _SILENCE_END_BITS
        wanted = bitrate_bps * FRAME_SAMPLES // SAMPLE_RATE_HZ // 8
        self._fill_bytes = max(min(wanted, aac.MAX_AU_BYTES) - len(silence) - 1, 2)
        self._random = Random(seed)
        self._number = 0

    def next_frame(self) -> bytes:
        """The next raw frame."""
        filling = (self._number % 0x10000).to_bytes(2, "big") + self._random.randbytes(self._fill_bytes)
        self._number += 1
        frame, left = BitWriter().write(*self._silence), self._fill_bytes
        while left > 0:
            count = min(left, _MAX_FILL_BYTES)
            _fill(frame, filling[:count])
            filling, left = filling[count:], left - count - 2
        return frame.write(_END, 3).to_bytes()


def _fill(frame: BitWriter, data: bytes) -> None:
    """A fill element (ISO/IEC 14496-3 §4.4.2.7): the first four bits say that it is nothing else."""
    count = len(data)
    frame.write(_FILL, 3).write(min(count, _MAX_COUNT), 4)
    if count >= _MAX_COUNT:
        frame.write(count - _MAX_COUNT + 1, 8)
    frame.write(int.from_bytes(data, "big") & (1 << 8 * count - 4) - 1, 8 * count)
