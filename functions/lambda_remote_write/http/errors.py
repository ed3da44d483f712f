"""Errors of sockets, TLS and http.client -> one that names host, step and likely cause."""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPException, IncompleteRead

from urllib3.util.ssl_match_hostname import CertificateError

from .types import TransportError

_TLS_HINT = "is it an https port, and does tls_config trust its certificate?"
_REFUSED_HINT = "does anything listen on this port, and may this network reach it?"
_BROKEN_HINT = "the other side, or something between, closed it"
_AFTER_THE_HANDSHAKE = ("sending the request", "waiting for the answer", "reading the body")
_SLOW_HINT = "the other side is slow or stuck"
_SLOW_HINTS = {"connecting": "a security group, route or firewall may drop the packets"}


class DeadConnection(TransportError):
    """The other side closed a kept connection before it answered anything."""


def explained(
    error: Exception, host: str, step: str, *, is_kept: bool = False, is_at_proxy: bool = False
) -> TransportError:
    """What went wrong at a step, on a connection that was kept or not, with the host or its proxy."""
    if isinstance(error, TransportError):
        return error
    if is_at_proxy:
        return TransportError("proxy", f"{host}: the proxy failed while {step} ({_short(error)})")
    if isinstance(error, socket.gaierror):
        return TransportError(
            "dns", f"{host}: the name does not resolve ({error}); check the host name, or the VPC's DNS"
        )
    if isinstance(error, UnicodeError) and step == "connecting":  # Python's codec `idna`, whose words differ by version
        return TransportError("dns", f"{host:.100}: the name does not resolve: a part of it is empty or too long")
    if isinstance(error, TimeoutError):
        return TransportError("timeout", f"{host}: timed out while {step}; {_SLOW_HINTS.get(step, _SLOW_HINT)}")
    has_ended = is_tls_cut(error) and step in _AFTER_THE_HANDSHAKE
    if isinstance(error, ssl.SSLError | CertificateError) and not has_ended:
        return TransportError("tls", f"{host}: TLS failed while {step} ({_tls_reason(error)}); {_TLS_HINT}")
    if isinstance(error, ConnectionRefusedError):
        return TransportError("connect", f"{host}: no connection ({error}); {_REFUSED_HINT}")
    if has_ended or isinstance(error, ConnectionError | IncompleteRead):
        kind = DeadConnection if is_kept and isinstance(error, ConnectionError) else TransportError
        return kind("reset", f"{host}: the connection broke while {step}; {_BROKEN_HINT}")
    if isinstance(error, OSError) and step == "connecting":
        return TransportError("connect", f"{host}: no connection ({error}); {_REFUSED_HINT}")
    if isinstance(error, HTTPException):
        return TransportError("protocol", f"{host}: not a valid HTTP answer while {step} ({_short(error)})")
    return TransportError("protocol", f"{host}: {type(error).__name__} while {step} ({_short(error)})")


def is_tls_cut(error: Exception) -> bool:
    """Whether the peer closed a TLS connection without close_notify (RFC 8446, 6.1).

    Python before 3.11.4 raises a plain SSLError for it, and SSLEOFError only since (python/cpython issue 95494).
    """
    if isinstance(error, ssl.SSLEOFError):
        return True
    return isinstance(error, ssl.SSLError) and error.reason == "UNEXPECTED_EOF_WHILE_READING"


def _tls_reason(error: Exception) -> str:
    return str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or error)


def _short(error: Exception) -> str:
    return str(error)[:200]
