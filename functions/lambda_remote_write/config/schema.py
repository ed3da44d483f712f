"""The validated config, frozen: what every other module sees. The defaults of `remote_write` stand here, each with its
reason where it is not Prometheus's own; those of jobs and `global` stand in their readers. Fields that may hold
secrets do not show in a repr."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..relabel import Rule
from .expression import Expression, Records
from .secrets import Secret
from .timestamp import Format

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BasicAuth:
    username: Secret | None
    password: Secret | None


@dataclass(frozen=True, slots=True)
class Authorization:
    type: str
    credentials: Secret | None


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """`ca`, `cert` and `key` are PEM text, inline or in a file. Versions are `TLS10` to `TLS13`."""

    ca: Secret | None = None
    cert: Secret | None = None
    key: Secret | None = None
    server_name: str = ""
    insecure_skip_verify: bool = False
    min_version: str = "TLS12"
    max_version: str = ""


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """`url` may hold a password, so it is a Secret. `no_proxy` is a comma-separated list of hosts."""

    url: Secret | None = None
    no_proxy: str = ""
    from_environment: bool = False
    connect_header: tuple[tuple[str, tuple[Secret, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class OAuth2:
    """The client-credentials grant (or another that needs only form parameters, given in `endpoint_params`)."""

    client_id: str
    client_secret: Secret | None
    token_url: str = field(repr=False)
    scopes: tuple[str, ...] = ()
    endpoint_params: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tls: TlsConfig = TlsConfig()
    proxy: ProxyConfig = ProxyConfig()


@dataclass(frozen=True, slots=True)
class HttpClientConfig:
    """Prometheus's HTTP client keys. `http_headers` are name and values in order."""

    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    oauth2: OAuth2 | None = None
    tls: TlsConfig = TlsConfig()
    proxy: ProxyConfig = ProxyConfig()
    follow_redirects: bool = True
    http_headers: tuple[tuple[str, tuple[Secret, ...]], ...] = ()

    @property
    def may_renew(self) -> bool:
        """Whether who we are may have changed outside since it was read: a token, a file, a reference."""
        return self.oauth2 is not None or any(secret.literal is None for secret in self.held)

    @property
    def held(self) -> list[Secret]:
        """What says who we are; of OAuth2 the token does, and the client's secret only to its own endpoint."""
        basic, authorization = self.basic_auth, self.authorization
        held = [secret for _, values in self.http_headers for secret in values]
        held += [one for one in ((basic.username, basic.password) if basic else ()) if one]
        held += [authorization.credentials] if authorization and authorization.credentials else []
        return held


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one scrape; 0 means none. A body has `body_size_bytes` at most, uncompressed."""

    body_size_bytes: int = 0
    sample_limit: int = 0
    label_limit: int = 0
    label_name_length: int = 0
    label_value_length: int = 0

    @property
    def has_label_limits(self) -> bool:
        return bool(self.label_limit or self.label_name_length or self.label_value_length)


@dataclass(frozen=True, slots=True)
class Timestamp:
    path: Expression
    format: Format


@dataclass(frozen=True, slots=True)
class Metric:
    """How the records of a document become the samples of one metric."""

    name: str
    type: str
    help: str
    unit: str
    records: Records
    value: Expression
    timestamp: Timestamp | None
    labels: tuple[tuple[str, Expression], ...]
    value_map: tuple[tuple[str, float], ...]
    value_regex: Any  # None or a compiled RE2 pattern, searched, not anchored
    scale: float
    offset: float
    on_missing: str | float  # "skip", "ignore", "error" or the number that stands in
    duplicates: str  # "last", "first", "sum" or "error"


@dataclass(frozen=True, slots=True)
class Pagination:
    """`style` is `next_link` (`path` finds the next URL), `cursor` (`path` finds the value for `parameter`) or `page`
    (`parameter` counts up from `first_page` until a page has no records at `path`, or none at all)."""

    style: str
    path: Expression | None
    parameter: str
    first_page: int
    max_pages: int


@dataclass(frozen=True, slots=True)
class Backfill:
    """How an API is asked for a range of time: what replaces the job's own url and body, and what its query gets.
    `{start}`, `{end}` and `{step}` stand for the range, written in `format` (UTC unless its zone says otherwise), and
    for the step in seconds. One request covers `window_ms` at most. `metrics` are the job's, as the answer for a range
    has them."""

    url: str = field(repr=False)
    query: tuple[tuple[str, str], ...] = field(repr=False)
    body: str | None = field(repr=False)
    format: Format
    window_ms: int
    step_ms: int
    metrics: tuple[Metric, ...]

    def has_own_shape(self, metrics: tuple[Metric, ...]) -> bool:
        """Whether an answer for a range looks otherwise than one of now, of which these are the metrics."""
        return [_shape(one) for one in self.metrics] != [_shape(one) for one in metrics]


def _shape(metric: Metric) -> list[str]:
    """The expressions of a metric, and the format of its timestamp."""
    stamp = metric.timestamp
    texts = [metric.records.text, metric.value.text, *(label.text for _, label in metric.labels)]
    return [*texts, *([stamp.path.text, stamp.format.name] if stamp else [])]


@dataclass(frozen=True, slots=True)
class BackfillServer:
    """One entry of `backfill_configs`: a server that speaks Prometheus's query API, to backfill from. `read` is
    `query_range` (what a graph shows, every `step_ms`), `query` (the samples themselves) or `federate` (the newest
    sample of each series)."""

    job_name: str
    url: str = field(repr=False)
    read: str
    match: tuple[str, ...]
    step_ms: int
    window_ms: int
    timeout_ms: int
    sigv4: SigV4 | None
    http: HttpClientConfig
    body_size_bytes: int
    labels: tuple[tuple[str, str], ...]
    metric_relabel: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class JsonJob:
    """One entry of `json_configs`. Times in milliseconds."""

    job_name: str
    url: str = field(repr=False)
    instance: str
    method: str
    query: tuple[tuple[str, str], ...] = field(repr=False)
    body: str | None = field(repr=False)
    headers: tuple[tuple[str, Secret], ...]
    labels: tuple[tuple[str, str], ...]
    honor_labels: bool
    scrape_interval_ms: int
    scrape_timeout_ms: int
    valid_status_codes: tuple[int, ...]  # empty: any 2xx
    fail_if: Expression | None  # over the document: when it holds, the API has failed in spite of its status
    fail_message: Expression | None  # finds the API's own words for that
    pagination: Pagination | None
    allow_link_local: bool
    http: HttpClientConfig
    limits: Limits
    metric_relabel: tuple[Rule, ...]
    metrics: tuple[Metric, ...]
    backfill: Backfill | None = None
    new_series_limit: int = 0


@dataclass(frozen=True, slots=True)
class ScrapeJob:
    """One entry of `scrape_configs`. Times in milliseconds; `discovery` holds its `*_configs` of targets."""

    job_name: str
    scrape_interval_ms: int
    scrape_timeout_ms: int
    scrape_protocols: tuple[str, ...]
    fallback_scrape_protocol: str  # "" for none
    metrics_path: str
    honor_labels: bool
    honor_timestamps: bool
    track_timestamps_staleness: bool
    scheme: str
    params: tuple[tuple[str, tuple[str, ...]], ...] = field(repr=False)
    enable_compression: bool
    limits: Limits
    target_limit: int
    keep_dropped_targets: int
    native_histogram_bucket_limit: int
    native_histogram_min_bucket_factor: float
    scrape_native_histograms: bool
    convert_classic_histograms_to_nhcb: bool
    always_scrape_classic_histograms: bool
    extra_scrape_metrics: bool
    name_validation: str  # "utf8" or "legacy"
    name_escaping: str  # "allow-utf-8", "underscores", "dots" or "values"
    allow_link_local: bool
    http: HttpClientConfig
    relabel: tuple[Rule, ...]
    metric_relabel: tuple[Rule, ...]
    discovery: tuple[Any, ...]  # of config.service_discovery
    new_series_limit: int = 0


@dataclass(frozen=True, slots=True)
class SigV4:
    """`service` is `aps` unless a test or another AWS service says otherwise. `session_name` and `tags` are those of
    the session in which `role_arn` is assumed."""

    region: str
    access_key: str = field(default="", repr=False)
    secret_key: Secret | None = None
    profile: str = ""
    role_arn: str = ""
    external_id: str = field(default="", repr=False)
    session_name: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    use_fips_sts_endpoint: bool = False
    service: str = "aps"


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """How samples are packed and retried. `max_body_bytes` is not a Prometheus key: AMP takes 1 MB and does not say
    of what, so both the raw and the compressed size stay below it. Nor is `max_samples_per_second`; 0 is no limit."""

    capacity: int = 10_000
    max_shards: int = 50
    min_shards: int = 1
    max_samples_per_send: int = 1_000  # AWS's advice for AMP; Prometheus's own default is 2,000
    batch_send_deadline_ms: int = 5_000
    min_backoff_ms: int = 30
    max_backoff_ms: int = 5_000
    retry_on_http_429: bool = True  # Prometheus's default is false; AMP answers 429 for its rate limits
    sample_age_limit_ms: int = 3_300_000  # 55m: AMP refuses what is older than an hour; Prometheus's default is none
    max_body_bytes: int = 1_000_000
    max_samples_per_second: int = 0


@dataclass(frozen=True, slots=True)
class MetadataConfig:
    send: bool = True
    send_interval_ms: int = 60_000
    max_samples_per_send: int = 2_000


@dataclass(frozen=True, slots=True)
class RemoteWriteConfig:
    """One entry of `remote_write`."""

    name: str
    url: str = field(repr=False)
    remote_timeout_ms: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    sigv4: SigV4 | None
    http: HttpClientConfig
    queue: QueueConfig
    metadata: MetadataConfig
    write_relabel: tuple[Rule, ...]
    version: int = 1  # of the protocol: 1 for prometheus.WriteRequest, 2 for io.prometheus.write.v2.Request
    send_exemplars: bool = False
    send_native_histograms: bool = False
    convert_nhcb_to_classic: bool = False
    max_age_ms: int = 0  # how old a backfilled sample may be; 0 where nobody has said so. AMP's is known

    @property
    def is_amp(self) -> bool:
        """True for AMP: its documented limits then apply to every series."""
        return self.sigv4 is not None and self.sigv4.service == "aps"


@dataclass(frozen=True, slots=True)
class SpoolConfig:
    """Where samples wait that could not be delivered: `s3://BUCKET[/PREFIX]` or a folder, "" for nowhere. `mode` is
    `on_failure`, or `always` to write every request ahead of sending it. Requests that the receiver refuses for good
    are kept under dead/ when `keeps_rejected`."""

    location: str = ""
    mode: str = "on_failure"  # `always` costs a write and a removal a run, and survives a killed process
    keeps_rejected: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """A whole config file. `tick_ms` is how often the schedule runs the function; `warnings` are for people.
    `new_series_limit` is for all jobs of a run together, 0 for none. `name_escaping` is `global`'s: by it names are
    escaped for which remote write 1.0 has no place, where no job has a way of its own."""

    external_labels: tuple[tuple[str, str], ...]
    jobs: tuple[JsonJob, ...]
    scrape_jobs: tuple[ScrapeJob, ...]
    endpoints: tuple[RemoteWriteConfig, ...]
    tick_ms: int
    warnings: tuple[str, ...]
    spool: SpoolConfig = SpoolConfig()
    self_metrics: bool = True
    new_series_limit: int = 0
    servers: tuple[BackfillServer, ...] = ()
    name_escaping: str = "allow-utf-8"

    def job_names(self) -> list[str]:
        return [*(job.job_name for job in self.jobs), *(job.job_name for job in self.scrape_jobs)]
