"""How long requests wait, and who waits for whom."""

from __future__ import annotations

RELOAD_TARGETS = 3  #: target durations that a blocking request waits at most (rfc8216bis §6.2.5.2)
ENOUGH_WAIT_S = 6.0  #: for enough segments, once there is one: players give a playlist up after 10 s
ANSWER_S = 15.0  #: for the owner to give a file that is there: from its memory, or from storage, whose deadline is 10 s


def longest_wait_s(wait_s: float, max_target_s: int) -> float:
    """How long one request may wait: for the first segment (`wait_s`), for enough of them, then for what it asks for."""
    return wait_s + ENOUGH_WAIT_S + RELOAD_TARGETS * max_target_s


def waiting_answer_s(wait_s: float, max_target_s: int) -> float:
    """For the owner to answer a request that waits for what comes, where the first segment is waited for `wait_s`."""
    return longest_wait_s(wait_s, max_target_s) + ANSWER_S
