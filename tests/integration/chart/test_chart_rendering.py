"""What helm makes of the chart: with its default values, and with those of each sample."""

from __future__ import annotations

import difflib
import math
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes_validate import validate
from support import npm
from support.custom_kinds import SPECS, problems
from support.helm import CHART, NAMESPACE, RELEASE, SAMPLES, ApiServer, HelmError, Item, helm, named, of_kind, parsed, template

from lalmesh.runtime.config import Config, ConfigError, Role, check_role, load_config
from services.standalone.workers import Worker, share_of, worker_count

pytestmark = pytest.mark.skipif(not npm.available(), reason="helm comes by npm, which is not installed here")

#: What rendered objects are held to: the oldest Kubernetes that the chart is for, and the newest whose schemas there are.
KUBERNETES = ("1.30", "1.37")
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
#: What the Pod Security Standard `restricted` lets pods mount.
RESTRICTED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
SNAPSHOTS = Path(__file__).parent / "snapshots"
CASES = {"default": (), **{path.stem: (path,) for path in SAMPLES}}
ROLES: tuple[Role, ...] = ("edge", "origin", "scheduler", "hls")


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def rendered(case: str) -> list[Item]:
    return template(*CASES[case])


#: What an environment lets each role know beside its configuration.
KEYS = {"LALMESH_CLUSTER__KEY": "a cluster key of tests"}


def config_of(items: list[Item], folder: Path, role: Role = "edge", **environment: str) -> Config:
    """The configuration that pods of a role get, as the program reads it; it has to do for the role."""
    file = folder / "lalmesh.yaml"
    file.write_text(named(items, "ConfigMap", "media-lalmesh")["data"][f"{role}.yaml"])
    config = load_config(file, [], {**KEYS, **environment})
    check_role(config, role)
    return config


def workloads(items: list[Item]) -> Iterator[tuple[str, Item]]:
    """Each workload of lalmesh, with its role."""
    for item in of_kind(items, *WORKLOADS):
        role = item["metadata"]["labels"]["app.kubernetes.io/component"]
        if role in ROLES:
            yield role, item


def without_dashboard(item: Item) -> Item:
    if "grafana_dashboard" not in item["metadata"].get("labels", {}):
        return item
    return {**item, "data": dict.fromkeys(item["data"], "DASHBOARD")}


def without_noise(items: list[Item]) -> str:
    """As a snapshot keeps it: no random secrets, no clip, no checksums, which change with every default of the configuration.

    No dashboards either, which have tests of their own.
    """
    text = yaml.safe_dump_all([without_dashboard(item) for item in items], width=130)
    for item in of_kind(items, "Secret"):
        for value in item["data"].values():
            text = text.replace(value, "RANDOM")
    text = re.sub(r"clip\.flv: .*(\n  .*)*?(?=\n\S)", "clip.flv: CLIP", text)
    return re.sub(r"checksum/config: \w+", "checksum/config: CHECKSUM", text)


def test_helm_finds_nothing_wrong(case: str) -> None:
    helm("lint", "--strict", CHART, *(part for path in CASES[case] for part in ("--values", path)))


def test_every_object_is_as_kubernetes_and_the_operators_have_it(rendered: list[Item]) -> None:
    built_in = [item for item in rendered if (item["apiVersion"], item["kind"]) not in SPECS]
    for version in KUBERNETES:
        for item in built_in:
            validate(item, version, strict=True)
    found = {f"{item['kind']} {item['metadata']['name']}": problems(item) for item in rendered if item not in built_in}
    assert not any(found.values()), found


