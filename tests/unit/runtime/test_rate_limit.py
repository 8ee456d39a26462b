"""A bucket for each address."""

from __future__ import annotations

import pytest

from lalmesh.runtime.rate_limit import MAX_ADDRESSES, RateLimit, network_of


def test_an_address_may_come_so_often_and_again_in_time() -> None:
    now = [0.0]
    limit = RateLimit(0.1, 6, lambda: now[0])
    assert [limit.take("192.0.2.1") for _ in range(8)] == [True] * 6 + [False] * 2
    assert limit.is_spent("192.0.2.1")
    assert limit.is_spent("::ffff:192.0.2.1")
    assert not limit.is_spent("192.0.2.2")
    now[0] = 10.0
    assert not limit.is_spent("192.0.2.1")
    assert [limit.take("192.0.2.1") for _ in range(2)] == [True, False]


def test_who_goes_on_coming_too_often_still_gets_his_rate() -> None:
    now = [0.0]
    limit = RateLimit(2, 4, lambda: now[0])
    passed = 0
    for tick in range(1000):
        now[0] = tick / 100
        passed += limit.take("192.0.2.1")
    assert passed == 4 + 19


def test_a_full_bucket_holds_no_more_than_a_burst() -> None:
    now = [0.0]
    limit = RateLimit(10, 3, lambda: now[0])
    limit.take("192.0.2.1")
    now[0] = 1000.0
    assert [limit.take("192.0.2.1") for _ in range(4)] == [True, True, True, False]


def test_a_subscriber_with_ipv6_is_one() -> None:
    limit = RateLimit(1, 1, lambda: 0.0)
    limit.take("2001:db8::1")
    assert limit.is_spent("2001:db8::2")
    assert not limit.is_spent("2001:db8:0:1::2")


def test_0_is_no_limit_and_a_limit_can_change() -> None:
    limit = RateLimit(0, 0, lambda: 0.0)
    assert all(limit.take("192.0.2.1") for _ in range(100))
    assert len(limit) == 0
    limit.set(1, 1)
    assert [limit.take("192.0.2.1") for _ in range(2)] == [True, False]


def test_addresses_that_are_remembered_are_bounded_and_who_hammers_is_not_the_one_that_is_forgotten() -> None:
    limit = RateLimit(1, 1, lambda: 0.0)
    for number in range(2 * MAX_ADDRESSES):
        limit.take(f"host{number}")
        limit.take("192.0.2.1")
    assert len(limit) == MAX_ADDRESSES
    assert limit.is_spent("192.0.2.1")
    assert not limit.is_spent("host0")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("no:address", "no:address"),
    ],
)
def test_what_has_a_bucket_of_its_own(address: str, network: str) -> None:
    assert network_of(address) == network
