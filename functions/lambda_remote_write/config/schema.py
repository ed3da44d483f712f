"""The validated config, frozen: what every other module sees. A field's default is that of its key, with the reason
beside it where it is not Prometheus's own; readers take it from here. Fields that may hold secrets do not show in a
repr."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..relabel import Rule
from .expression import Expression, Records
from .secrets import Secret, SecretText
from .timestamp import RFC3339, Format, Formats
from .yaml_reader import shown_url

if TYPE_CHECKING:
    from .value_format import ValueFormat

MEGABYTE = 1024 * 1024

TICK_MS = 60_000  # how often the schedule runs the function, when PUSHER_TICK does not say: the template's Interval
SCRAPE_TIMEOUT_MS = 10_000  # at most the interval
MAX_PAGE_BYTES = 200_000_000  # of a target without body_size_limit: two million series; Prometheus has no limit
MAX_REQUESTS_PER_HOST = 8  # of one host:port: an API with many paths must not be asked for all of them at once
SHOWN_DROPPED_TARGETS = 20  # of a job without keep_dropped_targets, in `pusher plan`; Prometheus keeps all
ROLE_SESSION_NAME = "lambda-remote-write"  # names the sender in CloudTrail

NAME_ESCAPING = {"utf8": "allow-utf-8", "legacy": "underscores"}
"""By validation scheme, the escaping scheme that goes with it."""

# Service discovery: its types are in sd_configs.py, which only a config that discovers targets imports.
FILE_SD_REFRESH_MS = 300_000
HTTP_SD_REFRESH_MS = 60_000
JSON_SD_REFRESH_MS = HTTP_SD_REFRESH_MS
DNS_SD_REFRESH_MS = 30_000
AWS_SD_REFRESH_MS = 60_000
AWS_SD_PORT = 80
DNS_SD_TYPE = "SRV"


@dataclass(frozen=True, slots=True)
class BasicAuth:
    username: Secret | None
    password: Secret | None


@dataclass(frozen=True, slots=True)
class Authorization:
    type: str = "Bearer"
    credentials: Secret | None = None


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
    """The client-credentials grant, the password grant with `username` and `password`, or another that needs only form
    parameters, given in `endpoint_params`."""

    client_id: str
    client_secret: Secret | None
    token_url: str = field(repr=False)
    scopes: tuple[str, ...] = ()
    endpoint_params: tuple[tuple[str, Secret], ...] = ()
    tls: TlsConfig = TlsConfig()
    proxy: ProxyConfig = ProxyConfig()
    grant_type: str = "client_credentials"
    username: Secret | None = None
    password: Secret | None = None

    @property
    def form(self) -> dict[str, str | Secret]:
        """The parameters of a token request without those of the client (RFC 6749, 4.3.2 and 4.4.2); of one that is
        given twice, that of `endpoint_params`."""
        user = {"username": self.username, "password": self.password}
        scope = {"scope": " ".join(self.scopes)} if self.scopes else {}
        given = {name: value for name, value in user.items() if value}
        return {"grant_type": self.grant_type, **scope, **given, **dict(self.endpoint_params)}

    @property
    def tries_password(self) -> bool:
        """Whether a request that is refused may bring an account nearer to being locked."""
        grant = dict(self.endpoint_params).get("grant_type")
        return "password" in (self.grant_type, grant and grant.literal)


@dataclass(frozen=True, slots=True)
class DigestAuth:
    username: Secret | None
    password: Secret | None


@dataclass(frozen=True, slots=True)
class TokenUse:
    """Where a login's token goes: into `header` behind `prefix`, or into the parameter `query`. With `cookies` those of
    the same answer go along."""

    header: str = "Authorization"
    prefix: str = "Bearer "  # of Authorization; none of another header
    query: str = ""
    cookies: bool = False


@dataclass(frozen=True, slots=True)
class Login:
    """A request whose answer has a token for the requests of the job, or cookies when `token` is None. `url` is
    absolute, or the path at which each target is logged in."""

    url: str = field(repr=False)
    token: Expression | None
    method: str = "POST"
    body: SecretText | None = None
    headers: tuple[tuple[str, Secret], ...] = ()
    query: tuple[tuple[str, Secret], ...] = ()
    basic_auth: BasicAuth | None = None
    use: TokenUse = TokenUse()
    lifetime_ms: int = 3_000_000  # 50m: most sessions last an hour or more, and a 401 or 403 renews one that does not

    @property
    def held(self) -> list[Secret]:
        """The secrets that the login itself sends."""
        basic = self.basic_auth
        held = [secret for _, secret in (*self.headers, *self.query)] + (self.body.secrets if self.body else [])
        return held + [one for one in ((basic.username, basic.password) if basic else ()) if one]


@dataclass(frozen=True, slots=True)
class SigV4:
    """`service` is another than `aps` for sources, and for other receivers. `session_name` and `tags` are those of
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
class HttpClientConfig:
    """Prometheus's HTTP client keys. `http_headers` are name and values in order; `secret_params` are the parameters
    of the query that the config gives by reference. `sigv4` is a source's; a receiver has its own."""

    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    oauth2: OAuth2 | None = None
    tls: TlsConfig = TlsConfig()
    proxy: ProxyConfig = ProxyConfig()
    follow_redirects: bool = True
    http_headers: tuple[tuple[str, tuple[Secret, ...]], ...] = ()
    secret_params: tuple[tuple[str, tuple[Secret, ...]], ...] = ()
    digest_auth: DigestAuth | None = None
    login: Login | None = None
    sigv4: SigV4 | None = None

    @property
    def may_renew(self) -> bool:
        """Whether the credentials may have changed since they were read: a token, a file, a reference."""
        return self.oauth2 is not None or any(secret.literal is None for secret in self.held)

    @property
    def has_authorization(self) -> bool:
        """Whether a key makes the header Authorization. What `login` gives goes there unless it says otherwise."""
        login = self.login
        is_by_login = login is not None and login.token is not None and login.use.header.lower() == "authorization"
        others = (self.basic_auth, self.authorization, self.oauth2, self.digest_auth, self.sigv4)
        return is_by_login or any(one is not None for one in others)

    @property
    def content_type(self) -> str:
        """The type of a request's body, as the config says it in plain; "" where it does not."""
        literals = [one.literal or "" for name, (one, *_) in self.http_headers if name.lower() == "content-type"]
        return literals[0] if literals else ""

    @property
    def held(self) -> list[Secret]:
        """The secrets that a request carries. An OAuth2 client's secret goes to the token endpoint only."""
        basic, authorization = self.basic_auth, self.authorization
        held = [secret for _, values in (*self.http_headers, *self.secret_params) for secret in values]
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
    format: Format | Formats


