"""Reads how a job finds its targets: `static_configs` and the `*_sd_configs` that make sense in a Lambda.

Those that do not are refused by name, with what to use instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from .. import relabel
from . import (
    aws_identity,
    expression,
    go_glob,
    http_client,
    json_api,
    params,
    scalars,
    source_client,
    templates,
)
from .expression import Expression, Records
from .expression_words import Scope
from .global_config import NOT_A_NAME
from .schema import (
    AWS_SD_PORT,
    AWS_SD_REFRESH_MS,
    DEFAULT_TEMPLATES,
    DNS_SD_REFRESH_MS,
    DNS_SD_TYPE,
    FILE_SD_REFRESH_MS,
    HTTP_SD_REFRESH_MS,
    JSON_SD_REFRESH_MS,
    BasicAuth,
    BodyFormat,
    HttpClientConfig,
    Pagination,
    Templates,
)
from .secrets import Secret
from .yaml_reader import Section, did_you_mean

EnvVars = Mapping[str, str]

S3_SCHEME = "s3://"

_RECORD_TYPES = ("SRV", "A", "AAAA", "MX", "NS")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FILE_NAME = re.compile(r"[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)")
_S3_FILE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/(?!\.{1,2}/)[^/]+)+")


@dataclass(frozen=True, slots=True)
class StaticConfig:
    """Targets that stand in the config itself."""

    targets: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FileSd:
    """Local paths and `s3://bucket/key`, or patterns of them as `go_glob` reads them."""

    files: tuple[str, ...]
    refresh_interval_ms: int


@dataclass(frozen=True, slots=True)
class HttpSd:
    url: str = field(repr=False)
    refresh_interval_ms: int
    http: HttpClientConfig


@dataclass(frozen=True, slots=True)
class JsonSd:
    """A JSON API that lists targets: in each of the `records`, `target` finds its address or URL, and `labels` what
    becomes `__meta_json_NAME`."""

    url: str = field(repr=False)
    records: Records
    target: Expression
    labels: tuple[tuple[str, Expression], ...]
    pagination: Pagination | None
    refresh_interval_ms: int
    http: HttpClientConfig
    body_format: BodyFormat
    params: tuple[tuple[str, tuple[str, ...]], ...] = field(default=(), repr=False)
    method: str = "GET"
    body: str | None = field(default=None, repr=False)
    templates: Templates = DEFAULT_TEMPLATES


@dataclass(frozen=True, slots=True)
class DnsSd:
    """`type` is SRV, A, AAAA, MX or NS; `port` is 0 for SRV, whose records bring their own."""

    names: tuple[str, ...]
    type: str
    port: int
    refresh_interval_ms: int


@dataclass(frozen=True, slots=True)
class AwsSd:
    """What discovery in AWS has in common: where, as whom, how often, and the port of the targets."""

    region: str
    endpoint: str
    access_key: str = field(repr=False)
    secret_key: Secret | None
    profile: str
    role_arn: str
    external_id: str = field(repr=False)
    refresh_interval_ms: int
    port: int


@dataclass(frozen=True, slots=True)
class Ec2Sd(AwsSd):
    """`filters` are names and values as DescribeInstances takes them."""

    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class EcsSd(AwsSd):
    """`clusters` are names or ARNs; none means all clusters of the account and region."""

    clusters: tuple[str, ...] = ()


SdConfig = StaticConfig | FileSd | HttpSd | JsonSd | DnsSd | Ec2Sd | EcsSd

_BY_SCRIPT = "not in a Lambda; use file_sd_configs with an s3:// file, or http_sd_configs, fed by a job that lists {}"
_BY_REGISTRY = "not in a Lambda; use http_sd_configs in front of it, or file_sd_configs fed by a job that reads {}"
_ROLES = {
    "lightsail": _BY_SCRIPT.format("`aws lightsail get-instances`"),
    "msk": "use static_configs or dns_sd_configs with the brokers' names and the ports 11001 and 11002",
    "elasticache": "a cluster has no /metrics page: use static_configs or file_sd_configs with its exporter",
    "rds": "a database has no /metrics page: use static_configs or file_sd_configs with its exporter",
}
_REFUSED = {
    **_ROLES,
    **dict.fromkeys(("azure", "outscale"), _BY_SCRIPT.format("the virtual machines")),
    "consul": "not in a Lambda; use dns_sd_configs with Consul's own DNS names, or http_sd_configs fed by its catalog",
    **dict.fromkeys(("gce", "linode", "oci", "triton", "vultr"), _BY_SCRIPT.format("the instances")),
    **dict.fromkeys(
        ("hetzner", "ionos", "openstack", "ovhcloud", "scaleway", "stackit"), _BY_SCRIPT.format("the servers")
    ),
    **dict.fromkeys(("nerve", "serverset"), _BY_REGISTRY.format("the ZooKeeper paths")),
    "digitalocean": _BY_SCRIPT.format("the droplets"),
    "docker": _BY_SCRIPT.format("the containers"),
    "dockerswarm": _BY_SCRIPT.format("the tasks; dns_sd_configs with tasks.SERVICE works inside the swarm"),
    "eureka": _BY_REGISTRY.format("its /apps list"),
    "kubernetes": "a function that runs once a minute cannot watch an API server, and pod addresses often end at the "
    "cluster's network; use AMP's managed collector for EKS, a Prometheus agent in the cluster, or "
    "http_sd_configs for what is reachable from outside",
    "kuma": _BY_REGISTRY.format("the control plane's dataplanes"),
    "marathon": _BY_REGISTRY.format("its /v2/apps list"),
    "nomad": _BY_REGISTRY.format("its /v1/services list"),
    "puppetdb": _BY_REGISTRY.format("a PuppetDB query"),
    "uyuni": _BY_REGISTRY.format("the system list"),
}
REFUSED = {f"{name}_sd_configs": what for name, what in _REFUSED.items()}
"""Keys that Prometheus knows and we do not, with what to use instead. `read` reports them itself."""

_HTTP_CLIENT_KEYS = (
    "basic_auth", "authorization", "bearer_token", "bearer_token_file", "oauth2", "follow_redirects", "enable_http2",
    "tls_config", "proxy_url", "no_proxy", "proxy_from_environment", "proxy_connect_header", "http_headers",
)  # fmt: skip


def read(entry: Section, env_vars: EnvVars, name_validation: str = "utf8") -> tuple[SdConfig, ...]:
    """All discovery keys of one job; `env_vars` gives AWS_REGION, and `name_validation` is
    the job's `metric_name_validation_scheme`."""
    readers: dict[str, Callable[[Section], SdConfig | None]] = {
        "static_configs": lambda block: _static(block, entry.has("relabel_configs"), name_validation),
        "file_sd_configs": _file_sd,
        "http_sd_configs": lambda block: _http_sd(block, env_vars),
        "json_sd_configs": lambda block: _json_sd(block, env_vars),
        "dns_sd_configs": _dns_sd,
        "ec2_sd_configs": lambda block: _ec2_sd(block, env_vars),
        "ecs_sd_configs": lambda block: _ecs_sd(block, env_vars),
        "aws_sd_configs": lambda block: _aws_sd(block, env_vars),
    }
    found = [reader(block) for key, reader in readers.items() for block in entry.sections(key)]
    for key in entry:
        if key in REFUSED:
            entry.has(key)  # so that it is not an unknown key as well
            entry.problem(key, REFUSED[key])
    if not any(key in readers or key in REFUSED for key in entry):
        entry.warn("static_configs", "no targets: static_configs, or one of the *_sd_configs, says what to scrape")
    return tuple(config for config in found if config is not None)


