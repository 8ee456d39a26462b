"""What the public listeners of all roles take alike: a certificate, and limits."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from lalmesh.runtime.config._base import ConfigModel, Text, live_keys, require_pair


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

    live = live_keys("connections connections_per_address handshake_timeout_s idle_timeout_s")

    connections: int = Field(default=20_000, ge=1, le=1_000_000, description="Connections at a time.")
    connections_per_address: int = Field(
        default=0, ge=0, le=1_000_000, description="Connections at a time from one address, loopback too; 0: no limit."
    )
    handshake_timeout_s: float = Field(default=10.0, ge=0.1, le=300, description="Longest time from a connection to its request.")
    idle_timeout_s: float = Field(default=120.0, ge=1, le=86_400, description="Silence after which a connection is closed.")
