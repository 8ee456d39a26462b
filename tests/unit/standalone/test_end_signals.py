"""Signals to end: the first, the same once more, and a second."""

from __future__ import annotations

from services.standalone.end_signals import SAME_SIGNAL_S, EndSignals, Word


def test_the_first_is_to_end_and_a_later_one_to_do_so_at_once() -> None:
    signals = EndSignals()
    assert [signals.told(now) for now in (0.0, 60.0, 60.1)] == [Word.END, Word.AT_ONCE, Word.AT_ONCE]


def test_the_same_word_said_twice_is_said_once() -> None:
    signals = EndSignals()
    times = (7.0, 7.0, 7.0 + SAME_SIGNAL_S / 2, 7.0 + SAME_SIGNAL_S)
    assert [signals.told(now) for now in times] == [Word.END, Word.NOTHING, Word.NOTHING, Word.AT_ONCE]