def test_a_role_starts_without_the_secrets_of_others(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(
        "config: {auth: {rules: ['publish live/* signed'], limits: ['live players=5']},"
        " scheduler: {etcd: {username: lalmesh}}, notify: {receivers: ['one http://example.org secret_file=/there']}}"
    )
    items = template(values)
    assert config_of(items, tmp_path, "origin").auth.rules == ()
    assert config_of(items, tmp_path, "edge", LALMESH_AUTH__SIGNED__KEYS="first:0123456789abcdefghij").auth.rules
    scheduler = config_of(items, tmp_path, "scheduler", LALMESH_SCHEDULER__ETCD__PASSWORD="of etcd")
    assert scheduler.auth.rules == ()
    assert scheduler.auth.limits
    with pytest.raises(ConfigError, match=r"auth\.signed"):
        config_of(items, tmp_path, "hls")


def test_names_are_given_once(rendered: list[Item]) -> None:
    names = [(item["kind"], item["metadata"]["name"]) for item in rendered]
    assert len(set(names)) == len(names)
    assert all(item["metadata"].get("namespace") == NAMESPACE for item in rendered if item["kind"] != "PriorityClass")


def test_the_program_takes_the_configuration(rendered: list[Item], tmp_path: Path) -> None:
    schedulers = named(rendered, "StatefulSet", "media-lalmesh-scheduler")["spec"]["replicas"]
    for role in ROLES:
        more = {"LALMESH_SCHEDULER__ETCD__PASSWORD": "of etcd"} if "username" in str(rendered) and role == "scheduler" else {}
        config = config_of(rendered, tmp_path, role, **more)
        assert config.metrics.host == "0.0.0.0"
        assert len(config.cluster.schedulers) == schedulers
        assert bool(config.scheduler.etcd.endpoints) is (role == "scheduler")


def test_what_is_rendered_is_as_it_was(case: str, rendered: list[Item]) -> None:
    path = SNAPSHOTS / f"{case}.yaml"
    now = without_noise(rendered)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(now)
    changes = difflib.unified_diff(path.read_text().splitlines(), now.splitlines(), "was", "is", lineterm="", n=5)
    text = "\n".join(changes)
    assert not text, f"if that is meant: UPDATE_SNAPSHOTS=1 pytest {__file__}\n{text[:5000]}"


def test_pods_may_do_nothing_that_they_need_not(rendered: list[Item]) -> None:
    specs = [item["spec"]["template"]["spec"] for item in of_kind(rendered, *WORKLOADS)]
    specs += [item["spec"] for item in of_kind(rendered, "Pod")]
    for spec in specs:
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostPID", "hostIPC", "hostUsers"} & set(spec)
        assert all(set(volume) - {"name"} <= RESTRICTED_VOLUMES for volume in spec.get("volumes", []))
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"]
            assert not {"sh", "bash", "/bin/sh"} & set(container["command"])


def test_only_edges_that_are_told_to_have_ports_of_their_machine(case: str, rendered: list[Item]) -> None:
    on_host = {
        role
        for role, item in workloads(rendered)
        for container in item["spec"]["template"]["spec"]["containers"]
        if any("hostPort" in port for port in container["ports"]) or item["spec"]["template"]["spec"].get("hostNetwork")
    }
    assert on_host == ({"edge"} if case == "daemonset-host-ports" else set())


def test_pods_have_the_time_to_drain(rendered: list[Item], tmp_path: Path) -> None:
    drain_s = config_of(rendered, tmp_path).cluster.drain_s
    for _, item in workloads(rendered):
        spec = item["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        pause_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert spec["terminationGracePeriodSeconds"] == pause_s + drain_s + 10


def test_probes_ask_a_pod_of_nobody_but_itself(rendered: list[Item], tmp_path: Path) -> None:
    port = config_of(rendered, tmp_path).metrics.port
    for _, item in workloads(rendered):
        (container,) = item["spec"]["template"]["spec"]["containers"]
        assert {"name": "metrics", "containerPort": port, "protocol": "TCP"}.items() <= container["ports"][-1].items()
        for probe, path in {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}.items():
            assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}


def test_selectors_find_the_pods_they_are_for(rendered: list[Item]) -> None:
    labels = [item["spec"]["template"]["metadata"]["labels"] for item in of_kind(rendered, *WORKLOADS)]
    selectors = [item["spec"]["selector"] for item in of_kind(rendered, "Service")]
    selectors += [item["spec"]["selector"]["matchLabels"] for item in of_kind(rendered, "PodDisruptionBudget")]
    for selector in selectors:
        given = {key: value for key, value in selector.items() if not key.startswith("statefulset.")}
        assert any(given.items() <= pod.items() for pod in labels), selector


def test_each_role_gets_the_secrets_that_it_reads(rendered: list[Item]) -> None:
    for role, item in workloads(rendered):
        (container,) = item["spec"]["template"]["spec"]["containers"]
        from_secret = {
            one["valueFrom"]["secretKeyRef"]["key"] for one in container["env"] if "secretKeyRef" in one.get("valueFrom", {})
        }
        assert {"cluster.key", "cluster.previous_key"} <= from_secret
        assert ("scheduler.http.token" in from_secret) is (role == "scheduler")
        assert ("auth.signed.keys" in from_secret) is (role in ("edge", "hls"))


def test_generated_secrets_are_long_and_differ() -> None:
    (secret,) = of_kind(template(), "Secret")
    assert set(secret["data"]) == {"cluster.key", "scheduler.http.token", "hls.session.hash_key", "scheduler.redis.password"}
    assert len(set(secret["data"].values())) == 4
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert not of_kind(template(sets=["secrets.existingSecret=mine"]), "Secret")


def test_secrets_that_are_there_are_found_again_with_what_was_put_beside_them() -> None:
    (before,) = of_kind(template(), "Secret")
    del before["data"]["hls.session.hash_key"]  # of an older version
    before["metadata"]["annotations"] |= {"meta.helm.sh/release-name": RELEASE, "meta.helm.sh/release-namespace": NAMESPACE}
    before["data"]["auth.signed.keys"] = "b2xkOmsxMjM0NTY3ODkwMTIzNDU2"
    with ApiServer(before) as cluster:
        (after,) = of_kind(template(api=cluster.url), "Secret")
    assert before["data"].items() <= after["data"].items()
    assert set(after["data"]) - set(before["data"]) == {"hls.session.hash_key"}


def test_the_commands_of_the_guide_install_what_starts() -> None:
    text = re.sub(r"\\\n\s*", "", (CHART.parents[1] / "docs" / "kubernetes.md").read_text(encoding="utf-8"))
    installs = re.findall(rf"^helm install {RELEASE} charts/lalmesh (.+)$", text, re.M)
    assert len(installs) == 2
    made: list[Item] = []
    for words in installs:
        given = shlex.split(words.replace("--create-namespace", ""))
        assert given[:2] == ["--namespace", NAMESPACE]
        made = parsed(helm("template", RELEASE, CHART, *given, "--kube-version", "1.34.0"))
    pods = [item["spec"]["template"]["spec"] for item in of_kind(made, *WORKLOADS)]
    asked = [one["valueFrom"]["secretKeyRef"] for pod in pods for one in pod["containers"][0]["env"] if "secretKeyRef" in str(one)]
    (command,) = re.findall(r"^kubectl create secret generic lalmesh .+$", text, re.M)
    in_the_secret = set(re.findall(r"--from-literal=([\w.]+)=", command))
    assert {one["name"] for one in asked} == {"lalmesh"}
    assert {one["key"] for one in asked if not one.get("optional")} <= in_the_secret <= {one["key"] for one in asked}


def test_the_guide_names_pods_as_they_are_called() -> None:
    text = (CHART.parents[1] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    found = re.findall(rf"kubectl exec --namespace {NAMESPACE} (\S+) -- lalmesh doctor --role (\w+) --config (\S+)", text)
    assert found
    for name, role, config in found:
        kind = "Deployment" if name.startswith("deploy/") else "StatefulSet"
        item = named(template(), kind, name.removeprefix("deploy/").removesuffix("-0"))
        (container,) = item["spec"]["template"]["spec"]["containers"]
        assert container["args"] == [role, "--config", config]


def test_zones_have_workloads_of_their_own() -> None:
    items = template(CHART / "samples" / "three-zones.yaml")
    for role in ("edge", "origin", "hls"):
        for zone in ("eu-1a", "eu-1b", "eu-1c"):
            (item,) = (item for found, item in workloads(items) if found == role and item["metadata"]["name"].endswith(zone))
            spec = item["spec"]["template"]["spec"]
            assert spec["nodeSelector"] == {"topology.kubernetes.io/zone": zone}
            assert {"name": "LALMESH_CLUSTER__ZONE", "value": zone} in spec["containers"][0]["env"]
            assert item["spec"]["selector"]["matchLabels"]["lalmesh/zone"] == zone
    (budget,) = (item for item in of_kind(items, "PodDisruptionBudget") if item["metadata"]["name"] == "media-lalmesh-origin")
    assert "lalmesh/zone" not in budget["spec"]["selector"]["matchLabels"], "one origin at a time, of all zones"
    assert len([item for item in of_kind(items, "Service") if "edges.example.org" in str(item["metadata"])]) == 3 * 4


def test_edges_leave_no_sooner_than_they_have_drained() -> None:
    items = template(CHART / "samples" / "three-zones.yaml")
    for item in of_kind(items, "HorizontalPodAutoscaler"):
        assert item["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 120
    assert all("replicas" not in item["spec"] for role, item in workloads(items) if role == "edge"), "the autoscaler says how many"


@pytest.mark.parametrize(
    ("by", "drain_s", "window_s", "wanted_s"),
    [("cpu", 20, 300, 300), ("cpu", 12.5, 0, 13), ("prometheus-adapter", 600, 300, 600), ("keda", 3600, 60, 3600)],
)
def test_the_window_of_every_autoscaler_is_as_long_as_draining(
    by: str, drain_s: float, window_s: int, wanted_s: int, tmp_path: Path
) -> None:
    scaling = {"enabled": True, "by": by, "scaleDownWindowS": window_s, "keda": {"serverAddress": "http://prometheus:9090"}}
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"config": {"cluster": {"drain_s": drain_s}}, "edge": {"autoscaling": scaling}}))
    items = template(values)
    (scaler,) = of_kind(items, "HorizontalPodAutoscaler", "ScaledObject")
    spec = scaler["spec"]
    behaviour = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] if by == "keda" else spec["behavior"]
    one_by_one = {"type": "Pods", "value": 1, "periodSeconds": min(1800, max(60, math.ceil(drain_s)))}
    assert behaviour == {"scaleDown": {"stabilizationWindowSeconds": wanted_s, "policies": [one_by_one]}}
    (edge,) = (item for role, item in workloads(items) if role == "edge")
    assert edge["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 5 + math.ceil(drain_s) + 10


@pytest.mark.parametrize("by", ["keda", "prometheus-adapter"])
def test_autoscalers_count_over_four_scrapes(by: str) -> None:
    server = "edge.autoscaling.keda.serverAddress=http://prometheus:9090"
    sets = ["edge.autoscaling.enabled=true", f"edge.autoscaling.by={by}", server, "monitoring.podMonitor.enabled=true"]
    items = template(sets=sets)
    (monitor,) = of_kind(items, "PodMonitor")
    interval = monitor["spec"]["podMetricsEndpoints"][0]["interval"]
    windows_min = [int(window) for window in re.findall(r"\[(\d+)m\]", str(of_kind(items, "ScaledObject", "ConfigMap")))]
    assert len(windows_min) == 2
    assert min(windows_min) * 60 >= 4 * int(interval.removesuffix("s"))


def test_a_workload_is_scaled_by_its_own_pods() -> None:
    keda = [
        "edge.autoscaling.enabled=true",
        "edge.autoscaling.by=keda",
        "edge.autoscaling.keda.serverAddress=http://prometheus:9090",
    ]
    for kind, pods in {"Deployment": ("-6c9f4b7d5-x2x9z", "-1-6c9f4b7d5-x2x9z"), "StatefulSet": ("-11", "-1-0")}.items():
        for item in of_kind(template(sets=[f"edge.kind={kind}", "zones={eu,eu-1}", *keda]), "ScaledObject"):
            for trigger in item["spec"]["triggers"]:
                pattern = re.search(r'pod=~"([^"]+)"', trigger["metadata"]["query"])
                assert pattern
                assert re.fullmatch(pattern[1], item["metadata"]["name"] + pods[0])
                assert not re.fullmatch(pattern[1], item["metadata"]["name"] + pods[1])


def test_a_machines_network_is_let_in_where_edges_have_it() -> None:
    machines = {"ipBlock": {"cidr": "10.0.0.0/16"}}
    items = template(sets=["edge.hostNetwork=true", "networkPolicy.machinesFrom[0].ipBlock.cidr=10.0.0.0/16"])
    policies = {item["metadata"]["name"].removeprefix("media-lalmesh-"): item["spec"] for item in of_kind(items, "NetworkPolicy")}
    for role in ("origin", "scheduler", "hls"):
        for rule in policies[role]["ingress"]:
            (port,) = rule["ports"]
            assert (machines in rule.get("from", [])) is (port["port"] not in ("metrics", "api"))
    assert {"ports": [{"port": 20000, "endPort": 20999, "protocol": "UDP"}]} in policies["edge"]["ingress"]
    assert str(machines) not in str([policies["etcd"], policies["redis"]])


def test_who_pushes_a_clip_reaches_edges_on_their_machines_network() -> None:
    machines = {"ipBlock": {"cidr": "10.0.0.0/16"}}
    sets = ["edge.hostNetwork=true", "networkPolicy.egress.enabled=true", "networkPolicy.machinesFrom[0].ipBlock.cidr=10.0.0.0/16"]
    for item in of_kind(template(sets=sets), "NetworkPolicy"):
        role = item["metadata"]["labels"]["app.kubernetes.io/component"]
        assert (machines in item["spec"]["egress"][0]["to"]) is (role == "test"), "nobody else begins to talk to edges"


def test_each_role_reaches_what_it_is_told_and_no_more() -> None:
    given = {"all": 4317, "edge": 1935, "hls": 443}
    sets = [f"networkPolicy.egress.{who}[0].ports[0].port={port}" for who, port in given.items()]
    for item in of_kind(template(sets=["networkPolicy.egress.enabled=true", *sets]), "NetworkPolicy"):
        role = item["metadata"]["labels"]["app.kubernetes.io/component"]
        rules = item["spec"]["egress"]
        more = {"edge": [4317, 1935], "hls": [4317, 443], "origin": [4317], "scheduler": [4317]}.get(role, [])
        assert [port["port"] for rule in rules for port in rule.get("ports", [])] == [53, 53, *more], role
        (ours,) = rules[0]["to"]
        assert "app.kubernetes.io/component" not in ours["podSelector"]["matchLabels"]
        assert item["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert all(item["spec"]["policyTypes"] == ["Ingress"] for item in of_kind(template(), "NetworkPolicy"))


def test_hls_over_tls_has_its_port() -> None:
    items = template(sets=["config.hls.tls.cert_file=/c", "config.hls.tls.key_file=/k"])
    assert [port["name"] for port in named(items, "Service", "media-lalmesh-hls")["spec"]["ports"]] == ["http", "https"]
    policy = named(items, "NetworkPolicy", "media-lalmesh-hls")["spec"]["ingress"]
    assert {"port": "https", "protocol": "TCP"} in [port for rule in policy for port in rule["ports"]]


def test_workers_have_the_ports_that_each_has_for_itself(tmp_path: Path) -> None:
    items = template(sets=["config.origin.workers=3", "config.edge.workers=2", "edge.service.udp=true"])
    config = config_of(items, tmp_path)
    ports: dict[Role, dict[str, int]] = {
        "origin": {"grpc": 50_052, "grpc-2": 50_053, "grpc-3": 50_054},
        "edge": {"rtp": 20_000, "rtcp": 20_001, "rtp-2": 20_002},
    }
    for role, wanted in ports.items():
        assert worker_count(config, role) == {"origin": 3, "edge": 2}[role]
        (workload,) = (item for of, item in workloads(items) if of == role)
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        assert wanted.items() <= {port["name"]: port["containerPort"] for port in container["ports"]}.items()
        policy = named(items, "NetworkPolicy", f"media-lalmesh-{role}")["spec"]["ingress"]
        assert wanted.keys() <= {port["port"] for rule in policy for port in rule["ports"]}
    service = named(items, "Service", "media-lalmesh-edge")["spec"]["ports"]
    assert {"rtp-2": 20_002, "rtcp-2": 20_003}.items() <= {port["name"]: port["port"] for port in service}.items()
    shares = [share_of(config, "edge", Worker(node="e", number=number, count=2)).edge.rtsp for number in (1, 2)]
    assert [share.shared_udp_port for share in shares] == [20_000, 20_002]


def test_any_number_of_workers_will_do_where_they_share_all_ports() -> None:
    items = template(sets=["config.edge.workers=auto", "config.edge.rtsp.udp_ports=20000-20999"])
    assert "workers: auto" in named(items, "ConfigMap", "media-lalmesh")["data"]["edge.yaml"]


@pytest.mark.parametrize("without", ["edge.service.enabled", "config.edge.rtmp.enable", "config.edge.http.enable"])
def test_there_is_no_hook_where_it_could_not_do_its_work(without: str) -> None:
    assert named(template(), "Pod", "media-lalmesh-test")
    assert not of_kind(template(sets=[f"{without}=false", "edge.advertise.host=live.example.org"]), "Pod")


def test_pods_have_the_labels_of_everything_and_those_of_their_role() -> None:
    items = template(sets=["commonLabels.team=video", "edge.podLabels.tier=public", "etcd.podLabels.tier=store"])
    labels = {item["metadata"]["name"]: item["spec"]["template"]["metadata"]["labels"] for item in of_kind(items, *WORKLOADS)}
    assert {each["team"] for each in labels.values()} == {"video"}
    tiers = {name.removeprefix("media-lalmesh-"): each.get("tier") for name, each in labels.items()}
    assert {name: tier for name, tier in tiers.items() if tier} == {"edge": "public", "etcd": "store"}


def test_metrics_that_autoscalers_ask_for_are_made_by_the_adapters_rules() -> None:
    items = template(sets=["edge.autoscaling.enabled=true", "edge.autoscaling.by=prometheus-adapter"])
    (scaler,) = of_kind(items, "HorizontalPodAutoscaler")
    rules = yaml.safe_load(named(items, "ConfigMap", "media-lalmesh-prometheus-adapter")["data"]["config.yaml"])["rules"]
    asked = [metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"]]
    assert asked == [rule["name"]["as"] for rule in rules]


def test_host_ports_are_those_of_the_public_and_no_others() -> None:
    items = template(CHART / "samples" / "daemonset-host-ports.yaml")
    (edge,) = of_kind(items, "DaemonSet")
    (container,) = edge["spec"]["template"]["spec"]["containers"]
    public = {port["name"]: port.get("hostPort") for port in container["ports"]}
    assert public == {"rtmp": 1935, "http": 8080, "rtsp": 5544, "ws-rtsp": 5566, "rtp": 20000, "rtcp": 20001, "metrics": None}
    advertised = {"name": "LALMESH_EDGE__ADVERTISE__HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}
    assert advertised in container["env"]


IP_OF = {"hostIP": "status.hostIP", "podIP": "status.podIP"}
POD_SERVICES = ["edge.kind=StatefulSet", "edge.podService.domain=edges.example.org"]


@pytest.mark.parametrize(
    ("sets", "wanted"),
    [
        (["edge.advertise.from=service"], "media-lalmesh-edge.streams.svc.cluster.local"),
        (["edge.advertise.from=service", "edge.advertise.host=live.example.org"], "live.example.org"),
        (["edge.advertise.from=podService", *POD_SERVICES], "$(LALMESH_CLUSTER__NODE).edges.example.org"),
        (["edge.advertise.from=hostIP", "edge.hostPorts=true"], IP_OF["hostIP"]),
        (["edge.advertise.from=podIP"], IP_OF["podIP"]),
        (["edge.advertise.from=podIP", "config.edge.advertise.host=theirs.example.org"], None),  # the file says it
    ],
)
def test_edges_are_advertised_as_they_are_reached(sets: list[str], wanted: str | None) -> None:
    (edge,) = (item for role, item in workloads(template(sets=sets)) if role == "edge")
    env = {one["name"]: one for one in edge["spec"]["template"]["spec"]["containers"][0]["env"]}
    given = env.get("LALMESH_EDGE__ADVERTISE__HOST")
    if given is None or wanted is None:
        assert given is wanted
    elif wanted in IP_OF.values():
        assert given["valueFrom"] == {"fieldRef": {"fieldPath": wanted}}
    else:
        assert given["value"] == wanted
        assert list(env).index("LALMESH_CLUSTER__NODE") < list(env).index(given["name"]), "variables know those before them"


def test_a_balancer_takes_tcp_and_udp_and_leaves_addresses_as_they_are() -> None:
    service = named(template(CHART / "samples" / "single-node.yaml"), "Service", "media-lalmesh-edge")["spec"]
    assert (service["type"], service["externalTrafficPolicy"], service["sessionAffinity"]) == ("LoadBalancer", "Local", "ClientIP")
    assert {(port["name"], port["port"]) for port in service["ports"] if port["protocol"] == "UDP"} == {
        ("rtp", 20000),
        ("rtcp", 20001),
    }
    shared = named(template(sets=["edge.service.type=LoadBalancer"]), "Service", "media-lalmesh-edge")["spec"]
    assert (shared["externalTrafficPolicy"], {port["protocol"] for port in shared["ports"]}) == ("Local", {"TCP"})


def test_pods_of_a_role_keep_apart_and_what_decides_outranks_media() -> None:
    items = template(sets=["priorityClasses.create=true"])
    values = {item["metadata"]["name"]: item["value"] for item in of_kind(items, "PriorityClass")}
    assert values["media-lalmesh-control"] > values["media-lalmesh-media"] > 0
    for item in of_kind(items, *WORKLOADS):
        role, spec = item["metadata"]["labels"]["app.kubernetes.io/component"], item["spec"]["template"]["spec"]
        decides = role in ("scheduler", "etcd", "redis")
        assert spec["priorityClassName"] == f"media-lalmesh-{'control' if decides else 'media'}"
        (apart,) = spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        (spread,) = spec["topologySpreadConstraints"]
        own = item["spec"]["selector"]["matchLabels"]
        assert apart["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
        assert apart["podAffinityTerm"]["labelSelector"]["matchLabels"] == own
        assert (spread["topologyKey"], spread["labelSelector"]["matchLabels"]) == ("topology.kubernetes.io/zone", own)


def test_the_secure_listeners_are_open_where_there_is_a_certificate() -> None:
    ports = {port["name"] for port in named(template(), "Service", "media-lalmesh-edge")["spec"]["ports"]}
    secure = named(template(CHART / "samples" / "external-etcd-tls.yaml"), "Service", "media-lalmesh-edge")["spec"]["ports"]
    assert {port["name"] for port in secure} - ports == {"rtmps", "https", "rtsps"}


def test_mutual_tls_goes_by_names_that_the_certificate_has() -> None:
    items = template(CHART / "samples" / "external-etcd-tls.yaml")
    (certificate,) = (item for item in of_kind(items, "Certificate") if item["metadata"]["name"].endswith("cluster-tls"))
    domains = {name.removeprefix("*.") for name in certificate["spec"]["dnsNames"]}
    for role, item in workloads(items):
        if role == "edge":
            continue
        (container,) = item["spec"]["template"]["spec"]["containers"]
        (host,) = (one["value"] for one in container["env"] if one["name"].endswith("__ADVERTISE_HOST"))
        assert host.removeprefix("$(LALMESH_CLUSTER__NODE).") in domains
        assert item["kind"] == "StatefulSet"


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["config.cluster.key=a-secret-of-many-words"], "/config/cluster/key"),
        (["monitoring.podMonitor.enabled=true", "monitoring.serviceMonitor.enabled=true"], "each figure twice"),
        (["config.edge.rtmp.prot=1935"], "additional properties 'prot' not allowed"),
        (["config.cluster.lease_s=1"], "/config/cluster/lease_s"),
        (["edge.replica=3"], "additional properties 'replica' not allowed"),
        (["edge.kind=ReplicaSet"], "/edge/kind"),
        (["etcd.replicas=2"], "/etcd/replicas"),
        (["image.digest=sha256:1"], "/image/digest"),
        (["edge.kind=DaemonSet", "edge.autoscaling.enabled=true"], "use edge.kind: Deployment"),
        (["edge.advertise.from=podService"], "use edge.kind: StatefulSet"),
        (["edge.advertise.from=podService", "edge.kind=StatefulSet"], "needs edge.podService.domain"),
        (["edge.advertise.from=hostIP"], "needs edge.hostPorts or edge.hostNetwork"),
        (["edge.hostPorts=true", "config.edge.rtsp.udp_ports=20000-20999"], "needs config.edge.rtsp.udp_ports: shared"),
        (["edge.service.udp=true", "config.edge.rtsp.udp_ports=20000-20999"], "needs config.edge.rtsp.udp_ports: shared"),
        (["edge.service.enabled=false"], "needs edge.service.enabled"),
        (["edge.autoscaling.enabled=true", "edge.autoscaling.by=keda"], "needs edge.autoscaling.keda.serverAddress"),
        (["edge.autoscaling.enabled=true", "edge.autoscaling.minReplicas=20"], "minReplicas is above maxReplicas"),
        (["edge.autoscaling.enabled=true", "config.cluster.drain_s=4000"], "an autoscaler looks back an hour at most"),
        (["edge.hostNetwork=true"], "needs networkPolicy.machinesFrom"),
        (
            [
                "edge.advertise.from=podService",
                "edge.kind=StatefulSet",
                "edge.podService.domain=x",
                "edge.podService.type=NodePort",
            ],
            "edge.podService.type: NodePort",
        ),
        (["config.relay.pulls={cameras/* rtsp://admin:of-a-camera@cam/1}"], "config.relay has a URL with a login in it"),
        (["config.notify.receivers={one https://me:of-mine@example.org}"], "config.notify has a URL with a login in it"),
        (["zones={eu,eu}"], "items at 0 and 1 are equal"),
        (["zones={a-zone-of-a-very-long-name-that-does-not-fit}"], "longer than the 52 characters"),
        (["commonLabels.lalmesh/zone=x"], "commonLabels: lalmesh/zone is a label of the chart"),
        ([r"edge.podLabels.app\.kubernetes\.io/name=x"], "edge.podLabels: app.kubernetes.io/name is a label of the chart"),
        (["redis.maxMemory=1Gi"], "/redis/maxMemory"),
        (["ingress.enabled=true", "ingress.streams.host=x", "config.edge.http.enable=false"], "leads to the edges over HTTP"),
        (["etcd.bundled=false"], "needs config.scheduler.etcd.endpoints"),
        (["etcd.tlsSecret=x"], "for an etcd that is elsewhere"),
        (["redis.bundled=false"], "several schedulers share their sessions in a Redis"),
        (["redis.tlsSecret=x"], "for a Redis that is elsewhere"),
        (["scheduler.replicas=0"], "without a scheduler nothing can join"),
        (["clusterTls.enabled=true"], "needs clusterTls.secretName"),
        (["edge.tls.certManager.enabled=true"], "edge.tls.certManager.enabled needs issuerRef.name"),
        (["edge.tls.certManager.enabled=true", "edge.tls.certManager.issuerRef.name=x"], "needs dnsNames"),
        (["ingress.enabled=true"], "needs ingress.streams.host"),
        (["hls.storage.claim.accessModes={ReadWriteOnce}"], "several hls nodes share their storage"),
        (["config.hls.storage.url=memory:"], "for one hls node"),
        (["config.origin.workers=auto"], "config.origin.workers: each worker has ports of its own"),
        (["config.edge.workers=auto"], "config.edge.workers: each worker has ports of its own"),
        (["config.edge.workers=65"], "/config/edge/workers"),
    ],
)
def test_what_cannot_be_is_refused_in_words(sets: list[str], words: str) -> None:
    with pytest.raises(HelmError) as refusal:
        template(sets=sets)
    assert words in str(refusal.value)
    assert not any(secret in str(refusal.value) for secret in ("a-secret-of-many-words", "of-a-camera", "of-mine"))


def test_an_older_kubernetes_is_refused() -> None:
    with pytest.raises(HelmError, match="kubeVersion"):
        template(kubernetes="1.29.0")


def test_it_can_be_packed(tmp_path: Path) -> None:
    helm("package", CHART, "--destination", tmp_path)
    (packed,) = tmp_path.glob("lalmesh-*.tgz")
    listed = subprocess.run(["tar", "-tzf", packed], capture_output=True, text=True, check=True).stdout.split()
    assert "lalmesh/values.schema.json" in listed
    assert "lalmesh/files/clip.flv" in listed
    assert not [name for name in listed if "samples" in name]
