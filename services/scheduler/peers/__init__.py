"""What the nodes of the whole cluster report, as every replica shows it, be they joined to another one."""

from services.scheduler.peers._figures import MAX_PLAYED, HeldAt, NodeFigures, OwnFigures, StreamFigures, state_of_keys
from services.scheduler.peers._peers import Peers
from services.scheduler.peers._rpc import PeersFace

__all__ = ["MAX_PLAYED", "HeldAt", "NodeFigures", "OwnFigures", "Peers", "PeersFace", "StreamFigures", "state_of_keys"]
