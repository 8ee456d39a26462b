"""How one source is received: loss, jitter, what a report block says of it (RFC 3550 §6.4.1, §A.1, §A.3, §A.8)."""

from __future__ import annotations

from typing import Final

from lalmesh.protocol.rtp._reorder import MAX_DROPOUT, MAX_MISORDER
from lalmesh.protocol.rtp._reports import ReportBlock, SenderReport

_US_PER_SECOND: Final = 1_000_000
_MASK = 0xFFFFFFFF
_HALF = 0x80000000


class ReceiverStatistics:
    """Counts the packets of one source. Times are µs of any clock that does not step."""

    __slots__ = (
        "_base",
        "_clock_rate_hz",
        "_expected_before",
        "_highest",
        "_jitter",
        "_last_sr",
        "_last_sr_us",
        "_received_before",
        "_transit",
        "received",
    )

    def __init__(self, clock_rate_hz: int) -> None:
        """Start; the RTP clock of the source has `clock_rate_hz`."""
        self._clock_rate_hz = clock_rate_hz
        self._base = 0
        self._highest = -1  # extended highest sequence number; -1: no packet yet
        self._transit = 0
        self._jitter = 0  # sixteen times the jitter
        self._last_sr = 0
        self._last_sr_us = 0
        self._expected_before = 0
        self._received_before = 0
        self.received = 0  #: packets, second copies included

    @property
    def lost(self) -> int:
        """Packets that did not come so far; negative where second copies are more (§A.3)."""
        return self._expected - self.received

    @property
    def jitter(self) -> int:
        """Mean deviation of the spacing of packets, in ticks of the RTP clock (§6.4.1)."""
        return self._jitter >> 4

    @property
    def _expected(self) -> int:
        return self._highest - self._base + 1 if self._highest >= 0 else 0

    def packet(self, sequence_number: int, timestamp: int, now_us: int) -> None:
        """Count a packet that came at `now_us`."""
        self._count(sequence_number)
        transit = now_us * self._clock_rate_hz // _US_PER_SECOND - timestamp & _MASK
        if self.received > 1:
            deviation = abs((transit - self._transit + _HALF & _MASK) - _HALF)
            self._jitter += deviation - (self._jitter + 8 >> 4)  # §A.8
        self._transit = transit

    def _count(self, sequence_number: int) -> None:
        self.received += 1
        if self._highest < 0:
            self._base = self._highest = sequence_number
            return
        ahead = (sequence_number - self._highest + 0x8000 & 0xFFFF) - 0x8000
        if 0 < ahead <= MAX_DROPOUT:
            self._highest += ahead
        elif not -MAX_MISORDER <= ahead <= 0:
            self._begin_anew(sequence_number)

    def _begin_anew(self, sequence_number: int) -> None:
        """The sender jumped: what was expected before it says nothing of what comes (§A.1)."""
        self._base = self._highest = sequence_number
        self.received = 1
        self._expected_before = self._received_before = 0

    def sender_report(self, report: SenderReport, now_us: int) -> None:
        """Note a report of the source that came at `now_us`: the next report block names it."""
        self._last_sr = report.ntp_timestamp >> 16 & _MASK
        self._last_sr_us = now_us

    def report_block(self, ssrc: int, now_us: int) -> ReportBlock | None:
        """What to report of the source `ssrc` at `now_us`, since the block before; None before the first packet."""
        if self._highest < 0:
            return None
        delay_us = now_us - self._last_sr_us if self._last_sr else 0
        return ReportBlock(
            ssrc=ssrc,
            fraction_lost=self._fraction_lost(),
            cumulative_lost=self.lost,
            highest_sequence=self._highest & _MASK,
            jitter=self.jitter & _MASK,
            last_sr=self._last_sr,
            delay_since_last_sr=min((delay_us << 16) // _US_PER_SECOND, _MASK),
        )

    def _fraction_lost(self) -> int:
        """Lost of expected packets since the block before, of 256 (§A.3)."""
        expected = self._expected - self._expected_before
        lost = expected - (self.received - self._received_before)
        self._expected_before, self._received_before = self._expected, self.received
        return min((lost << 8) // expected, 0xFF) if expected > 0 and lost > 0 else 0
