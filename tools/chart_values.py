"""What the values of the Helm chart may be: the shape of `values.yaml`, from which `values.schema.json` is made.

The service configuration, below ``config``, is not described here: that part of the schema comes from its own models.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel


class Values(BaseModel):
    """A group of values: named as Kubernetes names things, and nothing unknown in it."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


DnsLabel = Annotated[str, StringConstraints(max_length=63, pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$")]
Host = Annotated[str, StringConstraints(max_length=253, pattern=r"^[^\s/:]*$")]
Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?([EPTGMk]i?|m)?$")]
Digest = Annotated[str, StringConstraints(pattern=r"^(sha256:[0-9a-f]{64})?$")]
Percent = Annotated[int, Field(ge=1, le=100)]
Texts = dict[str, str]
Anything = dict[str, Any]  #: of the Kubernetes API, which checks it
ManyOrPercent = Annotated[int, Field(ge=0)] | Annotated[str, StringConstraints(pattern=r"^[0-9]{1,3}%$")]


class Image(Values):
    """A container image; a digest beats the tag."""

    repository: Annotated[str, StringConstraints(min_length=1)]
    tag: str = ""
    digest: Digest = ""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"


class Secrets(Values):
    """Where the secrets of the configuration are."""

    existing_secret: str = ""


class CertManager(Values):
    """A certificate that cert-manager is to issue."""

    enabled: bool = False
    issuer_ref: Anything = {}
    dns_names: list[str] = []
    duration: str = ""


class Tls(Values):
    """A certificate: of a Secret that is there, or of cert-manager."""

    secret_name: str = ""
    cert_manager: CertManager = CertManager()


class ClusterTls(Values):
    """Mutual TLS between nodes."""

    enabled: bool = False
    secret_name: str = ""
    cert_manager: CertManager = CertManager()


class ServiceAccount(Values):
    """Under which account pods run; they never get its token."""

    create: bool = True
    name: str = ""
    annotations: Texts = {}


class Service(Values):
    """How a Service is exposed."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    annotations: Texts = {}
    load_balancer_class: str = ""
    load_balancer_source_ranges: list[str] = []
    external_traffic_policy: Literal["Local", "Cluster"] = "Local"


class EdgeService(Service):
    """The Service that all edges share."""

    enabled: bool = True
    udp: bool = False


class PodService(Service):
    """A Service for each edge, by the name of its pod below `domain`."""

    domain: Host = ""


class Advertise(Values):
    """What routing tells clients to reach an edge by."""

    source: Annotated[Literal["service", "podService", "hostIP", "podIP"], Field(alias="from")] = "service"
    host: Host = ""


class Disruption(Values):
    """A PodDisruptionBudget."""

    enabled: bool = True
    max_unavailable: ManyOrPercent = 1


class Keda(Values):
    """Where KEDA asks."""

    server_address: str = ""
    polling_interval_s: Annotated[int, Field(ge=1)] = 15


class Autoscaling(Values):
    """How many edges there are, by what they carry."""

    enabled: bool = False
    by: Literal["cpu", "prometheus-adapter", "keda"] = "cpu"
    min_replicas: Annotated[int, Field(ge=1)] = 2
    max_replicas: Annotated[int, Field(ge=1)] = 10
    cpu_percent: Percent = 70
    players: Annotated[int, Field(ge=1)] = 1000
    egress_bps: Annotated[int, Field(ge=1)] = 2_000_000_000
    scale_down_window_s: Annotated[int, Field(ge=0, le=3600)] = 300
    scale_down_pods: Annotated[int, Field(ge=1)] = 1
    keda: Keda = Keda()


class Pods(Values):
    """What the pods of every role take."""

    replicas: Annotated[int, Field(ge=0)] = 2
    resources: Anything = {}
    node_selector: Texts = {}
    tolerations: list[Anything] = []
    affinity: Anything = {}
    topology_spread_constraints: list[Anything] = []
    priority_class_name: str = ""
    pod_annotations: Texts = {}
    pod_labels: Texts = {}
    extra_env: list[Anything] = []
    extra_volumes: list[Anything] = []
    extra_volume_mounts: list[Anything] = []


class Node(Pods):
    """A role of lalmesh."""

    pod_disruption_budget: Disruption = Disruption()


class Edge(Node):
    """Edges."""

    kind: Literal["Deployment", "DaemonSet", "StatefulSet"] = "Deployment"
    host_ports: bool = False
    host_network: bool = False
    advertise: Advertise = Advertise()
    service: EdgeService = EdgeService()
    pod_service: PodService = PodService()
    autoscaling: Autoscaling = Autoscaling()
    tls: Tls = Tls()


class Origin(Node):
    """Origins."""


class Scheduler(Node):
    """Schedulers."""

    service: Service = Service()
    tls: Tls = Tls()


class Claim(Values):
    """A claim on a volume: one that is there, or a new one."""

    existing_claim: str = ""
    size: Quantity = "100Gi"
    storage_class_name: str = ""
    access_modes: list[Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"]] = ["ReadWriteMany"]
    annotations: Texts = {}


class HlsStorage(Values):
    """The shared folder of segments and recordings, where `config.hls.storage.url` names no object store."""

    claim: Claim = Claim()


class Spool(Values):
    """The volume in which recordings grow; any kind that a pod takes."""

    volume: Anything = {"emptyDir": {}}


class Hls(Node):
    """hls nodes."""

    storage: HlsStorage = HlsStorage()
    spool: Spool = Spool()


class Persistence(Values):
    """The volume of a bundled store."""

    enabled: bool = True
    size: Quantity = "8Gi"
    storage_class_name: str = ""


class Etcd(Pods):
    """etcd: bundled, or one that is there (`config.scheduler.etcd`)."""

    bundled: bool = True
    image: Image
    replicas: Literal[1, 3, 5] = 3
    persistence: Persistence = Persistence()
    tls_secret: str = ""


class Redis(Pods):
    """Redis: bundled, or one that is there (`config.scheduler.redis`)."""

    bundled: bool = True
    image: Image
    replicas: Literal[1] = 1
    max_memory: Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]*(k|kb|m|mb|g|gb)?)?$")] = "640mb"
    persistence: Persistence = Persistence()
    tls_secret: str = ""


class IngressHost(Values):
    """One host behind the Ingress."""

    host: Host = ""
    tls_secret: str = ""
    annotations: Texts = {}


class Ingress(Values):
    """HTTP from outside: streams by the edges, API and console by the schedulers."""

    enabled: bool = False
    class_name: str = ""
    annotations: Texts = {}
    streams: IngressHost = IngressHost()
    api: IngressHost = IngressHost()


class Egress(Values):
    """What pods may reach outside of the release, beside DNS."""

    enabled: bool = False
    all: list[Anything] = []
    edge: list[Anything] = []
    origin: list[Anything] = []
    scheduler: list[Anything] = []
    hls: list[Anything] = []


class NetworkPolicy(Values):
    """Who may reach what."""

    enabled: bool = True
    metrics_from: list[Anything] = []
    api_from: list[Anything] = []
    machines_from: list[Anything] = []
    egress: Egress = Egress()


class Scrape(Values):
    """A PodMonitor or ServiceMonitor."""

    enabled: bool = False
    labels: Texts = {}
    interval: str = "30s"


Duration = Annotated[str, StringConstraints(pattern=r"^([0-9]+(ms|s|m|h|d))+$")]  #: as Prometheus writes them
Share = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class After(Values):
    """When an alert fires: once it has held for so long."""

    for_: Annotated[Duration, Field(alias="for")]


class Within(Values):
    """When an alert fires: by what is counted over so long."""

    window: Duration


class AfterWithin(After, Within):
    """When an alert fires: once what is counted over `window` has held for long."""


class NodeRestarts(Within):
    """How often a node starts again."""

    restarts: Count


class ClockOff(After):
    """How far off a clock may be."""

    seconds: Seconds


class DescriptorsShort(After):
    """How much of them may be used."""

    share: Share


class StoreAway(AfterWithin):
    """etcd, or Redis: for all schedulers, or in part."""

    partly_for: Duration


class CertificateExpires(After):
    """How long before its end."""

    warning_days: Seconds
    critical_days: Seconds


class WebhookReceiverFailing(AfterWithin):
    """How many events may wait."""

    backlog: Count


class ClientsRefused(AfterWithin):
    """How many may be refused."""

    share: Share
    clients: Count


class Late(AfterWithin):
    """How late something may be."""

    seconds: Seconds


class FailoverSlow(Within):
    """How long players may see nothing: a bound of the histogram."""

    seconds: Literal["0.5", "1.0", "1.5", "2.0", "2.5", "3.0", "5.0", "10.0", "30.0"]


class PlayersSkip(AfterWithin):
    """How many may skip."""

    share: Share
    skips: Count


class RateLimited(AfterWithin):
    """How many may be refused."""

    refused: Count


class Alerts(Values):
    """When each alert fires; `LalmeshNodeAway` is `nodeAway`."""

    schedulers_away: After
    nodes_missing: After
    node_away: Within
    node_not_scraped: After
    node_restarts: NodeRestarts
    clock_off: ClockOff
    descriptors_short: DescriptorsShort
    etcd_away: StoreAway
    redis_away: StoreAway
    certificate_expires: CertificateExpires
    authorisation_failing: After
    webhook_receiver_failing: WebhookReceiverFailing
    events_lost: Within
    spans_lost: AfterWithin
    clients_refused: ClientsRefused
    no_origin_with_room: After
    edge_full: AfterWithin
    link_delay_high: Late
    failover_slow: FailoverSlow
    players_skip: PlayersSkip
    rate_limited: RateLimited
    streams_without_segmenter: AfterWithin
    storage_failing: AfterWithin
    segments_late: Late


class Rules(Values):
    """The alerts as a PrometheusRule."""

    enabled: bool = False
    labels: Texts = {}
    alert_labels: Texts = {}
    runbook_url: Annotated[str, StringConstraints(pattern=r"^(https?://\S+)?$")] = ""
    disabled: list[Annotated[str, StringConstraints(pattern=r"^Lalmesh[A-Za-z]+$")]] = []
    alerts: Alerts


class Dashboards(Values):
    """The dashboards as ConfigMaps, as Grafana's sidecar takes them."""

    enabled: bool = False
    labels: Texts = {"grafana_dashboard": "1"}
    annotations: Texts = {}


class Monitoring(Values):
    """What the Prometheus operator and Grafana are told."""

    pod_monitor: Scrape = Scrape()
    service_monitor: Scrape = Scrape()
    prometheus_rule: Rules
    dashboards: Dashboards = Dashboards()


class PriorityClasses(Values):
    """Classes by which media outlives what is less urgent."""

    create: bool = False
    value: Annotated[int, Field(ge=1, le=1_000_000_000)] = 100_000


class TestHook(Values):
    """`helm test`: a clip is pushed and played."""

    enabled: bool = True
    app: Annotated[str, StringConstraints(min_length=1, pattern=r"^[^/?#\s]+$")] = "helm-test"
    publish_query: str = ""
    play_query: str = ""


class ChartValues(Values):
    """Values of the chart lalmesh, but for ``config``."""

    name_override: DnsLabel = ""
    fullname_override: DnsLabel = ""
    cluster_domain: Host = "cluster.local"
    image: Image
    image_pull_secrets: list[Anything] = []
    common_labels: Texts = {}
    service_account: ServiceAccount = ServiceAccount()
    pre_stop_s: Annotated[int, Field(ge=0, le=600)] = 5
    fs_group: Annotated[int, Field(ge=1)] = 10001
    zones: Annotated[list[DnsLabel], Field(json_schema_extra={"uniqueItems": True})] = []
    zone_from_pod_label: bool = False
    secrets: Secrets = Secrets()
    cluster_tls: ClusterTls = ClusterTls()
    edge: Edge = Edge()
    origin: Origin = Origin()
    scheduler: Scheduler = Scheduler()
    hls: Hls = Hls()
    etcd: Etcd
    redis: Redis
    ingress: Ingress = Ingress()
    network_policy: NetworkPolicy = NetworkPolicy()
    monitoring: Monitoring
    priority_classes: PriorityClasses = PriorityClasses()
    tests: TestHook = TestHook()
    global_: Annotated[Anything, Field(alias="global")] = {}
