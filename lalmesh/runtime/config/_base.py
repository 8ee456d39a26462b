"""What every section of the configuration shares: strictness, and the kinds of text that keys take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from lalmesh.runtime.networks import parse_network

MIN_SECRET_CHARS = 16  #: a shorter cluster key can be tried out


class ConfigModel(BaseModel):
    """A section: immutable, unknown keys refused, no silent conversion (``true`` is not the port 1)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)

    #: names of the keys that can change while a node runs
    live: ClassVar[frozenset[str]] = frozenset()
    #: those of them that the API neither takes nor shows: URLs with logins are nothing for viewers
    live_by_file: ClassVar[frozenset[str]] = frozenset()


@dataclass(slots=True, frozen=True)
class Allowed:
    """In the annotation of a key: what it takes, in words, where type and bounds do not say it."""

    text: str


def _long_enough(secret: SecretStr) -> SecretStr:
    if 0 < len(secret) < MIN_SECRET_CHARS:
        raise ValueError(f"{len(secret)} characters, at least {MIN_SECRET_CHARS} are needed")
    return secret


def _network(text: str) -> str:
    parse_network(text)
    return text


def _real_port(address: str) -> str:
    if not 0 < int(address.rpartition(":")[2]) < 1 << 16:
        raise ValueError("no such port")
    return address


Port = Annotated[int, Field(ge=0, le=65535)]
Text = Annotated[str, StringConstraints(max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*$"), Allowed("text on one line")]
Host = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[^\s/]+$"), Allowed("a host name or an address")]
OptionalHost = Annotated[
    str, StringConstraints(max_length=253, pattern=r"^[^\s/]*$"), Allowed("a host name, an address or nothing")
]
HostPort = Annotated[
    str,
    StringConstraints(max_length=261, pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):[0-9]{1,5}$"),
    AfterValidator(_real_port),
    Allowed("HOST:PORT"),
]
Name = Annotated[
    str,
    StringConstraints(max_length=253, pattern=r"^[A-Za-z0-9._-]+$"),
    Allowed("1 to 253 letters, digits and . _ -"),
]
Label = Annotated[
    str,
    StringConstraints(max_length=253, pattern=r"^[A-Za-z0-9._-]*$"),
    Allowed("at most 253 letters, digits and . _ -"),
]
HttpOrigin = Annotated[
    str,
    StringConstraints(max_length=261, pattern=r"^(\*|[a-z][a-z0-9+.-]*://[^\s/]+)$"),
    Allowed("* or an origin such as https://example.org"),
]
Network = Annotated[str, AfterValidator(_network), Allowed("an address or a network such as 192.0.2.0/24")]
SharedKey = Annotated[SecretStr, AfterValidator(_long_enough), Allowed(f"a secret of at least {MIN_SECRET_CHARS} characters")]


def live_keys(names: str) -> frozenset[str]:
    """The keys `names`, with blanks between, as what can change while a node runs."""
    return frozenset(names.split())


def require_pair(cert_file: str, key_file: str) -> None:
    """Refuse half of a certificate.

    Raises:
        ValueError: one of the two names a file and the other does not.
    """
    if bool(cert_file) != bool(key_file):
        raise ValueError("cert_file and key_file belong together, only one is given")
