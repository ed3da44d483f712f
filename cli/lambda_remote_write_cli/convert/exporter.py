"""One `prometheusremotewrite` exporter of an OpenTelemetry collector -> one entry of remote_write."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from lambda_remote_write.config import partitions, scalars
from lambda_remote_write.config.remote_write import amp_host

from . import authenticator, components, expansion
from .http_client import move_userinfo, put_headers
from .prometheus import drop_replica
from .relabelling import rule
from .tree import (
    Comment,
    DroppedKeys,
    Entry,
    List,
    Map,
    Scalar,
    Value,
    comment_lines,
    is_empty,
    mapping,
    scalar,
)

_PLACEHOLDER = "https://CHANGE.ME/api/v1/remote_write"
_IN_OWN_REGION = re.compile(
    r"https://aps-workspaces\.\$\{AWS_(?:DEFAULT_)?REGION\}"
    rf"\.(?:{'|'.join(re.escape(one.suffix) for one in partitions.PARTITIONS)})/workspaces/(ws-[A-Za-z0-9-]+)"
    r"/api/v1/remote_write"
)
_MAX_AMP_BODY = 1_000_000
_SAID_ELSEWHERE = ("endpoint", "add_metric_suffixes")  # by the address, and by the comment about names
_SAME = ("protobuf_message", "proxy_url")
_FLAT_TLS = ("ca_file", "cert_file", "key_file", "insecure", "insecure_skip_verify", "server_name_override")
_ORDER = (
    "name", "url", "workspace", "remote_timeout", "protobuf_message", "sigv4", "basic_auth", "authorization", "oauth2",
    "tls_config", "proxy_url", "headers", "http_headers", "queue_config", "metadata_config", "write_relabel_configs",
)  # fmt: skip

_NAMES = (
    "The collector may have renamed metrics (add_metric_suffixes: counters without _total got it, units became "
    "suffixes), and it added a series target_info per target. Here names are as the pages have them, nothing is added."
)
_LABELS = (
    'It also wrote le="1" and quantile="1" where le="1.0" and quantile="1.0" stand here, as in Prometheus 3 (and 1e+06 '
    'for a million): a query for {le="1"} finds nothing from now on, and sums by (le) over the change mix both. It '
    "left out _created series of OpenMetrics pages{scope}. It read a page without a Content-Type as text. These lines "
    "in a job keep the old form (a bound of a million or more needs a rule of its own):"
)
_SCOPE = ", and gave every series the labels otel_scope_name and otel_scope_version, so that every series begins anew"
KEEPING = r"""fallback_scrape_protocol: PrometheusText0.0.4
metric_relabel_configs:  # the rule about _created drops gauges of such names, too, as kube_pod_created
  - {source_labels: [le], regex: '(-?\d+)\.0', target_label: le}
  - {source_labels: [quantile], regex: '(\d+)\.0', target_label: quantile}
  - {source_labels: [__name__], regex: '.+_created', action: drop}
"""
KEEPING_SCOPE = """  - target_label: otel_scope_name
    replacement: github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver
  - {target_label: otel_scope_version, replacement: COLLECTOR_VERSION}
