"""Who wants streams that would be fetched for it: those who wait, and those who watch, as far as one replica knows. A pure core."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from lalmesh.names import StreamKey
from lalmesh.runtime.scheduling.control import MAX_VIA
from lalmesh.runtime.scheduling.model import NOT_ASKED, AskedUrl, HeldStream, Wanted
from services.scheduler.directory import Directory

HOLD_S = 2.0  #: after it was seen last: from one who waits to the first report with a player
HLS_HOLD_S = 10.0  #: after a player of HLS was told that there is nothing yet: it asks again within a few seconds
VIA_HOLD_S = 15.0  #: after a cluster was named last that a stream is wanted for: one that waits is named every `MAX_LOCATE_S` (10)
MAX_NOTED = 20_000  #: streams that are wanted at one replica, as many as can be waited for there

Wants = dict[StreamKey, tuple[str, ...]]  #: with the clusters that they are wanted for


class RelayDemand:
    """What is wanted at one replica. `now` is any clock in seconds that does not step."""

    def __init__(self, directory: Directory) -> None:
        """Know by `directory` what would be fetched."""
        self._directory = directory
        self._relays = directory.relaying
        self._until: dict[StreamKey, float] = {}
        self._via: dict[StreamKey, dict[str, float]] = {}  # clusters, and until when each counts
        self._asked: dict[StreamKey, AskedUrl] = {}

    def is_fetched(self, stream: StreamKey) -> bool:
        """Whether a stream is fetched, or would be if somebody wanted it."""
        if self._relays.pull(stream) is not None:
            return True
        return self._directory.claim(stream) is None and self._relays.demanded(stream) is not None

    def note(self, wanted: Wanted, now: float, hold_s: float = HOLD_S) -> bool:
        """Somebody wants a stream that is nowhere; whether it is, or would be, fetched. Over the bound no other is."""
        stream = wanted.stream
        if not self.is_fetched(stream) or (stream not in self._until and len(self._until) >= MAX_NOTED):
            return False
        self._keep(stream, wanted.via, now, hold_s)
        if wanted.asked != NOT_ASKED:
            self._asked[stream] = wanted.asked
        return True

    def asked(self, stream: StreamKey) -> AskedUrl:
        """By who wanted the stream last."""
        return self._asked.get(stream, NOT_ASKED)

    def look(self, waited: Collection[StreamKey], held: Iterable[HeldStream], now: float) -> Wants:
        """All that is wanted now.

        Args:
            waited: streams that somebody waits for.
            held: what edges and hls nodes play.
        """
        self._forget_clusters(now)
        for stream in waited:
            if self.is_fetched(stream):
                self._keep(stream, (), now)
        if self._relays.pulls() or any(not rule.is_push for _, rule in self._relays.rules):
            for each in held:
                if each.players and self.is_fetched(each.stream):
                    self._keep(each.stream, each.relayed_to, now)
        for stream in [stream for stream, until in self._until.items() if until <= now]:
            del self._until[stream]
            self._via.pop(stream, None)
            self._asked.pop(stream, None)
        return {stream: tuple(self._via.get(stream, ())) for stream in self._until}

    def _forget_clusters(self, now: float) -> None:
        """Forget those that are not named any more: one that wants a stream no longer may be where it is to come from next."""
        for stream, clusters in list(self._via.items()):
            for cluster in [cluster for cluster, until in clusters.items() if until <= now]:
                del clusters[cluster]
            if not clusters:
                del self._via[stream]

    def _keep(self, stream: StreamKey, via: tuple[str, ...], now: float, hold_s: float = HOLD_S) -> None:
        self._until[stream] = max(now + hold_s, self._until.get(stream, now))
        for cluster in via:
            clusters = self._via.setdefault(stream, {})
            if cluster in clusters or len(clusters) < MAX_VIA:
                clusters[cluster] = now + VIA_HOLD_S
