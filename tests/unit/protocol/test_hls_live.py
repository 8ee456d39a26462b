"""Windows, texts and snapshots together: whatever a segmenter does, players see a playlist that keeps the rules."""

from __future__ import annotations

import copy
import functools
import json
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from support.hls_checker import HlsChecker

from lalmesh.protocol.hls import Part, PlaylistWindow, Segment, render_media

SECOND = 90_000
TARGET_S = 2
PART_TARGET = SECOND // 2
PATH = "/hls/live/cam/live.m3u8"


@dataclass
class Segmenter:
    """Makes a playlist and shows it to a checker after each step."""

    part_target: int | None
    epoch: int = 1
    dts: int = 0
    init: int = 0
    checker: HlsChecker = field(default_factory=HlsChecker)
    skip: bool = False

    def __post_init__(self) -> None:
        self.window = PlaylistWindow(target_duration_s=TARGET_S, first_number=7, list_size=9, part_target=self.part_target)

    @property
    def at_us(self) -> int:
        return 1_767_268_800_000_000 + self.dts * 1_000_000 // SECOND

    def name(self, what: str) -> str:
        return f"1.{self.epoch}-{what}"

    def show(self) -> None:
        query = "?token=x&_HLS_skip=YES" if self.skip else "?token=x"
        text = render_media(self.window.playlist, skip=self.skip, query="token=x")
        self.checker.see(self.dts / SECOND, f"http://h{PATH}{query}", text)
        self.skip = not self.skip  # a player that asks for all from time to time

    def uncut(self, duration: int) -> None:
        """A segment that has no parts, where the playlist has some."""
        number = self.window.next_number
        self.window.begin_segment(program_date_time_us=self.at_us, map_uri=self.name(f"init{self.init}.mp4"))
        self.dts += duration
        self.window.end_segment(self.name(f"{number}.m4s"), duration, hint_uri=self.name(f"{number + 1}.0.m4s"))
        self.show()

    def segment(self, durations: list[int], *, discontinuity: bool = False) -> None:
        if self.part_target is None:
            self.whole(sum(durations), discontinuity=discontinuity)
            return
        number = self.window.next_number
        self.init += discontinuity
        self.window.begin_segment(
            program_date_time_us=self.at_us, discontinuity=discontinuity, map_uri=self.name(f"init{self.init}.mp4")
        )
        for index, duration in enumerate(durations):
            part = Part(self.name(f"{number}.{index}.m4s"), duration, independent=index == 0)
            self.window.add_part(part, hint_uri=self.name(f"{number}.{index + 1}.m4s") if index + 1 < len(durations) else "")
            self.dts += duration
            if index + 1 < len(durations):
                self.show()
        self.window.end_segment(self.name(f"{number}.m4s"), sum(durations), hint_uri=self.name(f"{number + 1}.0.m4s"))
        self.show()

    def whole(self, duration: int, *, discontinuity: bool = False, gap: bool = False) -> None:
        number = self.window.next_number
        uri = self.name(f"{number}.{'ts' if self.part_target is None else 'm4s'}")
        map_uri = "" if self.part_target is None or gap else self.name(f"init{self.init}.mp4")
        self.window.add_segment(Segment(number, uri, duration, self.at_us, discontinuity, gap, map_uri))
        self.dts += duration
        self.show()

    def take_over(self) -> None:
        """Another worker goes on from the stored state; the segment that was begun is lost with its memory."""
        if self.part_target is not None:
            number = self.window.next_number
            self.window.begin_segment(program_date_time_us=self.at_us, map_uri=self.name(f"init{self.init}.mp4"))
            self.window.add_part(Part(self.name(f"{number}.0.m4s"), PART_TARGET))
            self.show()
        self.window = PlaylistWindow.from_state(json.loads(json.dumps(self.window.to_state())))
        self.epoch += 1


#: parts of a segment; the last one may be short, but not shorter than a frame
DURATIONS = st.tuples(
    st.lists(st.integers(PART_TARGET * 85 // 100 + 1, PART_TARGET), max_size=3), st.integers(20 * 90, PART_TARGET)
).map(lambda drawn: [*drawn[0], drawn[1]])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("segment"), DURATIONS),
        st.tuples(st.just("discontinuity"), DURATIONS),
        st.tuples(st.just("gap"), st.just([TARGET_S * SECOND])),
        st.tuples(st.just("uncut"), DURATIONS),
        st.tuples(st.just("takeover"), DURATIONS),
    ),
    max_size=12,
)


@functools.cache
def begun(part_target: int | None) -> Segmenter:
    """One whose playlist is long enough for delta playlists."""
    segmenter = Segmenter(part_target)
    for _ in range(8):
        segmenter.segment([PART_TARGET] * 4)
    return segmenter


@given(st.sampled_from([None, PART_TARGET]), STEPS)
def test_whatever_a_segmenter_does_the_checker_finds_nothing(part_target: int | None, steps: list[tuple[str, list[int]]]) -> None:
    segmenter = copy.deepcopy(begun(part_target))
    for step, durations in steps:
        if step == "gap":
            segmenter.whole(durations[0], gap=True)
            continue
        if step == "uncut" and part_target is not None:
            segmenter.uncut(sum(durations))
            continue
        if step == "takeover":
            segmenter.take_over()
        segmenter.segment(durations, discontinuity=step != "segment")
    segmenter.window.end()
    segmenter.show()
    assert [str(violation) for violation in segmenter.checker.violations] == []
