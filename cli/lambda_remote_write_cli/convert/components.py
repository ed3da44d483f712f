"""The components of an OpenTelemetry collector, by type: what each becomes here, or why it becomes nothing.

Types and their deprecated aliases are those of the components' own metadata.yaml (opentelemetry-collector and
-contrib). Releases of 2026 write `prometheus_remote_write` for `prometheusremotewrite`, so types are compared without
their underscores; an alias stands here only where more than underscores changed.
"""

from __future__ import annotations

_ALIASES = {
    "awsprometheusremotewrite": "prometheusremotewrite",  # of ADOT until 0.21
    "experimentalmetricsgeneration": "metricsgeneration",
    "k8stagger": "k8sattributes",
    "oauth2clientauth": "oauth2client",
    "ballast": "memoryballast",
}


def type_of(name: str) -> str:
    """`prometheus_remote_write/amp` -> `prometheusremotewrite`: the type of a component, as this module spells it."""
    kind = name.partition("/")[0].strip().replace("_", "").lower()
    return _ALIASES.get(kind, kind)


PROMETHEUS = "prometheus"
REMOTE_WRITE = "prometheusremotewrite"
ECS_OBSERVER = "ecsobserver"
FILTER = "filter"
SIGV4 = "sigv4auth"

NOT_NEEDED = {
    "batch": "not needed: samples are packed into full requests",
    "memorylimiter": "not needed: the function's memory is the limit, and pages are read in pieces",
    "groupbyattrs": "not needed: every series has its labels",
    "deltatocumulative": "not needed: scraped counters are cumulative already",
}
"""Processors that change no series."""

PROCESSORS = {
    "filter": "write keep and drop rules into metric_relabel_configs",
    "attributes": "write the labels into metric_relabel_configs, or into labels of static_configs",
    "resource": "write the labels into relabel_configs",
    "resourcedetection": "take the labels from the discovery's __meta_ labels with relabel_configs",
    "metricstransform": "write renames and drops into metric_relabel_configs",
    "metricsgeneration": "let a recording rule make the series",
    "transform": "write renames and drops into metric_relabel_configs",
    "k8sattributes": "take the labels from the discovery with relabel_configs",
    "cumulativetodelta": "remote write takes cumulative counters as they are; leave it out",
    "deltatorate": "let the query do it: rate()",
    "interval": "write a longer scrape_interval",
    "redaction": "write labeldrop rules into metric_relabel_configs",
    "routing": "write keep and drop rules into the endpoints' write_relabel_configs",
    "probabilisticsampler": "it samples traces and logs, not metrics",
}
"""Processors that change series, with what to write instead."""

OF_RESOURCES = frozenset(("resource", "resourcedetection", "k8sattributes"))
"""Processors that set attributes of the resource: they reach a series only where an exporter makes labels of them."""
ONLY_IN_TARGET_INFO = "not needed: what it set stood in the series target_info alone, which is not made here"

KEEPS_NAMES = frozenset(
    ("filter", "attributes", "resource", "resourcedetection", "k8sattributes", "cumulativetodelta", "redaction")
) | frozenset(NOT_NEEDED)
"""Processors after which a metric still has the name of its page."""

PASSING = {
    "forward": "",
    "routing": "CHANGES DATA: every endpoint gets every series here; write the conditions of its table as keep rules "
    "into write_relabel_configs",
    "failover": "every endpoint gets the samples here, and keeps what it could not deliver",
    "roundrobin": "every endpoint gets every series here; to send each to one, write hashmod rules into "
    "write_relabel_configs",
}
"""Connectors that hand on what they get, with what is different here. What any other connector gives is made by it."""

EXTENSIONS = {
    **dict.fromkeys(
        ("healthcheck", "healthcheckv2", "pprof", "zpages", "awsproxy", "httpforwarder", "remotetap",
         "jaegerremotesampling", "oidc", "ack"),
        "not needed: nothing listens here",
    ),
    **dict.fromkeys(
        ("memoryballast", "memorylimiter", "cgroupruntime"), "not needed: the function's memory is the limit"
    ),
    **dict.fromkeys(("filestorage", "dbstorage", "redisstorage"), "not needed: nothing is kept on a disk here"),
    ECS_OBSERVER: "no job reads the file that it wrote",
    "opamp": "not needed: docs/config.md says where the config comes from",
    "k8sleaderelector": "not needed: one function runs",
    **dict.fromkeys(
        ("dockerobserver", "ecstaskobserver", "hostobserver", "k8sobserver", "cfgardenobserver", "kafkatopicsobserver"),
        "not needed: it finds targets for a receiver_creator, which is not taken over",
    ),
    **dict.fromkeys(
        ("otlpencoding", "jaegerencoding", "zipkinencoding", "jsonlogencoding", "textencoding", "avrologencoding",
         "skywalkingencoding", "awslogsencoding", "awscloudwatchmetricstreamsencoding"),
        "not needed: it reads and writes what other receivers and exporters speak",
    ),
}  # fmt: skip
"""Extensions that nothing here needs."""

AUTHENTICATORS = frozenset(
    ("sigv4auth", "basicauth", "bearertokenauth", "oauth2client", "headerssetter", "asapclient", "googleclientauth",
     "azureauth", "sumologic", "cognitoauth")
)  # fmt: skip
NO_EXPORTER_USES_IT = "no exporter that is taken over uses it"
UNKNOWN_EXTENSION = "not known here: nothing does what it did, so look whether a job or an endpoint relied on it"


def unneeded(name: str) -> str:
    """Why an extension, which no endpoint uses, is not taken over."""
    kind = type_of(name)
    if kind in AUTHENTICATORS:
        return NO_EXPORTER_USES_IT
    return EXTENSIONS.get(kind, UNKNOWN_EXTENSION)


def processor(name: str) -> str:
    """What to say of a processor through which scraped data went."""
    kind = type_of(name)
    if kind in NOT_NEEDED:
        return NOT_NEEDED[kind]
    return f"CHANGES DATA and is not translated: {PROCESSORS.get(kind, 'what it did has to be done in relabelling')}"
