"""What the registry holds of relays: the keys, and the records in them.

```
relays/rules/ID                     a rule that was added by API                             for ever
relays/pulls/APP/NAME               a stream that is fetched from elsewhere, and by whom     for ever: it moves when its edge dies
relays/pushes/APP/NAME/TARGET       a stream that is sent elsewhere, and by whom             likewise
relays/wanted/REPLICA/APP/NAME      somebody waits for a stream or watches it                under the lease of the replica
relays/states/ID                    how far a relay is                                       under the lease of its edge
```
A stream has one key for its pull, so there is never a second one, whoever saw first that it is wanted. What the last two hold is
written when it changes, not each second. URLs in rules, pulls and pushes carry their secrets; nothing else has them, but the
claim of a stream that is sent elsewhere with the query of its publisher.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from typing import Any
from urllib.parse import quote, unquote

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeAddress
from lalmesh.runtime.registry import KeyValue
from lalmesh.runtime.relay_rules import NEVER_S, RelayOptions, RelayRule, make_relay_rule
from lalmesh.runtime.scheduling.control import MAX_VIA, RelayJob, RelayState
from lalmesh.runtime.scheduling.model import NOT_ASKED, AskedUrl
from services.scheduler.asked_urls import dump_asked, parse_asked
from services.scheduler.records import dump, dump_address, parse_address, parse_record

RELAYS = "relays/"
RULES = "relays/rules/"
PULLS = "relays/pulls/"
PUSHES = "relays/pushes/"
WANTED = "relays/wanted/"
STATES = "relays/states/"

CONFIGURED = "config-"  #: what ids of rules of the configuration begin with: those are in no key, each replica has its own
TARGET_BYTES = 8  #: of the digest that tells the targets of one stream apart


@dataclass(slots=True, frozen=True, kw_only=True)
class RelayRuleRecord:
    """A rule that was added by API."""

    id: str
    rule: RelayRule
    stream: str = ""  #: ``app/name`` where it is for one stream; its pattern then matches that only
    created_us: int = 0  #: Unix time in microseconds
    mod_revision: int = 0


@dataclass(slots=True, frozen=True, kw_only=True)
class RelayRecord:
    """A stream that is fetched or sent."""

    id: str
    is_push: bool
    stream: StreamKey
    urls: tuple[str, ...]
    rule: str = ""  #: id of the rule that it is by; empty: it was made by API
    options: RelayOptions = field(default_factory=RelayOptions)
    stop_after_s: float = NEVER_S
    via: tuple[str, ...] = ()  #: as `RelayJob.via`
    asked: AskedUrl = NOT_ASKED  #: push: how the publisher named the stream, which its URL is made of
    edge: NodeAddress | None = None  #: that runs it; None: none has room
    waits_for: str = ""  #: what no edge has had it yet for want of; empty once one has, which tells of it
    created_us: int = 0  #: Unix time in microseconds
    mod_revision: int = 0

    @property
    def key(self) -> str:
        """Where it is written."""
        return push_key(self.stream, self.urls[0]) if self.is_push else pull_key(self.stream)

    def job(self, start_timeout_s: float) -> RelayJob:
        """What its edge is told; `start_timeout_s` holds where the relay has none of its own."""
        options = self.options
        return RelayJob(
            id=self.id,
            is_push=self.is_push,
            stream=self.stream,
            urls=self.urls,
            start_timeout_ms=round((options.start_timeout_s or start_timeout_s) * 1000),
            retries=options.retries,
            rtsp_udp=options.rtsp_udp,
            verify_tls=options.verify_tls,
            ca_file=options.ca_file,
            via=self.via,
        )

    def also_via(self, clusters: tuple[str, ...]) -> RelayRecord:
        """The same, which is known to go to or come from `clusters` too."""
        via = tuple(dict.fromkeys((*self.via, *clusters)))[:MAX_VIA]
        return self if via == self.via else replace(self, via=via)


@dataclass(slots=True, frozen=True, kw_only=True)
class WantedRecord:
    """Somebody at one replica waits for a stream, or watches it."""

    replica: str
    stream: StreamKey
    via: tuple[str, ...] = ()
    mod_revision: int = 0


@dataclass(slots=True, frozen=True, kw_only=True)
class RelayStateRecord:
    """How far a relay is, as its edge reported it."""

    id: str
    state: RelayState
    url: str = ""
    session_id: str = ""
    error: str = ""
    since_us: int = 0
    mod_revision: int = 0


def rule_key(rule_id: str) -> str:
    """The key of a rule."""
    return RULES + rule_id


def pull_key(stream: StreamKey) -> str:
    """The key of the pull of a stream."""
    return PULLS + stream.quoted()


def push_key(stream: StreamKey, url: str) -> str:
    """The key of the push of a stream to `url`."""
    return f"{PUSHES}{stream.quoted()}/{blake2b(url.encode(), digest_size=TARGET_BYTES).hexdigest()}"


def wanted_key(replica: str, stream: StreamKey) -> str:
    """The key that says that somebody at `replica` wants a stream."""
    return f"{WANTED}{quote(replica, safe='')}/{stream.quoted()}"


def state_key(relay_id: str) -> str:
    """The key of the state of a relay."""
    return STATES + relay_id


def serialize_relay_rule(record: RelayRuleRecord) -> bytes:
    """The value of a rule's key."""
    return dump({"stream": record.stream, "created_us": record.created_us, **asdict(record.rule)})


