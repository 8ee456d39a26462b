import pytest

from lalmesh.allowance import Allowance
from lalmesh.errors import LimitExceeded


def test_a_burst_is_owed_and_no_more() -> None:
    allowance = Allowance("requests", of_a_read_bytes=10, burst_bytes=100)
    for _ in range(10):
        allowance.take(10)
    with pytest.raises(LimitExceeded, match="requests, their weight in bytes, of 101, limit 100"):
        allowance.take(1)


def test_bytes_pay_for_what_is_asked_and_a_read_brings_some_in_any_case() -> None:
    allowance = Allowance("requests", of_a_read_bytes=10, burst_bytes=100)
    for size_bytes in [1] * 1000 + [50] * 1000:
        allowance.read(size_bytes)
        allowance.take(max(10, size_bytes))


def test_what_came_before_is_not_saved_up() -> None:
    allowance = Allowance("requests", of_a_read_bytes=10, burst_bytes=100)
    allowance.read(1_000_000)
    allowance.read(40)
    allowance.take(140)
    with pytest.raises(LimitExceeded):
        allowance.take(1)
