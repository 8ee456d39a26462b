"""How to reach Redis."""

from __future__ import annotations

from dataclasses import dataclass, field

LEAST_RATE_US = 500_000  #: between two touches that say a rate: of closer ones, chance would
SESSION_TTL_S = 60  #: a player of HLS asks at least once a target duration, which is some seconds


@dataclass(slots=True, frozen=True, kw_only=True)
class RedisSettings:
    """Where Redis is, and who we are to it."""

    host: str
    port: int = 6379
    database: int = 0
    username: str = ""  #: empty: the default user
    password: str = field(default="", repr=False)  #: empty: no login
    tls: bool = False
    ca_file: str = ""  #: PEM, who may vouch for the server; empty: the system's authorities
    cert_file: str = ""  #: PEM, our certificate where the server wants one
    key_file: str = ""  #: PEM, the key of `cert_file`
    timeout_s: float = 1.0  #: deadline of every call
    prefix: str = "lalmesh:"  #: stands before every key; two clusters may share a Redis

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.host:
            raise ValueError("redis: no host")
        if not self.prefix:
            raise ValueError("redis: empty key prefix")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("redis: cert_file and key_file go together")
