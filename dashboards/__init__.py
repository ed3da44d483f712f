"""Grafana dashboards as code. `make dashboards` writes the JSON beside each module, and `make grafana` imports it."""
