"""Which web pages may read what a node serves."""

from __future__ import annotations

from urllib.parse import urlsplit

METHODS = "GET, HEAD"
PREFLIGHT_MAX_AGE_S = 86_400
#: what a page may see of an answer beside what any page may: a player of HLS reads from Age how old its playlist is
EXPOSED = "Age, Content-Range, Date, Location, Retry-After"


class CorsPolicy:
    """Which web pages may read what a node serves."""

    def __init__(self, origins: tuple[str, ...], own: tuple[str, ...] = ()) -> None:
        """Allow the listed origins, ``scheme://host[:port]``; ``*`` any, without credentials. Those of `own` pages stay allowed."""
        self._own = own
        self.allow(origins)

    def allow(self, origins: tuple[str, ...]) -> None:
        """Allow these from now on, and no others but those of own pages."""
        self._any = "*" in origins
        self._origins = frozenset(origin.lower().rstrip("/") for origin in (*origins, *self._own))

    def headers(self, origin: str | None) -> dict[str, str]:
        """The headers of an answer to a page of `origin`."""
        if self._any:
            return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
        if origin is None or origin.lower() not in self._origins:
            return {"Vary": "Origin"} if self._origins else {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": EXPOSED,
            "Vary": "Origin",
        }

    def preflight(self, origin: str | None, allowed_headers: str | None, methods: str = METHODS) -> dict[str, str]:
        """What the answer to an OPTIONS request says beside `headers`.

        Args:
            origin: of the page.
            allowed_headers: what it may send; where it may only read, whatever it asks for.
            methods: by which.
        """
        if "Access-Control-Allow-Origin" not in self.headers(origin):
            return {}
        said = {"Access-Control-Allow-Methods": methods, "Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE_S)}
        return said | ({"Access-Control-Allow-Headers": allowed_headers} if allowed_headers else {})

    def allows_socket(self, origin: str | None, host: str) -> bool:
        """Whether a page of `origin` may open a WebSocket here; a client that is no browser sends no origin."""
        if origin is None or self._any or origin.lower() in self._origins:
            return True
        try:
            return urlsplit(origin).netloc.lower() == host.lower()
        except ValueError:
            return False
