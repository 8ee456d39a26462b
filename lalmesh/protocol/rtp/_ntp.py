"""The wall clock of RTCP: NTP timestamps of 64 bits (RFC 3550 §4)."""

from __future__ import annotations

from typing import Final

from lalmesh.media import TICKS_PER_SECOND

UNIX_EPOCH_S: Final = 2_208_988_800  #: seconds from 1900, where NTP begins, to 1970

_US_PER_SECOND = 1_000_000
_FRACTION = 1 << 32
_HALF = _FRACTION >> 1


def unix_us_to_ntp(unix_us: int) -> int:
    """Unix time in µs as an NTP timestamp; it wraps in 2036."""
    seconds, us = divmod(unix_us, _US_PER_SECOND)
    return (seconds + UNIX_EPOCH_S) % _FRACTION << 32 | us * _FRACTION // _US_PER_SECOND


def ntp_to_unix_us(ntp: int) -> int:
    """An NTP timestamp as the nearest Unix time in µs, from 1968 to 2104 (RFC 4330 §3)."""
    seconds, fraction = divmod(ntp, _FRACTION)
    if seconds < _HALF:  # the second era
        seconds += _FRACTION
    return (seconds - UNIX_EPOCH_S) * _US_PER_SECOND + (fraction * _US_PER_SECOND + _HALF) // _FRACTION


def ntp_to_ticks(ntp: int) -> int:
    """An NTP timestamp in ticks of 90 kHz since 1900: of use for differences only."""
    return (ntp * TICKS_PER_SECOND + _HALF) // _FRACTION
