"""Whose request a proxy hands on."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from lalmesh.errors import RemoteProtocolError
from lalmesh.runtime.forwarded import MAX_HOPS, ForwardedHeader, Remote, TrustedProxies, parse_forwarded, parse_node

PROXY = Remote("10.0.0.1", "10.0.0.1:5000")
CLIENT, SPOOFED = "203.0.113.7", "198.51.100.66"


def client(header: ForwardedHeader, *lines: str, proto: str = "", networks: tuple[str, ...] = ("10.0.0.0/8", "fd00::/8")) -> Remote:
    name = "Forwarded" if header is ForwardedHeader.FORWARDED else "X-Forwarded-For"
    headers = CIMultiDict([*((name, line) for line in lines), *([("X-Forwarded-Proto", proto)] if proto else [])])
    return TrustedProxies(networks, header).client_of(PROXY, headers)


def listed(*lines: str, proto: str = "") -> Remote:
    return client(ForwardedHeader.X_FORWARDED_FOR, *lines, proto=proto)


def forwarded(*lines: str) -> Remote:
    return client(ForwardedHeader.FORWARDED, *lines)


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ((CLIENT,), CLIENT),
        ((f"{SPOOFED}, {CLIENT}",), CLIENT),
        ((f"{SPOOFED}, {CLIENT}, 10.0.0.2",), CLIENT),
        ((SPOOFED, f"{CLIENT}, 10.0.0.2, fd00::1"), CLIENT),
        ((f"{CLIENT},",), PROXY.address),  # the proxy wrote nothing behind the comma
        ((), PROXY.address),
        (("unknown",), PROXY.address),
        ((f"{CLIENT}, unknown",), PROXY.address),
        ((f"{CLIENT}, unknown, 10.0.0.2",), "10.0.0.2"),
        (("10.0.0.3, 10.0.0.2",), "10.0.0.3"),  # all of them are proxies: the first asks for itself
        (("2001:db8::7",), "2001:db8::7"),
        (("::ffff:203.0.113.7",), CLIENT),
        (("'); DROP TABLE, 203.0.113.7",), CLIENT),
        ((", ".join([CLIENT, *["10.0.0.2"] * MAX_HOPS]),), "10.0.0.2"),
    ],
)
def test_the_list_is_read_from_its_end_while_proxies_are_trusted(lines: tuple[str, ...], address: str) -> None:
    assert listed(*lines).address == address


def test_a_port_and_the_scheme_are_taken_where_they_are_told() -> None:
    assert listed(f"{CLIENT}:4711", proto="https") == Remote(CLIENT, f"{CLIENT}:4711", "https")
    assert listed("[2001:db8::7]:4711", proto="ftp") == Remote("2001:db8::7", "[2001:db8::7]:4711")
    assert listed(CLIENT, proto="http, https") == Remote(CLIENT, CLIENT, "https")


@pytest.mark.parametrize(
    ("lines", "remote"),
    [
        # RFC 7239 §4 and §6.3
        ((f"for={CLIENT}",), Remote(CLIENT, CLIENT)),
        (('For="[2001:db8:cafe::17]:4711"',), Remote("2001:db8:cafe::17", "[2001:db8:cafe::17]:4711")),
        ((f"for={CLIENT};proto=https;by=203.0.113.43",), Remote(CLIENT, CLIENT, "https")),
        ((f"for={SPOOFED};proto=https, for={CLIENT}",), Remote(CLIENT, CLIENT)),
        ((f"for={CLIENT};proto=https, for=10.0.0.2;proto=http",), Remote(CLIENT, CLIENT, "https")),
        ((f"for={CLIENT}", "for=10.0.0.2"), Remote(CLIENT, CLIENT)),
        ((f"for={CLIENT}:80",), Remote(CLIENT, f"{CLIENT}:80")),  # Interop: without the quotes
        (("for=unknown",), PROXY),
        (("for=_hidden",), PROXY),
        (("by=10.0.0.1",), PROXY),
        (("",), PROXY),
        (('for="_gaz,onk"', f"for={CLIENT}"), Remote(CLIENT, CLIENT)),
        (('for="x', f"for={CLIENT}"), Remote(CLIENT, CLIENT)),  # what the client sent is never got to
    ],
)
def test_forwarded_is_read_the_same_way(lines: tuple[str, ...], remote: Remote) -> None:
    assert forwarded(*lines) == remote


def test_a_client_that_breaks_the_header_it_goes_on_in_is_not_taken_for_the_proxy() -> None:
    with pytest.raises(RemoteProtocolError):
        forwarded(f'for="x, for={CLIENT}')


def test_only_the_header_that_proxies_are_known_to_write_is_read() -> None:
    headers = CIMultiDict([("Forwarded", f"for={SPOOFED}"), ("X-Forwarded-For", CLIENT)])
    assert TrustedProxies(["10.0.0.0/8"]).client_of(PROXY, headers).address == CLIENT


def test_nobody_is_trusted_where_nobody_is_named() -> None:
    nobody = TrustedProxies()
    assert not nobody
    assert not nobody.trusts("127.0.0.1")
    assert TrustedProxies(["127.0.0.1"]).trusts("::ffff:127.0.0.1")


def test_quoted_pairs_are_unquoted_and_the_first_of_a_name_holds() -> None:
    assert parse_forwarded(r'a="x\"y,;" ; A=z , , b=') == [{"a": 'x"y,;'}, {"b": ""}]


@pytest.mark.parametrize("before", ["", "for=1.2.3.4;" * 600, 'a="x"', "a=x", ","])
def test_a_line_takes_as_many_steps_as_it_has_characters(before: str) -> None:
    blanks = 1_000_000  # a step for each two of them would take an hour
    began_s = time.process_time()
    with pytest.raises(RemoteProtocolError):
        parse_forwarded(before + " " * blanks + "@")
    assert time.process_time() - began_s < 5.0


@pytest.mark.parametrize("text", ["", "unknown", "_x", "[", "[]", "1.2.3", "1.2.3.4.5", "a:b", "::g", "[::1", ":80"])
def test_what_names_no_address(text: str) -> None:
    found = parse_node(text)
    assert found is None or found == ("::1", 0)


@given(st.lists(st.one_of(st.ip_addresses().map(str), st.text(max_size=20)), max_size=6), st.ip_addresses())
def test_nothing_that_a_client_sends_changes_who_it_is(sent: list[str], address: object) -> None:
    trusted = TrustedProxies(["10.0.0.0/8"])
    if trusted.trusts(str(address)):
        return
    alone = trusted.client_of(PROXY, CIMultiDict([("X-Forwarded-For", str(address))]))
    assert trusted.client_of(PROXY, CIMultiDict([("X-Forwarded-For", ", ".join([*sent, str(address)]))])) == alone


@given(st.text(max_size=200))
def test_any_text_gives_elements_or_an_error(line: str) -> None:
    try:
        elements = parse_forwarded(line)
    except RemoteProtocolError:
        return
    assert all(elements)
