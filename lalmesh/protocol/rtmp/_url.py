"""RTMP URLs, and the names inside ``connect``, ``publish`` and ``play``."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from lalmesh.errors import UnsupportedError

DEFAULT_PORTS = {"rtmp": 1935, "rtmps": 443}


def split_query(name: str) -> tuple[str, str]:
    """Split at the first ``?``: the name and the query, empty where there is none."""
    name, _, query = name.partition("?")
    return name, query


def split_app(app: str) -> tuple[str, str]:
    """Give the application of a connect command without the slashes at its ends, and its query."""
    app, query = split_query(app)
    return app.strip("/"), query


def split_name(app: str, name: str) -> tuple[str, str, str]:
    """Give application, stream name and query of a publish or play command.

    The name is what follows the last slash: ``rtmp://host/app/inst/name`` is sent as ``app/inst`` and ``name`` by some clients, as
    ``app`` and ``inst/name`` by others.
    """
    name, query = split_query(name)
    inner, _, last = name.rpartition("/")
    return "/".join(part for part in (app, inner) if part), last, query


@dataclass(slots=True, frozen=True, kw_only=True)
class RtmpUrl:
    """Where a stream is published or played."""

    scheme: str  #: ``rtmp`` or ``rtmps``
    host: str  #: name or address; IPv6 without brackets
    port: int
    app: str  #: all parts of the path but the last; may be empty
    name: str  #: the last part, with the query, as publish and play send it; may be empty
    user: str = ""  #: for servers that ask for one; nothing of the protocol carries it
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> RtmpUrl:
        """Take a URL apart. A query belongs to the name; where the path has one part only, ``app?query/name``, to the application.

        Raises:
            ValueError: not a URL, without a host, or with a port that is no port.
            UnsupportedError: another scheme.
        """
        parts = urlsplit(url, allow_fragments=False)
        if parts.scheme not in DEFAULT_PORTS:
            raise UnsupportedError(f"URL scheme {parts.scheme!r}")
        if not parts.hostname:
            raise ValueError("URL without a host")
        path, query = parts.path.strip("/"), f"?{parts.query}" if parts.query else ""
        app, slash, name = path.rpartition("/")
        if not slash and "/" in query:
            inner, _, name = query.rpartition("/")
            app, query = path + inner, ""
        return cls(
            scheme=parts.scheme,
            host=parts.hostname,
            port=DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port,
            app=app,
            name=name + query,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "rtmps"

    @property
    def tc_url(self) -> str:
        """What connect sends as ``tcUrl``: scheme, host, port and application."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}/{self.app}"

    def __str__(self) -> str:
        """The whole URL, without user and password; it may be logged as far as its query may."""
        return f"{self.tc_url}/{self.name}" if self.app else f"{self.tc_url}{self.name}"
