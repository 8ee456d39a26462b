"""Adobe's authentication of publishers, as Flash Media Server, Wowza and the CDNs that follow them have it. A pure core.

No specification tells of it; encoders and servers agree on this. The server refuses a connect, and its description says what it
wants; the client connects anew, with the answer in the query of its application:

```
-> connect app            <- [ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] :
-> connect app?authmod=adobe&user=U
                          <- [ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=U&salt=S&challenge=C&opaque=O
-> connect app?authmod=adobe&user=U&challenge=OURS&response=R&opaque=O
                          <- _result, or ?reason=authfailed, ?reason=nosuchuser
```
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import md5
from urllib.parse import quote

from lalmesh.protocol.rtmp._handshake import RandomBytes

CHALLENGE_BYTES = 4  #: of ours, in hexadecimal
MAX_ANSWERS = 3  #: to challenges: the name, the answer, and one more where the salt was too old

_PLAIN = "@:/+,;~!$'()*"  #: of a user's name, what servers take as it is


class AdobeAuth:
    """Knows what the next connect says."""

    def __init__(self, user: str, password: str, random_bytes: RandomBytes) -> None:
        """Log in as `user`."""
        self.query = ""  #: of the application of the next connect, without ``?``
        self._user = user
        self._password = password
        self._random_bytes = random_bytes
        self._answers = 0

    def challenged(self, description: str) -> bool:
        """Take the description of a refusal of connect; whether to connect again."""
        if "authmod=adobe" not in description or self._answers >= MAX_ANSWERS:
            return False
        said = dict(part.partition("=")[::2] for part in description.partition("?")[2].strip().split("&"))
        self._answers += 1
        if said.get("reason") == "needauth":
            self.query = self._answer(said.get("salt", ""), said.get("challenge", ""), said.get("opaque", ""))
            return True
        if "code=403 need auth" in description and not self.query:
            self.query = self._named
            return True
        return False

    @property
    def _named(self) -> str:
        return f"authmod=adobe&user={quote(self._user, safe=_PLAIN)}"

    def _answer(self, salt: str, challenge: str, opaque: str) -> str:
        ours = self._random_bytes(CHALLENGE_BYTES).hex()
        secret = _digest(self._user + salt + self._password)
        said = f"{self._named}&challenge={ours}&response={_digest(secret + (opaque or challenge) + ours)}"
        return f"{said}&opaque={opaque}" if opaque else said


def _digest(text: str) -> str:
    return b64encode(md5(text.encode(), usedforsecurity=False).digest()).decode()