# static_configs


def _static(block: Section, is_relabelled: bool, name_validation: str) -> StaticConfig:
    def target(text: str) -> str:
        if "/" in text and not is_relabelled:
            hint = "scheme and metrics_path are keys of the job"
            raise ValueError(f"without relabel_configs a target is host or host:port; {hint}")
        if not text:
            raise ValueError("a target is host or host:port")
        return text

    config = StaticConfig(targets=tuple(block.read_list("targets", target)), labels=_labels(block, name_validation))
    block.close()
    return config


def _labels(block: Section, name_validation: str) -> tuple[tuple[str, str], ...]:
    """Names with a leading __ are allowed here: that is how one target gets its own path or parameter."""
    labels = block.map("labels")
    return tuple((name, labels.text(name)) for name in labels if _is_label_name(labels, name, name_validation))


def _is_label_name(labels: Section, name: str, validation: str) -> bool:
    if name == "__address__":
        labels.problem(name, "comes from targets; leave it out")
    elif labels.is_null_key(name) or not relabel.is_valid_label_name(name, validation):
        labels.problem(name, NOT_A_NAME[validation])
    return not labels.is_wrong(name)


# file_sd_configs, http_sd_configs, json_sd_configs, dns_sd_configs


def _file_sd(block: Section) -> FileSd:
    config = FileSd(
        tuple(block.read_list("files", _file_name)), block.positive_ms("refresh_interval", FILE_SD_REFRESH_MS)
    )
    if not config.files and not block.is_wrong("files"):
        block.problem("files", "is required: at least one path or s3://bucket/key")
    block.close()
    return config


