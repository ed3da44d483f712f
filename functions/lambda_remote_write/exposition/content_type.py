"""Content negotiation of a scrape: the Accept header, and the format of an answer.

Source: Prometheus scrape/scrape.go (acceptHeader), model/textparse/interface.go (extractMediaType), Go's
mime.ParseMediaType.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

TEXT, OPENMETRICS, PROTOBUF = "text/plain", "application/openmetrics-text", "application/vnd.google.protobuf"

_HEADERS = {
    "PrometheusProto": f"{PROTOBUF};proto=io.prometheus.client.MetricFamily;encoding=delimited",
    "PrometheusText0.0.4": f"{TEXT};version=0.0.4",
    "PrometheusText1.0.0": f"{TEXT};version=1.0.0",
    "OpenMetricsText0.0.1": f"{OPENMETRICS};version=0.0.1",
    "OpenMetricsText1.0.0": f"{OPENMETRICS};version=1.0.0",
    "OpenMetricsText2.0.0": f"{OPENMETRICS};version=2.0.0",
}
_WITH_ESCAPING = ("PrometheusText1.0.0", "OpenMetricsText1.0.0", "OpenMetricsText2.0.0")
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a token of RFC 9110
_TYPE = re.compile(rf"{_TOKEN}(?:/{_TOKEN})?")
_PARAMETER = re.compile(rf'\s*;\s*({_TOKEN})\s*=\s*({_TOKEN}|"(?:[^"\\\r\n]|\\[^\r\n])*")')


class UnknownFormat(Exception):
    """An answer in no known format, without a fallback."""


def accept(protocols: Sequence[str], escaping: str) -> str:
    """`scrape_protocols` in order of preference -> the Accept header."""
    weights = range(len(_HEADERS) + 1, 0, -1)
    entries = []
    for protocol, weight in zip(protocols, weights, strict=False):
        suffix = f";escaping={escaping}" if protocol in _WITH_ESCAPING else ""
        entries.append(f"{_HEADERS[protocol]}{suffix};q=0.{weight}")
    return ",".join([*entries, f"*/*;q=0.{len(_HEADERS) + 1 - len(protocols)}"])


@functools.lru_cache(maxsize=256)
def media_type(content_type: str, fallback_protocol: str) -> str:
    """The Content-Type of an answer -> TEXT, OPENMETRICS or PROTOBUF, whatever its parameters say.

    An empty, broken or unknown one is read as `fallback_protocol`. OpenMetrics 2.0 is unknown, as in a Prometheus
    without the feature flag openmetrics2. Raises UnknownFormat when there is no fallback.
    """
    found, version = _parsed(content_type)
    is_second = found == OPENMETRICS and version == "2.0.0"
    if found in (TEXT, OPENMETRICS, PROTOBUF) and not is_second:
        return found
    if fallback_protocol:
        return _HEADERS[fallback_protocol].partition(";")[0]
    what = f"the Content-Type {content_type!r:.100} is not a metrics format" if content_type else "no Content-Type"
    raise UnknownFormat(f"{what}, and the job has no fallback_scrape_protocol")


def _parsed(content_type: str) -> tuple[str, str]:
    """The media type in lower case, and its version; the type is "" when the header is not a valid one."""
    head, semicolon, _ = content_type.partition(";")
    kind = head.strip().lower()
    if not _TYPE.fullmatch(kind):
        return "", ""
    at, values = len(head), dict[str, str]()
    while semicolon and content_type[at:].strip() not in ("", ";"):
        parameter = _PARAMETER.match(content_type, at)
        if parameter is None or values.setdefault(parameter[1].lower(), parameter[2]) != parameter[2]:
            return "", ""
        at = parameter.end()
    version = values.get("version", "")
    return kind, re.sub(r"\\(.)", r"\1", version[1:-1]) if version.startswith('"') else version
