"""Run it: ``python -m e2e.soak``."""

from __future__ import annotations

from e2e.soak.runner import main

main()