@dataclass(frozen=True, slots=True)
class RecordName:
    """A metric's name that each record has: `prefix` and the text at `path`, made legal."""

    path: Expression
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class States:
    """A stateset: each record gives a sample for each of `values`, which `label` tells apart. `texts` are the API's
    words for them."""

    label: str
    values: tuple[str, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """How the records of a document become the samples of one metric. With `record_name`, `name` only calls the metric
    in messages, as `jmx_{@key}`."""

    name: str
    records: Records
    value: Expression
    type: str = "unknown"  # which exposition formats before OpenMetrics call `untyped`
    help: str = ""
    unit: str = ""
    timestamp: Timestamp | None = None  # None for the start of the scrape
    labels: tuple[tuple[str, Expression], ...] = ()
    value_map: tuple[tuple[str, float | None], ...] = ()  # None means that there is no value
    value_regex: Any = None  # or a compiled RE2 pattern, searched, not anchored
    value_format: ValueFormat | None = None  # texts are plain numbers
    scale: float = 1.0
    offset: float = 0.0
    on_missing: str | float = "skip"  # "ignore", "error" or the number that stands in; skipped records are counted
    duplicates: str = "last"  # "first", "sum" or "error"; the last is what a receiver would keep of a series and time
    record_name: RecordName | None = None
    states: States | None = None

    @property
    def text_columns(self) -> tuple[tuple[str, Expression], ...]:
        """What a record says about its series: its labels, after its name if it has one."""
        return (("__name__", self.record_name.path), *self.labels) if self.record_name else self.labels

    @property
    def expressions(self) -> list[Expression]:
        """All that are evaluated for each record."""
        stamp = [self.timestamp.path] if self.timestamp else []
        return [self.value, *stamp, *(expression for _, expression in self.text_columns)]

    @property
    def reads_text(self) -> bool:
        """Whether a number's value is read as the text that was written."""
        return bool(self.value_map) or self.value_regex is not None or self.states is not None


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """`header` are the names of the columns where the first row does not have them. The default delimiter is that of
    `,` `;` tab and `|` which the first row has most of. Lines that begin with `comment` do not count."""

    header: tuple[str, ...] = ()
    delimiter: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class BodyFormat:
    """How the body of an answer is read. `format` is json, ndjson, csv, xml or text; without it the Content-Type
    decides, and so it does without `charset`. `strip_prefix` stands before the document."""

    format: str = ""
    csv: CsvOptions = CsvOptions()
    strip_prefix: str = ""
    charset: str = ""

    @property
    def is_json(self) -> bool:
        """Whether a body that is plain JSON is read as that."""
        return self.format in ("", "json") and not self.strip_prefix and not self.charset


BY_CONTENT_TYPE = BodyFormat()


@dataclass(frozen=True, slots=True)
class Pagination:
    """`style` is `next_link` (`path` finds the next URL), `link_header` (the header `Link` has it), `cursor` (`path`
    finds the value for `parameter`), `page` (`parameter` counts up from `first_page` until a page has no records at
    `path`, or none at all) or `offset` (`parameter` counts records from `first_offset`, by `step`, or by those of a
    page when it is 0, up to the number that `total` finds)."""

    style: str
    path: Expression | None
    parameter: str  # by default that style's name: `page`, `offset` or `cursor`
    first_page: int = 1
    max_pages: int = 100  # bounds an API whose pages never end
    first_offset: int = 0
    step: int = 0
    total: Expression | None = None


@dataclass(frozen=True, slots=True)
class Backfill:
    """How to query an API for a time range: what replaces the job's own url and body, and what its query gets.
    `{start}`, `{end}` and `{step}` stand for the range, written in `format` (in UTC when that has no zone), and
    for the step in seconds. One request covers `window_ms` at most. `metrics` are the job's, as the answer for a range
    has them."""

    url: str = field(repr=False)
    query: tuple[tuple[str, str], ...] = field(repr=False)
    body: str | None = field(repr=False)
    step_ms: int
    metrics: tuple[Metric, ...]
    format: Format = RFC3339
    window_ms: int = 3_600_000  # as late as AMP takes samples

    def has_own_shape(self, metrics: tuple[Metric, ...]) -> bool:
        """Whether an answer for a range looks otherwise than one of now, of which these are the metrics."""
        return [_shape(one) for one in self.metrics] != [_shape(one) for one in metrics]


def _shape(metric: Metric) -> list[str]:
    """The expressions of a metric, and the format of its timestamp."""
    stamp = metric.timestamp
    texts = [metric.records.text, metric.value.text, *(label.text for _, label in metric.labels)]
    return [*texts, *([stamp.path.text, stamp.format.name] if stamp else [])]


@dataclass(frozen=True, slots=True)
class Templates:
    """How the times of `{now}` are written, in UTC when the format has no zone, and what `{ref.NAME}` of a body stands
    for."""

    format: Format = RFC3339
    refs: tuple[tuple[str, Secret], ...] = ()


DEFAULT_TEMPLATES = Templates()


@dataclass(frozen=True, slots=True)
class BackfillServer:
    """One entry of `backfill_configs`: a server that speaks Prometheus's query API, to backfill from. `read` is
    `query_range` (what a graph shows, every `step_ms`), `query` (the samples themselves) or `federate` (the newest
    sample of each series)."""

    job_name: str
    url: str = field(repr=False)
    read: str = "query_range"  # its answers are bounded: `window` / `step` points of each series
    match: tuple[str, ...] = ()
    step_ms: int = 60_000  # `global`'s scrape_interval
    window_ms: int = 3_600_000  # 60 points of a series; Prometheus answers 11,000 at most
    timeout_ms: int = 60_000
    sigv4: SigV4 | None = None
    http: HttpClientConfig = HttpClientConfig(follow_redirects=False)  # as in remote_write
    body_size_bytes: int = 50 * MEGABYTE  # an answer is decoded in memory
    labels: tuple[tuple[str, str], ...] = ()
    metric_relabel: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """What an entry of `json_configs` and one of `scrape_configs` have in common: how its targets are found, asked and
    bounded. Times in milliseconds; `discovery` holds its `*_configs` of targets."""

    job_name: str
    scrape_interval_ms: int
    scrape_timeout_ms: int
    metrics_path: str = "/metrics"
    scheme: str = "http"
    params: tuple[tuple[str, tuple[str, ...]], ...] = field(default=(), repr=False)
    honor_labels: bool = False
    limits: Limits = Limits()
    target_limit: int = 0
    keep_dropped_targets: int = 0
    max_requests_per_host: int = 0  # at the same time; 0 for no bound, as in Prometheus
    name_validation: str = "utf8"  # or "legacy"
    allow_link_local: bool = False  # metadata services give out credentials
    http: HttpClientConfig = HttpClientConfig()
    hosts: tuple[str, ...] = ()  # to which its targets may lead, as config.hosts matches them; none for any
    relabel: tuple[Rule, ...] = ()
    metric_relabel: tuple[Rule, ...] = ()
    discovery: tuple[Any, ...] = ()  # of config.sd_configs
    new_series_limit: int = 0


@dataclass(frozen=True, slots=True)
class JsonJob(Job):
    """One entry of `json_configs`. `url` is the one target of a job that discovers none; `labels` are those of every
    target."""

    metrics_path: str = "/"
    limits: Limits = Limits(body_size_bytes=50 * MEGABYTE)  # an answer is decoded in memory
    max_requests_per_host: int = MAX_REQUESTS_PER_HOST
    url: str = field(default="", repr=False)
    metrics: tuple[Metric, ...] = ()
    method: str = "GET"  # POST with a body
    body: str | None = field(default=None, repr=False)
    templates: Templates = DEFAULT_TEMPLATES
    labels: tuple[tuple[str, str], ...] = ()
    valid_status_codes: tuple[int, ...] = ()  # none: any 2xx
    fail_if: Expression | None = None  # over the document: when it holds, the API has failed in spite of its status
    fail_message: Expression | None = None  # finds the API's own words for that
    body_format: BodyFormat = BY_CONTENT_TYPE
    pagination: Pagination | None = None
    backfill: Backfill | None = None


@dataclass(frozen=True, slots=True)
class ScrapeJob(Job):
    """One entry of `scrape_configs`."""

    scrape_protocols: tuple[str, ...] = (
        "OpenMetricsText1.0.0",
        "OpenMetricsText0.0.1",
        "PrometheusText1.0.0",
        "PrometheusText0.0.4",
    )
    fallback_scrape_protocol: str = ""  # none
    honor_timestamps: bool = True
    track_timestamps_staleness: bool = False
    enable_compression: bool = True
    native_histogram_bucket_limit: int = 0
    native_histogram_min_bucket_factor: float = 0.0
    scrape_native_histograms: bool = False
    convert_classic_histograms_to_nhcb: bool = False
    always_scrape_classic_histograms: bool = False
    extra_scrape_metrics: bool = False
    name_escaping: str = NAME_ESCAPING["utf8"]  # "underscores", "dots" or "values"


@dataclass(frozen=True, slots=True)
class GlobalConfig:
    """`global`, for jobs that do not say otherwise. `timeout_ms` is None when it was not written; the empty protocols
    and escaping scheme mean that the job's other keys decide."""

    external_labels: tuple[tuple[str, str], ...] = ()
    interval_ms: int = 60_000
    timeout_ms: int | None = None
    limits: Limits = Limits()
    target_limit: int = 0
    keep_dropped_targets: int = 0
    scrape_protocols: tuple[str, ...] = ()
    name_validation: str = "utf8"
    name_escaping: str = ""
    scrape_native_histograms: bool = False
    convert_classic_histograms_to_nhcb: bool = False
    always_scrape_classic_histograms: bool = False
    extra_scrape_metrics: bool = False
    new_series_limit: int = 0
    tick_ms: int = TICK_MS
    heirs: list[str] = field(default_factory=list)  # the jobs read so far that have their interval from here


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """How samples are packed and retried. Two keys are ours: `max_body_bytes` bounds the raw and the compressed size,
    because AMP does not say which it counts, and `max_samples_per_second`, of which 0 is no limit."""

    capacity: int = 10_000
    max_shards: int = 50
    min_shards: int = 1
    max_samples_per_send: int = 1_000  # AWS's advice for AMP; Prometheus's own default is 2,000
    batch_send_deadline_ms: int = 5_000
    min_backoff_ms: int = 30
    max_backoff_ms: int = 5_000
    retry_on_http_429: bool = True  # Prometheus's default is false; AMP answers 429 for its rate limits
    sample_age_limit_ms: int = 3_300_000  # 55m: AMP refuses what is older than an hour; Prometheus's default is none
    max_body_bytes: int = 1_000_000  # AMP's 1 MB, counted in the smaller unit
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
    remote_timeout_ms: int = 30_000
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    sigv4: SigV4 | None = None
    http: HttpClientConfig = HttpClientConfig(follow_redirects=False)  # a redirect of a write is a mistake to report
    queue: QueueConfig = QueueConfig()
    metadata: MetadataConfig = MetadataConfig()
    write_relabel: tuple[Rule, ...] = ()
    version: int = 1  # of the protocol: 1 for prometheus.WriteRequest, 2 for io.prometheus.write.v2.Request
    send_exemplars: bool = False
    send_native_histograms: bool = False
    convert_nhcb_to_classic: bool = False
    max_age_ms: int = 0  # how old a backfilled sample may be; 0 where the config does not say. AMP's is known

    @property
    def is_amp(self) -> bool:
        """True for AMP: its documented limits then apply to every series."""
        return self.sigv4 is not None and self.sigv4.service == "aps"

    @property
    def receiver(self) -> str:
        """Where the samples go, for people: the host, and AMP's workspace. The name is a hash unless the config sets
        one."""
        _, _, address = shown_url(self.url).rpartition("://")
        host, _, path = address.partition("/")
        folder, _, rest = path.partition("/")
        return f"{host}, {rest.partition('/')[0]}" if self.is_amp and folder == "workspaces" else host

    @property
    def shown_name(self) -> str:
        """`05a48b (aps-workspaces.eu-west-1.amazonaws.com, ws-…)`."""
        return f"{self.name} ({self.receiver})"


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
    """A whole config file. `tick_ms` is how often the schedule runs the function; `warnings` are printed.
    `new_series_limit` is for all jobs of a run together, 0 for none. `name_escaping` is `global`'s: by it names are
    escaped for which remote write 1.0 has no place, where no job has a way of its own."""

    external_labels: tuple[tuple[str, str], ...]
    json_jobs: tuple[JsonJob, ...]
    scrape_jobs: tuple[ScrapeJob, ...]
    endpoints: tuple[RemoteWriteConfig, ...]
    tick_ms: int
    warnings: tuple[str, ...] = ()
    spool: SpoolConfig = SpoolConfig()
    self_metrics: bool = True  # a dashboard and alerts need them from the first run on
    new_series_limit: int = 0
    servers: tuple[BackfillServer, ...] = ()
    name_escaping: str = NAME_ESCAPING["utf8"]

    @property
    def jobs(self) -> tuple[JsonJob | ScrapeJob, ...]:
        return *self.json_jobs, *self.scrape_jobs

    def job_names(self) -> list[str]:
        return [job.job_name for job in self.jobs]
