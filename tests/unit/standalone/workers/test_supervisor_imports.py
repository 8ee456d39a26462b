"""What a supervisor is without."""

from __future__ import annotations

import subprocess
import sys

WITHOUT = ("grpc", "google.protobuf", "opentelemetry", "services.standalone.node", "services.edge", "services.origin")


def test_a_supervisor_imports_neither_grpc_nor_a_role() -> None:
    code = f"import sys, services.standalone.supervising; print([name for name in {WITHOUT} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout == "[]\n"
