"""Metrics into Amazon Managed Service for Prometheus from a scheduled Lambda: fetch, encode, sign, send."""

__version__ = "0.1.0"
USER_AGENT = f"lambda-remote-write/{__version__}"
