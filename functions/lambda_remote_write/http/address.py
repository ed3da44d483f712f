"""Addresses of a URL: read once, by the parser that connects, and checked by what a resolver makes of them.

A second parser or a plain comparison of texts would see another host: `2130706433`, `0x7f.1`, `[::ffff:7f00:1]` and
`127.0.0.1.` are all this machine.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
from collections.abc import Iterable, Iterator

import urllib3

from .types import ConnectionOptions, TransportError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_LOW_32 = 0xFFFF_FFFF
# Of this machine are also the unspecified addresses: Linux connects to itself there (ip(7): INADDR_ANY).
_THIS_MACHINE = tuple(map(ipaddress.ip_network, ("0.0.0.0/8", "127.0.0.0/8", "::/128", "::1/128")))
# AWS's own services in a VPC: fd00:ec2::254 is the instance metadata, fd00:ec2::23 the credentials of EKS.
_METADATA = tuple(map(ipaddress.ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32")))
# IPv6 with an IPv4 address in its last 32 bits: mapped, compatible (RFC 4291), translated (RFC 2765), and NAT64 (RFC
# 6052, 8215), which a VPC has too.
_CARRIERS = ("::ffff:0:0/96", "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
_WITH_IPV4 = tuple(map(ipaddress.ip_network, _CARRIERS))
_6TO4, _TEREDO = ipaddress.ip_network("2002::/16"), ipaddress.ip_network("2001::/32")
_ISATAP = (0x5EFE, 0x0200_5EFE)
_LOCAL_NAMES = frozenset(("localhost", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback", "loopback"))
_METADATA_NAMES = frozenset(("metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"))


@functools.lru_cache(maxsize=1024)
def parsed(url: str) -> urllib3.util.Url:
    """The parts of a URL as they are used to connect; scheme and host in lower case. Raises ValueError."""
    return urllib3.util.parse_url(url)


@functools.lru_cache(maxsize=1024)
def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL: credentials never go to another one. Raises ValueError."""
    parts = parsed(url)
    port = (443 if parts.scheme == "https" else 80) if parts.port is None else parts.port
    return parts.scheme or "", parts.host or "", port


def is_this_machine(host: str) -> bool:
    """Whether a host names this machine itself, in whatever form."""
    name = _name(host)
    if name in _LOCAL_NAMES or name.endswith((".localhost", ".localdomain")):
        return True
    address = numeric(name)
    return address is not None and any(_is_in(one, _THIS_MACHINE) for one in readings(address))


def numeric(host: str) -> _Address | None:
    """The address that a host is in itself, for the resolver: of any form that inet_aton takes. None for a name."""
    try:
        found = socket.getaddrinfo(_name(host), None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return ipaddress.ip_address(str(found[0][4][0]).partition("%")[0])


def readings(address: _Address) -> Iterator[_Address]:
    """An address, and the IPv4 addresses that it may lead to."""
    yield address
    if isinstance(address, ipaddress.IPv4Address):
        return
    number = int(address)
    if _is_in(address, _WITH_IPV4) or number >> 32 & _LOW_32 in _ISATAP:
        yield ipaddress.IPv4Address(number & _LOW_32)
    if address in _6TO4:
        yield ipaddress.IPv4Address(number >> 80 & _LOW_32)
    if address in _TEREDO:
        yield ipaddress.IPv4Address(~number & _LOW_32)


def check_name(host: str, port: int, options: ConnectionOptions) -> None:
    """Raises TransportError for a host that the options refuse by its name alone: where a proxy resolves the names,
    nothing else can be checked here."""
    address = numeric(host)
    if address is not None:
        check_addresses(host, port, [str(address)], options)
    elif _name(host) in _METADATA_NAMES:
        raise _refused(host, _gives_credentials(host))
    elif is_this_machine(host):
        check_addresses(host, port, ["127.0.0.1"], options)


def check_addresses(host: str, port: int, addresses: Iterable[str], options: ConnectionOptions) -> None:
    """Link-local addresses hold an instance's or a function's credentials, and behind Lambda's loopback its runtime
    listens: no page of metrics is there, and none may redirect there. Raises TransportError."""
    for text in addresses:
        for address in readings(ipaddress.ip_address(text.partition("%")[0])):
            if _is_in(address, _METADATA):
                raise _refused(host, _gives_credentials(str(address)))
            if not _is_in(address, _THIS_MACHINE):
                continue
            if options.refuse_loopback:
                raise _refused(host, f"another host redirects to {address}, which is this machine itself")
            if port and port == options.runtime_port:
                raise _refused(host, f"{address}:{port} is the runtime of this function, no page of metrics")


def _gives_credentials(address: str) -> str:
    return f"{address} is a link-local or metadata address, which gives out credentials"


def _refused(host: str, why: str) -> TransportError:
    detail = "allow_link_local: true in the job allows it for targets and APIs, not for lists of targets"
    return TransportError("refused", f"{host}: {why}; {detail}")


def _name(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _is_in(address: _Address, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return any(address in network for network in networks)
