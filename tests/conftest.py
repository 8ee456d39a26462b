"""Settings of all tests."""

import gc
import os

from hypothesis import HealthCheck, settings

# `make check` is short and draws other examples each time, CI goes further, `make fuzz` deep. In CI the examples never change.
# A number of its own, which holds everywhere, has only a test that is dear.
# A slow, shared machine is no reason to fail: only the time limit of a test counts.
settings.register_profile("lalmesh", max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("lalmesh"), max_examples=120, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "lalmesh")

gc.disable()  # until all is imported: nothing of that is garbage


def pytest_collection_finish() -> None:
    """Look for garbage among what tests make, and not each time through what was imported for them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)
    gc.enable()
