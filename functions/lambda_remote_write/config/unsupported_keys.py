"""Keys that belong elsewhere, by name, with what to do instead: a server's, vmagent's, json_exporter's."""

from __future__ import annotations

_SERVER = "needs a Prometheus server and does nothing here"
_QUERIES = f"{_SERVER}: queries run in the workspace, which has limits of its own"
_VMAGENT = "a vmagent-only key"
_EXPORTER = "a json_exporter key"
_COLLECTOR = "an OpenTelemetry collector key; here the file begins with json_configs and remote_write"
HEADER_LIST = "a list of headers is a vmagent-only form; write a map, as headers: {Name: value}"

TOP_LEVEL = {
    "modules": f"{_EXPORTER}; write one json_configs entry per module",
    **dict.fromkeys(("receivers", "processors", "exporters", "extensions", "service"), _COLLECTOR),
}

# Of these a prometheus.yml may hold any number without harm: they load, with a warning.
IGNORED_TOP_LEVEL = {
    "alerting": f"{_SERVER}: alerts belong in the workspace's alert manager definition",
    "rule_files": f"{_SERVER}: put rules into the workspace's rule groups namespace",
    "storage": f"{_SERVER}: AMP stores the samples",
    "tracing": f"{_SERVER}",
    "remote_read": f"{_SERVER}: query the workspace itself",
    "otlp": f"{_SERVER}: nothing listens here",
    "runtime": f"{_SERVER}",
}
IGNORED_GLOBAL = {
    "evaluation_interval": _SERVER,
    "rule_query_offset": f"{_SERVER}: set it in the workspace configuration",
    "query_log_file": _SERVER,
    **dict.fromkeys(("query_max_series", "query_max_samples_read", "query_max_duration"), _QUERIES),
    "scrape_failure_log_file": "failures are in the run's log line",
}
JOB = {
    "series_limit": f"{_VMAGENT}; use sample_limit",
    **dict.fromkeys(("stream_parse", "disable_keepalive", "no_stale_markers"), f"{_VMAGENT}; leave it out"),
    **dict.fromkeys(("scrape_align_interval", "scrape_offset"), f"{_VMAGENT}; jobs run on the schedule's tick"),
    "disable_compression": f"{_VMAGENT}; gzip is used when the server offers it",
    "max_scrape_size": f"{_VMAGENT}; use body_size_limit",
    "modules": f"{_EXPORTER}; write one json_configs entry per module",
    "http_client_config": f"{_EXPORTER}; write its keys into the job itself",
}
SCRAPE_JOB = {
    **{key: detail for key, detail in JOB.items() if detail.startswith(_VMAGENT)},
    "url": "a target has scheme, address and metrics_path; an API that answers JSON belongs to json_configs",
    "headers": HEADER_LIST.replace("headers: {Name: value}", "http_headers: {Name: {values: [value]}}"),
    "modules": f"{_EXPORTER}; write one json_configs entry per module",
}
METRIC = {
    "path": f"{_EXPORTER}; here records picks the list and value the number",
    "values": f"{_EXPORTER}; write one metric per value",
    "valuetype": f"{_EXPORTER}; use type",
    "epochTimestamp": f"{_EXPORTER}; use timestamp: {{path: …, format: unix_ms}}",
    "epochtimestamp": f"{_EXPORTER}; use timestamp: {{path: …, format: unix_ms}}",
    "allow_missing_key": f"{_EXPORTER}; use on_missing: skip",
}
_OF_SOURCES = "is a key of sources; use sigv4 (AWS), basic_auth, authorization or oauth2"
OF_SOURCES = dict.fromkeys(("digest_auth", "login"), _OF_SOURCES)
REMOTE_WRITE = {
    **OF_SOURCES,
    "azuread": "signs for Azure; use sigv4 (AWS), basic_auth, authorization or oauth2",
    "google_iam": "signs for Google Cloud; use sigv4 (AWS), basic_auth, authorization or oauth2",
    "write_relabel_config": "the key is write_relabel_configs",
    "remote_write_url": "the key is url",
    "aws": f"{_VMAGENT}; use sigv4",
    "max_disk_usage_per_url": f"{_VMAGENT}; leave it out",
    "endpoint": "an OpenTelemetry key; use url",
}
