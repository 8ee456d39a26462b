"""lal's ``lal_secret``: an MD5 that never expires. It is here for those who come from lal; signed URLs do it better."""

from __future__ import annotations

import hashlib
import hmac

from lalmesh.runtime.authorisation._query import fields_of
from lalmesh.runtime.authorisation._request import Request
from lalmesh.runtime.authorisation._verdict import Allowed, Answers, Judgement, NotThis

PARAMETER = "lal_secret"


def lal_secret_of(name: str, key: str) -> str:
    """What lal takes for the stream called `name`, in any application: hexadecimal digits."""
    return hashlib.md5((key + name).encode(), usedforsecurity=False).hexdigest()


class LalSecret:
    """Lets in who shows the MD5 of key and stream name, or the master secret."""

    def __init__(self, key: str, master_secret: str = "") -> None:
        """Take MD5s made with `key`; empty: none. With `master_secret`, take that for every stream."""
        self._key = key
        self._master = master_secret

    def judge(self, request: Request, now_s: float, answers: Answers) -> Judgement:
        """See `Method.judge`. lal takes the MD5 in capitals too; the master secret only as it is written."""
        shown = fields_of(request.query).get(PARAMETER, "")
        is_hash = _equal(shown.lower(), lal_secret_of(request.stream.name, self._key)) and bool(self._key)
        is_master = _equal(shown, self._master) and bool(self._master)
        if is_hash or is_master:
            return Allowed("lal_secret")
        return NotThis(detail="lal_secret is wrong" if shown else "no lal_secret", was_shown=bool(shown))


def _equal(shown: str, expected: str) -> bool:
    return hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))
