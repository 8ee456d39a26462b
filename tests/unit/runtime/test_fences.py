"""What a node remembers of the epochs that it has seen."""

from __future__ import annotations

from support.edge_fakes import FIRST, SECOND, STREAM, epoch

from lalmesh.names import StreamKey
from lalmesh.runtime.fences import NO_FENCE, Fence, Fences


def test_what_is_below_the_highest_epoch_seen_is_refused() -> None:
    fences = Fences()
    fences.see(STREAM, epoch(5), FIRST)
    fences.see(STREAM, epoch(4), SECOND)
    assert fences.of(STREAM) == Fence(epoch(5), FIRST)
    assert [fences.refuses(STREAM, epoch(number), FIRST) for number in (4, 5, 6)] == [True, False, False]


def test_another_publication_under_the_same_epoch_is_refused() -> None:
    fences = Fences()
    fences.see(STREAM, epoch(5), FIRST)
    fences.see(STREAM, epoch(5), SECOND)
    assert fences.refuses(STREAM, epoch(5), SECOND)
    assert not fences.refuses(STREAM, epoch(6), SECOND)


def test_who_writes_under_an_epoch_may_be_learnt_later() -> None:
    fences = Fences()
    fences.see(STREAM, epoch(5))
    assert not fences.refuses(STREAM, epoch(5), FIRST)
    fences.see(STREAM, epoch(5), FIRST)
    assert fences.refuses(STREAM, epoch(5), SECOND)


def test_the_streams_seen_last_are_remembered() -> None:
    fences, names = Fences(kept=2), [StreamKey("live", str(number)) for number in range(3)]
    for name in (*names[:2], names[0], names[2]):
        fences.see(name, epoch(1), FIRST)
    assert [fences.of(name) for name in names] == [Fence(epoch(1), FIRST), NO_FENCE, Fence(epoch(1), FIRST)]
    assert len(fences) == 2