def _file_name(text: str) -> str:
    if not _FILE_NAME.fullmatch(text):
        raise ValueError("a file ends in .json, .yml or .yaml, and a * stands in its last part only")
    if "://" in text and not _S3_FILE.fullmatch(text):
        raise ValueError("a file is a path or s3://bucket/key without empty parts; for http:// use http_sd_configs")
    go_glob.compiled(text)
    return text


def _http_sd(block: Section, env_vars: EnvVars) -> HttpSd:
    url, login = block.hidden("url", _with_login) or ("", None)
    http = source_client.read(block, http_client.RESERVED_FOR_SCRAPES, url, env_vars)
    for key in ("sigv4", "digest_auth") if login else ():
        if getattr(http, key):
            block.problem(key, "cannot stand with a user and password in the url: leave one of the two out")
    if login:  # Go's client sets this one first, and none of the others replaces it but a token of oauth2
        http = replace(http, basic_auth=login, authorization=None)
    config = HttpSd(url=url, refresh_interval_ms=block.positive_ms("refresh_interval", HTTP_SD_REFRESH_MS), http=http)
    if not block.has("url"):
        block.problem("url", "is required")
    block.close()
    return config


def _with_login(text: str) -> tuple[str, BasicAuth | None]:
    """A URL without the user and password that may stand in it, and these. Raises ValueError."""
    try:
        parts = urlsplit(text)
        login, at, host = parts.netloc.rpartition("@")
    except ValueError:
        at = ""
    if _BAD_ESCAPE.search(text.partition("?")[0]):
        raise ValueError("a % in a URL stands before two hexadecimal digits")
    if not at:
        return http_client.url(text), None
    user, _, password = login.partition(":")
    address = http_client.url(urlunsplit(parts._replace(netloc=host)))
    return address, BasicAuth(Secret(literal=unquote(user)), Secret(literal=unquote(password)))


def _json_sd(block: Section, env_vars: EnvVars) -> JsonSd | None:
    before = len(block.diagnostics.problems)
    request = json_api.read_request(block)
    if templates.names_of("label", [request["body"]]):
        block.problem("body", "{label.NAME} stands in the body of a job: a list has no target whose label it could be")
    json_api.check_refs(block, [request["body"]], [name for name, _ in request["templates"].refs])
    steps = json_api.read_steps(block, "[]")
    convert = json_api.within(steps) if not block.is_wrong("records") else expression.parse
    target = json_api.read_expression(block, "target", lambda text: _target(text, convert))
    labels = json_api.read_labels(block, convert)
    pagination, form = json_api.pagination(block), json_api.read_body_format(block)
    interval_ms = block.positive_ms("refresh_interval", JSON_SD_REFRESH_MS)
    url = json_api.read_url(block)
    http = source_client.read(block, http_client.RESERVED_FOR_SOURCES, url or "", env_vars)
    asked = params.with_params(params.read_query(block), json_api.with_headers(block, http))
    for key in ("url", "target"):
        if not block.has(key):
            block.problem(key, "is required")
    block.close()
    if url is None or target is None or len(block.diagnostics.problems) > before:
        return None
    records = expression.records(steps, [target, *(found for _, found in labels)])
    json_api.check_offset(block, pagination, [records])
    return JsonSd(url, records, target, labels, pagination, interval_ms, body_format=form, **asked, **request)


def _target(text: str, convert: Callable[[str], Expression]) -> Expression:
    """Raises ValueError."""
    try:
        found = convert(text)
    except expression.InvalidExpression as error:
        raise ValueError(f"{error}; {_CONSTANT_TARGET}") from None
    if found.scope is Scope.CONSTANT and not (isinstance(found.constant, str) and found.constant):
        raise ValueError(f"a target is host:port or a URL; {_CONSTANT_TARGET}")
    return found


_CONSTANT_TARGET = "a text that stands for itself has single quotes in the double ones: \"'host:port'\""


def _dns_sd(block: Section) -> DnsSd:
    config = DnsSd(
        names=tuple(block.read_list("names", _dns_name)),
        type=block.read("type", _record_type, DNS_SD_TYPE),
        port=block.read("port", _port, 0),
        refresh_interval_ms=block.positive_ms("refresh_interval", DNS_SD_REFRESH_MS),
    )
    if not config.names and not block.is_wrong("names"):
        block.problem("names", "is required: at least one name")
    if config.type != "SRV" and not config.port and not block.is_wrong("port"):
        block.problem("port", f"is required for {config.type} records: only SRV records bring a port")
    block.close()
    return config


