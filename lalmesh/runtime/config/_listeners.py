"""What the public listeners of all roles take alike: a certificate, and limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from lalmesh.runtime.config._base import ConfigModel, Network, Text, live_keys, require_pair

MAX_PROXIES = 100  #: networks that are trusted: each is looked at for every request of one


class ServerTlsConfig(ConfigModel):
    """The certificate of public listeners. Renewed files are taken within seconds, or at once on SIGHUP."""

    cert_file: Text = Field(default="", description="PEM file of the certificate chain.")
    key_file: Text = Field(default="", description="PEM file of the private key of cert_file.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_pair(self.cert_file, self.key_file)
        return self

    @property
    def has_certificate(self) -> bool:
        """Whether the TLS listeners can start."""
        return bool(self.cert_file)

    def enables(self, wanted: bool | None) -> bool:
        """Whether a TLS listener is to listen: as told (`wanted`), else where there is a certificate."""
        return self.has_certificate if wanted is None else wanted

    def require_for(self, listener: str, wanted: bool | None) -> None:
        """Refuse a `listener` that is told to listen without a certificate.

        Raises:
            ValueError: there is none.
        """
        if wanted and not self.has_certificate:
            raise ValueError(f"{listener}.enable needs tls.cert_file and tls.key_file")


class ConnectionLimitsConfig(ConfigModel):
    """What one listener grants to the outside."""

    live = live_keys("connections connections_per_address handshakes_per_s handshake_timeout_s idle_timeout_s")

    connections: int = Field(default=20_000, ge=1, le=1_000_000, description="Connections at a time.")
    connections_per_address: int = Field(
        default=0, ge=0, le=1_000_000, description="Connections at a time from one address, loopback too; 0: no limit."
    )
    handshakes_per_s: float = Field(
        default=0.0,
        ge=0,
        le=1_000_000,
        description="New connections a second from one address, loopback too, five seconds' worth of them at once; 0: no limit.",
    )
    handshake_timeout_s: float = Field(default=10.0, ge=0.1, le=300, description="Longest time from a connection to its request.")
    idle_timeout_s: float = Field(default=120.0, ge=1, le=86_400, description="Silence after which a connection is closed.")


class ProxiesConfig(ConfigModel):
    """Whose word is taken for whom they speak for."""

    live = live_keys("trusted_proxies forwarded_header")

    trusted_proxies: tuple[Network, ...] = Field(
        default=(),
        strict=False,
        max_length=MAX_PROXIES,
        description="Proxies and balancers in front, whose word is taken for the address of a client.",
    )
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = Field(
        default="x-forwarded-for",
        description="The header by which they say so over HTTP: X-Forwarded-For, or that of RFC 7239. The other is not read.",
    )

    def require_proxies_for(self, proxy_protocol: Sequence[str] | bool) -> None:
        """Refuse headers of the PROXY protocol where nobody is trusted to send them.

        Raises:
            ValueError: so it is.
        """
        if proxy_protocol and not self.trusted_proxies:
            raise ValueError("proxy_protocol needs trusted_proxies: headers of nobody else are taken")
