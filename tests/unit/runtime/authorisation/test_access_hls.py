"""Players of HLS: a first playlist gets a pass, everything else needs one."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from lalmesh.names import StreamKey
from lalmesh.runtime.authorisation import (
    Access,
    AccessMetrics,
    AccessRefused,
    AccessSettings,
    Action,
    AddressList,
    Admitted,
    HlsAccess,
    LalSecret,
    MethodName,
    Policy,
    Reason,
    Redirected,
    Request,
    lal_secret_of,
    parse_rule,
)
from lalmesh.runtime.networks import Networks

SECRET = f"lal_secret={lal_secret_of('cam', 'k')}"
PLAY = Request(action=Action.PLAY, stream=StreamKey("live", "cam"), protocol="http-hls", address="192.0.2.7", query=f"a=1&{SECRET}")
NOW_S = 1000.0


def hls_access(*rules: str, registry: CollectorRegistry | None = None) -> HlsAccess:
    policy = Policy([parse_rule(text) for text in rules], {MethodName.LAL_SECRET: LalSecret("k")})
    settings = AccessSettings(policy=policy, cluster_keys=(b"key",), hls_pass_s=60, failures_per_minute=2)
    return HlsAccess(Access(settings, AccessMetrics("edge", registry or CollectorRegistry())), lambda: NOW_S)


async def refusal(asked: Awaitable[object]) -> Reason | None:
    try:
        await asked
    except AccessRefused as error:
        return error.refused.reason
    return None


async def test_a_first_playlist_is_asked_for_again_with_a_pass_that_its_lines_hand_on() -> None:
    access = hls_access("play * lal_secret")
    told = await access.hls(PLAY, is_playlist=True)
    assert isinstance(told, Redirected)
    assert told.query.startswith("a=1&hls_pass=")
    again = replace(PLAY, query=told.query)
    assert await access.hls(again, is_playlist=True) == Admitted(told.query)
    assert await access.hls(again, is_playlist=False) == Admitted("a=1")


async def test_a_segment_needs_a_pass_whatever_else_it_shows() -> None:
    access = hls_access("play * lal_secret")
    told = await access.hls(PLAY, is_playlist=True)
    assert await refusal(access.hls(PLAY, is_playlist=False)) is Reason.UNAUTHORISED
    for stolen in (
        replace(PLAY, query=told.query, stream=StreamKey("live", "other")),
        replace(PLAY, query=told.query, address="192.0.2.8"),
        replace(PLAY, query=told.query + "x"),
    ):
        assert await refusal(access.hls(stolen, is_playlist=False)) is Reason.UNAUTHORISED


@pytest.mark.parametrize(
    "changed",
    [
        Policy([parse_rule("play * deny")]),
        Policy(is_open_otherwise=False),
        Policy([parse_rule("play * lal_secret")], addresses={Action.PLAY: AddressList(denied=Networks(["192.0.2.0/24"]))}),
    ],
)
@pytest.mark.parametrize("is_playlist", [True, False])
async def test_a_pass_is_good_for_nothing_that_credentials_would_not_get(changed: Policy, is_playlist: bool) -> None:
    access = hls_access("play * lal_secret")
    told = await access.hls(PLAY, is_playlist=True)
    assert isinstance(told, Redirected)
    access._access.apply(AccessSettings(policy=changed))
    assert await refusal(access.hls(replace(PLAY, query=told.query), is_playlist=is_playlist)) is Reason.FORBIDDEN


async def test_what_is_open_keeps_its_query() -> None:
    access = hls_access("play:rtmp * lal_secret")
    assert not access.is_guarded
    assert await access.hls(PLAY, is_playlist=False) == Admitted(PLAY.query)


async def test_recordings_show_credentials_each_time_and_the_list_of_all_is_closed() -> None:
    access = hls_access("play * lal_secret")
    wanted = replace(PLAY, protocol="http-record")
    assert await access.recording(wanted) == Admitted("a=1")
    assert await refusal(access.recording(replace(wanted, query=""))) is Reason.UNAUTHORISED
    assert await refusal(access.recording(None)) is Reason.FORBIDDEN


async def test_wrong_credentials_are_counted_and_what_needs_none_stays_open() -> None:
    registry = CollectorRegistry()
    access = hls_access("play:hls * lal_secret", registry=registry)
    wrong = replace(PLAY, query="lal_secret=x")
    reasons = [await refusal(access.hls(wrong, is_playlist=True)) for _ in range(3)]
    assert reasons == [Reason.UNAUTHORISED, Reason.UNAUTHORISED, Reason.TOO_OFTEN]
    assert await refusal(access.hls(PLAY, is_playlist=True)) is Reason.TOO_OFTEN
    assert await refusal(access.recording(replace(wrong, protocol="http-record"))) is None
    labels = {"action": "play", "protocol": "hls", "result": "too often"}
    assert registry.get_sample_value("edge_access_decisions_total", labels) == 2.0
