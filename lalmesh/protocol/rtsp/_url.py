"""RTSP URLs: where to connect, what to ask for, which track is meant (RFC 2326 §3.2, §C.1.1)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import unquote

from lalmesh.errors import UnsupportedError

DEFAULT_PORTS: Final = {"rtsp": 554, "rtsps": 322}


@dataclass(slots=True, frozen=True, kw_only=True)
class RtspUrl:
    """Where a stream is published or played, and as whom."""

    scheme: str  #: ``rtsp`` or ``rtsps``
    host: str  #: name or address; IPv6 without brackets
    port: int
    rest: str  #: path and query as they are, from the slash on
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> RtspUrl:
        """Take a URL apart.

        Interop: passwords of cameras hold ``@`` and ``:``, their paths spaces and ``#``. So the last ``@`` before the path ends the
        password, and path and query are sent as they are.

        Raises:
            ValueError: not a URL, without a host, or with a port that is no port.
            UnsupportedError: another scheme.
        """
        scheme, separator, after = url.strip().partition("://")
        if not separator:
            raise ValueError("URL without a scheme")
        if scheme.lower() not in DEFAULT_PORTS:
            raise UnsupportedError(f"URL scheme {scheme[:40]!r}")
        authority, rest = _split_authority(after)
        login, _, address = authority.rpartition("@")
        user, _, password = login.partition(":")
        host, port = _split_port(address)
        return cls(
            scheme=scheme.lower(),
            host=host,
            port=DEFAULT_PORTS[scheme.lower()] if port is None else port,
            rest=rest,
            user=unquote(user),
            password=unquote(password),
        )

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "rtsps"

    def __str__(self) -> str:
        """The URL that is sent: without user and password. It may be logged as far as its query may."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.rest}"


def _split_authority(after: str) -> tuple[str, str]:
    """What is before the path, and path with query."""
    end = min((at for at in (after.find("/"), after.find("?")) if at >= 0), default=len(after))
    return after[:end], after[end:]


def _split_port(address: str) -> tuple[str, int | None]:
    if address.startswith("["):
        host, _, after = address[1:].partition("]")
        port = after.removeprefix(":")
    else:
        host, _, port = address.partition(":")
    if not host or any(character.isspace() for character in host):
        raise ValueError("URL without a host")
    if port and not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65_536):
        raise ValueError(f"port {port[:40]!r}")
    return host.lower(), int(port) if port else None


class StreamPath(NamedTuple):
    """The stream that a URL names. Not checked: see `lalmesh.names`."""

    app: str  #: all parts but the last; may be empty
    name: str  #: the last part; may be empty
    query: str  #: what follows ``?``, as it is


def split_path(uri: str) -> StreamPath:
    """The stream that a request URI names, percent-encoding taken off. Slashes at the end do not count, behind a query neither."""
    path, _, query = _path_of(uri).partition("?")
    app, _, name = path.strip("/").rpartition("/")
    return StreamPath(_unquoted(app.strip("/")), _unquoted(name), query.rstrip("/"))


def base_url(requested: str, content_base: str = "", content_location: str = "") -> str:
    """What relative control URLs of a description are relative to (RFC 2326 §C.1.1).

    Interop: a base that is no absolute URL of RTSP, which some cameras send, counts as none.

    Args:
        requested: URI of the request that the description came for.
        content_base: header of the answer.
        content_location: the same.
    """
    return next((url.strip() for url in (content_base, content_location) if _is_absolute(url.strip())), requested)


def resolve_control(base: str, control: str) -> str:
    """The URL of a track or of a whole presentation.

    Interop: nobody resolves it as RFC 3986 has it, which would lose the last part of the base: clients append it with one slash
    between, behind a query too, and servers count on that. A control that is a query goes on without a slash.

    Args:
        base: as `base_url` gives it; for a track, resolved with the control URL of the session before.
        control: value of ``a=control``; empty or ``*`` is the base itself.
    """
    if control in ("", "*"):
        return base
    if _is_absolute(control):
        return control
    if control.startswith("?"):
        return base.rstrip("/") + control
    return f"{base.rstrip('/')}/{control.lstrip('/')}"


class ControlUrls:
    """The tracks of a description, by any URL that a client may write for them. What is compared is worked out once."""

    def __init__(self, base: str, controls: Sequence[str]) -> None:
        """Take the control URLs of the tracks, in order.

        Args:
            base: what they are relative to.
            controls: as they stand in the description.
        """
        path, has_query, query = base.rstrip("/").partition("?")
        whole = _unquoted(_path_of(base.rstrip("/")))
        inner = _unquoted(_path_of(path.rstrip("/")))
        behind = f"?{_unquoted(query)}" if has_query else ""
        self._whole = _comparable(base)
        self._forms = [_forms(control, whole, inner, behind) for control in controls]

    def __len__(self) -> int:
        """How many tracks there are."""
        return len(self._forms)

    def match(self, uri: str, taken: Collection[int] = ()) -> int | None:
        """Which track a request is about; None: none of them.

        Interop: clients append the control to the path, to the query, or to the path before the query, and may write another host
        than the description does. Where two tracks have the same control, or none, they are taken in turn; the URL of the
        presentation is that of its only track.

        Args:
            uri: of the request.
            taken: tracks that come last where several match: those that are set up.
        """
        wanted = _comparable(uri)
        matching = [track for track, forms in enumerate(self._forms) if wanted in forms]
        if not matching and len(self._forms) == 1 and wanted == self._whole:
            matching = [0]
        return next((track for track in matching if track not in taken), matching[0] if matching else None)


def _forms(control: str, whole: str, inner: str, behind: str) -> frozenset[str]:
    """What `_comparable` gives of any URL of a track.

    Args:
        control: URL of the track.
        whole: path and query of the base, percent-encoding taken off.
        inner: the path alone, likewise.
        behind: the query with its mark, likewise; empty where there is none.
    """
    if _is_absolute(control):
        return frozenset((_comparable(control),))
    if control.startswith("?"):
        below = _unquoted(control)
    else:
        below = "/" + _unquoted(control.lstrip("/")) if control not in ("", "*") else ""
    written = (whole + below, inner + below, inner + below + behind) if behind else (whole + below,)
    return frozenset(form.strip("/") for form in written)


def _comparable(uri: str) -> str:
    return _unquoted(_path_of(uri)).strip("/")


def _path_of(uri: str) -> str:
    """Path and query, without scheme and host. A URL that stands inside either is a part of it."""
    scheme, separator, after = uri.partition("://")
    return _split_authority(after)[1] if separator and "/" not in scheme and "?" not in scheme else uri


def _is_absolute(url: str) -> bool:
    return url.lower().startswith(("rtsp://", "rtsps://", "rtspu://"))


def _unquoted(text: str) -> str:
    return unquote(text, errors="surrogateescape")
