"""Configs that several tests share: the example API pushed to a sandbox receiver."""

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
    """One job over the example API, one signed endpoint; `more` is appended to the endpoint."""
    return f"""\
json_configs:
  - job_name: custom_exporter
    url: {api_url.rstrip("/")}/usage
    metrics:
{USAGE_METRIC}
remote_write:
  - url: {receiver_url}
    sigv4: {{region: us-east-1}}
{more}"""
