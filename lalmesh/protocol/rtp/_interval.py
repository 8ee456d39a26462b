"""How long to wait until the next RTCP packet (RFC 3550 §6.2, §6.3.1, §A.7)."""

from __future__ import annotations

import math
from typing import Final

MIN_INTERVAL_S: Final = 5.0  #: half of it before the first packet (§6.2)
RTCP_SHARE: Final = 0.05  #: of the bandwidth of a session (§6.2)
SENDER_SHARE: Final = 0.25  #: of that, for those who send media, while they are few (§6.2)
_COMPENSATION: Final = math.e - 1.5  #: timer reconsideration makes intervals shorter than asked for (§6.3.1)


def report_interval_s(
    *,
    members: int,
    senders: int,
    session_bandwidth_bps: int,
    is_sender: bool,
    average_rtcp_bytes: float,
    is_first: bool,
    randomness: float,
) -> float:
    """Seconds until the next RTCP packet is due.

    Args:
        members: participants, ourselves included, 1 and up.
        senders: those of them that send media.
        session_bandwidth_bps: of the media, 1 and up.
        is_sender: whether we send media.
        average_rtcp_bytes: mean size of compound packets, headers of UDP and IP included.
        is_first: no RTCP packet has been sent yet.
        randomness: from 0 to below 1, drawn anew each time, so that participants do not fall in step.
    Source: RFC 3550 §6.3.1
    """
    share_bps, sharers = RTCP_SHARE * session_bandwidth_bps, members
    if senders <= members * SENDER_SHARE:
        share_bps *= SENDER_SHARE if is_sender else 1 - SENDER_SHARE
        sharers = senders if is_sender else members - senders
    fair_s = average_rtcp_bytes * 8 * sharers / share_bps
    minimum_s = MIN_INTERVAL_S / 2 if is_first else MIN_INTERVAL_S
    return max(fair_s, minimum_s) * (0.5 + randomness) / _COMPENSATION
