"""Signed URLs: somebody who has the key lets somebody else in for a while.

The query of the URL carries ``expires`` (Unix seconds), ``key`` (the name of the key), optionally ``address`` (an address or a
network in CIDR form that the client has to come from), and ``sign``: HMAC-SHA256 in base64url without padding over these lines,
joined with line feeds, with none at the end:

    lalmesh-url-1
    publish                 or: play
    live/cam                application and name, each percent-encoded but for letters, digits and -_.~
    1767225600              expires, as it stands in the query
    k1                      key, as it stands in the query, decoded
    192.0.2.0/24            address, as it stands in the query, decoded; an empty line where there is none
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from lalmesh.names import StreamKey
from lalmesh.runtime.authorisation._query import fields_of
from lalmesh.runtime.authorisation._request import Action, Request
from lalmesh.runtime.authorisation._verdict import Allowed, Answers, Judgement, NotThis
from lalmesh.runtime.networks import Networks, parse_network

VERSION: Final = "lalmesh-url-1"
MAX_EXPIRES_DIGITS: Final = 12  #: until the year 33658
_NO_KEY: Final = b"no key of this name"


def sign(key: bytes, action: Action, stream: StreamKey, expires: str, key_id: str, address: str = "") -> str:
    """The signature of a URL; the arguments are the lines that are signed."""
    lines = (VERSION, action.value, stream.quoted(), expires, key_id, address)
    digest = hmac.new(key, "\n".join(lines).encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def signed_query(key: bytes, action: Action, stream: StreamKey, *, expires_s: int, key_id: str, address: str = "") -> str:
    """The query that lets a client do `action` with `stream`.

    Args:
        key: shared with the edges.
        action: what it may do.
        stream: with what.
        expires_s: Unix seconds until which it may begin.
        key_id: what the edges call the key.
        address: an address or a network; empty: from anywhere.

    Raises:
        ValueError: `address` is neither.
    """
    if address:
        parse_network(address)
    fields = {"expires": str(expires_s), "key": key_id} | ({"address": address} if address else {})
    return urlencode({**fields, "sign": sign(key, action, stream, str(expires_s), key_id, address)}, safe="/:")


class SignedUrls:
    """Lets in who shows a signature that has not expired. Of several keys, while they are changed, each is good for its name."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Take signatures made with `keys`, by name."""
        self._keys = dict(keys)

    def judge(self, request: Request, now_s: float, answers: Answers) -> Judgement:
        """See `Method.judge`."""
        fields = fields_of(request.query)
        shown = fields.get("sign", "")
        expires, key_id, address = fields.get("expires", ""), fields.get("key", ""), fields.get("address", "")
        key = self._keys.get(key_id)
        expected = sign(key or _NO_KEY, request.action, request.stream, expires, key_id, address)  # as long without a key
        if not shown:
            return NotThis(detail="no signature")
        if not hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), expected.encode()) or key is None:
            return NotThis(detail="the signature is wrong", was_shown=True)
        if not (expires.isascii() and expires.isdigit() and len(expires) <= MAX_EXPIRES_DIGITS) or int(expires) < now_s:
            return NotThis(detail="the signature has expired", was_shown=True)
        if address and not _is_from(request.address, address):
            return NotThis(detail="the signature is for another address", was_shown=True)
        return Allowed("signed")


def _is_from(client: str, network: str) -> bool:
    try:
        return client in Networks((network,))
    except ValueError:
        return False
