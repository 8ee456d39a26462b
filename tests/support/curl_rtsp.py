"""RTSP requests of libcurl, which knows SHA-256. Its command line only asks for OPTIONS, so the library is called."""

from __future__ import annotations

import ctypes
import ctypes.util
from dataclasses import dataclass, field
from typing import Final

LIMIT_S: Final = 30
METHODS: Final = {"DESCRIBE": 2, "ANNOUNCE": 3}  #: CURL_RTSPREQ_*
AUTH: Final = {"basic": 1, "digest": 2}  #: CURLAUTH_*; which digest, the challenge says

_URL, _USERPWD, _POSTFIELDS, _STREAM_URI, _WRITEFUNCTION = 10_002, 10_005, 10_015, 10_191, 20_011
_TIMEOUT, _POSTFIELDSIZE, _NOSIGNAL, _HTTPAUTH, _RTSP_REQUEST = 13, 60, 99, 107, 189
_RESPONSE_CODE = 0x20_0002
_TAKE = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p)


@dataclass
class Answer:
    """The last answer, when there was nothing left to try."""

    status: int
    body: bytes = field(default=b"", repr=False)


def ask(method: str, url: str, login: str, auth: str, body: bytes = b"") -> Answer:
    """Ask, and go on as far as the challenges of the server say.

    Args:
        method: one of `METHODS`.
        url: of the stream.
        login: ``NAME:PASSWORD``.
        auth: one of `AUTH`.
        body: of ANNOUNCE.

    Raises:
        ConnectionError: there was no answer.
    """
    library = ctypes.CDLL(ctypes.util.find_library("curl") or "libcurl.so.4")
    library.curl_easy_init.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(library.curl_easy_init())
    got = bytearray()

    def take(data: int, size: int, count: int, _: object) -> int:
        got.extend(ctypes.string_at(data, size * count))
        return size * count

    callback = _TAKE(take)
    texts = {_URL: url, _STREAM_URI: url, _USERPWD: login}
    numbers = {_TIMEOUT: LIMIT_S, _NOSIGNAL: 1, _HTTPAUTH: AUTH[auth], _RTSP_REQUEST: METHODS[method]}
    try:
        for option, text in texts.items():
            library.curl_easy_setopt(handle, option, ctypes.c_char_p(text.encode()))
        for option, number in numbers.items():
            library.curl_easy_setopt(handle, option, ctypes.c_long(number))
        if body:
            library.curl_easy_setopt(handle, _POSTFIELDSIZE, ctypes.c_long(len(body)))
            library.curl_easy_setopt(handle, _POSTFIELDS, ctypes.c_char_p(body))
        library.curl_easy_setopt(handle, _WRITEFUNCTION, callback)
        if code := library.curl_easy_perform(handle):
            raise ConnectionError(f"curl ended with {code}")
        status = ctypes.c_long()
        library.curl_easy_getinfo(handle, _RESPONSE_CODE, ctypes.byref(status))
    finally:
        library.curl_easy_cleanup(handle)
    return Answer(status.value, bytes(got))