def _dns_name(text: str) -> str:
    if not text.strip(".") or any(char.isspace() or char == "/" for char in text):
        raise ValueError("a DNS name is expected, as _metrics._tcp.example.com")
    return text


def _record_type(text: str) -> str:
    if text.upper() not in _RECORD_TYPES:
        raise ValueError(f"allowed are {', '.join(_RECORD_TYPES)}{did_you_mean(text.upper(), _RECORD_TYPES)}")
    return text.upper()


def _port_or_0(text: str) -> int:
    return 0 if scalars.integer(text) == 0 else _port(text)


def _port(text: str) -> int:
    number = scalars.integer(text)
    if not 1 <= number <= 65_535:
        raise ValueError("a port is between 1 and 65535")
    return number


# ec2_sd_configs, ecs_sd_configs, aws_sd_configs


def _ec2_sd(block: Section, env_vars: EnvVars) -> Ec2Sd:
    _check_http_client(block)
    config = Ec2Sd(**_aws(block, env_vars), filters=_filters(block))
    block.close({"clusters": "is for ECS; EC2 takes filters"})
    return config


def _ecs_sd(block: Section, env_vars: EnvVars) -> EcsSd:
    _check_http_client(block)
    config = EcsSd(**_aws(block, env_vars), clusters=tuple(block.texts("clusters")))
    block.integer("request_concurrency", 20, minimum=1)  # accepted: one call at a time stays below every rate limit
    block.close({"filters": "is for EC2; ECS takes clusters"})
    return config


def _aws_sd(block: Section, env_vars: EnvVars) -> Ec2Sd | EcsSd | None:
    """Keys of another role do nothing, and a port of 0 is the default one. Prometheus does not look here whether the
    keys of an HTTP client fit together."""
    role = block.read("role", _role, "")
    if not block.has("role"):
        block.problem("role", "is required: ec2 or ecs")
    if not role:
        return None
    http_client.tls_config(block)
    for flag in ("follow_redirects", "enable_http2", "proxy_from_environment"):
        block.boolean(flag, False)
    found = _aws(block, env_vars)
    found["port"] = found["port"] or AWS_SD_PORT
    filters, clusters = _filters(block), tuple(block.texts("clusters"))
    other = "clusters" if role == "ec2" else "filters"
    if block.has(other):
        block.warn(other, f"ignored: the role {role} does not take it")
    block.close()
    return Ec2Sd(**found, filters=filters) if role == "ec2" else EcsSd(**found, clusters=clusters)


def _role(text: str) -> str:
    if text not in ("ec2", "ecs"):
        raise ValueError(_ROLES.get(text, "allowed are ec2 and ecs"))
    return text


def _aws(block: Section, env_vars: EnvVars) -> dict[str, Any]:
    """The keys that every role has, by field name."""
    found = {
        **aws_identity.read(block, env_vars),
        "endpoint": block.hidden("endpoint", http_client.url) or "",
        "refresh_interval_ms": block.positive_ms("refresh_interval", AWS_SD_REFRESH_MS),
        "port": block.read("port", _port_or_0, AWS_SD_PORT),
    }
    if bool(found["access_key"]) != bool(found["secret_key"]):
        half, other = ("access_key", "secret_key") if found["access_key"] else ("secret_key", "access_key")
        block.warn(half, f"ignored without {other}: the keys are those of the function's role or of the profile")
        found |= {"access_key": "", "secret_key": None}
    if found["external_id"] and not found["role_arn"]:
        block.warn("external_id", "ignored: it belongs to a role_arn")
        found["external_id"] = ""
    for key in _HTTP_CLIENT_KEYS:
        if key in block and block.has(key):
            block.warn(key, "ignored: calls to AWS are signed, and take a proxy from HTTPS_PROXY in the environment")
    return found


def _check_http_client(block: Section) -> None:
    """Mistakes are mistakes also in what is ignored; a warning of a key would only say how it is written today."""
    count = len(block.diagnostics.warnings)
    http_client.read(block, http_client.RESERVED_FOR_SCRAPES)
    del block.diagnostics.warnings[count:]


def _filters(block: Section) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = []
    for one in block.sections("filters"):
        name, values = one.text("name"), tuple(one.texts("values"))
        if not name:
            one.problem("name", "is required, as instance-state-name")
        if not values and not one.is_wrong("values"):
            one.problem("values", "is required: a filter without values would find nothing")
        one.close()
        found.append((name, values))
    return tuple(found)
