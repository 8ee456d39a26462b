"""How to reach etcd."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, frozen=True, kw_only=True)
class EtcdSettings:
    """Where etcd is, and who we are to it. TLS is used where an endpoint says ``https://`` or a `ca_file` is given."""

    endpoints: tuple[str, ...]  #: members of one cluster, ``host:port`` or ``http(s)://host:port``; one that answers is enough
    username: str = ""  #: empty: no password login
    password: str = field(default="", repr=False)
    ca_file: str = ""  #: PEM, who may vouch for the server; empty: the system's authorities
    cert_file: str = ""  #: PEM, our certificate where the server wants one
    key_file: str = ""  #: PEM, the key of `cert_file`
    server_name: str = ""  #: name expected in the server's certificate; empty: the host of the endpoint
    timeout_s: float = 5.0  #: deadline of every call, and half of the longest silence of a watch
    prefix: str = "/lalmesh/"  #: stands before every key; two clusters may share an etcd

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.endpoints:
            raise ValueError("etcd: no endpoint")
        if not self.prefix:
            raise ValueError("etcd: empty key prefix")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("etcd: cert_file and key_file go together")

    @property
    def uses_tls(self) -> bool:
        """Whether to speak TLS."""
        return bool(self.ca_file) or any(endpoint.startswith("https://") for endpoint in self.endpoints)
