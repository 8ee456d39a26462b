"""Who is told of what: changes of the view, as commands to the nodes that joined this replica.

What is gone may come back, so nobody is told to let go for that; a node that was at no replica when something changed is told when
it joins.
"""

from __future__ import annotations

from collections.abc import Callable

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NO_EPOCH, Grant, HlsOwner
from lalmesh.runtime.scheduling.hls import HlsAssigned, RecordingRules
from lalmesh.runtime.scheduling.model import GroupMoved, ReclaimWanted, Role, StreamFenced
from services.scheduler.changes import Change, ClaimChanged, DrainChanged, GroupChanged, HlsChanged, NodeChanged
from services.scheduler.claims import is_outdated
from services.scheduler.cluster_records import DrainRecord
from services.scheduler.directory import Directory
from services.scheduler.hls_records import HlsRecord
from services.scheduler.members import Members, Session
from services.scheduler.recording_rules import RulesChanged
from services.scheduler.records import ClaimRecord, GroupRecord, NodeRecord, grant_of
from services.scheduler.wholes import parts_of


class Notices:
    """Tells the members of this replica."""

    def __init__(
        self,
        directory: Directory,
        members: Members,
        *,
        evict: Callable[[Session, str], None],
        signed: Callable[[HlsOwner], HlsOwner],
        granted: Callable[[Grant], Grant],
    ) -> None:
        """Tell `members`.

        Args:
            directory: what is known.
            members: whom to tell.
            evict: ends the membership of one.
            signed: vouches for who segments a stream.
            granted: vouches for who writes it.
        """
        self._directory = directory
        self._members = members
        self._evict = evict
        self._signed = signed
        self._granted = granted

    def tell(self, change: Change) -> None:
        """Tell those whom a change of the view is for."""
        match change:
            case GroupChanged(before, now):
                self._tell_moved(before, now)
            case ClaimChanged(before, now) if now is not None:
                self._tell_fenced(before, now)
            case HlsChanged(before, now) if now is not None:
                self._tell_assigned(before, now)
            case NodeChanged(_, now) if now is not None:
                self._tell_evicted(now)
            case DrainChanged(_, now) if now is not None:
                self._tell_drain(now)
            case RulesChanged(rules):
                for session in self._members:
                    if session.report.role is Role.HLS:
                        session.send(RecordingRules(rules))
            case _:
                pass

    def tell_missed(self, session: Session) -> None:
        """Tell a node what it was not told while it was at no replica, or at one that did not hear of it; see `Reminders` too."""
        if session.report.role is Role.HLS:
            self._tell_missed_hls(session)
        drain = self._drain_of(session)
        if drain is not None and not session.report.draining:
            session.send(drain.command)

    def moved(self, now: GroupRecord, session: Session) -> GroupMoved:
        """What a node is told of where a stream is; the publishing edge gets its grant for that place along."""
        claim = self._directory.claim(now.stream)
        if claim is None or claim.edge.node != session.node or claim.epoch != now.epoch:
            return GroupMoved(now.location)
        return GroupMoved(now.location, self._granted(grant_of(claim, now)))

    def _tell_missed_hls(self, session: Session) -> None:
        """What is recorded; what it segments and does not say so, and what it says it segments and another does."""
        if self._directory.is_listed:  # before, the rules are not known; then all are told
            session.send(RecordingRules(self._directory.recording.rules.rules))
        for stream in sorted({*self._directory.hls.owned(session.node), *session.held}):
            record, held = self._directory.hls.record(stream), session.held.get(stream)
            if record is not None and (held is None or held.epoch < record.epoch):
                self._assign(record, session)

    def _tell_moved(self, before: GroupRecord | None, now: GroupRecord | None) -> None:
        """Tell all who carry the stream, and those who will not have said so yet: where it is written from, and to."""
        if now is None:
            self._tell_lost(before)
            return
        concerned = {session.node.name: session for session in self._members.holders(now.stream)}
        if now.epoch != now.place[:2]:  # else it was claimed at this very moment, and the claim is answered
            claim = self._directory.claim(now.stream)
            for node in (now.origin.node, before.origin.node if before else None, claim.edge.node if claim else None):
                session = self._members.of(node) if node is not None else None
                if session is not None:
                    concerned[session.node.name] = session
        for session in concerned.values():
            session.send(self.moved(now, session))

    def _tell_lost(self, before: GroupRecord | None) -> None:
        """A claim without a group: its publication says where it is, or asks for another place."""
        claim = self._directory.claim(before.stream) if before is not None else None
        holder = self._members.of(claim.edge.node) if claim is not None else None
        if claim is not None and holder is not None:
            holder.send(ReclaimWanted((claim.stream,)))

    def _tell_drain(self, now: DrainRecord) -> None:
        session = self._members.of(now.node)
        if session is not None:
            session.send(now.command)

    def _drain_of(self, session: Session) -> DrainRecord | None:
        """That a node is to drain: it was told itself, or all workers of its node were that there were then."""
        directory, cluster, whole = self._directory, self._directory.cluster, session.report.worker_of
        own = cluster.drain(session.node)
        if own is not None or not whole or not cluster.drains.values():
            return own
        # of one that is away it is not known whether it was of this start of the node
        others = [each for each in parts_of(whole, directory.nodes()) if directory.state_of(each) == "draining"]
        told = (cluster.drain(each.node) for each in others)
        return next((drain for drain in told if drain is not None and drain.all_workers), None)

    def _tell_fenced(self, before: ClaimRecord | None, now: ClaimRecord) -> None:
        """Tell the edge that had the claim, and any that says it writes under an earlier epoch, to let go."""
        outdated = [session for session in self._edges(now.stream) if is_outdated(session.held[now.stream], now)]
        holder = self._members.of(before.edge.node) if before is not None else None
        if holder is not None and holder not in outdated:
            outdated.append(holder)
        for session in outdated:
            if session.node != now.edge.node:
                session.send(StreamFenced(now.stream, now.epoch))

    def _tell_assigned(self, before: HlsRecord | None, now: HlsRecord) -> None:
        """Tell the new owner; where there was another, every hls node: each may be asking that one, and waiting for its answer."""
        if now.owner is None or (before is not None and (before.owner, before.epoch) == (now.owner, now.epoch)):
            return
        had_owner = before is not None and before.epoch != NO_EPOCH
        for session in self._members:
            held = session.held.get(now.stream)
            is_concerned = had_owner or session.node == now.owner.node or (held is not None and held.epoch < now.epoch)
            if session.report.role is Role.HLS and is_concerned:
                self._assign(now, session)

    def _assign(self, record: HlsRecord, session: Session) -> None:
        answer = record.answer()
        if answer is not None:
            session.send(HlsAssigned(self._signed(answer)))

    def _edges(self, stream: StreamKey) -> list[Session]:
        """The edges that carry the stream."""
        return [session for session in self._members.holders(stream) if session.report.role is Role.EDGE]

    def _tell_evicted(self, now: NodeRecord) -> None:
        session = self._members.named(now.node.name)
        if session is not None and session.node != now.node:
            self._evict(session, f"another incarnation of {now.node.name} has joined")
