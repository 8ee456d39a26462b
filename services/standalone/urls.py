"""What a node prints when it listens: where, and a line to try."""

from __future__ import annotations

from lalmesh.runtime.config import Config
from services.standalone.node import Role

EXAMPLE_STREAM = "live/test"
EXAMPLE_SOURCE = "-re -f lavfi -i testsrc2=size=640x360:rate=30 -f lavfi -i sine=frequency=440"
EXAMPLE_CODECS = "-c:v libx264 -preset veryfast -tune zerolatency -g 60 -pix_fmt yuv420p -c:a aac"


def describe(config: Config, role: Role, ports: dict[str, int]) -> str:
    """What listens where, and what to try, in lines for a person."""
    lines = [f"lalmesh {role} is up", *(f"  {name:<8} port {port}" for name, port in ports.items())]
    host = config.edge.advertise.host or "127.0.0.1"
    if "rtmp" in ports:
        rtmp = f"rtmp://{host}:{ports['rtmp']}/{EXAMPLE_STREAM}"
        lines += ["push:", f"  ffmpeg {EXAMPLE_SOURCE} {EXAMPLE_CODECS} -f flv {rtmp}", "play:", f"  ffplay {rtmp}"]
    if "http" in ports:
        lines.append(f"  ffplay http://{host}:{ports['http']}/{EXAMPLE_STREAM}.flv")
    if "api" in ports:
        lines += ["look:", f"  curl http://127.0.0.1:{ports['api']}/v1/streams"]
    elif "metrics" in ports:
        lines += ["look:", f"  curl http://127.0.0.1:{ports['metrics']}/readyz"]
    return "\n".join(lines)
