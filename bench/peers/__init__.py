"""Other servers, started with the settings that compare best, for benchmarks and to try the test harness on."""

from bench.peers._nginx import Nginx
from bench.peers._nginx_files import NginxFiles
from bench.peers._node_media_server import NodeMediaServer
from bench.peers._server import Server

__all__ = ["Nginx", "NginxFiles", "NodeMediaServer", "Server"]
