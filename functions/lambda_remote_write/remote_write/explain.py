"""Explains a refusal to the person who reads the log.

The status alone decides what the sender does, because remote write forbids interpreting the text. The text only selects
the explanation and the reason under which refused samples are counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from ..config.partitions import partition_of
from ..config.schema import RemoteWriteConfig
from .refusals import refusals
from .retryable import meaning

_MAX_SERIES = 300
_SERIES_STARTS = ("series={", "series: '", 'metric: "', 'metric "')
_RESOURCE = re.compile(r"on resource: (arn:[\w:/*.-]{1,200})")
_WORKSPACE = re.compile(r"ws-[A-Za-z0-9-]{1,64}")
_TIMES = re.compile(r"(\d{8}T\d{6}Z) is (?:now earlier|still later) than (\d{8}T\d{6}Z)")


@dataclass(frozen=True, slots=True)
class Explanation:
    """`reason` counts refused samples; it is `http_<status>` for an unknown text. `meaning` is a sentence without its
    full stop, `help` a command or a setting, `series` the series that the text names; "" for none."""

    reason: str
    meaning: str
    help: str = ""
    series: str = ""


def explain(status: int, text: str, endpoint: RemoteWriteConfig) -> Explanation:
    """Explains a refusal. `text` is one line of at most a kilobyte."""
    head = text[: _named_at(text)[0]]  # the labels of a series may contain anything
    table = refusals(is_amp=endpoint.is_amp)
    found = next((one for one in table if status in one.statuses and all(word in head for word in one.words)), None)
    if found is None:
        return Explanation(f"http_{status}", meaning(status), series=_series(text))
    words = _words_of(endpoint, text)
    return Explanation(found.reason, _filled(found.meaning, words), _filled(found.help, words), _series(text))


def _filled(template: str, words: dict[str, str]) -> str:
    for placeholder, word in words.items():
        template = template.replace(f"{{{placeholder}}}", word)
    return template


def _words_of(endpoint: RemoteWriteConfig, text: str) -> dict[str, str]:
    """The values of the placeholders, as far as the endpoint or the text have them."""
    workspace = _WORKSPACE.search(urlsplit(endpoint.url).path)
    named = _RESOURCE.search(text)
    region = endpoint.sigv4.region if endpoint.sigv4 else ""
    found = {"workspace": workspace[0] if workspace else "ws-…", "region": region or "REGION", "skew": _skew(text)}
    arn = f"arn:{partition_of(region).id}:aps:{found['region']}:ACCOUNT:workspace/{found['workspace']}"
    return found | {"resource": named[1] if named else arn}


def _skew(text: str) -> str:
    """By how much two clocks differ, if the text has both times."""
    times = _TIMES.search(text)
    if times is None:
        return ""
    try:
        ours, its = (datetime.strptime(stamp, "%Y%m%dT%H%M%SZ") for stamp in times.groups())
    except ValueError:
        return ""
    return f", by {abs(its - ours).total_seconds() / 60:.0f} minutes or more"


def _named_at(text: str) -> tuple[int, str]:
    """Where the text begins to name a series or metric, and the words there; the end of the text if it names none."""
    return min(((text.find(start), start) for start in _SERIES_STARTS if start in text), default=(len(text), ""))


def _series(text: str) -> str:
    """The series or metric that the text names, as written there."""
    at, start = _named_at(text)
    rest = text[at + len(start) :]
    if start.endswith("{"):
        return f"{{{rest.rpartition('}')[0] or rest}}}"[:_MAX_SERIES]
    return rest.partition(start[-1:] or " ")[0][:_MAX_SERIES]
