from services.edge.window_count import WindowCount


def test_a_count_begins_anew_with_what_comes_after_its_window() -> None:
    now_s = 0.0
    count = WindowCount(10.0, lambda: now_s)
    assert [count.add(), count.add()] == [1, 2]
    now_s = 9.9
    assert count.add() == 3
    now_s = 10.0
    assert [count.add(), count.add()] == [1, 2]
    now_s = 99.0
    assert count.add() == 1


def test_several_count_at_once() -> None:
    count = WindowCount(10.0, lambda: 0.0)
    assert [count.add(5), count.add(), count.add(0)] == [5, 6, 6]
