"""The HTTP API held to its own OpenAPI document, by schemathesis, in a live cluster: etcd, Redis, and every role.

It makes up requests from the document, right and wrong ones, and follows what it is answered from one to the next. Nothing may be
answered that the document does not have, and no failure of the server but 503 with Retry-After. A rule that spans two fields, or
what a name may be, is in no JSON schema, so it is right that requests are refused which the document alone would allow.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.cluster import Cluster
from support.ffmpeg import Publisher
from support.media import media
from support.redis import RedisServer

from lalmesh.runtime.api_tokens import hash_token

ADMIN = "an admin of the API in tests"
CONFIG = Path(__file__).with_name("schemathesis.toml")
REQUESTS = 25  #: made up for each operation and phase
LIMIT_S = 100.0  #: of all
FAILED = re.compile(r"\b[A-Z]+ /\S* failed")  #: what a scheduler logs of a request that ended in a bug
LINE = 400  #: characters of a line that is shown
#: all others are on, but for what the file has off: whatever is named here would be on again
UNKNOWN_TO_SCHEMAS = ("positive_data_acceptance",)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One with a stream that is published, played and segmented."""
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder))
        scheduler = {
            "scheduler.redis.host": "127.0.0.1",
            "scheduler.redis.port": redis.port,
            "scheduler.http.tokens": [f"admin admin {hash_token(ADMIN)}"],
            "scheduler.http.limits.token_failures_per_minute": 0,  # wrong tokens are made up too, each to be told so
        }
        made = stack.enter_context(Cluster(folder, schedulers=1, origins=2, edges=1, hls=1, settings={"scheduler": scheduler}))
        url = made.edges[0].rtmp_url("live/cam")
        stack.enter_context(Publisher(media("h264_aac"), url, log=folder / "publisher.log", loops=-1, limit_s=300))
        yield made


def get(cluster: Cluster, path: str) -> Any:
    request = urllib.request.Request(f"{cluster.api_url}{path}", headers={"Authorization": f"Bearer {ADMIN}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def test_the_document_is_a_valid_one(cluster: Cluster) -> None:
    document = get(cluster, "/openapi.json")
    OpenAPIV31SpecValidator(document).validate()
    assert {"/v1/streams", "/v1/nodes", "/v1/recordings"} <= document["paths"].keys()


@pytest.mark.timeout(LIMIT_S + 20)
def test_nothing_is_answered_that_the_document_does_not_have(cluster: Cluster, tmp_path: Path) -> None:
    program = str(Path(sys.executable).parent / "schemathesis")
    command = [program, "--config-file", str(CONFIG), "--no-color", "run", f"{cluster.api_url}/openapi.json"]
    options = {
        "--header": f"Authorization: Bearer {ADMIN}",
        "--exclude-checks": ",".join(UNKNOWN_TO_SCHEMAS),
        "--max-examples": str(REQUESTS),
        "--request-timeout": "10",
        "--seed": "1",
        "--report-dir": str(tmp_path),
    }
    command += [word for option in options.items() for word in option] + ["--continue-on-failure"]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S)
    told = "\n".join(line[:LINE] for line in f"{done.stdout}\n{done.stderr}".splitlines())  # the longest requests fill pages
    assert done.returncode == 0, told
    failed = [line[:LINE] for node in cluster.nodes for line in node.output().splitlines() if FAILED.search(line)]
    assert failed == [], "lal's API answers these with status 200"
    assert all(node.running for node in cluster.nodes if node.name != "origin-2"), cluster.output()
