"""Everything that can go wrong with etcd, as the registry's one error."""

from __future__ import annotations

import random

import grpc

from lalmesh.runtime.registry import RegistryUnavailable

MEAN_RETRY_S = 1.0  #: as long as a restarted member takes to be reached again


def unavailable(reason: str) -> RegistryUnavailable:
    """The error for `reason`, with a pause of 0.5 to 1.5 times `MEAN_RETRY_S`, so that not everybody comes back at once."""
    return RegistryUnavailable(reason, retry_after_s=MEAN_RETRY_S * random.uniform(0.5, 1.5))


class Refused(RegistryUnavailable):
    """etcd, or the way to it, answered with an error status."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        """Keep the status of `error`."""
        self.code: grpc.StatusCode = error.code()
        reason = f"etcd: {self.code.name}: {error.details()}"
        super().__init__(reason, retry_after_s=unavailable(reason).retry_after_s)
