"""What a node prints when it listens: where, and a line to try."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.config import Config, Role
from services.standalone.ports_file import write_ports

EXAMPLE_STREAM = "live/test"
EXAMPLE_SOURCE = "-re -f lavfi -i testsrc2=size=640x360:rate=30 -f lavfi -i sine=frequency=440"
EXAMPLE_CODECS = "-c:v libx264 -preset veryfast -tune zerolatency -g 60 -pix_fmt yuv420p -c:a aac"


def say_where(config: Config, role: Role, ports: dict[str, int], ports_file: Path | None) -> None:
    """Print what a person needs, then write `ports_file`: who waits for that may read all that has been said."""
    typer.echo(describe(config, role, ports))
    sys.stdout.flush()
    if ports_file is not None:
        write_ports(ports_file, ports)


def describe(config: Config, role: Role, ports: dict[str, int]) -> str:
    """What listens where, and what to try, in lines for a person."""
    lines = [f"lalmesh {role} is up", *(f"  {name:<8} port {port}" for name, port in ports.items())]
    edge = config.edge
    if "rtmp" in ports:
        rtmp = f"rtmp://{_reached_at(edge.rtmp.host, ports['rtmp'])}/{EXAMPLE_STREAM}"
        lines += ["push:", f"  ffmpeg {EXAMPLE_SOURCE} {EXAMPLE_CODECS} -f flv {rtmp}", "play:", f"  ffplay {rtmp}"]
    if "rtsp" in ports:
        lines.append(f"  ffplay rtsp://{_reached_at(edge.rtsp.host, ports['rtsp'])}/{EXAMPLE_STREAM}")
    if "http" in ports:
        lines.append(f"  ffplay http://{_reached_at(edge.http.host, ports['http'])}/{EXAMPLE_STREAM}.flv")
    if "hls" in ports:
        lines.append(f"  ffplay http://{_hls_at(config, ports)}/hls/{EXAMPLE_STREAM}/index.m3u8")
    if "api" in ports:
        http = config.scheduler.http
        asked = "curl -k https" if http.tls.cert_file else "curl http"  # by address, which no certificate names
        lines += ["look:", f"  {asked}://{_reached_at(http.host, ports['api'])}/v1/streams"]
    elif "metrics" in ports:
        lines += ["look:", f"  curl http://{_reached_at(config.metrics.host, ports['metrics'])}/readyz"]
    return "\n".join(lines)


def _hls_at(config: Config, ports: dict[str, int]) -> str:
    """Where to ask for HLS: an edge in this process passes it on, so that one port is enough for everything."""
    if "http" in ports:
        return _reached_at(config.edge.http.host, ports["http"])
    return _reached_at(config.hls.http.host, ports["hls"])


def _reached_at(host: str, port: int) -> str:
    """Where this machine reaches a listener: its address, or loopback where it listens on all of them."""
    return host_port({"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host), port)
