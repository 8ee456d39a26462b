"""Where an edge read streams last: bounded, and by the highest notice."""

from __future__ import annotations

from dataclasses import replace

from support.edge_fakes import STREAM, location

from services.edge.last_places import LastPlaces


def test_it_knows_where_a_stream_was_last_until_it_is_over() -> None:
    places = LastPlaces()
    places.see(location(1, "o"))
    places.see(location(2, "p"))
    assert (places.of(STREAM), len(places)) == (location(2, "p"), 1)
    places.forget(STREAM)
    places.forget(STREAM)
    assert (places.of(STREAM), len(places)) == (None, 0)


def test_notice_of_a_place_that_is_not_higher_changes_nothing() -> None:
    places = LastPlaces()
    places.moved(location(1))
    assert places.of(STREAM) is None
    places.see(location(2))
    for told, known in ((location(1, "p"), "o"), (location(2, "p"), "o"), (location(3, "p"), "p")):
        places.moved(told)
        now = places.of(STREAM)
        assert now is not None
        assert now.origin.node.name == known


def test_it_remembers_those_that_were_read_last() -> None:
    places = LastPlaces(kept=2)
    streams = [STREAM._replace(name=name) for name in "abc"]
    for stream in (*streams[:2], streams[0], streams[2]):
        places.see(replace(location(1), stream=stream))
    assert [places.of(stream) is not None for stream in streams] == [True, False, True]
