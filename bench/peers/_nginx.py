"""nginx with its RTMP module, as Debian packages them: one worker, nothing recorded, no log of accesses."""

from __future__ import annotations

import shutil
from pathlib import Path

from support.ports import free_ports

from bench.peers._server import Server

MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")

CONFIG = """\
load_module {module};
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
rtmp {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        chunk_size 4096;
        ping 3m;
        application live {{ live on; record off; wait_key {wait_key}; wait_video {wait_key}; }}
    }}
}}
"""


class Nginx(Server):
    """One nginx worker with the application ``live``."""

    def __init__(self, folder: Path, *, wait_key: bool = False) -> None:
        """Start it with its files in `folder`.

        Args:
            folder: for configuration, pid and log.
            wait_key: let players begin at a key frame; its default is at once.
        """
        folder.mkdir(parents=True, exist_ok=True)
        [port] = free_ports(1)
        config = folder / "nginx.conf"
        config.write_text(CONFIG.format(module=MODULE, folder=folder, port=port, wait_key="on" if wait_key else "off"))
        binary = shutil.which("nginx") or "/usr/sbin/nginx"
        super().__init__([binary, "-p", folder, "-c", config], ports={"rtmp": port}, log=folder / "nginx.log")

    @staticmethod
    def available() -> bool:
        """Whether the packages are installed."""
        return MODULE.exists() and Path(shutil.which("nginx") or "/usr/sbin/nginx").exists()
