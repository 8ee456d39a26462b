"""Debian's Prometheus as a child on a loopback port: it scrapes nodes, evaluates rules, answers queries, as in production.

The methods block; a test that must keep its event loop running calls them through `asyncio.to_thread`.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from support.child_server import ChildServer
from support.cluster import Node
from support.in_memory import folder_in_memory
from support.ports import LOOPBACK
from support.process import Child, wait_until

CAN_RUN_PROMETHEUS = shutil.which("prometheus") is not None and shutil.which("promtool") is not None
REQUEST_S = 15.0  #: for one answer on a machine that does much else
SEEN_S = 30.0  #: for what has been scraped or evaluated to show
NAMESPACE, RELEASE = "media", "lalmesh"  #: where the tests' clusters say that they are


class QueryError(AssertionError):
    """What Prometheus refused, with its reason."""


@dataclass(frozen=True)
class Target:
    """One pod to scrape: where, and the labels that its series get."""

    address: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Sample:
    """A series of an answer, with its value at that time."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Alert:
    """An alert that waits or fires."""

    name: str
    state: str  #: ``pending`` or ``firing``
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(compare=False)


def pods(nodes: Iterable[Node], *, namespace: str = NAMESPACE, release: str = RELEASE) -> list[Target]:
    """Targets with the labels that the chart's PodMonitor gives to series of its pods."""
    return [_pod(node, namespace, release) for node in nodes]


def _pod(node: Node, namespace: str, release: str) -> Target:
    own = {"pod": f"{release}-{node.name}", "container": node.role, "app_kubernetes_io_component": node.role}
    return Target(
        node.health_url.removeprefix("http://"),
        {"job": f"{namespace}/{release}", "namespace": namespace, "endpoint": "metrics", **own},
    )


class Prometheus(ChildServer):
    """One server that remembers nothing of the run before. A context manager: ready inside the block, gone after it."""

    def __init__(
        self,
        folder: Path,
        targets: Iterable[Target] = (),
        *,
        rules: Sequence[Path] = (),
        scrape_s: float = 0.5,
        evaluate_s: float = 0.5,
    ) -> None:
        """Not started yet.

        Args:
            folder: for its configuration and its log; its data are in memory while this object lives.
            targets: what it scrapes (`pods`); `reload` takes others.
            rules: files with groups of rules.
            scrape_s: from one scrape of a target to the next.
            evaluate_s: from one evaluation of the rules to the next, where a group says nothing else.
        """
        super().__init__()
        self._folder = folder
        self._targets = list(targets)
        self._rules = list(rules)
        self._scrape_s = scrape_s
        self._evaluate_s = evaluate_s
        self._data = folder_in_memory(self)
        self._file = folder / "prometheus.yml"

    @property
    def url(self) -> str:
        """Of its API."""
        return f"http://{LOOPBACK}:{self.port}"

    def query(self, expression: str) -> list[Sample]:
        """What an expression gives now; a scalar is a series without labels.

        Raises:
            QueryError: it is wrong.
        """
        answer = self._asked("query", query=expression)
        if answer["resultType"] in ("scalar", "string"):
            return [Sample({}, float(answer["result"][1]))]
        assert answer["resultType"] == "vector", f"{expression}: a {answer['resultType']}"
        return [Sample(each["metric"], float(each["value"][1])) for each in answer["result"]]

    def value(self, expression: str) -> float:
        """Of an expression that gives one series."""
        [sample] = self.query(expression)
        return sample.value

    def series(self, selector: str) -> list[dict[str, str]]:
        """The labels of every series that a selector matches, with its name as ``__name__``."""
        return list(self._asked("series", **{"match[]": selector}))

    def label_values(self, label: str, selector: str = "") -> list[str]:
        """As a variable of a dashboard asks for them."""
        return list(self._asked(f"label/{urllib.parse.quote(label)}/values", **({"match[]": selector} if selector else {})))

    def alerts(self) -> list[Alert]:
        """All that wait or fire now."""
        found = self._asked("alerts")["alerts"]
        return [Alert(each["labels"]["alertname"], each["state"], each["labels"], each.get("annotations", {})) for each in found]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its ``health`` and ``lastError``."""
        return [rule for group in self._asked("rules")["groups"] for rule in group["rules"]]

    def wait_for(self, what: str, holds: Callable[[], bool], limit_s: float = SEEN_S) -> None:
        """Wait until `holds`, looking as often as something new can have been scraped.

        Raises:
            ProcessError: it does not within `limit_s`.
        """
        wait_until(what, holds, limit_s, child=self._child, every_s=min(self._scrape_s, self._evaluate_s) / 2)

    def wait_scraped(self, limit_s: float = SEEN_S) -> None:
        """Wait until every target has been scraped since it was given: Prometheus looks for others each 5 s.

        Raises:
            ProcessError: one has not been within `limit_s`.
        """
        wanted = sorted(target.address for target in self._targets)

        def scraped() -> bool:
            active = self._asked("targets", state="active")["activeTargets"]
            up = [each["discoveredLabels"]["__address__"] for each in active if each["health"] == "up"]
            return sorted(up) == wanted

        self.wait_for("scrapes", scraped, limit_s)

    def reload(self, targets: Iterable[Target] | None = None, rules: Sequence[Path] | None = None) -> None:
        """Take other targets or rules, or read those files anew.

        Raises:
            QueryError: a file is wrong; the ones before are kept.
        """
        self._targets = self._targets if targets is None else list(targets)
        self._rules = self._rules if rules is None else list(rules)
        self._write()
        self._open(urllib.request.Request(f"{self.url}/-/reload", method="POST"))

    def _launch(self) -> Child:
        self._write()
        own = {"config.file": self._file, "storage.tsdb.path": self._data, "web.listen-address": f"{LOOPBACK}:{self.port}"}
        flags = [f"--{name}={value}" for name, value in own.items()]
        return Child(["prometheus", *flags, "--web.enable-lifecycle"], log=self._folder / "prometheus.log")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=REQUEST_S) as answer:
                return int(answer.status) == 200
        except OSError:  # also what says that it is not ready
            return False

    def _write(self) -> None:
        times = {"scrape_interval": _duration(self._scrape_s), "scrape_timeout": _duration(self._scrape_s)}
        configs = [{"targets": [target.address], "labels": dict(target.labels)} for target in self._targets]
        config = {
            "global": {**times, "evaluation_interval": _duration(self._evaluate_s)},
            "scrape_configs": [{"job_name": "tests", "static_configs": configs}],
            "rule_files": [str(file) for file in self._rules],
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file.write_text(yaml.safe_dump(config))

    def _asked(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        return json.loads(self._open(f"{self.url}/api/v1/{path}?{query}"))["data"]

    def _open(self, request: str | urllib.request.Request) -> bytes:
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as exc:
            raise QueryError(exc.read().decode(errors="replace")) from None


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
