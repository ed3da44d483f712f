"""The example job of the sandbox: the usage API's records as a counter per project."""

from __future__ import annotations

USAGE_METRIC = """\
      - name: api_requests_total
        help: Total number of API requests by projectCode.
        type: counter
        records: "[]"
        value: apiRequestCount
        timestamp: {path: currentTime, format: unix}
        labels: {projectCode: projectCode}
"""


def usage_config(api_url: str, receiver_url: str, *, more: str = "") -> str:
    """A config with one job over the example API and one signed endpoint; `more` is appended to the endpoint."""
    return f"""\
self_metrics: false # the job's own series alone
json_configs:
  - job_name: custom_exporter
    url: {api_url.rstrip("/")}/usage
    metrics:
{USAGE_METRIC}
remote_write:
  - url: {receiver_url}
    sigv4: {{region: us-east-1}}
{more}"""
