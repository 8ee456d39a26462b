"""Pods that helm rendered, run here as processes: what kubelet, network and DNS of Kubernetes would do, as far as they are told.

Each pod is a network namespace with an address of its own. A container is a process in a mount namespace: the machine's files under
an overlay that is read-only where the container says so, with the volumes mounted where it says, as the user that it says, with no
capabilities, and the environment that it says and no other. Names of Services and pods stand in /etc/hosts. NetworkPolicies hold
(`policies`). Needs root.
"""

from __future__ import annotations

import base64
import os
import re
import shlex
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support import policies
from support.helm import NAMESPACE, Item, named, of_kind
from support.netns import Namespace, Network, can_make_namespaces
from support.process import Child, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
#: Where images have the programs that commands name.
PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
IMAGE_FOLDERS = ("/var/lib/lalmesh",)  #: that the image has, and the user of lalmesh may write to if anybody may
PROBE_S = 5.0
READY_S = 60.0  #: for a dozen processes that start at once on a busy machine
RESTART_S = 0.5  #: from the end of a container to its next start; kubelet waits longer each time
_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


def can_run_pods() -> bool:
    """Whether this process may, and the kernel has what it takes."""
    return can_make_namespaces() and "overlay" in Path("/proc/filesystems").read_text() and policies.available()


