"""Run them: ``python -m e2e.chaos``."""

from __future__ import annotations

from e2e.chaos.runner import main

main()
