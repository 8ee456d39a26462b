from __future__ import annotations

from prometheus_client import CollectorRegistry

import lalmesh
from lalmesh.runtime.config import load_config
from services.standalone.build_info import BuildInfo


def test_a_process_says_what_it_is() -> None:
    registry = CollectorRegistry()
    config = load_config(None, ["cluster.node=edge-7", "cluster.zone=a"], {})
    registry.register(BuildInfo(config, "edge"))
    labels = {"role": "edge", "node": "edge-7", "zone": "a", "version": lalmesh.__version__}
    assert registry.get_sample_value("lalmesh_build_info", labels) == 1
