"""The callback and the key set over real HTTP: what is asked once, what is remembered, what comes of servers that fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry

from lalmesh.names import StreamKey
from lalmesh.runtime.authorisation import (
    Access,
    AccessMetrics,
    AccessRefused,
    AccessSettings,
    Action,
    Callback,
    CallbackSettings,
    KeySource,
    MethodName,
    Policy,
    Reason,
    Request,
    Tokens,
    TokenSettings,
    parse_rule,
)

PLAY = Request(action=Action.PLAY, stream=StreamKey("live", "cam"), protocol="http-flv", address="192.0.2.7", query="token=t")
SOON_S = 15.0  #: less than who is slow takes
LIMIT_S = 30.0


@dataclass
class Site:
    """A server whose answers the test chooses."""

    url: str = ""
    status: int = 200
    body: str = ""
    pause_s: float = 0.0
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(await request.text())
        await asyncio.sleep(self.pause_s)
        return web.Response(status=self.status, text=self.body, content_type="application/json")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    app = web.Application()
    app.router.add_route("*", "/", made.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield made
    await runner.cleanup()


@contextlib.asynccontextmanager
async def callback_access(
    site: Site, *, fail_open: bool = False, registry: CollectorRegistry | None = None, **settings: float
) -> AsyncIterator[Access]:
    policy = Policy([parse_rule("any * callback")], {MethodName.CALLBACK: Callback(fail_open=fail_open)})
    callback = CallbackSettings(url=site.url, **settings)  # type: ignore[arg-type]
    metrics = AccessMetrics("edge", registry or CollectorRegistry())
    access = Access(AccessSettings(policy=policy, callback=callback), metrics)
    try:
        yield access
    finally:
        await access.close()


async def refusal(check: Awaitable[None]) -> Reason | None:
    try:
        await check
    except AccessRefused as error:
        return error.refused.reason
    return None


async def test_the_same_question_goes_out_once_and_its_answer_is_remembered(site: Site) -> None:
    site.pause_s = 0.1
    async with callback_access(site) as access:
        assert await asyncio.gather(*(refusal(access.check(PLAY)) for _ in range(5))) == [None] * 5
        assert await refusal(access.check(PLAY)) is None
    assert len(site.asked) == 1
    assert json.loads(site.asked[0])["path"] == "live/cam"


@pytest.mark.parametrize(("status", "reason"), [(401, Reason.UNAUTHORISED), (403, Reason.UNAUTHORISED), (500, Reason.UNAVAILABLE)])
async def test_a_status_says_no_or_nothing(site: Site, status: int, reason: Reason) -> None:
    site.status = status
    async with callback_access(site) as access:
        assert await refusal(access.check(PLAY)) is reason


async def test_a_redirection_is_no_answer(site: Site) -> None:
    site.status = 302
    async with callback_access(site) as access:
        assert await refusal(access.check(PLAY)) is Reason.UNAVAILABLE


async def test_who_is_slow_is_not_waited_for_and_then_let_be(site: Site) -> None:
    site.pause_s, registry = 30.0, CollectorRegistry()
    async with callback_access(site, registry=registry, timeout_s=0.2, failures_num=2, open_s=60.0) as access:
        began_s = time.monotonic()
        assert [await refusal(access.check(PLAY)) for _ in range(10)] == [Reason.UNAVAILABLE] * 10
        assert time.monotonic() - began_s < SOON_S
    assert registry.get_sample_value("edge_access_callback_failures_total") == 2
    assert len(site.asked) <= 2  # on a busy machine a question may come too late


async def test_it_is_asked_again_after_a_pause_and_all_is_well(site: Site) -> None:
    site.status = 500
    async with callback_access(site, failures_num=1, open_s=0.1) as access:
        assert await refusal(access.check(PLAY)) is Reason.UNAVAILABLE
        site.status = 200
        await asyncio.sleep(0.15)
        assert await refusal(access.check(PLAY)) is None


async def test_failing_open_lets_in(site: Site) -> None:
    site.status = 500
    async with callback_access(site, fail_open=True) as access:
        assert await refusal(access.check(PLAY)) is None


# key sets


def key_set(*keys: tuple[str, ec.EllipticCurvePrivateKey]) -> str:
    made = [{**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())), "kid": name} for name, key in keys]
    return json.dumps({"keys": made})


def with_token(key: ec.EllipticCurvePrivateKey, name: str) -> Request:
    claims = {"exp": int(time.time()) + 60, "action": "play"}
    token = jwt.encode(claims, key, algorithm="ES256", headers={"kid": name})
    return Request(
        action=Action.PLAY, stream=StreamKey("live", "cam"), protocol="rtmp", address="192.0.2.7", query=f"token={token}"
    )


@contextlib.asynccontextmanager
async def jwt_access(source: KeySource, registry: CollectorRegistry | None = None) -> AsyncIterator[Access]:
    tokens = Tokens(TokenSettings(), can_look_for_keys=True)
    policy = Policy([parse_rule("any * jwt")], {MethodName.JWT: tokens})
    settings = AccessSettings(policy=policy, tokens=tokens, keys=source)
    access = Access(settings, AccessMetrics("edge", registry or CollectorRegistry()))
    access.start()
    try:
        yield access
    finally:
        await access.close()


OLD, NEW = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(round(LIMIT_S / 0.1)):
        if await check():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not within {LIMIT_S} s")


async def test_a_key_set_rotates_without_a_restart(site: Site) -> None:
    site.body = key_set(("old", OLD))
    async with jwt_access(KeySource(url=site.url)) as access:
        assert await refusal(access.check(with_token(OLD, "old"))) is None
        assert await refusal(access.check(with_token(NEW, "new"))) is Reason.UNAUTHORISED
        site.body = key_set(("old", OLD), ("new", NEW))

        async def is_let_in() -> bool:
            return await refusal(access.check(with_token(NEW, "new"))) is None

        await until(is_let_in)  # within `LOOK_AGAIN_S`
        assert await refusal(access.check(with_token(OLD, "old"))) is None
    assert len(site.asked) <= 3


async def test_made_up_names_of_keys_do_not_make_it_ask_without_end(site: Site) -> None:
    site.body = key_set(("old", OLD))
    async with jwt_access(KeySource(url=site.url)) as access:
        for number in range(50):
            assert await refusal(access.check(with_token(NEW, f"made up {number}"))) is Reason.UNAUTHORISED
    assert len(site.asked) <= 2


async def test_what_was_fetched_stays_good_while_the_source_is_away(site: Site) -> None:
    site.body = key_set(("old", OLD))
    async with jwt_access(KeySource(url=site.url, refresh_s=0.05)) as access:
        assert await refusal(access.check(with_token(OLD, "old"))) is None
        site.status = 500
        await asyncio.sleep(0.3)
        assert await refusal(access.check(with_token(OLD, "old"))) is None


async def test_a_source_is_told_to_be_away_until_it_has_answered(site: Site) -> None:
    registry, failures = CollectorRegistry(), "edge_access_key_fetch_failures_total"
    site.status = 500

    async def is_away(*, away: bool = True) -> bool:
        return registry.get_sample_value("edge_access_keys_outdated") == away and bool(registry.get_sample_value(failures))

    async with jwt_access(KeySource(url=site.url, refresh_s=0.05), registry):
        await until(is_away)
        site.status, site.body = 200, key_set(("old", OLD))
        await until(partial(is_away, away=False))


async def test_a_source_that_was_never_there_is_said_to_be_away(site: Site) -> None:
    site.body = "no key set"
    async with jwt_access(KeySource(url=site.url)) as access:
        assert await refusal(access.check(with_token(OLD, "old"))) is Reason.UNAVAILABLE


async def test_a_key_set_may_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(key_set(("old", OLD)))
    async with jwt_access(KeySource(file=str(file), refresh_s=0.05)) as access:
        assert await refusal(access.check(with_token(OLD, "old"))) is None
        file.write_text(key_set(("new", NEW)))

        async def is_let_in() -> bool:
            return await refusal(access.check(with_token(NEW, "new"))) is None

        await until(is_let_in)
        assert await refusal(access.check(with_token(OLD, "old"))) is Reason.UNAUTHORISED


async def test_other_rules_are_gone_by_while_it_runs_and_keys_that_were_fetched_stay(site: Site) -> None:
    site.body = key_set(("old", OLD))
    async with jwt_access(KeySource(url=site.url)) as access:
        request = with_token(OLD, "old")
        assert await refusal(access.check(request)) is None
        tokens = Tokens(TokenSettings(issuer="somebody"), can_look_for_keys=True)
        stricter = Policy([parse_rule("play * jwt")], {MethodName.JWT: tokens}, is_open_otherwise=False)
        access.apply(AccessSettings(policy=stricter, tokens=tokens))
        assert await refusal(access.check(request)) is Reason.UNAUTHORISED
        assert await refusal(access.check(replace(request, action=Action.PUBLISH))) is Reason.FORBIDDEN
        looser = Tokens(TokenSettings(), can_look_for_keys=True)
        access.apply(AccessSettings(policy=Policy([parse_rule("any * jwt")], {MethodName.JWT: looser}), tokens=looser))
        assert await refusal(access.check(request)) is None
    assert len(site.asked) == 1
