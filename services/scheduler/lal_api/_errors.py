"""What lal's API answers where something is wrong: always with status 200, the code in the body."""

from __future__ import annotations

PARAM_MISSING = 1002
GROUP_NOT_FOUND = 1001
SESSION_NOT_FOUND = 1003
PULL_FAILED = 2001
LISTEN_FAILED = 2002
PAGE_NOT_FOUND = 404


class LalError(Exception):
    """A refusal, in lal's words."""

    def __init__(self, code: int, text: str) -> None:
        """Keep the `error_code` and the `desp`."""
        self.code = code
        self.text = text
        super().__init__(text)
