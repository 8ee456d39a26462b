"""Fields of kinds that operators add to Kubernetes, as their documentation has them and as far as the chart has use for them.

A field that is not here is refused, so that a word that is spelt wrong does not pass for one that the operator ignores.
"""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
#: Prometheus' durations: units from years to milliseconds, each at most once and in this order.
DURATION: Schema = {
    "type": "string",
    "pattern": r"^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$",
    "minLength": 1,
}
#: Go's durations, as cert-manager takes them; its shortest life of a certificate is an hour.
GO_DURATION: Schema = {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(h|m|s|ms))+$"}
SELECTOR: Schema = {
    "type": "object",
    "properties": {"matchLabels": LABELS, "matchExpressions": {"type": "array", "items": {"type": "object"}}},
    "additionalProperties": False,
}


def _group(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _list(item: Schema, least: int = 0) -> Schema:
    return {"type": "array", "items": item, "minItems": least}


ENDPOINT = _group(
    [],
    port=TEXT,  # name of the port of the Service, or of the pod
    path=TEXT,
    scheme={"enum": ["http", "https", "HTTP", "HTTPS"]},
    interval=DURATION,
    scrapeTimeout=DURATION,
    honorLabels={"type": "boolean"},
    relabelings=_list({"type": "object"}),
    metricRelabelings=_list({"type": "object"}),
)
MONITOR: dict[str, Schema] = {
    "selector": SELECTOR,
    "namespaceSelector": {"type": "object"},
    "jobLabel": TEXT,
    "podTargetLabels": _list(TEXT),
    "sampleLimit": COUNT,
}
RULE: Schema = {
    **_group(
        ["expr"],
        alert=TEXT,
        record=TEXT,
        expr={"type": ["string", "integer"]},
        **{"for": DURATION},
        keep_firing_for=DURATION,
        labels=LABELS,
        annotations=LABELS,
    ),
    "oneOf": [{"required": ["alert"]}, {"required": ["record"]}],  # either
}
TRIGGER = _group(["type", "metadata"], type=TEXT, name=TEXT, metricType={"enum": ["AverageValue", "Value", "Utilization"]},
                 metadata=LABELS, authenticationRef={"type": "object"})  # fmt: skip
USAGES = ["signing", "digital signature", "content commitment", "key encipherment", "key agreement", "data encipherment",
          "cert sign", "crl sign", "encipher only", "decipher only", "any", "server auth", "client auth", "code signing",
          "email protection", "s/mime", "timestamping", "ocsp signing"]  # fmt: skip

SPECS: dict[tuple[str, str], Schema] = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _group(
        ["selector", "endpoints"], endpoints=_list(ENDPOINT, 1), targetLabels=_list(TEXT), **MONITOR
    ),
    ("monitoring.coreos.com/v1", "PodMonitor"): _group(
        ["selector"], podMetricsEndpoints=_list(ENDPOINT, 1), **MONITOR
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): _group(
        ["groups"],
        groups=_list(
            _group(["name"], name=TEXT, interval=DURATION, limit=COUNT, labels=LABELS, rules=_list(RULE, 1),
                   query_offset=DURATION, partial_response_strategy={"enum": ["abort", "warn"]}),
            1,
        ),
    ),
    ("cert-manager.io/v1", "Certificate"): _group(
        ["secretName", "issuerRef"],
        secretName=TEXT,
        issuerRef=_group(["name"], name=TEXT, kind=TEXT, group=TEXT),
        commonName={"type": "string", "maxLength": 64},
        dnsNames=_list(TEXT, 1),
        ipAddresses=_list(TEXT, 1),
        duration=GO_DURATION,
        renewBefore=GO_DURATION,
        usages=_list({"enum": USAGES}),
        privateKey=_group(
            [],
            algorithm={"enum": ["RSA", "ECDSA", "Ed25519"]},
            size={"enum": [2048, 3072, 4096, 8192, 256, 384, 521]},
            encoding={"enum": ["PKCS1", "PKCS8"]},
            rotationPolicy={"enum": ["Never", "Always"]},
        ),
        secretTemplate=_group([], labels=LABELS, annotations=LABELS),
        revisionHistoryLimit={"type": "integer", "minimum": 1},
        isCA={"type": "boolean"},
    ),
    ("keda.sh/v1alpha1", "ScaledObject"): _group(
        ["scaleTargetRef", "triggers"],
        scaleTargetRef=_group(["name"], name=TEXT, apiVersion=TEXT, kind=TEXT, envSourceContainerName=TEXT),
        minReplicaCount=COUNT,
        maxReplicaCount=COUNT,
        idleReplicaCount=COUNT,
        pollingInterval={"type": "integer", "minimum": 1},
        cooldownPeriod=COUNT,
        fallback={"type": "object"},
        advanced=_group(
            [],
            restoreToOriginalReplicaCount={"type": "boolean"},
            horizontalPodAutoscalerConfig=_group([], name=TEXT, behavior={"type": "object"}),
        ),
        triggers=_list(TRIGGER, 1),
    ),
}  # fmt: skip


def problems(item: dict[str, Any]) -> list[str]:
    """What is wrong with an object of one of these kinds, each with where it is.

    Raises:
        KeyError: it is of another kind.
    """
    spec = SPECS[item["apiVersion"], item["kind"]]
    whole = _group(["apiVersion", "kind", "metadata", "spec"], apiVersion=TEXT, kind=TEXT, metadata={"type": "object"}, spec=spec)
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(item)]
