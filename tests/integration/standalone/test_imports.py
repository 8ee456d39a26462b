"""What processes are without, which would take them time and memory to have."""

from __future__ import annotations

import json
import subprocess
import sys

WITHOUT = ("grpc", "google.protobuf", "opentelemetry", "services.standalone.node", "services.edge", "services.origin")


def test_a_supervisor_imports_neither_grpc_nor_a_role() -> None:
    code = f"import sys, services.standalone.supervising; print([name for name in {WITHOUT} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout == "[]\n"


def test_a_process_that_traces_nothing_does_not_import_the_sdk() -> None:
    code = """
import json, sys
import services.standalone.roles_cli, services.standalone.node, services.edge.app, services.hls.app, services.origin.app
import services.scheduler.app
from lalmesh.runtime import telemetry
from lalmesh.runtime.config import TracesConfig
telemetry.begin(TracesConfig(), role="edge", node="edge-1")
print(json.dumps([name for name in sys.modules if name.startswith("opentelemetry")]))
"""
    assert json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60).stdout) == []
