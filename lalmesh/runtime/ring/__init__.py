"""The ring: one bounded buffer of access units with cursors (docs/design.md §4).

Publication, group, relay and every sender on a link use the same one. Positions count units since the ring was made and never
come again; a cursor is a position. A unit's name is ``(publication, seq)``. Where publication, epoch or tracks change, and where
units are missing, the ring keeps a *mark*, so that what is read is always a `Run`: consecutive units of one publication under
one track set.
"""

from lalmesh.runtime.ring._cursor import Cursor
from lalmesh.runtime.ring._ring import MAX_PUBLICATIONS, MAX_RUN_UNITS, TRIM_US, Ring, RingLimits
from lalmesh.runtime.ring._run import NO_TRACK, Run, join_track

__all__ = [
    "MAX_PUBLICATIONS",
    "MAX_RUN_UNITS",
    "NO_TRACK",
    "TRIM_US",
    "Cursor",
    "Ring",
    "RingLimits",
    "Run",
    "join_track",
]
