"""``lalmesh doctor``: what is missing or closed on this machine, or in the cluster, and what to do about it.

A module a subject: each has a core, which turns facts into findings and asks nobody, and a check, which gathers the facts. Checks
run side by side, each for so long and no longer: what does not answer in time is a finding too.
"""

from services.standalone.doctor._finding import Finding, Status, failed, ok, skipped, warning
from services.standalone.doctor._place import Place
from services.standalone.doctor._report import as_json, as_text, exit_status
from services.standalone.doctor._run import CHECKS, Examined, examine

__all__ = [
    "CHECKS",
    "Examined",
    "Finding",
    "Place",
    "Status",
    "as_json",
    "as_text",
    "examine",
    "exit_status",
    "failed",
    "ok",
    "skipped",
    "warning",
]
