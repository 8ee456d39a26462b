"""Fuzz: what clients show to be let in: queries, tokens, headers, passes, key sets. Nothing that is made up lets anybody in."""

from contextlib import suppress

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh", "jwt"]):
    from lalmesh.names import StreamKey
    from lalmesh.runtime.authorisation import (
        Action,
        EdgeHeaders,
        LalSecret,
        NotThis,
        Passes,
        Passwords,
        Request,
        SignedUrls,
        Tokens,
        TokenSettings,
        basic_login,
        bearer_of,
        jwks_keys,
        pem_keys,
        secret_key,
    )
    from lalmesh.runtime.secrets_in_urls import without_credentials

KEY = b"k" * 32
STREAM = StreamKey("live", "cam")
METHODS = (
    LalSecret("key", "master secret of thirty characters"),
    SignedUrls({"k": KEY}),
    Passwords({}, {"user": "a password that nobody guesses"}),
    Tokens(TokenSettings(), (secret_key(KEY),)),
)
PASSES, HEADERS = Passes((KEY,), 60), EdgeHeaders((KEY,))


def target(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for query, header in ((text, ""), (f"token={text}", text), ("", f"Basic {text}"), (f"sign={text}&key=k&expires={text}", "")):
        request = Request(
            action=Action.PLAY,
            stream=STREAM,
            protocol="http-flv",
            address=text[:40],
            query=query,
            login=basic_login(header),
            bearer=bearer_of(header) or header,
        )
        for method in METHODS:
            assert isinstance(method.judge(request, 0.0, {}), NotThis)
    without_credentials(text)
    assert not PASSES.is_good(text, STREAM, "", 0.0)
    assert HEADERS.read(text, "/", 0.0) is None
    for parse in (jwks_keys, pem_keys):
        with suppress(ValueError):
            parse(data)


fuzz(target)
