"""The benchmark of HLS compares what ran in one round, and counts only samples that show something."""

from argparse import Namespace

import pytest

from bench import _asking, _segmenting, hls
from bench._load import Answers, Usage
from bench._rounds import Found


def segmented(*found: tuple[float, float]) -> list[_segmenting.Sample | None]:
    """One a round, of percent of a core and MB."""
    return [_segmenting.Sample(Usage(0, cpu, cpu, mb), 1.0, 1.0, 0) for cpu, mb in found]


def answered(*us_an_answer: float, failed: int = 0) -> list[_asking.Sample | None]:
    """One a round, of microseconds an answer."""
    return [_asking.Sample(Usage(0, us / 10, us / 10, 50), Answers(1000, 3000, 1, 2, failed)) for us in us_an_answer]


def test_what_segmenting_adds_is_the_median_difference_within_a_round_for_each_stream() -> None:
    found = Found(
        {
            "segmenting-none-10": segmented((10, 100), (20, 110), (12, 100)),
            "segmenting-ts-10": segmented((15, 150), (26, 170), (30, 150)),
        }
    )
    assert _segmenting.more_per_stream(_segmenting.Subject("ts", 10), found) == (0.6, 5.0)
    assert _segmenting.row(_segmenting.Subject("ts", 10), found)[2:] == ["26.0", "15.0-30.0", "0.60", "150", "5.0"]


def test_a_difference_needs_both_in_one_round() -> None:
    found = Found({"segmenting-none-1": [*segmented((10, 100)), None], "segmenting-ll-1": [None, *segmented((12, 104))]})
    assert _segmenting.more_per_stream(_segmenting.Subject("ll", 1), found) == (None, None)
    assert _segmenting.more_per_stream(_segmenting.Subject("none", 1), found) == (None, None)


def test_a_sample_of_streams_that_did_not_all_arrive_or_were_not_all_segmented_is_worthless() -> None:
    used = Usage(0, 1, 1, 50)
    problems = [_segmenting.Sample(used, *rest).problem for rest in ((1.0, 1.0, 0), (0.5, 1.0, 0), (1.0, 0.5, 0), (1.0, 1.0, 1))]
    assert problems[0] == ""
    assert all(problems[1:])


def test_an_answer_is_compared_with_that_of_nginx_in_the_same_round() -> None:
    found = Found(
        {
            "nginx-segment": [*answered(100, 200), None],
            "hls-stored": answered(300, 300, 900),
            "edge-blocking": answered(5, 5, 5),
        }
    )
    assert _asking.ratio_to_nginx(_asking.Subject("hls", "stored"), found) == 2.25
    assert _asking.ratio_to_nginx(_asking.Subject("edge", "blocking"), found) is None
    assert _asking.row(_asking.Subject("hls", "stored"), found)[3:7] == ["1000", "30.0", "300", "2.25"]


def test_every_row_has_a_cell_for_every_head_and_a_label_of_its_own() -> None:
    labels = [subject.label for subject in _asking.subjects()] + [subject.label for subject in _segmenting.subjects((1, 10))]
    assert len(labels) == len(set(labels)) == 24
    assert len(_asking.row(_asking.Subject("hls", "part"), Found({"hls-part": answered(1)}))) == len(_asking.HEAD)
    assert len(_segmenting.row(_segmenting.Subject("ts", 1), Found({"segmenting-ts-1": segmented((1, 1))}))) == len(
        _segmenting.HEAD
    )


def test_a_sample_with_failed_requests_is_worthless() -> None:
    assert [sample.problem for sample in (*answered(1), *answered(1, failed=3)) if sample] == ["", "3 requests failed"]


def test_what_has_no_turn_has_no_sample_and_a_cluster_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rig:
        def __init__(self, *_: object) -> None:
            pass

        def measure(self, subject: _segmenting.Subject) -> _segmenting.Sample:
            return _segmenting.Sample(Usage(0, 1, 1, 50), 1.0, 1.0, 0 if subject.kind != "ll" else 3)

    def broken(*_: object) -> None:
        raise AssertionError("no etcd")

    monkeypatch.setattr(_segmenting, "Rig", Rig)
    monkeypatch.setattr(_asking, "Rig", broken)
    monkeypatch.setattr(_segmenting, "subjects", lambda _: [_segmenting.Subject(kind, 1) for kind in ("ts", "ll", "both")])
    monkeypatch.setattr(_asking, "subjects", lambda: [_asking.Subject("hls", "part"), _asking.Subject("edge", "part", "no wrk")])
    bench = hls.Bench(Namespace(streams=(1,), only="", rounds=2, pin=False, warm_up=0, seconds=0))
    bench.run()
    assert [[one is not None for one in mine] for mine in bench.cut.samples.values()] == [
        [True, False],
        [False, False],
        [True, True],
    ]
    assert bench.cut.problems == {"segmenting-ll-1": ["3 units or segments were given up"]}
    assert bench.asked.samples == {"hls-part": [None, None], "edge-part": []}
    assert bench.asked.problems == {"cluster": ["no etcd", "no etcd"]}
    assert bench.asked.left_out == {"edge-part": "no wrk"}
