"""Who may see the status page and reload: no page of another site that a browser on this network shows.

A site can let its own name resolve to this process (DNS rebinding), but then the Host header has that name. A form of
another site can be sent here, but then Origin is that site.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from email.message import Message
from urllib.parse import urlsplit

_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{1,5})?")


def host_refusal(headers: Message, allowed: Collection[str]) -> str:
    """Why a request's Host is refused, "" for an IP address, `localhost` and the names that are `allowed`."""
    written = headers.get_all("Host") or []
    found = _HOST.fullmatch(written[0]) if len(written) == 1 else None
    if found is None:
        return "a request needs one Host header: an IP address or a name, and a port"
    name = (found["ipv6"] or found["name"]).lower()
    if name == "localhost" or name in allowed or _is_ip_address(name):
        return ""
    return f"the host name {name[:100]} is not known here: start pusher run with --web.allowed-host={name[:100]}"


def origin_refusal(headers: Message) -> str:
    """Why a request's Origin is refused, "" when it is absent or the host that is asked."""
    written = headers.get_all("Origin") or []
    if not written:
        return ""
    host = (headers.get("Host") or "").lower()
    if len(written) == 1 and _host_of(written[0]) == host and host:
        return ""
    return "another site asks for this (Origin is not Host): send the request without Origin, as curl does"


def _host_of(origin: str) -> str:
    """The host and port of an origin, "" for what is none (`null`)."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return ""
    return parts.netloc.lower() if parts.scheme in ("http", "https") else ""


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
