"""NetworkPolicies as a network plugin of Kubernetes has them: rules of nftables in the namespace of each pod.

A connection that a policy does not let through is refused at once. Whoever is no pod, as the machine is, gets everywhere where no
policy selects by pods or blocks, and kubelet, which is the machine too, always.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from support.helm import Item

LIMIT_S = 10.0
NFT = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@dataclass(frozen=True)
class Peer:
    """A pod, as policies see it."""

    labels: Mapping[str, str]
    address: str
    ports: Mapping[str, int]  #: by name


def available() -> bool:
    """Whether nftables is installed, and the kernel of a namespace takes it."""
    if not NFT:
        return False
    command = ["unshare", "--net", NFT, "add table inet probe"]
    return subprocess.run(command, capture_output=True, check=False, timeout=LIMIT_S).returncode == 0


def enforce(inside: Sequence[str], policies: Sequence[Item], pod: Peer, pods: Sequence[Peer], kubelet: str) -> None:
    """Have what `inside` runs in under all policies that select the pod, and under none that were there before."""
    assert NFT is not None
    text = ruleset(policies, pod, pods, kubelet)
    done = subprocess.run([*inside, NFT, "-f", "-"], input=text, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 0, f"{done.stderr}\n{text}"


def ruleset(policies: Sequence[Item], pod: Peer, pods: Sequence[Peer], kubelet: str) -> str:
    """The rules of a pod, among `pods`."""
    chains = []
    for kind, hook, way, device in (("Ingress", "input", "saddr", "iif"), ("Egress", "output", "daddr", "oif")):
        own = [each["spec"] for each in policies if _selects(each["spec"]["podSelector"], pod)]
        own = [spec for spec in own if kind in spec["policyTypes"]]
        if not own:
            continue
        lines = [
            f"type filter hook {hook} priority 0; policy accept;",
            "ct state established,related accept",
            f"{device} lo accept",
        ]
        if kind == "Ingress":
            lines.append(f"ip saddr {kubelet} accept")
        for spec in own:
            for rule in spec.get(kind.lower(), []):
                lines += _accepted(rule, way, "from" if kind == "Ingress" else "to", pod, pods)
        lines.append("reject")
        chains.append(f"chain {hook} {{\n  " + "\n  ".join(lines) + "\n}")
    return "add table inet pod\ndelete table inet pod\ntable inet pod {\n" + "\n".join(chains) + "\n}\n"


def _accepted(rule: Item, way: str, side: str, pod: Peer, pods: Sequence[Peer]) -> Iterator[str]:
    """What one rule lets through; ports that have names are those of the pod itself."""
    for address in _addresses(rule[side], pods) if side in rule else [""]:
        start = f"ip {way} {address} " if address else ""
        if "ports" not in rule:
            yield f"{start}accept"
        for port in rule.get("ports", []):
            yield f"{start}{port['protocol'].lower()} dport {_numbers(port, pod)} accept"


def _numbers(port: Item, pod: Peer) -> str:
    number = port["port"]
    first = pod.ports[number] if isinstance(number, str) else int(number)
    return f"{first}-{port['endPort']}" if "endPort" in port else str(first)


def _addresses(peers: Sequence[Item], pods: Sequence[Peer]) -> list[str]:
    found = []
    for peer in peers:
        if block := peer.get("ipBlock"):
            assert set(block) == {"cidr"}
            found.append(block["cidr"])
        elif "namespaceSelector" not in peer:  # of other namespaces there are no pods here
            found += [pod.address for pod in pods if _selects(peer["podSelector"], pod)]
    return found


def _selects(selector: Item, pod: Peer) -> bool:
    assert set(selector) <= {"matchLabels"}
    return bool(selector.get("matchLabels", {}).items() <= pod.labels.items())
