"""node-media-server, from npm, in the locked version beside this file: RTMP and HTTP-FLV, one thread."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from support.ports import free_ports

from bench.peers._server import Server

LOCKED = Path(__file__).resolve().parent / "node-media-server"
INSTALLED = Path(__file__).resolve().parents[2] / ".tools" / "node"
INSTALL_S = 300


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
        return bool(shutil.which("node") and shutil.which("npm"))

    @staticmethod
    def install() -> None:
        """Bring the locked packages into `.tools/node`, without running any of their scripts; nothing if they are there."""
        lock = LOCKED / "package-lock.json"
        stamp = INSTALLED / "installed.json"
        if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
            return
        INSTALLED.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(LOCKED / name, INSTALLED / name)
        npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"]
        subprocess.run(npm, cwd=INSTALLED, stdin=subprocess.DEVNULL, check=True, timeout=INSTALL_S)
        shutil.copy(lock, stamp)
