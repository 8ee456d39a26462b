"""The benchmark of a link counts only samples in which all units came, and says itself what it was given."""

from argparse import Namespace

from bench import link
from lalmesh.runtime.link import LinkLimits


def sample(*, units_per_s: float = 770, missing: int = 0, worst_ms: float = 5) -> link.Sample:
    return link.Sample(10, 0, 20, 10, units_per_s, 100, 1, 2, worst_ms, missing)


def test_a_sample_that_units_are_missing_in_or_late_in_is_worthless() -> None:
    found = [sample().problem, sample(missing=3).problem, sample(units_per_s=700).problem]
    assert found == ["", "3 units were lost", "700 units a second came, of 770"]


def test_a_line_is_of_medians_and_of_the_worst_of_all() -> None:
    line = link.row([sample(), sample(worst_ms=9), sample(worst_ms=7)])
    assert (line[:2], line[-1], len(line)) == (["10", "default"], "9.0", len(link.HEAD))


def test_the_text_says_what_was_measured_and_what_the_defaults_are() -> None:
    said = link.introduction(Namespace(rounds=3, seconds=8))
    limits = LinkLimits()
    assert f"{link.STREAM_BPS / 1e6:g} Mbit/s" in said
    assert f"{limits.flush_s * 1000:g} ms, and {limits.busy_flush_s * 1000:g}" in said
    assert [link.title(streams) for streams in ((1,), (1, 10, 100))] == [
        "Link: 1 streams between two nodes",
        "Link: 1, 10 and 100 streams between two nodes",
    ]


def test_every_setting_takes_turns_under_a_name_of_its_own() -> None:
    found = [each.label for each in link.subjects(Namespace(streams=(1, 10), flush_ms=(0, 5)))]
    assert found == ["streams-1-flush-default", "streams-1-flush-5", "streams-10-flush-default", "streams-10-flush-5"]
