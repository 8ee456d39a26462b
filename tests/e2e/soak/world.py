"""Where it happens: a small cluster with all that belongs to it, and a standalone server beside."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from e2e.soak.samples import Sampler, Values, Watched
from support.cluster import Cluster, Node, Settings, Standalone
from support.operator_api import call
from support.ports import LOOPBACK
from support.redis import RedisServer
from support.webhook_sink import WebhookSink

TOKEN = "a token of the soak tests"
LISTED = 100  #: sessions that are asked for: whether there are any
SECRET = "a secret of the soak tests"
RECORDED = "record"  #: the application whose streams are recorded
SHARD_EVENTS_NUM = 1000  #: events in each of the log's shards
REMEMBERED_NUM = 400  #: streams that a node remembers: so few that all are there soon, so that nothing grows by that
#: keys of Redis that outlive what they are about, as they are to, and end by themselves: one for each start of a node, and for what
#: several schedulers may tell of
OUTLIVING = (":events:told:", ":events:once:")
#: what a claim, a group, an owner of segments, a relay leaves in the registry while it is there
REGISTRY = ("claims/", "groups/", "hls/", "relays/")

#: Short, so that what ends is gone soon; small, so that what fills up is full before the slopes begin.
_TIMES: dict[str, object] = {
    "cluster.remembered_num": REMEMBERED_NUM,
    "edge.play.linger_s": 1,
    "edge.play.wait_publisher_s": 5,
    "edge.fanout.player_queue_s": 2,
    "edge.fanout.slow_player_s": 5,
    "edge.fanout.player_sndbuf_bytes": 65_536,
    "edge.limits.handshake_timeout_s": 3,
    "edge.hls.cache_bytes": 8 << 20,
    "origin.grace_s": 3,
    "hls.segment_ms": 1000,
    "hls.idle_s": 5,
    "hls.keep_s": 5,
    "hls.session.idle_s": 3,
    "hls.memory_bytes": 32 << 20,
    "scheduler.hls_remember_s": 60,
    "scheduler.session_ttl_s": 8,
    "notify.shard_events_num": SHARD_EVENTS_NUM,
    "notify.kept_events_num": 50,
    "hls.recording.rules": [f"{RECORDED}/* flv+hls segment_s=5 keep_s=20"],
}


@dataclass(frozen=True, slots=True)
class Site:
    """Where publishers and players go."""

    name: str
    edges: list[Node]  #: those that take publishers and players
    api: Node
    media: Path  #: where it stores


class World:
    """Scheduler with etcd and Redis, two origins, two edges, an hls node; a standalone server; a receiver of webhooks."""

    def __init__(self, folder: Path) -> None:
        """Describe it; entering the block starts it."""
        self.folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.sink = self._stack.enter_context(WebhookSink(SECRET))
            self.redis = self._stack.enter_context(RedisServer(self.folder))
            common = {**_TIMES, "metrics.profile_token_file": self._secret("token", TOKEN)}
            hooks = {"notify.receivers": [f"soak {self.sink.url}/soak"], "notify.secret_file": self._secret("secret", SECRET)}
            store = {"scheduler.redis.host": LOOPBACK, "scheduler.redis.port": self.redis.port}
            by_role: Mapping[str, Settings] = {"all": common, "scheduler": {**hooks, **store}}
            self.cluster = self._stack.enter_context(Cluster(self.folder / "cluster", origins=2, edges=2, hls=1, settings=by_role))
            alone = self.folder / "alone"
            alone.mkdir()
            self.standalone = self._stack.enter_context(Standalone(alone, {**common, **hooks, "cluster.name": "alone"}))
        except BaseException:
            self._stack.close()
            raise
        self.sites = [
            Site("cluster", self.cluster.edges, self.cluster.schedulers[0], self.folder / "cluster" / "media"),
            Site("standalone", [self.standalone], self.standalone, alone / "media"),
        ]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def _secret(self, name: str, text: str) -> str:
        """The file that holds it: configuration takes secrets from nowhere else."""
        file = self.folder / name
        file.write_text(text)
        return str(file)

    @property
    def nodes(self) -> list[Node]:
        """Processes of ours."""
        return [*self.cluster.nodes, self.standalone]

    @property
    def victim(self) -> Node:
        """The origin that is killed again and again; the other lives as long as the run."""
        return self.cluster.origins[1]

    def sampler(self, file: Path) -> Sampler:
        """Looks at all of it. Made in the loop where it is used."""
        ours = [Watched(node.name, lambda node=node: node.pid, lambda node=node: node.health_url) for node in self.nodes]  # type: ignore[misc]
        theirs = [Watched("etcd", lambda: self.cluster.etcd.pid), Watched("redis", lambda: self.redis.pid)]
        return Sampler(file, [*ours, *theirs], TOKEN, self.stores)

    def stores(self) -> Values:
        """What etcd, Redis and the storage folders hold."""
        found: Values = {}
        keys = self.cluster.etcd.control("get", "/lalmesh/", "--prefix", "--keys-only").split()
        found["etcd_keys"] = len(keys)
        for kind in REGISTRY:
            found[f"etcd_{kind.rstrip('/')}"] = sum(key.startswith(f"/lalmesh/{kind}") for key in keys)
        for site in self.sites:  # who is asked forgets those that nobody has seen for long
            status, page = call("GET", f"{site.api.api_url}/v1/sessions?limit={LISTED}")
            found[f"listed_sessions_{site.name}"] = float(len(page["items"]) if status == 200 else LISTED)
        with redis.Redis(host=LOOPBACK, port=self.redis.port) as client:
            memory = client.info("memory")
            assert isinstance(memory, dict)
            found["redis_keys"], found["redis_endless_keys"] = _keys(client)
            found["redis_bytes"] = float(memory["used_memory"])
        for site in self.sites:
            found[f"stored_files_{site.name}"] = float(sum(len(files) for _, _, files in os.walk(site.media)))
        return found


def _keys(client: redis.Redis) -> tuple[float, float]:
    """How many keys there are but those that end by themselves long after; and how many of these would not end."""
    keys = [bytes(key) for key in client.scan_iter(count=1000)]
    outliving = [key for key in keys if any(part.encode() in key for part in OUTLIVING)]
    with client.pipeline(transaction=False) as pipe:
        for key in outliving:
            pipe.pttl(key)
        ends = pipe.execute()
    return float(len(keys) - len(outliving)), float(ends.count(-1))
