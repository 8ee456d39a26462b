"""JSON Web Tokens: keys, claims, and what must not be taken for one."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives import hmac as raw_hmac
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.names import StreamKey
from lalmesh.runtime.authorisation import (
    Action,
    Allowed,
    Answer,
    Ask,
    KeysQuestion,
    NotThis,
    PlainLogin,
    Request,
    Tokens,
    TokenSettings,
    jwks_keys,
    pem_keys,
    secret_key,
)

NOW_S = 1_767_225_600
SECRET = b"s" * 32
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
PLAY = Request(action=Action.PLAY, stream=StreamKey("live", "cam1"), protocol="http-flv", address="192.0.2.7")
GOOD: Mapping[str, Any] = {"exp": NOW_S + 60, "action": "play", "app": "live", "name": "cam*"}


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


def jwk(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, key_id: str, **more: str) -> dict[str, Any]:
    algorithm = jwt.get_algorithm_by_name("RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256")
    made = algorithm.to_jwk(key.public_key())
    return {**json.loads(made), "kid": key_id, **more}


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def token(claims: Mapping[str, Any] = GOOD, key: Any = SECRET, algorithm: str = "HS256", **headers: str) -> str:
    return jwt.encode(dict(claims), key, algorithm=algorithm, headers=headers)


def tokens(**settings: Any) -> Tokens:
    return Tokens(TokenSettings(**settings), (secret_key(SECRET), *pem_keys(pem(RSA_KEY) + pem(EC_KEY))))


def shows(shown: str) -> Request:
    return replace(PLAY, query=f"token={shown}")


def lets_in(checked: Tokens, request: Request, now_s: float = NOW_S) -> bool:
    judgement = checked.judge(request, now_s, {})
    assert isinstance(judgement, Allowed | NotThis)
    return isinstance(judgement, Allowed)


@pytest.mark.parametrize(("key", "algorithm"), [(SECRET, "HS256"), (RSA_KEY, "RS256"), (EC_KEY, "ES256")])
def test_a_good_token_of_each_algorithm_lets_in(key: Any, algorithm: str) -> None:
    assert lets_in(tokens(), shows(token(key=key, algorithm=algorithm)))
    others = tuple({"HS256", "RS256", "ES256"} - {algorithm})
    assert not lets_in(tokens(algorithms=others), shows(token(key=key, algorithm=algorithm)))


def test_a_token_is_found_wherever_a_client_can_put_it() -> None:
    made = token()
    for request in (
        replace(PLAY, query=f"jwt={made}"),
        replace(PLAY, bearer=made),
        replace(PLAY, login=PlainLogin("anybody", made)),
    ):
        assert lets_in(tokens(), request)
    assert not lets_in(tokens(), PLAY)


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": NOW_S - 6},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": 1e400},
        {"nbf": NOW_S + 6},
        {"action": "publish"},
        {"action": None},
        {"action": ["publish"]},
        {"app": "other"},
        {"name": "cam"},
        {"name": 7},
        {"name": "*" * 3000},
        {"aud": "other"},
        {"aud": None},
        {"iss": "other"},
    ],
)
def test_a_claim_that_is_wrong_keeps_out(changed: Mapping[str, Any]) -> None:
    checked = tokens(audience="here", issuer="us")
    claims = {**GOOD, "aud": ["there", "here"], "iss": "us"}
    assert lets_in(checked, shows(token(claims)))
    wrong = {name: value for name, value in {**claims, **changed}.items() if value is not None}
    shown = jwt.PyJWS().encode(json.dumps(wrong).encode(), SECRET, algorithm="HS256")
    assert not lets_in(checked, shows(shown))


def test_the_clocks_may_differ_by_the_leeway() -> None:
    assert lets_in(tokens(), shows(token()), NOW_S + 64.0)
    assert not lets_in(tokens(), shows(token()), NOW_S + 65.0)


def test_a_missing_pattern_is_any_stream_and_a_list_is_each_of_its_actions() -> None:
    assert lets_in(tokens(), shows(token({"exp": NOW_S + 60, "action": ["publish", "play"]})))


def part(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def test_a_public_key_is_no_secret() -> None:
    """Algorithm confusion: HS256 with the PEM text of the public key."""
    signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(dict(GOOD)).encode())
    mac = raw_hmac.HMAC(pem(RSA_KEY), hashes.SHA256())
    mac.update(signed)
    forged = (signed + b"." + part(mac.finalize())).decode()
    assert not lets_in(tokens(), shows(forged))
    assert not lets_in(Tokens(TokenSettings(), pem_keys(pem(RSA_KEY))), shows(forged))


def test_a_token_without_a_signature_lets_nobody_in() -> None:
    unsigned = part(b'{"alg":"none"}') + b"." + part(json.dumps(dict(GOOD)).encode()) + b"."
    assert not lets_in(tokens(), shows(unsigned.decode()))


def test_keys_have_names_and_a_new_name_is_asked_for_once() -> None:
    checked = Tokens(TokenSettings(), can_look_for_keys=True)
    checked.fetched = jwks_keys(jwks(jwk(RSA_KEY, "old")))
    assert lets_in(checked, shows(token(key=RSA_KEY, algorithm="RS256", kid="old")))
    request = shows(token(key=EC_KEY, algorithm="ES256", kid="new"))
    question = KeysQuestion("new")
    assert checked.judge(request, NOW_S, {}) == Ask(question)
    assert isinstance(checked.judge(request, NOW_S, {question: Answer.YES}), NotThis)
    away = checked.judge(request, NOW_S, {question: Answer.NONE})
    assert isinstance(away, NotThis)
    assert not away.is_unanswered  # others' keys are here: this one may be anybody's invention
    checked.fetched = jwks_keys(jwks(jwk(RSA_KEY, "old"), jwk(EC_KEY, "new")))
    assert lets_in(checked, request)


def test_a_key_set_gives_public_keys_that_sign() -> None:
    secret = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET).decode(), "kid": "s"}
    encrypts = jwk(RSA_KEY, "e", use="enc")
    foreign = jwk(RSA_KEY, "f", alg="RS512")
    small = jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024), "small")
    found = jwks_keys(jwks(secret, encrypts, foreign, small, {"kty": "EC", "crv": "P-256"}, jwk(EC_KEY, "good")))
    assert [(key.key_id, key.algorithm) for key in found] == [("good", "ES256")]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"keys": 7}', b'{"keys": []}', b"[" * 100_000, b"x" * 300_000])
def test_what_is_no_key_set_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(ValueError):
        jwks_keys(data)


def test_weak_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 32"):
        secret_key(b"short")
    with pytest.raises(ValueError, match="2048"):
        pem_keys(pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)))
    with pytest.raises(ValueError):
        pem_keys(b"nothing")


@given(st.text(max_size=200) | st.builds(lambda head, rest: f"{part(head).decode()}.{rest}", st.binary(), st.text(max_size=50)))
def test_any_text_is_judged(text: str) -> None:
    assert not lets_in(tokens(), replace(PLAY, bearer=text))


def test_deeply_nested_headers_are_judged() -> None:
    for deep in (b'{"alg":' + b"[" * 4000, b'{"alg":"HS256","x":' + b"[" * 2500 + b"]" * 2500 + b"}"):
        assert not lets_in(tokens(), replace(PLAY, bearer=f"{part(deep).decode()}.e30.x"))
