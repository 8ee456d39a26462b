"""JSON Web Tokens: who has signed one says what its bearer may do.

The claims of lalmesh are ``action`` (``publish``, ``play``, or a list of them; needed), ``app`` and ``name`` (patterns with ``*``,
``?`` and ``[]`` of the application and the name of the stream; a missing one is any). Those of RFC 7519 are ``exp``, ``nbf``,
``aud`` and ``iss``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

import jwt

from lalmesh.names import MAX_APP_PARTS, MAX_PART_BYTES, StreamKey
from lalmesh.runtime.authorisation._keys import VerifyKey
from lalmesh.runtime.authorisation._query import token_of
from lalmesh.runtime.authorisation._request import Request
from lalmesh.runtime.authorisation._verdict import Allowed, Answer, Answers, Ask, Judgement, KeysQuestion, NotThis

ALGORITHMS: Final = ("HS256", "RS256", "ES256")
MAX_TOKEN_CHARS: Final = 8192  #: what fits the line of a request
MAX_KEY_ID_CHARS: Final = 256
MAX_TRIED: Final = 8  #: keys that a token without the name of one is tried with: 0.1 ms each
MAX_PATTERN_CHARS: Final = (MAX_APP_PARTS + 1) * MAX_PART_BYTES
_OPTIONS: Final[Any] = {  # what depends on the time is looked at here, where that is an argument
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


@dataclass(slots=True, frozen=True, kw_only=True)
class TokenSettings:
    """What a token has to say."""

    algorithms: tuple[str, ...] = ALGORITHMS
    audience: str = ""  #: that it has to name; empty: whatever it names
    issuer: str = ""  #: that it has to be of; empty: of anybody who has a key
    leeway_s: float = 5.0  #: by which clocks may differ
    needs_expiry: bool = True


class _Bad(Exception):
    """A token that will not do; the text says why."""


class Tokens:
    """Lets in who shows a token that says so. `keys` may be replaced at any time."""

    def __init__(self, settings: TokenSettings, keys: Sequence[VerifyKey] = (), *, can_look_for_keys: bool = False) -> None:
        """Check with `keys`, and where some `can_look_for_keys` ask for those with other names."""
        self.fixed = tuple(keys)
        self.fetched: tuple[VerifyKey, ...] = ()  #: of a key set that changes
        self._settings = settings
        self._can_look = can_look_for_keys

    def judge(self, request: Request, now_s: float, answers: Answers) -> Judgement:
        """See `Method.judge`."""
        password = request.login.password if request.login is not None else ""
        token = token_of(request.query, request.bearer, password)
        if not token:
            return NotThis(detail="no token")
        try:
            algorithm, key_id = self._header(token)
            keys = self._keys(algorithm, key_id)
            if not keys and self._can_look:
                question = KeysQuestion(key_id)
                if question not in answers:
                    return Ask(question)
                if answers[question] is Answer.NONE:
                    return NotThis(detail="the keys cannot be fetched", was_shown=True, is_unanswered=not self.fetched)
            self._check_claims(self._claims(token, algorithm, keys), request, now_s)
        except _Bad as error:
            return NotThis(detail=str(error), was_shown=True)
        return Allowed("jwt")

    def _header(self, token: str) -> tuple[str, str]:
        """Algorithm and name of the key, as the token says; neither is believed."""
        if len(token) > MAX_TOKEN_CHARS:
            raise _Bad(f"a token of {len(token)} characters, limit {MAX_TOKEN_CHARS}")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise _Bad(f"no token: {type(error).__name__}") from None
        algorithm, key_id = header.get("alg"), header.get("kid", "")
        if algorithm not in self._settings.algorithms:
            raise _Bad("the algorithm of the token is not taken")
        if not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID_CHARS:
            raise _Bad("the token has no key that can be")
        return str(algorithm), key_id

    def _keys(self, algorithm: str, key_id: str) -> Sequence[VerifyKey]:
        """Those that may have made it: of its name, else those without one. None is used with another algorithm than its own."""
        able = [key for key in (*self.fixed, *self.fetched) if key.algorithm == algorithm]
        if not key_id:
            return able[:MAX_TRIED]
        named = [key for key in able if key.key_id == key_id]
        return (named or [key for key in able if not key.key_id])[:MAX_TRIED]

    def _claims(self, token: str, algorithm: str, keys: Sequence[VerifyKey]) -> dict[str, Any]:
        for key in keys:
            try:
                return jwt.decode(token, key.key, algorithms=[algorithm], options=_OPTIONS)
            except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
                continue
        raise _Bad("no key has signed the token")

    def _check_claims(self, claims: dict[str, Any], request: Request, now_s: float) -> None:
        settings = self._settings
        expiry, begin = _time(claims, "exp"), _time(claims, "nbf")
        if expiry is None and settings.needs_expiry:
            raise _Bad("the token never expires")
        if expiry is not None and now_s >= expiry + settings.leeway_s:
            raise _Bad("the token has expired")
        if begin is not None and now_s < begin - settings.leeway_s:
            raise _Bad("the token is not good yet")
        if settings.audience and settings.audience not in _texts(claims, "aud"):
            raise _Bad("the token is for another audience")
        if settings.issuer and claims.get("iss") != settings.issuer:
            raise _Bad("the token is of another issuer")
        if request.action.value not in _texts(claims, "action"):
            raise _Bad("the token is for another action")
        _check_stream(claims, request.stream)


def _check_stream(claims: dict[str, Any], stream: StreamKey) -> None:
    for claim, text in (("app", stream.app), ("name", stream.name)):
        pattern = claims.get(claim, "*")
        if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN_CHARS or not fnmatchcase(text, pattern):
            raise _Bad("the token is for another stream")


def _time(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        raise _Bad(f"{name} is no time")
    return float(value)


def _texts(claims: dict[str, Any], name: str) -> list[object]:
    value = claims.get(name)
    return value if isinstance(value, list) else [value]
