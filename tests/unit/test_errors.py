from __future__ import annotations

from lalmesh.errors import (
    Fenced,
    InvalidName,
    LalmeshError,
    LimitExceeded,
    LocalProtocolError,
    NoOriginAvailable,
    NotAuthorized,
    ProtocolError,
    RemoteProtocolError,
    ServiceError,
    StreamExists,
    StreamNotFound,
    Unavailable,
    UnsupportedError,
)


def test_a_protocol_error_says_what_is_broken_and_where() -> None:
    error = RemoteProtocolError("chunk size of 0", section="RTMP 1.0 §5.4.1", at=17)
    assert str(error) == "chunk size of 0 [RTMP 1.0 §5.4.1] at byte 17"
    assert (error.reason, error.section, error.at) == ("chunk size of 0", "RTMP 1.0 §5.4.1", 17)
    assert str(RemoteProtocolError("odd")) == "odd"
    assert str(RemoteProtocolError("odd", at=0)) == "odd at byte 0"


def test_a_passed_limit_carries_its_facts() -> None:
    error = LimitExceeded("NALU bytes", 9, 8, section="§1")
    assert (error.what, error.value, error.limit, error.section) == ("NALU bytes", 9, 8, "§1")
    assert str(error) == "NALU bytes of 9, limit 8 [§1]"


def test_what_is_not_implemented_is_named() -> None:
    assert UnsupportedError("VP6").what == "VP6"
    assert str(UnsupportedError("VP6")) == "not supported: VP6"


def test_a_refusal_for_now_says_when_to_ask_again() -> None:
    error = NoOriginAvailable("no origin has room", retry_after_s=1.5)
    assert (str(error), error.retry_after_s) == ("no origin has room", 1.5)


def test_the_errors_form_the_documented_tree() -> None:
    assert issubclass(LimitExceeded, RemoteProtocolError)
    assert {RemoteProtocolError.__base__, LocalProtocolError.__base__} == {ProtocolError}
    services = (InvalidName, StreamNotFound, StreamExists, NotAuthorized, Fenced, Unavailable)
    assert {error.__base__ for error in services} == {ServiceError}
    assert {error.__base__ for error in (ProtocolError, UnsupportedError, ServiceError)} == {LalmeshError}