@dataclass
class Pod:
    """One pod: where it runs, and the processes of its containers by name."""

    name: str
    labels: Mapping[str, str]
    spec: Item
    place: Namespace
    folder: Path
    claims: Mapping[str, Path] = field(default_factory=dict)  #: of a StatefulSet, by the name of the volume
    running: dict[str, Child] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Its IP address."""
        return self.place.address

    @property
    def role(self) -> str:
        """Which part of the release it is."""
        return self.labels.get("app.kubernetes.io/component", "")

    @property
    def ports(self) -> dict[str, int]:
        """The ports of its containers, by name."""
        return {port["name"]: port["containerPort"] for container in self.spec["containers"] for port in container.get("ports", [])}

    @property
    def peer(self) -> policies.Peer:
        """As policies see it."""
        return policies.Peer(self.labels, self.address, self.ports)

    def output(self) -> str:
        """What its containers have said."""
        return "\n".join(f"--- {self.name}/{name}\n{child.output()[-3000:]}" for name, child in self.running.items())


class Pods:
    """The pods of a release. A context manager; leaving it ends all."""

    def __init__(self, items: Sequence[Item], folder: Path) -> None:
        """Of rendered objects, with volumes and logs below `folder`."""
        self._items = items
        self._folder = folder
        self._network = Network()
        self._stack = ExitStack()
        self._hosts = folder / "hosts"
        self.pods: list[Pod] = []

    def __enter__(self) -> Self:
        self._stack.enter_context(self._network)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for pod in self.pods:
            for child in pod.running.values():
                child.kill()
        self._stack.close()

    # what controllers do

    def make(self, *roles: str) -> list[Pod]:
        """The pods of workloads with these roles, not running yet; by name they are known to each other."""
        made = [
            self._pod(name, item["spec"]["template"], item)
            for item in of_kind(self._items, "StatefulSet", "Deployment", "DaemonSet")
            if item["metadata"]["labels"]["app.kubernetes.io/component"] in roles
            for name in _pod_names(item)
        ]
        self._tell()
        return made

    def single(self, name: str) -> Pod:
        """A pod that stands for itself, not running yet."""
        item = named(self._items, "Pod", name)
        pod = self._pod(name, item, item)
        self._tell()
        return pod

    def stranger(self, name: str, **labels: str) -> Pod:
        """A pod of somebody else with these labels, in which nothing runs."""
        spec: Item = {"containers": []}
        pod = Pod(name, labels, spec, self._network.add(), self._folder / name)
        self.pods.append(pod)
        self._tell()
        return pod

    def _pod(self, name: str, template: Item, owner: Item) -> Pod:
        folder = self._folder / name
        folder.mkdir()
        claims = {}
        for claim in owner["spec"].get("volumeClaimTemplates", []):
            claims[claim["metadata"]["name"]] = folder / f"claim-{claim['metadata']['name']}"
        pod = Pod(name, template["metadata"]["labels"], template["spec"], self._network.add(), folder, claims)
        self.pods.append(pod)
        return pod

    def _tell(self) -> None:
        """Have names and policies know all pods that there are."""
        self._write_hosts()
        peers, kubelet = [pod.peer for pod in self.pods], f"{self._network.prefix}.1"
        for pod in self.pods:
            policies.enforce(pod.place.inside, of_kind(self._items, "NetworkPolicy"), pod.peer, peers, kubelet)

    def _write_hosts(self) -> None:
        """The names that DNS of the cluster would know."""
        lines = ["127.0.0.1 localhost"]
        for service in of_kind(self._items, "Service"):
            name = f"{service['metadata']['name']}.{NAMESPACE}.svc.cluster.local"
            behind = [pod for pod in self.pods if service["spec"]["selector"].items() <= pod.labels.items()]
            if service["spec"].get("clusterIP") == "None":
                lines += [f"{pod.address} {pod.name}.{name}" for pod in behind]
            elif behind:
                lines.append(f"{behind[0].address} {name}")  # a balancer that always picks the same
        self._hosts.write_text("\n".join(lines) + "\n")

    # what kubelet does

    def start(self, pod: Pod) -> None:
        """Start its containers, those first that stay on beside the others."""
        for container in [*pod.spec.get("initContainers", []), *pod.spec["containers"]]:
            self._start(pod, container)

    def _start(self, pod: Pod, container: Item) -> None:
        pod.running[container["name"]] = Child(self._command(pod, container), log=pod.folder / f"{container['name']}.log")

    def run(self, pod: Pod) -> None:
        """Start a pod and wait until its containers are done, for as long as it may take; those that fail begin again.

        Raises:
            ProcessError: they are not done by then.
        """
        self.start(pod)
        assert pod.spec["restartPolicy"] == "OnFailure"
        beside, (container,) = pod.spec["initContainers"], pod.spec["containers"]
        assert all(one["restartPolicy"] == "Always" for one in beside)

        def is_done() -> bool:
            for one in beside:
                if not pod.running[one["name"]].running:
                    self._start(pod, one)
            child = pod.running[container["name"]]
            if child.running or child.returncode == 0:
                return not child.running
            self._start(pod, container)
            return False

        wait_until(f"end of {pod.name}", is_done, pod.spec["activeDeadlineSeconds"], every_s=RESTART_S)

    def _command(self, pod: Pod, container: Item) -> list[str]:
        script = pod.folder / f"{container['name']}.sh"
        script.write_text("\n".join(["set -e", *self._script(pod, container)]) + "\n")
        return [*pod.place.inside, "unshare", "--mount", "--propagation", "private", "/bin/sh", str(script)]

    def _script(self, pod: Pod, container: Item) -> Iterator[str]:
        root, under = pod.folder / f"{container['name']}.root", pod.folder / f"{container['name']}.under"
        security = _security(pod, container)
        user, group = security["runAsUser"], security["fsGroup"]
        yield f"mkdir -p {root} {under} && mount -t tmpfs tmpfs {under} && mkdir {under}/upper {under}/work"
        yield f"mount -t overlay overlay -o lowerdir=/,upperdir={under}/upper,workdir={under}/work {root}"
        for name in ("proc", "dev", "sys"):
            yield f"mount --rbind /{name} {root}/{name}"
        for path in _closed_parents():
            yield f"chmod o+x {root}{path}"
        for folder in IMAGE_FOLDERS:
            yield f"mkdir -p {root}{folder} && chown {user}:{group} {root}{folder}"
        yield f"mount --bind {self._hosts} {root}/etc/hosts"
        volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
        mounts = container.get("volumeMounts", [])
        for mount in mounts:
            source = self._volume(pod, mount["name"], volumes, user, group)
            yield from _mounted(source, f"{root}{mount['mountPath']}", mount)
        for path in _hidden([mount["mountPath"] for mount in mounts]):
            yield f"mkdir -p {root}{path} && mount --rbind {path} {root}{path}"
        if security["readOnlyRootFilesystem"]:
            yield f"mount -o remount,ro {root}"
        working = container.get("workingDir", "/")
        words = [self._expanded(word, self.environment(pod, container)) for word in [*container["command"], *container["args"]]]
        env = [f"{name}={value}" for name, value in self.environment(pod, container).items()]
        user_words = shlex.join(["setpriv", *_as_user(pod, container)])
        yield f"exec chroot {root} {user_words} env -i -C {working} {shlex.join([f'PATH={PATH}', *env, *words])}"

    def environment(self, pod: Pod, container: Item) -> dict[str, str]:
        """The variables of a container."""
        found: dict[str, str] = {}
        for one in container.get("env", []):
            value = self._expanded(one["value"], found) if "value" in one else self._from(pod, one["valueFrom"])
            if value is not None:
                found[one["name"]] = value
        return found

    @staticmethod
    def _expanded(text: str, known: Mapping[str, str]) -> str:
        return _REFERENCE.sub(lambda match: known.get(match[1], match[0]), text)

    def _from(self, pod: Pod, source: Item) -> str | None:
        if "secretKeyRef" in source:
            wanted = source["secretKeyRef"]
            value = self._secret(wanted["name"]).get(wanted["key"])
            assert value is not None or wanted.get("optional"), f"no {wanted['key']} in {wanted['name']}"
            return None if value is None else base64.b64decode(value).decode()
        path = source["fieldRef"]["fieldPath"]
        fields = {"metadata.name": pod.name, "status.podIP": pod.address, "status.hostIP": pod.address}
        return {**fields, "spec.nodeName": f"machine-of-{pod.name}"}[path]

    def _secret(self, name: str) -> dict[str, str]:
        data: dict[str, str] = named(self._items, "Secret", name)["data"]
        return data

    def _volume(self, pod: Pod, name: str, volumes: Mapping[str, Item], user: int, group: int) -> Path:
        """The folder that stands for a volume, made and owned as kubelet would have it."""
        path = pod.claims.get(name) or pod.folder / f"volume-{name}"
        volume = volumes.get(name, {})
        if "persistentVolumeClaim" in volume:
            path = self._folder / f"claim-{volume['persistentVolumeClaim']['claimName']}"
        path.mkdir(exist_ok=True)
        if "configMap" in volume:
            config = named(self._items, "ConfigMap", volume["configMap"]["name"])
            for key, text in config.get("data", {}).items():
                (path / key).write_text(text)
            for key, text in config.get("binaryData", {}).items():
                (path / key).write_bytes(base64.b64decode(text))
        elif "secret" in volume:
            for key, text in self._secret(volume["secret"]["secretName"]).items():
                (path / key).write_bytes(base64.b64decode(text))
                (path / key).chmod(volume["secret"]["defaultMode"])
                os.chown(path / key, 0, group)
        else:
            os.chown(path, 0, group)
            path.chmod(0o2770)
        return path

    # probes

    def probe(self, pod: Pod, kind: str) -> bool:
        """Whether the probe of that kind (``readinessProbe``) of its first container succeeds now."""
        container = pod.spec["containers"][0]
        probe = container[kind]
        if "httpGet" in probe:
            return _answers_well(f"http://{pod.address}:{pod.ports[probe['httpGet']['port']]}{probe['httpGet']['path']}")
        if "tcpSocket" in probe:
            return _is_open(pod.address, pod.ports[probe["tcpSocket"]["port"]])
        return self.execute(pod, probe["exec"]["command"]).returncode == 0

    def execute(self, pod: Pod, words: Sequence[str], limit_s: float = PROBE_S) -> subprocess.CompletedProcess[str]:
        """What ``kubectl exec`` does in its first container: a command beside that which runs there."""
        container = pod.spec["containers"][0]
        child = pod.running[container["name"]]
        env = [f"{name}={value}" for name, value in self.environment(pod, container).items()]
        inside = ["nsenter", "--target", str(child.pid), "--net", "--mount", "--root", "setpriv", *_as_user(pod, container)]
        command = [*inside, "env", "-i", "-C", container.get("workingDir", "/"), f"PATH={PATH}", *env, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)


class Release:
    """A release whose pods run and are ready."""

    def __init__(self, pods: Pods) -> None:
        """Of pods that may be none yet."""
        self.pods = pods

    def of(self, *roles: str) -> list[Pod]:
        """Those with these roles."""
        return [pod for pod in self.pods.pods if pod.role in roles]

    def bring_up(self, *roles: str) -> None:
        """Start all pods of the roles at once, as Kubernetes does, and wait until each is ready."""
        made = self.pods.make(*roles)
        for pod in made:
            self.pods.start(pod)
        for pod in made:
            self.wait(pod, "readinessProbe")

    def wait(self, pod: Pod, probe: str, limit_s: float = READY_S) -> None:
        """Wait until a probe of a pod succeeds."""
        (child,) = pod.running.values()
        wait_until(f"{probe} of {pod.name}", lambda: self.pods.probe(pod, probe), limit_s, child=child, every_s=0.1)

    def output(self) -> str:
        """What all have said."""
        return "\n".join(pod.output() for pod in self.pods.pods)


def _security(pod: Pod, container: Item) -> Item:
    """What a container may: as its pod says, and then itself."""
    return {**pod.spec["securityContext"], **container["securityContext"]}


def _as_user(pod: Pod, container: Item) -> list[str]:
    security = _security(pod, container)
    user, group, groups = security["runAsUser"], security["runAsGroup"], security["fsGroup"]
    return ["--reuid", str(user), "--regid", str(group), "--groups", str(groups), "--no-new-privs", "--bounding-set=-all"]


def _pod_names(item: Item) -> list[str]:
    count = item["spec"].get("replicas", 1)
    return [f"{item['metadata']['name']}-{number}" for number in range(count)]


def _mounted(source: Path, target: str, mount: Mapping[str, Any]) -> Iterator[str]:
    if sub := mount.get("subPath"):
        yield f"mkdir -p {Path(target).parent} && touch {target} && mount --bind {source / sub} {target}"
    else:
        yield f"mkdir -p {target} && mount --bind {source} {target}"
    if mount.get("readOnly"):
        yield f"mount -o remount,ro,bind {target}"


def _hidden(mounts: Sequence[str]) -> list[Path]:
    """What the program is run from, as far as it is not there: on another file system than the root, or below a volume."""
    ends = {REPOSITORY, Path(sys.base_prefix)}
    return [
        end for end in ends if end.stat().st_dev != Path("/").stat().st_dev or any(end.is_relative_to(mount) for mount in mounts)
    ]


def _closed_parents() -> list[Path]:
    """Folders above the interpreter and the repository that not everybody may go into; a container may."""
    ends = (REPOSITORY, Path(sys.executable).resolve())
    return sorted({parent for end in ends for parent in end.parents if not parent.stat().st_mode & 1})


def _answers_well(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PROBE_S) as answer:
            return 200 <= int(answer.status) < 400
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def _is_open(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), PROBE_S):
            return True
    except OSError:
        return False
