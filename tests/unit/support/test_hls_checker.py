"""The checker passes a faultless live playlist and finds every fault that is planted in one."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from support.hls_checker import HlsChecker, Violation, check
from support.hls_text import merge, read_playlist

URL = "http://h/hls/live/cam/live.m3u8"
PART_S = Decimal("0.5")
PARTS = 4  #: in a segment of two seconds

Poll = tuple[float, str, str]


@dataclass
class Stream:
    """A low-latency playlist in the making, written here by hand."""

    listed: list[list[str]] = field(default_factory=list)  #: the lines of each segment, its parts first
    opened: list[str] = field(default_factory=list)
    removed: int = 0
    discontinuities: int = 0  #: that were removed
    epoch: int = 2
    skip: int = 0

    @property
    def number(self) -> int:
        return self.removed + len(self.listed)

    def date_time(self) -> str:
        return f"#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:{self.number * 2 // 60:02d}:{self.number * 2 % 60:02d}.000Z"

    def part(self) -> None:
        if not self.opened:
            self.opened = [self.date_time()]
        index = sum("EXT-X-PART" in line for line in self.opened)
        self.opened.append(f'#EXT-X-PART:DURATION=0.50000,URI="1.{self.epoch}-{self.number}.{index}.m4s"')

    def segment(self, *, discontinuity: bool = False) -> None:
        if discontinuity:
            self.opened = ["#EXT-X-DISCONTINUITY", self.date_time()]
        while sum("EXT-X-PART" in line for line in self.opened) < PARTS:
            self.part()
        self.listed.append([*self.opened, "#EXTINF:2.00000,", f"1.{self.epoch}-{self.number}.m4s"])
        self.opened = []

    def drop(self) -> None:
        self.discontinuities += sum("DISCONTINUITY" in line for line in self.listed.pop(0))
        self.removed += 1

    def hint(self) -> str:
        index = sum("EXT-X-PART" in line for line in self.opened)
        return f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="1.{self.epoch}-{self.number}.{index}.m4s"'

    def text(self) -> str:
        kept = self.listed[self.skip :]
        near = max(0, len(kept) - 3)
        segments = [[line for line in lines if "EXT-X-PART:" not in line] if i < near else lines for i, lines in enumerate(kept)]
        head = [
            "#EXTM3U",
            f"#EXT-X-VERSION:{9 if self.skip else 6}",
            "#EXT-X-TARGETDURATION:2",
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,HOLD-BACK=6.0,CAN-SKIP-UNTIL=12.0",
            "#EXT-X-PART-INF:PART-TARGET=0.5",
            f"#EXT-X-MEDIA-SEQUENCE:{self.removed}",
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{self.discontinuities}",
            f"#EXT-X-SKIP:SKIPPED-SEGMENTS={self.skip}" if self.skip else '#EXT-X-MAP:URI="1.2-init0.mp4"',
        ]
        return "\n".join([*head, *(line for lines in segments for line in lines), *self.opened, self.hint()]) + "\n"


def a_series(count: int = 14) -> list[Poll]:
    """Polls after each part: segments leave from the fifth on, the seventh follows a discontinuity."""
    stream = Stream()
    polls: list[Poll] = []
    for number in range(count):
        if number == 7:
            stream.opened = ["#EXT-X-DISCONTINUITY", stream.date_time()]
        for _ in range(PARTS - 1):
            stream.part()
            polls.append((len(polls) / 2, URL, stream.text()))
        stream.segment()
        if len(stream.listed) > 5:
            stream.drop()
        polls.append((len(polls) / 2, URL, stream.text()))
    return polls


def rules(violations: list[Violation]) -> set[str]:
    return {violation.rule for violation in violations}


def spoilt(old: str, new: str, *, at: int = 40, on: bool = False) -> set[str]:
    """The rules broken where `old` is `new` in one poll of a faultless series, or from that one on."""
    series = a_series()
    last = len(series) if on else at + 1
    assert old in series[at][2]
    changed = [(at_s, url, body.replace(old, new) if at <= i < last else body) for i, (at_s, url, body) in enumerate(series)]
    return rules(check(changed))


def test_a_faultless_series_passes() -> None:
    assert check(a_series()) == []


def test_a_faultless_ts_series_passes() -> None:
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-ALLOW-CACHE:NO\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:{0}\n"
    polls = [
        (3.0 * first, URL, head.format(first) + "".join(f"#EXTINF:2.967,\n1.2-{n}.ts\n" for n in range(first, first + 4)))
        for first in range(5)
    ]
    assert check(polls) == []
    assert check([*polls, (14.0, URL, polls[-1][2] + "#EXT-X-ENDLIST\n")]) == []


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("#EXTM3U", "#EXTM3", "syntax"),
        ("#EXT-X-TARGETDURATION:2\n", "", "syntax"),
        ("#EXT-X-VERSION:6\n", "#EXT-X-VERSION:6\n#EXT-X-VERSION:6\n", "syntax"),
        ("#EXT-X-TARGETDURATION:2", "#EXT-X-TARGETDURATION:two", "syntax"),
        ("#EXTINF:2.00000,\n", "", "syntax"),
        ('DURATION=0.50000,URI="1.2-10.0.m4s"', 'DURATION=0.50000,URI=1.2 "', "syntax"),
        ("#EXT-X-VERSION:6", "#EXT-X-VERSION:5", "version"),
        ("#EXT-X-TARGETDURATION:2", "#EXT-X-TARGETDURATION:1", "target"),
        ("CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=11.9", "control"),
        ("HOLD-BACK=6.0", "HOLD-BACK=5.9", "control"),
        ("PART-HOLD-BACK=1.5", "PART-HOLD-BACK=0.9", "control"),
        ("PART-HOLD-BACK=1.5,", "", "control"),
        ("#EXT-X-PART-INF:PART-TARGET=0.5\n", "", "part-target"),
        ('DURATION=0.50000,URI="1.2-9.1.m4s"', 'DURATION=0.51000,URI="1.2-9.1.m4s"', "part-target"),
        ('DURATION=0.50000,URI="1.2-9.1.m4s"', 'DURATION=0.42000,URI="1.2-9.1.m4s"', "part-short"),
        ('DURATION=0.50000,URI="1.2-9.3.m4s"', 'DURATION=0.45000,URI="1.2-9.3.m4s"', "part-sum"),
        ("#EXT-X-MAP", "#EXT-X-MAPS", "map"),
        ("T00:00:18.000Z", "T00:00:18.200Z", "date-time"),
        ("T00:00:18.000Z", "T00:00:15.900Z", "date-time"),
        ("#EXT-X-DISCONTINUITY-SEQUENCE:0\n", "", "discontinuity-sequence"),
        ("#EXT-X-PRELOAD-HINT", "#EXT-X-ENDLIST\n#EXT-X-PRELOAD-HINT", "hint"),
        ("#EXT-X-TARGETDURATION:2", "#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:LIVE", "syntax"),
        ("#EXT-X-PRELOAD-HINT", '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="x.m4s"\n#EXT-X-PRELOAD-HINT', "syntax"),
    ],
)
def test_what_is_wrong_in_one_playlist_is_found(old: str, new: str, rule: str) -> None:
    assert rule in spoilt(old, new)


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("#EXT-X-TARGETDURATION:2", "#EXT-X-TARGETDURATION:3", "target"),
        ("PART-TARGET=0.5", "PART-TARGET=0.55", "part-target"),
        ("PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.6", "control"),
        ("CAN-BLOCK-RELOAD=YES,", "", "control"),
        ("#EXT-X-TARGETDURATION:2", "#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-TARGETDURATION:2", "independent"),
        ("#EXT-X-TARGETDURATION:2", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-TARGETDURATION:2", "kind"),
        ("#EXTINF:2.00000,\n1.2-8.m4s", "#EXTINF:2.10000,\n1.2-8.m4s", "segment"),
        ("1.2-6.m4s", "1.3-6.m4s", "segment"),
        ("init0", "init1", "segment"),
        ("T00:00:12.000Z", "T00:00:12.050Z", "segment"),
        ("#EXTINF:2.00000,\n1.2-6.m4s", "#EXT-X-GAP\n#EXTINF:2.00000,\n1.2-6.m4s", "gap"),
        ("1.2-8.1.m4s", "1.3-8.1.m4s", "parts"),
        ("1.2-10.0.m4s", "1.2-10.9.m4s", "parts"),
        ("#EXT-X-DISCONTINUITY-SEQUENCE:0", "#EXT-X-DISCONTINUITY-SEQUENCE:1", "discontinuity-sequence"),
        ("1.2-8.m4s", "1.2-7.m4s", "uri"),
    ],
)
def test_what_must_not_change_and_did_is_found(old: str, new: str, rule: str) -> None:
    assert rule in spoilt(old, new, at=41)
    assert rule in spoilt(old, new, at=41, on=True)


def test_an_older_playlist_after_a_newer_one_is_found() -> None:
    polls = a_series()
    swapped = [*polls[:30], polls[31], polls[30], *polls[32:]]  # the answer of a replica that is behind
    assert {"media-sequence", "removal"} <= rules(check(swapped))


def test_a_playlist_that_gets_too_short_is_found() -> None:
    polls: list[Poll] = []
    for count in (6, 2):
        stream = Stream()
        for _ in range(6):
            stream.segment()
        while len(stream.listed) > count:
            stream.drop()
        polls.append((0.0, URL, stream.text()))
    assert rules(check(polls)) == {"removal"}


def test_a_discontinuity_that_leaves_uncounted_is_found() -> None:
    polls = a_series(16)
    last = polls[-1]
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:1\n" in last[2]
    assert rules(check([*polls[:-1], (*last[:2], last[2].replace("SEQUENCE:1\n", "SEQUENCE:0\n"))])) == {"discontinuity-sequence"}


def test_segments_that_leave_unseen_may_have_had_discontinuities() -> None:
    polls = a_series(30)
    assert check([polls[0], *polls[100:]]) == []


def test_a_segment_removed_from_an_event_is_found() -> None:
    assert "removal" in spoilt("#EXT-X-TARGETDURATION:2", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-TARGETDURATION:2", at=0, on=True)


def test_a_part_that_was_not_the_one_hinted_at_is_found() -> None:
    assert rules(check(a_series())) == set()
    assert "hint" in spoilt('HINT:TYPE=PART,URI="1.2-10.1.m4s"', 'HINT:TYPE=PART,URI="1.2-10.7.m4s"')


def test_parts_that_leave_too_early_are_found() -> None:
    stream = Stream()
    for _ in range(4):
        stream.segment()
    before = stream.text()
    after = before
    for index in range(PARTS):
        after = after.replace(f'#EXT-X-PART:DURATION=0.50000,URI="1.2-2.{index}.m4s"\n', "")
    assert rules(check([(0.0, URL, before), (0.1, URL, after)])) == {"parts"}


def test_a_playlist_that_goes_on_after_its_end_is_found() -> None:
    polls = a_series()
    ended = polls[39][2].replace(polls[39][2].splitlines()[-1], "#EXT-X-ENDLIST")
    assert check([*polls[:40], (20.0, URL, ended)]) == []
    assert rules(check([*polls[:40], (20.0, URL, ended), polls[40]])) == {"end"}


def test_a_playlist_that_stands_still_is_found_once() -> None:
    polls = a_series()
    still = [(polls[-1][0] + wait, URL, polls[-1][2]) for wait in (0.9, 1.1, 3.4, 3.6, 5.0)]
    found = [(round(violation.at_s - polls[-1][0], 3), violation.rule) for violation in check([*polls, *still])]
    assert found == [(1.1, "part-stall"), (3.6, "stall")]


def test_a_worker_that_takes_over_may_write_the_open_segment_anew() -> None:
    stream = Stream()
    for _ in range(5):
        stream.segment()
    stream.part()
    stream.part()
    polls = [(0.0, URL, stream.text())]
    stream.epoch, stream.opened = 3, []
    polls.append((0.3, URL, stream.text()))  # its parts have vanished for a while
    stream.part()
    polls.append((0.6, URL, stream.text()))
    stream.segment()
    polls.append((0.9, URL, stream.text()))
    assert check(polls) == []


def test_parts_that_vanish_and_come_back_under_the_same_epoch_are_found() -> None:
    stream = Stream()
    for _ in range(5):
        stream.segment()
    stream.part()
    stream.part()
    polls = [(0.0, URL, stream.text())]
    stream.opened = []
    polls.append((0.1, URL, stream.text().replace(stream.hint() + "\n", "")))
    stream.part()
    polls.append((0.2, URL, stream.text()))
    assert rules(check(polls)) == {"parts"}


def test_a_worker_that_takes_over_may_not_touch_whole_segments() -> None:
    stream = Stream()
    for _ in range(5):
        stream.segment()
    before = stream.text()
    stream.epoch = 3
    after = stream.text().replace("1.2-4.m4s", "1.3-4.m4s")
    assert rules(check([(0.0, URL, before), (0.1, URL, after)])) == {"segment"}


def a_long_stream(discontinuity_at: int = -1) -> Stream:
    stream = Stream()
    for number in range(12):
        stream.segment(discontinuity=number == discontinuity_at)
    return stream


@pytest.mark.parametrize("discontinuity_at", [-1, 2, 4, 8])
def test_a_delta_playlist_merges_to_the_full_one(discontinuity_at: int) -> None:
    stream = a_long_stream(discontinuity_at)
    full = stream.text()
    stream.skip = 5
    assert check([(0.0, URL, full), (0.1, f"{URL}?_HLS_skip=YES", stream.text()), (0.2, URL, full)]) == []
    known = {segment.number: segment for segment in read_playlist(URL, full).segments}
    merged = merge(read_playlist(URL, stream.text()), known)
    assert [segment.discontinuity_sequence for segment in merged.segments] == [
        segment.discontinuity_sequence for segment in read_playlist(URL, full).segments
    ]


@pytest.mark.parametrize(
    ("skip", "query", "seen", "old", "new"),
    [
        (7, "?_HLS_skip=YES", True, "", ""),  # ten seconds are left, of twelve
        (5, "", True, "", ""),
        (5, "?_HLS_skip=YES", False, "", ""),  # a player that knows nothing cannot merge it
        (5, "?_HLS_skip=YES", True, ",CAN-SKIP-UNTIL=12.0", ""),
    ],
)
def test_a_wrong_delta_playlist_is_found(skip: int, query: str, seen: bool, old: str, new: str) -> None:
    stream = a_long_stream()
    full = stream.text().replace(old, new) if old else stream.text()
    stream.skip = skip
    delta = stream.text().replace(old, new) if old else stream.text()
    assert "delta" in rules(check([*([(0.0, URL, full)] if seen else []), (0.1, URL + query, delta)]))


def test_a_delta_playlist_of_too_low_a_version_is_found() -> None:
    stream = a_long_stream()
    full = stream.text()
    stream.skip = 5
    delta = stream.text().replace("VERSION:9", "VERSION:8")
    assert rules(check([(0.0, URL, full), (0.1, f"{URL}?_HLS_skip=YES", delta)])) == {"version"}


def test_a_parameter_that_is_lost_on_a_line_is_found() -> None:
    body = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n1.2-0.ts?token=a%2Fb\n"
    assert check([(0.0, f"{URL}?token=a%2Fb&_HLS_msn=0", body)]) == []
    assert check([(0.0, f"{URL}?token=a%2Fb&session_id=1", body)]) == []
    assert rules(check([(0.0, f"{URL}?token=a%2Fb&key=1", body)])) == {"query"}


def test_a_file_whose_content_changes_is_found() -> None:
    checker = HlsChecker()
    for content in (b"one", b"one", b"two"):
        checker.see_file(0.0, "http://other/hls/live/cam/1.2-3.ts?token=x", content)
    assert [violation.rule for violation in checker.violations] == ["content"]


def test_a_violation_says_when_and_by_which_section() -> None:
    (violation,) = check([(1.5, URL, "#EXTM3U\n#EXT-X-VERSION:1\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.5,\na.ts\n")])
    assert str(violation) == "1.500 s: version (§8): version 1, the tags need 3"
