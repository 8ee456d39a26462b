"""Which pictures of a track can be decoded: none before the first random access point, and none of a broken GOP, if asked for."""

from __future__ import annotations


class RandomAccessGate:
    """Open from a random access point on.

    Leading pictures of the point at which it opens, which are shown before it and may refer to what was before, stay out.
    """

    def __init__(self, *, drop_broken_gop: bool) -> None:
        """Start closed; `drop_broken_gop`: a loss closes it until the next random access point."""
        self._drop_broken_gop = drop_broken_gop
        self._is_open = False
        self._opened_at: int | None = None  # until a picture is shown after it
        self.dropped = 0  #: pictures that did not pass

    def admits(self, pts: int, *, random_access: bool, after_loss: bool) -> bool:
        """Whether the next picture in decoding order, shown at `pts`, passes."""
        if after_loss and self._drop_broken_gop:
            self._is_open = False
        if random_access and not self._is_open:
            self._is_open, self._opened_at = True, pts
        elif self._opened_at is not None and pts > self._opened_at:
            self._opened_at = None
        if self._is_open and (self._opened_at is None or pts == self._opened_at):
            return True
        self.dropped += 1
        return False
