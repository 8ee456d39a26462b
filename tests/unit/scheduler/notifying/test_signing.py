from __future__ import annotations

import base64

from services.scheduler.notifying import signature_of


def test_a_signature_is_that_of_the_standard() -> None:
    # Standard Webhooks 1.0, the example of its reference libraries
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    given = signature_of(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert given == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_that_is_no_base64_is_taken_as_it_stands() -> None:
    assert len(base64.b64decode(signature_of("plain text", "a", 1, b"").removeprefix("v1,"))) == 32
    assert signature_of("whsec_!", "a", 1, b"") == signature_of("whsec_!", "a", 1, b"")
