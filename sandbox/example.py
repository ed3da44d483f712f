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

RANGES = """\
    backfill:
      query: {from: "{start}", to: "{end}"}
      format: unix
"""


def usage_config(api_url: str, receiver_url: str, *, more: str = "", ranges: bool = False) -> str:
    """A config with one job over the example API and one signed endpoint; `more` is appended to the endpoint. With
    `ranges` the job says how the API is asked for a range of time."""
    return f"""\
self_metrics: false # the job's own series alone
json_configs:
  - job_name: custom_exporter
    url: {api_url.rstrip("/")}/usage
    metrics:
{USAGE_METRIC}{RANGES if ranges else ""}
remote_write:
  - url: {receiver_url}
    sigv4: {{region: us-east-1}}
{more}"""
