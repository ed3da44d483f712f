"""`--web.listen-address`: what it may be, and the socket that it becomes."""

from __future__ import annotations

import argparse
import errno
import re
import socket
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
_FLAG = "--web.listen-address"
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<host>[^:\[\]/@*\s]*)):(?P<port>[0-9]{1,5})")
_HELP = {
    errno.EADDRINUSE: f"another process listens there: stop it, or choose another port with {_FLAG}",
    errno.EACCES: f"this user may not listen there: choose a port from 1024 on with {_FLAG}",
    errno.EADDRNOTAVAIL: f"this is no address of the machine: give {_FLAG} one that is, or 0.0.0.0 for all of them",
}


class NotListening(Exception):
    """The address cannot be listened at. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """`host` is "" where none is written; port 0 is any that is free."""

    host: str
    port: int

    @property
    def is_default_host(self) -> bool:
        return not self.host

    def __str__(self) -> str:
        return shown_address(self.host or LOOPBACK, self.port)


def shown_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen_address(text: str) -> ListenAddress:
    """`:9091`, `host:9091` or `[::1]:9091`. Raises ArgumentTypeError."""
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > 65_535:
        raise argparse.ArgumentTypeError(
            f"{text[:100]!r} is not an address to listen at: write :9091, host:9091 or [::1]:9091"
        )
    return ListenAddress(found["ipv6"] or found["host"] or "", int(found["port"]))


def listen(address: ListenAddress) -> socket.socket:
    """A socket that listens there. Raises NotListening."""
    host = address.host or LOOPBACK
    try:
        family, _, _, _, place = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "this is no host name"
        raise NotListening(f"{_FLAG}: {host!r:.100} does not resolve ({why}): write an IP address") from None
    is_any = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server(place, family=family, dualstack_ipv6=is_any)
    except OSError as error:
        detail = _HELP.get(error.errno or 0, f"{error.strerror}: choose another address with {_FLAG}")
        raise NotListening(f"cannot listen at {address}: {detail}") from None
