"""node-media-server, from npm, in the locked version beside this file: RTMP and HTTP-FLV, one thread."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from support import npm
from support.ports import free_ports

from bench.peers._server import Server

LOCKED = Path(__file__).resolve().parent / "node-media-server"
INSTALLED = npm.TOOLS / "node"


class NodeMediaServer(Server):
    """One node-media-server with any application open to all."""

    def __init__(self, folder: Path) -> None:
        """Start it with its files in `folder`; `install` must have run."""
        folder.mkdir(parents=True, exist_ok=True)
        rtmp, http = free_ports(2)
        config = folder / "config.json"
        config.write_text(
            json.dumps(
                {
                    "bind": "127.0.0.1",
                    "store": {"path": str(folder / "data"), "maxHistory": 100},
                    "auth": {"play": False, "publish": False, "secret": "unused"},
                    "rtmp": {"port": rtmp},
                    "http": {"port": http},
                    "webadmin": {"enable": False},
                    "record": {"auto": False, "path": str(folder / "record")},
                }
            )
        )
        program = INSTALLED / "node_modules" / "node-media-server" / "bin" / "app.js"
        command: list[str | Path] = [shutil.which("node") or "node", program, "--config", config, "--no-admin"]
        super().__init__(command, ports={"rtmp": rtmp, "http": http}, log=folder / "node-media-server.log")

    @staticmethod
    def available() -> bool:
        """Whether node and npm are installed."""
        return npm.available()

    @staticmethod
    def install() -> None:
        """Bring the locked packages into `.tools/node`; see `npm.install`."""
        npm.install(LOCKED, INSTALLED)
