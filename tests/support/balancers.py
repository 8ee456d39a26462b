"""nginx and HAProxy in front of a server, each asking it from an address of its own: whom it names is somebody else.

nginx hands connections on with headers of the PROXY protocol 1, HAProxy with those of version 2; over HTTP both add
X-Forwarded-For.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from support.ports import LOOPBACK, free_ports, is_open
from support.process import Child, wait_until

NGINX_ADDRESS, HAPROXY_ADDRESS = "127.0.0.77", "127.0.0.78"  #: that they ask from
START_S = 20.0
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

_NGINX = f"""\
load_module {STREAM_MODULE};
daemon off;
master_process off;
pid {{folder}}/nginx.pid;
error_log {{folder}}/nginx-error.log info;
events {{{{ worker_connections 512; }}}}
stream {{{{
    proxy_bind {NGINX_ADDRESS};
{{streams}}
}}}}
http {{{{
    access_log off;
    client_body_temp_path {{folder}}/body; proxy_temp_path {{folder}}/proxy; fastcgi_temp_path {{folder}}/fastcgi;
    uwsgi_temp_path {{folder}}/uwsgi; scgi_temp_path {{folder}}/scgi;
    proxy_bind {NGINX_ADDRESS};
    proxy_buffering off;
    proxy_http_version 1.1;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header Host $http_host;
    map $http_upgrade $upgrades {{{{ default upgrade; '' ''; }}}}
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $upgrades;
{{servers}}
}}}}
"""
_NGINX_STREAM = f"    server {{{{ listen {LOOPBACK}:{{port}}; proxy_protocol on; proxy_pass {LOOPBACK}:{{to}}; }}}}"
_NGINX_SERVER = f"    server {{{{ listen {LOOPBACK}:{{port}}; location / {{{{ proxy_pass http://{LOOPBACK}:{{to}}; }}}} }}}}"

_HAPROXY = """\
global
    maxconn 512
defaults
    timeout connect 5s
    timeout client 60s
    timeout server 60s
{listeners}
"""
_HAPROXY_LISTENER = f"""\
listen {{name}}
    mode {{mode}}
    bind {LOOPBACK}:{{port}}
    source {HAPROXY_ADDRESS}
    server one {LOOPBACK}:{{to}} {{more}}
"""
_FORWARDS = "    option forwardfor\n"


class Balancer:
    """A balancer; a context manager that ends it. Asked at a port of its own for each of those behind it."""

    def __init__(self, child: Child, ports: Mapping[str, int]) -> None:
        """Wait until `child` listens on `ports`, by name."""
        self.ports = dict(ports)
        self._child = child
        try:
            wait_until("a balancer", lambda: all(map(is_open, ports.values())), START_S, child=child)
        except BaseException:
            child.kill()
            raise

    def url(self, scheme: str, name: str, path: str) -> str:
        """A URL to ask it by."""
        return f"{scheme}://{LOOPBACK}:{self.ports[name]}/{path}"

    def __enter__(self) -> Self:
        """The balancer itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it."""
        self._child.stop()


def nginx(folder: Path, *, streams: Mapping[str, int], http: Mapping[str, int]) -> Balancer:
    """nginx before ports of a server, by name: as connections (`streams`), and as requests (`http`)."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = dict(zip((*streams, *http), free_ports(len(streams) + len(http)), strict=True))
    written = _NGINX.format(
        folder=folder,
        streams="\n".join(_NGINX_STREAM.format(port=ports[name], to=to) for name, to in streams.items()),
        servers="\n".join(_NGINX_SERVER.format(port=ports[name], to=to) for name, to in http.items()),
    )
    config = folder / "nginx.conf"
    config.write_text(written)
    return Balancer(Child([_program("nginx"), "-p", folder, "-c", config], log=folder / "nginx.log"), ports)


def haproxy(folder: Path, *, streams: Mapping[str, int], http: Mapping[str, int], says: str = "") -> Balancer:
    """HAProxy before ports of a server; see `nginx`. `says` are options of what connections begin with."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = dict(zip((*streams, *http), free_ports(len(streams) + len(http)), strict=True))
    listeners = [
        _HAPROXY_LISTENER.format(name=name, mode="tcp", port=ports[name], to=to, more=f"send-proxy-v2 {says}")
        for name, to in streams.items()
    ]
    for name, to in http.items():
        listeners.append(_HAPROXY_LISTENER.format(name=name, mode="http", port=ports[name], to=to, more="") + _FORWARDS)
    config = folder / "haproxy.cfg"
    config.write_text(_HAPROXY.format(listeners="\n".join(listeners)))
    return Balancer(Child([_program("haproxy"), "-db", "-f", config], log=folder / "haproxy.log"), ports)


def _program(name: str) -> str:
    return shutil.which(name) or f"/usr/sbin/{name}"


CAN_BALANCE = STREAM_MODULE.exists() and all(Path(_program(name)).exists() for name in ("nginx", "haproxy"))
