"""Which web pages may read playlists and segments."""

from __future__ import annotations


class CorsPolicy:
    """Answers the question of browsers whether a page of another origin may read what is served (Fetch Standard §3.2)."""

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
