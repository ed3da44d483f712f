"""`http_sd_configs`: a list of targets from an HTTP server."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

from ..config.sd_configs import HttpSd
from ..config.secrets import Secret
from ..config.yaml_reader import shown_url
from ..http.body_kind import beginning
from ..http.fetch import Fetcher, FetchError, SourceRequest
from .target_groups import DiscoveryError, Parts, Refresh, parse_json

_MAX_BYTES = 20_000_000  # a list of 100,000 targets has about half of it
_JSON = re.compile(r'application/json(;\s*charset=("utf-8"|utf-8))?', re.IGNORECASE)


def refresher(config: HttpSd, fetcher: Fetcher) -> Refresh:
    seconds = f"{config.refresh_interval_ms / 1000:.3f}".rstrip("0").rstrip(".")
    header = ("X-Prometheus-Refresh-Interval-Seconds", Secret(literal=seconds))
    request = SourceRequest("GET", config.url, config.http, _MAX_BYTES, headers=(header,))
    return partial(_refresh, config, fetcher, request)


def _refresh(config: HttpSd, fetcher: Fetcher, request: SourceRequest, deadline: float) -> Parts:
    place = shown_url(config.url)
    try:
        body = fetcher.fetch(request, deadline)
    except FetchError as error:
        raise DiscoveryError(str(error)) from None
    try:
        if not _JSON.fullmatch(body.content_type.strip()):
            detail = f"{place} answered {body.content_type!r:.60}; Content-Type must be application/json"
            raise DiscoveryError(f"{detail}; the body begins {beginning(body.content)}")
        groups = parse_json(body.content, place, {"__meta_url": config.url})
        return {"": tuple(replace(one, error=fetcher.masked(one.error)) if one.error else one for one in groups)}
    except DiscoveryError as error:  # its message may quote the answer
        raise DiscoveryError(fetcher.masked(str(error))) from None
