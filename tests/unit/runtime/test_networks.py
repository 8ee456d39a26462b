from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.runtime.networks import Networks, parse_address, parse_network
from lalmesh.runtime.zones import Zones


def test_a_network_that_is_written_as_mapped_to_ipv6_is_the_one_of_ipv4() -> None:
    assert str(parse_network("::ffff:192.0.2.0/120")) == "192.0.2.0/24"
    assert "192.0.2.9" in Networks(["::ffff:192.0.2.0/120"])
    assert "::ffff:192.0.2.9" in Networks(["192.0.2.0/24"])
    assert "192.0.2.9" not in Networks(["::/0"])
    assert Zones({"west": ["::ffff:192.0.2.0/120"]}).of("192.0.2.9") == "west"


def test_bits_beyond_the_prefix_do_not_count_unless_it_is_strict() -> None:
    assert str(parse_network("192.0.2.77/24")) == "192.0.2.0/24"
    with pytest.raises(ValueError, match="host bits"):
        parse_network("192.0.2.77/24", strict=True)


@pytest.mark.parametrize("text", ["", "x", "192.0.2.0/33", "1.2.3", "fe80::1%eth0", "fe80::1%1/128"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_network(text)


@given(st.text())
def test_any_text_is_an_address_or_is_not(text: str) -> None:
    assert parse_address(text) is None or text.partition("%")[0] in Networks([text.partition("%")[0]])
