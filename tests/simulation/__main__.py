"""Run schedules: ``python -m simulation --seeds 2000`` or one, in words, ``python -m simulation --seed 1234 -v``."""

from __future__ import annotations

from simulation.runner import main

main()
