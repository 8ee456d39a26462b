"""The chart with mutual TLS between nodes and certificates for the public, its pods run as in `test_chart`."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import npm, program
from support.etcd import CAN_RUN_ETCD
from support.helm import CHART, NAMESPACE, Item, template
from support.pods import Pods, Release, can_run_pods
from support.redis import CAN_RUN_REDIS

pytestmark = [
    pytest.mark.skipif(not npm.available(), reason="helm comes by npm, which is not installed here"),
    pytest.mark.skipif(not can_run_pods(), reason="pods are namespaces and overlays, which need root"),
    pytest.mark.skipif(not (CAN_RUN_ETCD and CAN_RUN_REDIS), reason="no etcd or no Redis here"),
]

SETS = [
    "config.cluster.lease_s=4",
    "clusterTls.enabled=true",
    "clusterTls.secretName=nodes",
    "edge.tls.secretName=public",
    "scheduler.tls.secretName=public",
]
LIMIT_S = 30.0


def certified(folder: Path, name: str, names: list[str], *signer: str) -> None:
    """A key and a certificate for `names`, of itself where there is no signer."""
    extension = "subjectAltName=" + ",".join(f"DNS:{one}" for one in names) if names else "basicConstraints=critical,CA:TRUE"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(folder / f"{name}.key")]
    to = ["-out", str(folder / f"{name}.pem"), "-days", "2", "-subj", f"/CN={name}", "-addext", extension]
    command = ["openssl", "req", "-x509", "-config", os.devnull, *key, *to, *signer]
    subprocess.run(command, check=True, capture_output=True, timeout=LIMIT_S)


def secret(folder: Path, name: str) -> Item:
    """As cert-manager keeps a certificate."""
    files = {"ca.crt": "ca.pem", "tls.crt": f"{name}.pem", "tls.key": f"{name}.key"}
    data = {key: base64.b64encode((folder / file).read_bytes()).decode() for key, file in files.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    certified(folder, "ca", [])
    signer = ("-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key"))
    pods = [f"*.media-lalmesh-{role}-pods.{NAMESPACE}.svc.cluster.local" for role in ("scheduler", "origin", "hls")]
    certified(folder, "nodes", pods, *signer)
    certified(folder, "public", ["live.example.org"], *signer)
    return folder


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, authority: Path) -> Iterator[Release]:
    items = template(CHART / "samples" / "single-node.yaml", sets=SETS)
    items += [secret(authority, "nodes"), secret(authority, "public")]
    with Pods(items, tmp_path_factory.mktemp("release")) as pods:
        made = Release(pods)
        made.bring_up("etcd", "redis", "scheduler", "origin", "hls", "edge")
        yield made


def test_nodes_join_by_mutual_tls_and_a_clip_goes_through(release: Release) -> None:
    release.pods.run(release.pods.single("media-lalmesh-test"))


def greeting(address: tuple[str, int], name: str, trusting: ssl.SSLContext) -> bytes:
    """The first that a node says to a client over HTTP/2, nothing if it does not talk to it; it has to be the one of that name."""
    trusting.set_alpn_protocols(["h2"])
    with socket.create_connection(address, LIMIT_S) as plain, trusting.wrap_socket(plain, server_hostname=name) as secure:
        try:
            return secure.recv(9)
        except (ssl.SSLError, ConnectionError):  # in TLS 1.3 a refusal comes after the handshake
            return b""


@pytest.mark.parametrize(("role", "port"), [("scheduler", 50051), ("origin", 50052), ("hls", 50054)])
def test_nodes_show_their_name_and_talk_to_nobody_without_a_certificate(
    release: Release, authority: Path, role: str, port: int
) -> None:
    (pod,) = release.of(role)
    name = f"{pod.name}.media-lalmesh-{role}-pods.{NAMESPACE}.svc.cluster.local"
    member = ssl.create_default_context(cafile=str(authority / "ca.pem"))
    member.load_cert_chain(authority / "nodes.pem", authority / "nodes.key")
    assert greeting((pod.address, port), name, member)
    stranger = ssl.create_default_context(cafile=str(authority / "ca.pem"))
    assert not greeting((pod.address, port), name, stranger)


def test_players_and_the_api_come_by_tls(release: Release) -> None:
    (edge,), (scheduler,) = release.of("edge"), release.of("scheduler")
    done = program.run("probe", "--insecure", "--duration", "1", f"rtmps://{edge.address}:4935/helm-test/push", limit_s=LIMIT_S)
    assert done.returncode == 0, done.stderr
    asked = ["curl", "--silent", "--insecure", "--fail", f"https://{scheduler.address}:8083/v1/nodes"]
    assert b"media-lalmesh-origin-0" in subprocess.run(asked, capture_output=True, timeout=LIMIT_S, check=True).stdout