def parse_relay_rule_record(entry: KeyValue) -> RelayRuleRecord:
    """The record in a rule's key; raises `DamagedRecordError`."""
    return parse_record(entry, _rule)


def _rule(entry: KeyValue, value: dict[str, Any]) -> RelayRuleRecord:
    rule = make_relay_rule(
        is_push=bool(value["is_push"]),
        pattern=str(value["pattern"]),
        urls=[str(url) for url in value["urls"]],
        on_demand=bool(value["on_demand"]),
        stop_after_s=float(value["stop_after_s"]),
        options=_options(value["options"]),
    )
    return RelayRuleRecord(
        id=entry.key.removeprefix(RULES),
        rule=rule,
        stream=str(value["stream"]),
        created_us=int(value["created_us"]),
        mod_revision=entry.mod_revision,
    )


def _options(value: dict[str, Any]) -> RelayOptions:
    return RelayOptions(
        start_timeout_s=float(value["start_timeout_s"]),
        retries=int(value["retries"]),
        rtsp_udp=bool(value["rtsp_udp"]),
        verify_tls=bool(value["verify_tls"]),
        ca_file=str(value["ca_file"]),
    )


def serialize_relay(record: RelayRecord) -> bytes:
    """The value of the key of a pull or a push."""
    return dump(
        {
            "id": record.id,
            "urls": record.urls,
            "rule": record.rule,
            "options": asdict(record.options),
            "stop_after_s": record.stop_after_s,
            "via": record.via,
            "edge": dump_address(record.edge) if record.edge is not None else None,
            "waits_for": record.waits_for,
            "created_us": record.created_us,
            **dump_asked(record.asked),
        }
    )


def parse_relay(entry: KeyValue) -> RelayRecord:
    """The record in the key of a pull or a push; raises `DamagedRecordError`."""
    return parse_record(entry, _relay)


def _relay(entry: KeyValue, value: dict[str, Any]) -> RelayRecord:
    is_push = entry.key.startswith(PUSHES)
    quoted = entry.key.removeprefix(PUSHES).rpartition("/")[0] if is_push else entry.key.removeprefix(PULLS)
    urls = tuple(str(url) for url in value["urls"])
    if not urls:
        raise ValueError("relay without a URL")
    return RelayRecord(
        id=str(value["id"]),
        is_push=is_push,
        stream=StreamKey.from_quoted(quoted),
        urls=urls,
        rule=str(value["rule"]),
        options=_options(value["options"]),
        stop_after_s=float(value["stop_after_s"]),
        via=tuple(str(cluster) for cluster in value["via"]),
        asked=parse_asked(value),
        edge=parse_address(value["edge"]) if value["edge"] else None,
        waits_for=str(value.get("waits_for", "")),  # replicas of before write none
        created_us=int(value["created_us"]),
        mod_revision=entry.mod_revision,
    )


def serialize_wanted(via: tuple[str, ...]) -> bytes:
    """The value of the key that says that a stream is wanted."""
    return dump({"via": via})


def parse_wanted(entry: KeyValue) -> WantedRecord:
    """The record in such a key; raises `DamagedRecordError`."""
    return parse_record(entry, _wanted)


def _wanted(entry: KeyValue, value: dict[str, Any]) -> WantedRecord:
    replica, _, quoted = entry.key.removeprefix(WANTED).partition("/")
    via = tuple(str(cluster) for cluster in value["via"])
    return WantedRecord(replica=unquote(replica), stream=StreamKey.from_quoted(quoted), via=via, mod_revision=entry.mod_revision)


def serialize_state(record: RelayStateRecord) -> bytes:
    """The value of the key of a state."""
    value = {"state": record.state.value, "url": record.url, "session_id": record.session_id}
    return dump({**value, "error": record.error, "since_us": record.since_us})


def parse_state(entry: KeyValue) -> RelayStateRecord:
    """The record in the key of a state; raises `DamagedRecordError`."""
    return parse_record(entry, _state)


def _state(entry: KeyValue, value: dict[str, Any]) -> RelayStateRecord:
    return RelayStateRecord(
        id=entry.key.removeprefix(STATES),
        state=RelayState(value["state"]),
        url=str(value["url"]),
        session_id=str(value["session_id"]),
        error=str(value["error"]),
        since_us=int(value["since_us"]),
        mod_revision=entry.mod_revision,
    )
