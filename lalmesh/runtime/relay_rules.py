"""Rules of relays, as schedulers keep them: which streams are fetched from where, which are sent where to.

URLs of a rule are templates: ``{app}``, ``{name}`` and ``{query}`` stand for those of the stream, and of who wants it or
publishes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fnmatch import translate
from functools import lru_cache
from urllib.parse import quote, urlsplit

from lalmesh.errors import InvalidName
from lalmesh.names import ANY_APP, StreamKey
from lalmesh.runtime.recording import RuleError
from lalmesh.runtime.scheduling.control import MAX_RELAY_URLS, MAX_URL_BYTES
from lalmesh.runtime.scheduling.model import NOT_ASKED, AskedUrl

MAX_RULES = 1000  #: of a cluster: each is looked at for every stream that is wanted or begins
MAX_PATTERN_BYTES = 1024
MAX_STOP_S = 7 * 86_400.0
MAX_START_S = 600.0
MAX_RETRIES = 1_000_000
_WILD = "*?[]"  #: in patterns
LAL_APP = "live"  #: what `{app}` is where applications mean nothing and no URL named one: that of lal's documents and players
DEFAULT_STOP_S = 10.0  #: who reloads a page is back by then
NEVER_S = -1.0  #: of `RelayRule.stop_after_s`
ENDLESS = -1  #: of `RelayRule.retries`

PULL_SCHEMES = frozenset(("rtmp", "rtmps", "rtsp", "rtsps", "http", "https", "ws", "wss"))
PUSH_SCHEMES = frozenset(("rtmp", "rtmps", "rtsp", "rtsps"))
DEFAULT_PORTS = {"rtmp": 1935, "rtmps": 443, "rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "ws": 80, "wss": 443}
RAW_SCHEMES = frozenset(("rtmp", "rtmps"))  #: whose names are not percent-encoded
_PLACES = re.compile(r"\{([^{}]*)\}")
_KNOWN_PLACES = frozenset(("app", "name", "query"))
_SAFE = "-._~!$'()*+,;=:@"  #: in a part of a path (RFC 3986 §3.3), but for ``&``, which some servers take for more
_NO_URL = re.compile(r"[^!-~]")  #: what a URL does not have: line ends above all
_OPTION = re.compile(r"([a-z_]+)=(.*)", re.DOTALL)
_COMPILED = 2 * MAX_RULES


@dataclass(slots=True, frozen=True, kw_only=True)
class RelayOptions:
    """How a relay is run."""

    start_timeout_s: float = 0.0  #: from the dial to the first media; 0: as configured
    retries: int = ENDLESS  #: rounds over all sources after one that failed; it counts anew once the relay has run
    rtsp_udp: bool = False  #: RTSP over UDP, otherwise interleaved
    verify_tls: bool = True
    ca_file: str = ""


@dataclass(slots=True, frozen=True, kw_only=True)
class RelayRule:
    """What is done with the streams whose ``app/name`` matches `pattern`."""

    is_push: bool
    pattern: str  #: with ``*``, ``?`` and ``[]`` as in file names; ``*`` also goes over slashes
    urls: tuple[str, ...]  #: templates. Pull: sources in the order in which they are tried; push: each is a target
    on_demand: bool = True  #: pull: only while somebody wants the stream; otherwise always, and `pattern` is the name of one
    stop_after_s: float = DEFAULT_STOP_S  #: pull on demand: ends so long after the last one left; `NEVER_S`
    options: RelayOptions = RelayOptions()

    def matches(self, stream: StreamKey) -> bool:
        """Whether `stream` is one of them."""
        return _compiled(self.pattern).match(str(stream)) is not None

    @property
    def app(self) -> str:
        """The application of all streams that it is for, as far as its pattern names one; empty: it may be any."""
        app = self.pattern.rpartition("/")[0]
        return "" if any(char in app for char in _WILD) else app

    @property
    def stream(self) -> StreamKey | None:
        """The stream of a rule that is for one alone and needs no demand."""
        return None if self.is_push or self.on_demand else StreamKey.parse(self.pattern)


@lru_cache(maxsize=_COMPILED)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def expand(template: str, stream: StreamKey, asked: AskedUrl = NOT_ASKED) -> str:
    """The URL that `template` stands for. Names are percent-encoded where the scheme has it so, a query where it has to be.

    Args:
        template: of a rule that was checked.
        stream: what is relayed.
        asked: how who wants it, or publishes it, named it; its application counts where the stream has none.

    Raises:
        RuleError: the URL is too long, or the scheme has no way to write the name.
    """
    raw = template.partition(":")[0].lower() in RAW_SCHEMES
    stream, query = _named(stream, asked.app), asked.query
    if raw and "?" in str(stream):
        raise RuleError("urls", f"{stream} cannot be named in a URL of RTMP")
    app, name = (str(stream.app), stream.name) if raw else (quote(stream.app, safe=_SAFE + "/"), quote(stream.name, safe=_SAFE))
    values = {"app": app, "name": name, "query": _NO_URL.sub(lambda found: quote(found[0], errors="replace"), query)}
    url = _PLACES.sub(lambda place: values[place[1]], template).rstrip("?&")
    if len(url.encode()) > MAX_URL_BYTES:
        raise RuleError("urls", f"a URL of {len(url.encode())} bytes, limit {MAX_URL_BYTES}")
    return url


def names_query(template: str) -> bool:
    """Whether a URL differs with the query of who wants the stream, or publishes it."""
    return "{query}" in template


def _named(stream: StreamKey, app: str) -> StreamKey:
    """The stream as another server may know it: lal passes on the application of the URL that it was asked by."""
    if stream.app != ANY_APP:
        return stream
    try:
        return StreamKey.of(app or LAL_APP, stream.name)
    except InvalidName:  # it was no part of a name until now
        return StreamKey(LAL_APP, stream.name)


def check_url(template: str, *, is_push: bool) -> str:
    """`template`, if it is one.

    Raises:
        RuleError: it is none, or of a scheme that relays do not speak. It says nothing of what may be a secret.
    """
    if not 1 <= len(template.encode("utf-8", "replace")) <= MAX_URL_BYTES or not template.isprintable() or " " in template:
        raise RuleError("urls", f"a URL needs 1 to {MAX_URL_BYTES} bytes without blanks")
    unknown = set(_PLACES.findall(template)) - _KNOWN_PLACES
    if unknown:
        raise RuleError("urls", f"{{{min(unknown)[:50]}}} is none of {{app}}, {{name}}, {{query}}")
    schemes = PUSH_SCHEMES if is_push else PULL_SCHEMES
    scheme, separator, _ = template.partition("://")
    if not separator or scheme.lower() not in schemes:
        raise RuleError("urls", f"a URL has to begin with one of {', '.join(f'{each}://' for each in sorted(schemes))}")
    try:
        parts = urlsplit(_PLACES.sub("x", template), allow_fragments=False)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0 or (port is None and parts.netloc.endswith(":")):
        raise RuleError("urls", "a URL needs a host, and a port that is one")
    if _PLACES.search(template.partition("://")[2].partition("/")[0]):
        raise RuleError("urls", "the host of a URL cannot be that of a request: whoever asks would choose it")
    return template


def make_relay_rule(
    *,
    is_push: bool,
    pattern: str,
    urls: Sequence[str],
    on_demand: bool = True,
    stop_after_s: float = DEFAULT_STOP_S,
    options: RelayOptions,
) -> RelayRule:
    """A rule of what somebody wrote.

    Raises:
        RuleError: something in it is not allowed.
    """
    size = len(pattern.encode("utf-8", "replace"))
    if not 1 <= size <= MAX_PATTERN_BYTES or not pattern.isprintable():
        raise RuleError("pattern", f"a pattern needs 1 to {MAX_PATTERN_BYTES} bytes of text on one line")
    if not 1 <= len(urls) <= MAX_RELAY_URLS:
        raise RuleError("urls", f"a rule needs 1 to {MAX_RELAY_URLS} URLs")
    checked = tuple(check_url(url, is_push=is_push) for url in urls)
    if not is_push and not on_demand:
        _check_stream(pattern)
    return RelayRule(
        is_push=is_push,
        pattern=pattern,
        urls=checked,
        on_demand=on_demand,
        stop_after_s=checked_stop(stop_after_s),
        options=checked_options(options),
    )


def _check_stream(pattern: str) -> None:
    if any(char in pattern for char in _WILD):
        raise RuleError("pattern", "what is always fetched has to be one stream, app/name")
    try:
        StreamKey.parse(pattern)
    except Exception as exc:
        raise RuleError("pattern", str(exc)) from exc


def checked_stop(stop_after_s: float) -> float:
    """`stop_after_s`, if it is within its bounds.

    Raises:
        RuleError: it is not.
    """
    if stop_after_s != NEVER_S and not 0 <= stop_after_s <= MAX_STOP_S:
        raise RuleError("stop_after_s", f"stop_after_s has to be from 0 to {MAX_STOP_S:g}, or -1 for never")
    return stop_after_s


def checked_options(options: RelayOptions) -> RelayOptions:
    """`options`, if they are within their bounds.

    Raises:
        RuleError: one is not.
    """
    if not 0 <= options.start_timeout_s <= MAX_START_S:
        raise RuleError("start_timeout_s", f"start_timeout_s has to be from 0 to {MAX_START_S:g}")
    if not ENDLESS <= options.retries <= MAX_RETRIES:
        raise RuleError("retries", f"retries has to be from 0 to {MAX_RETRIES}, or -1 for without end")
    if len(options.ca_file.encode("utf-8", "replace")) > MAX_URL_BYTES or not (
        options.ca_file.isprintable() or not options.ca_file
    ):
        raise RuleError("ca_file", "ca_file has to be the name of a file")
    return options


def parse_relay_rule(text: str, *, is_push: bool) -> RelayRule:
    """A rule as it is written on one line: ``live/* rtmp://a/{app}/{name} rtmp://b/{app}/{name} stop_after_s=30 retries=5``.

    Raises:
        RuleError: it is none.
    """
    pattern, *words = text.split() or [""]
    urls: list[str] = []
    said: dict[str, str] = {}
    for word in words:
        option = _OPTION.fullmatch(word)
        if option is None:
            urls.append(word)
        else:
            said[option[1]] = option[2]
    start = _word(said, "start", ("on_demand", "always"), "on_demand")
    stop_after_s = _number(said, "stop_after_s", DEFAULT_STOP_S)
    options = RelayOptions(
        start_timeout_s=_number(said, "start_timeout_s", 0.0),
        retries=int(_number(said, "retries", ENDLESS)),
        rtsp_udp=_word(said, "rtsp_transport", ("tcp", "udp"), "tcp") == "udp",
        verify_tls=_word(said, "verify_tls", ("true", "false"), "true") == "true",
        ca_file=said.pop("ca_file", ""),
    )
    if said:
        raise RuleError(min(said), f"{min(said)[:50]!r} is none of start, stop_after_s, {', '.join(_option_names())}")
    return make_relay_rule(
        is_push=is_push, pattern=pattern, urls=urls, on_demand=start == "on_demand", stop_after_s=stop_after_s, options=options
    )


def _option_names() -> list[str]:
    return [each.name if each.name != "rtsp_udp" else "rtsp_transport" for each in fields(RelayOptions)]


def _word(said: dict[str, str], name: str, allowed: Sequence[str], default: str) -> str:
    word = said.pop(name, default)
    if word not in allowed:
        raise RuleError(name, f"{name} has to be one of {', '.join(allowed)}, not {word[:50]!r}")
    return word


def _number(said: dict[str, str], name: str, default: float) -> float:
    text = said.pop(name, "")
    if not text:
        return default
    if not re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]{1,6})?", text):
        raise RuleError(name, f"{name} has to be a number, not {text[:50]!r}")
    return float(text)


def static_pull_rule(address: str) -> RelayRule:
    """What lal's ``static_relay_pull`` does: each stream that somebody wants from ``rtmp://ADDRESS/APP/NAME``."""
    return make_relay_rule(
        is_push=False, pattern="*", urls=[f"rtmp://{address}/{{app}}/{{name}}"], stop_after_s=0.0, options=RelayOptions()
    )


def static_push_url(address: str) -> str:
    """The template of `static_push_rule`."""
    return f"rtmp://{address}/{{app}}/{{name}}?{{query}}"


def static_push_rule(address: str) -> RelayRule:
    """What lal's ``relay_push`` does: each stream that is published to ``rtmp://ADDRESS/APP/NAME``, with the publisher's query."""
    return make_relay_rule(is_push=True, pattern="*", urls=[static_push_url(address)], options=RelayOptions())


# What may be shown ----------------------------------------------------------------------------------------------------

_LOGIN = re.compile(r"([a-z][a-z0-9+.-]*://)[^/\s]*@", re.IGNORECASE)
_QUERY = re.compile(r"([a-z][a-z0-9+.-]*://[^\s?]*)\?\S*", re.IGNORECASE)  # quotes and brackets are legal in one


def without_secrets(text: str) -> str:
    """`text` with the logins and queries of the URLs in it taken out."""
    return _QUERY.sub(r"\1", _LOGIN.sub(r"\1", text))
