"""What a run of a load is to do."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lalmesh.client._errors import InvalidUrl
from lalmesh.client._rtmp_link import parse_rtmp_url
from lalmesh.client._rtsp_dial import parse_rtsp_url
from lalmesh.client.load._http_reading import HttpUrl
from lalmesh.client.load._media import Media
from lalmesh.client.load._rtsp_talk import is_rtsp_socket
from lalmesh.client.load._talks import DEMUXERS
from lalmesh.errors import LalmeshError

PLACEHOLDER: Final = "{}"  #: in a URL: the number of its stream
SPARE_FILES: Final = 64  #: beside those of sessions
MAX_TAPE_BYTES: Final = 1 << 30  #: of what is kept for the publisher that begins last

_PUBLISH_SCHEMES: Final = ("rtmp", "rtmps", "rtsp", "rtsps", "ws", "wss")
_PLAY_SCHEMES: Final = (*_PUBLISH_SCHEMES, "http", "https")


class NotPossible(LalmeshError):
    """What is planned is more than this machine is set up for."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Plan:
    """One run. All times are seconds."""

    publish_url: str = ""  #: where streams are published; empty: they are there already
    play_urls: tuple[str, ...] = ()
    streams: int = 1
    players: int = 1  #: of each stream at each URL
    looking: int = 1  #: players of each URL that look at every unit
    publish_within_s: float = 2.0  #: in which the publishers come
    play_within_s: float = 5.0  #: in which the players come
    settle_s: float = 1.0  #: between the last publisher and the first player
    duration_s: float = 30.0  #: from when all have come
    stall_s: float = 1.0  #: without bytes
    udp: bool = False  #: packets of RTSP go by UDP

    def check(self) -> None:
        """Find what cannot be.

        Raises:
            InvalidUrl: of a URL.
        """
        if not self.publish_url and not self.play_urls:
            raise InvalidUrl("nothing to publish or to play")
        if self.publish_url:
            _check_url(self.publish_url, _PUBLISH_SCHEMES, "published", self.streams)
            if self.publish_url.startswith("ws") and not is_rtsp_socket(self.publish_url):
                raise InvalidUrl(f"{self.publish_url}: what is published over WebSocket is RTSP, and its path has no ending")
        for url in self.play_urls:
            _check_url(url, _PLAY_SCHEMES, "played", self.streams)

    def check_media(self, media: Media) -> None:
        """Find out whether what is kept for the publisher that begins last can be kept.

        Raises:
            NotPossible: it is over `MAX_TAPE_BYTES`.
        """
        kept_bytes = self.publish_within_s * media.bitrate_bps / 8
        if kept_bytes > MAX_TAPE_BYTES:
            within, kept_gb = f"publishers within {self.publish_within_s:g} s", kept_bytes / 1e9
            raise NotPossible(f"{within}: {kept_gb:.1f} GB of media to keep for the last, limit {MAX_TAPE_BYTES / 1e9:.1f}")

    @property
    def sessions(self) -> int:
        """Of publishers and players together."""
        return (self.streams if self.publish_url else 0) + self.streams * self.players * len(self.play_urls)

    @property
    def files(self) -> int:
        """Descriptors that it takes, of two tracks where packets go by UDP."""
        by_udp = self.streams * self.players * sum(url.startswith("rtsp:") for url in self.play_urls)
        by_udp += self.streams * self.publish_url.startswith("rtsp:")
        return self.sessions + (4 * by_udp if self.udp else 0) + SPARE_FILES


def is_playlist(url: str) -> bool:
    """Whether it is of HLS."""
    return url.startswith("http") and url.partition("?")[0].endswith(".m3u8")


def url_of(url: str, stream: int) -> str:
    """`url` with the number of a stream in it."""
    return url.replace(PLACEHOLDER, str(stream))


def _check_url(url: str, schemes: Sequence[str], done: str, streams: int) -> None:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in schemes:
        raise InvalidUrl(f"{url}: what is {done} begins with {'://, '.join(schemes)}://")
    if streams > 1 and PLACEHOLDER not in url:
        raise InvalidUrl(f"{url}: of {streams} streams each needs a name; say where its number goes by {PLACEHOLDER}")
    first = url_of(url, 0)
    if scheme.startswith("rtmp"):
        parse_rtmp_url(first)
    elif scheme.startswith("rtsp"):
        parse_rtsp_url(first)
    elif not is_rtsp_socket(first):
        _check_path(HttpUrl.parse(first))


def _check_path(url: HttpUrl) -> None:
    known = (*DEMUXERS, *((".m3u8",) if url.scheme.startswith("http") else ()))
    if not url.path.endswith(known):
        raise InvalidUrl(f"{url}: what is played over {'HTTP' if url.scheme.startswith('http') else 'WebSocket'} ends in "
                         f"{', '.join(known)}")  # fmt: skip


def raise_file_limit(files: int) -> None:
    """Let this process open so many files.

    Raises:
        NotPossible: the system forbids it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < files:
        if hard != resource.RLIM_INFINITY and hard < files:
            raise NotPossible(f"{files} open files are needed, the limit is {hard}: raise it (ulimit -Hn), or take fewer")
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