"""
_CONNECTIONS = "connections are managed here"
_LOSES = {
    "wal": "nothing is written to a local disk; docs/operations.md says what becomes of undelivered samples",
    "remote_write_queue": "a queue between pushes is not needed: queue_config shapes the requests",
    "sending_queue": "a queue between pushes is not needed: queue_config shapes the requests",
    "resource_to_telemetry_conversion": "there are no resource attributes; add the labels with relabel_configs",
    "target_info": "the collector made this series itself; it is not made here",
    "scope_info": "the collector made this series itself; it is not made here",
    "disable_scope_info": "there is no scope here",
    "export_created_metric": "_created series come through when a page has them",
    "max_batch_request_parallelism": "requests that share no series go in parallel",
    "translation_strategy": "names and labels go out as the pages give them",
    "compression": "remote write is always snappy",
    "compression_params": "remote write is always snappy",
} | dict.fromkeys(
    (
        "read_buffer_size", "write_buffer_size", "max_idle_conns", "max_idle_conns_per_host", "max_conns_per_host",
        "idle_conn_timeout", "disable_keep_alives", "http2_read_idle_timeout", "http2_ping_timeout",
        "force_attempt_http2",
    ),
    _CONNECTIONS,
)  # fmt: skip


@dataclass(slots=True)
class Endpoint:
    """What one exporter becomes. `external_labels` are written when all exporters are known; `renames` says that it
    added suffixes to names, `scopes` that it wrote labels of the scope."""

    exporter: Entry
    block: Map = field(default_factory=Map)
    external_labels: Map = field(default_factory=Map)
    relabel: List = field(default_factory=List)
    renames: bool = True
    scopes: bool = True

    @property
    def authenticator(self) -> str:
        """The name of the extension that signs for it."""
        return self.exporter.map.map("auth").text("authenticator")

    def finished(self) -> Entry:
        """The item of remote_write, its keys in our order, the comments at the end."""
        if self.relabel.entries:
            self.block.put("write_relabel_configs", self.relabel)
        pairs = {pair.key: pair for pair in self.block.pairs()}
        comments = [entry for entry in self.block.entries if isinstance(entry, Comment)]
        block = Map([*(pairs[key] for key in _ORDER if key in pairs), *comments])
        return Entry("", block, self.exporter.line, self.exporter.path, above=self.exporter.above)


def endpoint(exporter: Entry, extensions: Map, dropped: DroppedKeys) -> Endpoint:
    """Translates every key of the exporter."""
    found = Endpoint(exporter)
    settings = exporter.map
    auth_first = sorted(settings.pairs(), key=lambda entry: entry.key not in ("auth", "aws_auth"))  # headers ask for it
    for entry in auth_first:
        if entry.key == "auth" and not is_empty(entry.value):
            _authenticate(found, entry, extensions, dropped)
        elif entry.key not in _SAID_ELSEWHERE and not is_empty(entry.value):
            _put(found, entry, dropped)
    _put_address(found, settings.get("endpoint"), dropped)
    strategy = settings.text("translation_strategy")  # it counts before add_metric_suffixes
    found.renames = strategy.endswith("WithSuffixes") if strategy else settings.text("add_metric_suffixes") != "false"
    found.scopes = settings.text("disable_scope_info") != "true"
    return found


def _put(found: Endpoint, entry: Entry, dropped: DroppedKeys) -> None:
    """One key of the exporter, as a key of ours or a comment."""
    block = found.block
    match entry.key:
        case "aws_auth" if isinstance(entry.value, Map):
            block.put("sigv4", authenticator.signing(entry.map, dropped), entry)
        case "timeout":
            _put_duration(block, "remote_timeout", entry, dropped)
        case "tls":
            _put_tls(found, entry.map, dropped)
        case key if key in _FLAT_TLS:
            _put_tls(found, Map([entry]), dropped)
        case "headers":
            put_headers(block, entry, dropped, for_remote_write=True)
        case "external_labels":
            found.external_labels = entry.map
            drop_replica(found.external_labels, dropped)
        case "namespace":
            _put_namespace(found, entry)
        case "retry_on_failure":
            _put_retry(found, entry, dropped)
        case "max_batch_size_bytes":
            _put_body_size(found, entry, dropped)
        case "send_metadata":
            block.put("metadata_config", mapping(flow=True, send=entry.text), entry)
        case key if key in _SAME:
            block.put(key, entry.value, entry)
        case _:
            block.entries.append(dropped.note(entry, _LOSES.get(entry.key, "has no counterpart here")))


def what_changes(endpoints: list[Endpoint]) -> list[str]:
    """What the collector did to every series, and nothing does here, as lines of comment."""
    renames = any(endpoint.renames for endpoint in endpoints)
    scopes = any(endpoint.scopes for endpoint in endpoints)
    detail = _LABELS.replace("{scope}", _SCOPE if scopes else "")
    kept = KEEPING + (KEEPING_SCOPE if scopes else "")
    return [
        *(comment_lines(_NAMES) if renames else []),
        *comment_lines(detail),
        *(f"#   {line}" for line in kept.splitlines()),
    ]


def _put_address(found: Endpoint, written: Entry | None, dropped: DroppedKeys) -> None:
    """The address last: what stands for an unknown one depends on who signs."""
    block = found.block
    if written and isinstance(written.value, Scalar) and not written.value.variables and written.text:
        block.put("url", written.value, written)
        move_userinfo(block, "url")
        is_amp = amp_host(written.text) or (urlsplit(written.text).hostname or "").startswith("aps-workspaces")
        if (is_amp or found.exporter.key.startswith("aws")) and block.get("sigv4") is None:
            block.put("sigv4", Map(flow=True))
    elif written and (workspace := _IN_OWN_REGION.fullmatch(written.text)):
        block.put("workspace", scalar(workspace[1]), written)
    else:
        _put_placeholder(found, written, dropped)


def _put_placeholder(found: Endpoint, written: Entry | None, dropped: DroppedKeys) -> None:
    is_signed = found.block.get("sigv4") or (written and "aps-workspaces" in written.text)
    key, value = ("workspace", "ws-CHANGE-ME") if is_signed else ("url", _PLACEHOLDER)
    placed = found.block.put(key, scalar(value), written)
    placed.path, placed.line = f"{found.exporter.path}.endpoint", (written or found.exporter).line
    if written and isinstance(written.value, Scalar) and written.value.variables:
        dropped.change(placed, f"the address is not known: {expansion.no_value(written.value)}")
    else:
        dropped.change_by_hand(placed, placed, "the exporter has no endpoint: write where the samples go")


def _authenticate(found: Endpoint, auth: Entry, extensions: Map, dropped: DroppedKeys) -> None:
    extension = extensions.get(found.authenticator)
    if extension is None and components.type_of(found.authenticator) == components.SIGV4:
        found.block.put("sigv4", Map(flow=True))
        detail = f"there is no extension {found.authenticator!r}: the function's own region and role count"
        found.block.entries.append(dropped.note(auth, detail))
    elif extension is None:
        detail = f"there is no extension {found.authenticator!r}, and requests go out without: write the credentials"
        found.block.entries.append(dropped.by_hand(auth, detail))
    else:
        authenticator.put(found.block, extension, dropped)


def _put_duration(block: Map, key: str, entry: Entry, dropped: DroppedKeys) -> None:
    milliseconds = go_duration_ms(entry.text)
    if milliseconds is None:
        block.entries.append(dropped.note(entry, "no duration that can be read"))
    elif milliseconds:
        block.put(key, scalar(scalars.print_duration(milliseconds)), entry)


_GO_UNIT_MS = {"h": 3_600_000.0, "m": 60_000.0, "s": 1_000.0, "ms": 1.0, "us": 1e-3, "µs": 1e-3, "ns": 1e-6}
_GO_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|ns)")


def go_duration_ms(text: str) -> int | None:
    """`1.5s`, `1m30s` -> milliseconds, rounded up; None for anything else."""
    parts = list(_GO_PART.finditer(text))
    if text in ("0", "0s"):
        return 0
    if not parts or "".join(part[0] for part in parts) != text:
        return None
    return math.ceil(round(sum(float(part[1]) * _GO_UNIT_MS[part[2]] for part in parts), 6))


def _put_tls(found: Endpoint, block: Map, dropped: DroppedKeys) -> None:
    translated = authenticator.tls(block, dropped)
    if known := found.block.get("tls_config"):
        known.map.entries += translated.entries
    elif translated.pairs():
        found.block.put("tls_config", translated)
    else:
        found.block.entries += translated.entries


def _put_namespace(found: Endpoint, entry: Entry) -> None:
    if entry.text:
        found.relabel.entries.append(
            rule(("__name__",), flow=False, target_label="__name__", replacement=f"{entry.text.replace('$', '$$')}_$1")
        )


def _queue(found: Endpoint) -> Map:
    known = found.block.get("queue_config") or found.block.put("queue_config", Map())
    return known.map


def _put_retry(found: Endpoint, entry: Entry, dropped: DroppedKeys) -> None:
    backoff = {"initial_interval": "min_backoff", "max_interval": "max_backoff"}
    for setting in entry.map.pairs():
        if setting.key in backoff:
            _put_duration(_queue(found), backoff[setting.key], setting, dropped)
        elif setting.key != "enabled" or setting.text == "false":
            why = "retries go on within the run's time, the pause doubling"
            found.block.entries.append(dropped.note(setting, why, name=f"retry_on_failure.{setting.key}"))
    queue = found.block.map("queue_config")
    shortest, longest = queue.text("min_backoff"), queue.text("max_backoff")
    if shortest and not longest and scalars.duration_ms(shortest) > 5_000:  # it begins above our default maximum
        queue.put("max_backoff", scalar("30s"))


def _put_body_size(found: Endpoint, entry: Entry, dropped: DroppedKeys) -> None:
    text = entry.text.replace("_", "")
    if text.isdigit() and 10_000 <= int(text) <= _MAX_AMP_BODY:
        _queue(found).put("max_body_bytes", scalar(text), entry)
    else:
        found.block.entries.append(
            dropped.note(entry, f"requests stay below {_MAX_AMP_BODY} bytes, which is AMP's limit")
        )


def label_rule(label: Entry) -> Map:
    """A relabel rule that does what an external label does: it sets a label that the series does not have."""
    found = rule((label.key,), flow=False, regex="", target_label=label.key).map
    found.put("replacement", replacement(label.value), label)
    return found


def replacement(value: Value) -> Scalar:
    """A label's value as a relabel rule writes it, where `$` begins a group."""
    if not isinstance(value, Scalar):
        return scalar("")
    text = value.text if value.variables else value.text.replace("$", "$$")
    return Scalar(text, value.style or scalar(text).style, variables=value.variables)
