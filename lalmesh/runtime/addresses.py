"""Writing hosts and ports down."""

from __future__ import annotations


def host_port(host: str, port: int) -> str:
    """``host:port``, with brackets around an IPv6 address (RFC 3986 §3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
