"""Which web pages may read streams."""

from __future__ import annotations

from urllib.parse import urlsplit


class CorsPolicy:
    """Which web pages may read streams."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        """Allow the listed origins, ``scheme://host[:port]``; ``*`` any, without credentials."""
        self._any = "*" in origins
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    def headers(self, origin: str | None) -> dict[str, str]:
        """The headers of an answer to a page of `origin`."""
        if self._any:
            return {"Access-Control-Allow-Origin": "*"}
        if origin is None or origin.lower() not in self._origins:
            return {"Vary": "Origin"} if self._origins else {}
        return {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true", "Vary": "Origin"}

    def allows_socket(self, origin: str | None, host: str) -> bool:
        """Whether a page of `origin` may open a WebSocket here; a client that is no browser sends no origin."""
        if origin is None or self._any or origin.lower() in self._origins:
            return True
        try:
            return urlsplit(origin).netloc.lower() == host.lower()
        except ValueError:
            return False
