"""Reads `hosts`: to which hosts a job's targets may lead. What a list of targets names is foreign; credentials that are
made for each request go to these hosts only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

from .partitions import SUFFIXES
from .yaml_reader import Section

_ANYWHERE = "*."
_NAME = r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_SHARED = re.compile(
    r"(?:(?:[a-z]{2,}(?:-[a-z]+)+-[0-9]+|execute-api|lambda-url|es|aos|aoss|appsync-api|vpc-lattice-svcs|vpce|elb|s3|"
    rf"compute|compute-1)\.)*(?:{'|'.join(map(re.escape, (*SUFFIXES, 'on.aws')))})"
)
"""Regions and services, below which AWS gives a name to what any customer builds."""
_SHAPE = "a host, as api.example.com, or *.example.com for all below it; no port, no scheme and no other *"


def read(entry: Section, needed_by: str = "") -> tuple[str, ...]:
    """The patterns, in lower case. `needed_by` is the key for which a job that discovers targets must have them."""
    found = tuple(entry.read_list("hosts", _pattern))
    if needed_by and not found and not entry.is_wrong("hosts"):
        detail = f"is required with {needed_by}, since the lists of targets are not in this config"
        entry.problem("hosts", f"{detail}: the hosts that may be asked, as hosts: [api.example.com]")
    for shared in [one for one in found if one.startswith(_ANYWHERE) and _SHARED.fullmatch(one[2:])]:
        entry.warn("hosts", f"{shared} matches hosts of every AWS customer: name yours")
    return found


def _pattern(text: str) -> str:
    """Raises ValueError."""
    host = text.strip().rstrip(".").lower()
    name = host.removeprefix(_ANYWHERE)
    if host != name and "." not in name:
        raise ValueError(f"it would match nearly every host; write {_SHAPE}")
    if not re.fullmatch(_NAME, name) and not _is_ipv6(host):
        raise ValueError(f"a pattern is {_SHAPE}")
    return host


def _is_ipv6(host: str) -> bool:
    """In brackets, as in a URL."""
    try:
        return host[:1] == "[" and host[-1:] == "]" and ip_address(host[1:-1]).version == 6
    except ValueError:
        return False


def matches(host: str, patterns: Iterable[str]) -> bool:
    """Whether a host, as it is connected to, is one of these. `*.example.com` is every name below example.com, at any
    depth, and not example.com itself."""
    host = host.rstrip(".").lower()
    return any(host.endswith(one[1:]) if one.startswith(_ANYWHERE) else host == one for one in patterns)
