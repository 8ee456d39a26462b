"""nginx that serves the files of a folder over HTTP: one worker, no log of accesses, any number of requests a connection."""

from __future__ import annotations

import shutil
from pathlib import Path

from support.ports import free_ports

from bench.peers._server import Server

CONFIG = """\
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{
        application/vnd.apple.mpegurl m3u8;
        video/mp2t ts;
        video/iso.segment m4s;
        video/mp4 mp4;
    }}
    server {{
        listen 127.0.0.1:{port};
        root {root};
    }}
}}
"""


class NginxFiles(Server):
    """One nginx worker that serves files."""

    def __init__(self, folder: Path, root: Path) -> None:
        """Start it with its own files in `folder`; it serves what is below `root`."""
        folder.mkdir(parents=True, exist_ok=True)
        [port] = free_ports(1)
        config = folder / "nginx.conf"
        config.write_text(CONFIG.format(folder=folder, port=port, root=root))
        super().__init__([_binary(), "-p", folder, "-c", config], ports={"http": port}, log=folder / "nginx.log")

    @staticmethod
    def available() -> bool:
        """Whether the package is installed."""
        return Path(_binary()).exists()


def _binary() -> str:
    return shutil.which("nginx") or "/usr/sbin/nginx"
