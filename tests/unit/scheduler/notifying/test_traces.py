"""The trace of an event is that of the publication which its stream has, where its node did not know."""

from lalmesh.names import StreamKey
from lalmesh.runtime.events import Event
from lalmesh.runtime.telemetry import TraceContext
from services.scheduler.notifying._traces import StreamTraces

CAM, OTHER = StreamKey.of("live", "cam"), StreamKey.of("live", "other")
FIRST, SECOND = TraceContext(1, 1), TraceContext(2, 2)


def event(kind: str, trace: TraceContext | None = None, stream: StreamKey | None = CAM) -> Event:
    return Event(id="x", kind=kind, at_us=1, node="edge", stream=stream, trace=trace)


def test_what_comes_between_begin_and_end_of_a_publication_is_a_part_of_it() -> None:
    traces = StreamTraces()
    told = [event("sub_start"), event("pub_start", FIRST), event("sub_start"), event("owner_moved"), event("pub_stop", FIRST)]
    assert [traces.of(each) for each in told] == [None, FIRST, FIRST, FIRST, FIRST]


def test_an_event_that_has_a_span_of_its_own_keeps_it() -> None:
    traces = StreamTraces()
    traces.of(event("pub_start", FIRST))
    assert traces.of(event("sub_stop", SECOND)) == SECOND


def test_what_comes_of_a_publication_that_is_over_is_a_part_of_it_still_and_a_player_that_waits_is_not() -> None:
    traces = StreamTraces()
    for each in (event("pub_start", FIRST), event("pub_stop", FIRST)):
        traces.of(each)
    assert [traces.of(event(kind)) for kind in ("recording_done", "hls_make_ts", "sub_start", "stream_not_found")] == [
        FIRST,
        FIRST,
        None,
        None,
    ]


def test_the_end_of_one_that_was_taken_over_ends_nothing() -> None:
    traces = StreamTraces()
    for each in (event("pub_start", FIRST), event("pub_start", SECOND), event("pub_stop", FIRST)):
        traces.of(each)
    assert traces.of(event("sub_start")) == SECOND


def test_a_publication_that_is_not_traced_ends_what_was_known() -> None:
    traces = StreamTraces()
    traces.of(event("pub_start", FIRST))
    assert traces.of(event("pub_start")) is None
    assert traces.of(event("sub_start")) is None


def test_events_about_no_stream_or_another_are_parts_of_nothing() -> None:
    traces = StreamTraces()
    traces.of(event("pub_start", FIRST))
    assert traces.of(event("node_up", stream=None)) is None
    assert traces.of(event("sub_start", stream=OTHER)) is None


def test_so_many_streams_are_remembered() -> None:
    traces = StreamTraces(limit=1)
    traces.of(event("pub_start", FIRST))
    traces.of(event("pub_start", SECOND, OTHER))
    assert [traces.of(event("sub_start", stream=stream)) for stream in (CAM, OTHER)] == [None, SECOND]
