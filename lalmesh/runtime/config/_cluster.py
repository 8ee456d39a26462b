"""The section `cluster`: what the nodes of a cluster must know of each other."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, model_validator

from lalmesh.runtime.config._base import ConfigModel, HostPort, Label, Name, SharedKey, Text, live_keys

MESSAGE_MARGIN_BYTES = 512 << 10  #: of a message on a link, for what goes along with the units


class LinkConfig(ConfigModel):
    """The link between an edge and an origin, which carries all streams of the pair."""

    dead_s: float = Field(default=2.0, ge=0.5, le=60, description="Silence after which a link counts as broken.")
    heartbeat_ms: int = Field(default=500, ge=50, le=10_000, description="An idle link says something this often.")
    flush_ms: int = Field(default=1, ge=0, le=1000, description="Least time between two batches on a quiet link.")
    busy_flush_ms: int = Field(default=10, ge=0, le=1000, description="Least time between two batches on a busy link.")
    busy_messages_per_s: int = Field(default=300, ge=1, le=100_000, description="A link that sends more messages is busy.")
    batch_bytes: int = Field(
        default=512 << 10, ge=16 << 10, le=16 << 20, description="A batch is at most this large, or holds one larger unit."
    )
    max_message_bytes: int = Field(default=16 << 20, ge=1 << 20, le=256 << 20, description="Largest message taken on a link.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.heartbeat_ms * 2 > self.dead_s * 1000:
            raise ValueError("heartbeat_ms must be at most half of dead_s, or one late heartbeat breaks the link")
        if self.batch_bytes > self.max_unit_bytes:
            raise ValueError("batch_bytes must not be above max_message_bytes less 512 KiB")
        return self

    @property
    def max_unit_bytes(self) -> int:
        """The largest access unit that a message of a link has room for."""
        return self.max_message_bytes - MESSAGE_MARGIN_BYTES


class ClusterTlsConfig(ConfigModel):
    """Mutual TLS between nodes; all three files, or none for plain text."""

    ca_file: Text = Field(default="", description="PEM file of the authority that signs the nodes' certificates.")
    cert_file: Text = Field(default="", description="PEM file of this node's certificate chain.")
    key_file: Text = Field(default="", description="PEM file of the private key of cert_file.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({bool(self.ca_file), bool(self.cert_file), bool(self.key_file)}) > 1:
            raise ValueError("ca_file, cert_file and key_file belong together, not all are given")
        return self

    @property
    def enabled(self) -> bool:
        """Whether nodes speak TLS with each other."""
        return bool(self.cert_file)


class ClusterConfig(ConfigModel):
    """What the nodes of one cluster share, and who this node is in it."""

    live = live_keys("drain_s claim_timeout_s")

    name: Name = Field(default="lalmesh", description="Name of the cluster, in logs and metrics.")
    node: Label = Field(default="", description="Name of this node, unique in the cluster; empty: host name and role.")
    zone: Label = Field(default="", description="Failure zone of this node.")
    machine: Label = Field(
        default="", description="Machine that this node runs on; copies of a stream never share one. Empty: the host name."
    )
    key: SharedKey = Field(
        default=SecretStr(""), description="Key that grants are signed with, the same on all nodes. Empty, standalone only: random."
    )
    key_file: Text = Field(default="", description="File that holds the cluster key.")
    previous_key: SharedKey = Field(
        default=SecretStr(""), description="Key accepted besides `key` while the key is being replaced."
    )
    previous_key_file: Text = Field(default="", description="File that holds the previous key.")
    schedulers: tuple[HostPort, ...] = Field(
        default=("127.0.0.1:50051",), strict=False, max_length=64, description="gRPC addresses of the schedulers; any one will do."
    )
    lease_s: int = Field(default=10, ge=2, le=3600, description="A node that is not heard of for this long is dead.")
    rejoin_s: float = Field(default=1.0, ge=0, le=60, description="A node that lost its scheduler keeps its claims this long.")
    report_interval_ms: int = Field(default=1000, ge=100, le=60_000, description="A node reports to its scheduler this often.")
    silence_s: float = Field(
        default=2.0, ge=0.5, le=600, description="Silence after which a node and its scheduler give each other up."
    )
    drain_s: float = Field(
        default=20.0,
        ge=0,
        le=86_400,
        description="How long a node that is told to end waits for what it has to go elsewhere. Standalone does not wait.",
    )
    claim_timeout_s: float = Field(default=5.0, ge=0.1, le=60, description="Longest wait for the answer to a claim.")
    remembered_num: int = Field(
        default=100_000,
        ge=100,
        le=10_000_000,
        description="Streams whose highest epoch a node remembers, those that it saw last; up to 600 bytes each.",
    )
    match_app: bool = Field(default=True, description="Whether streams of one name in two applications are two streams.")
    link: LinkConfig = LinkConfig()
    tls: ClusterTlsConfig = ClusterTlsConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.report_interval_ms >= self.silence_s * 1000:
            raise ValueError("report_interval_ms must be below silence_s")
        if self.silence_s >= self.lease_s:
            raise ValueError("silence_s must be below lease_s")
        return self

    def node_name(self, *, role: str, host_name: str, is_shared: bool = False) -> str:
        """The name of this node: the configured one, with `role` behind it where roles share it; else of `host_name` and `role`."""
        return self.node if self.node and not is_shared else f"{self.node or host_name}-{role}"

    def machine_name(self, *, host_name: str) -> str:
        """The machine of this node: the configured one, else `host_name`."""
        return self.machine or host_name
