"""Errors of the libraries below -> one that names host, step and likely cause."""

from __future__ import annotations

import ssl
from http.client import HTTPException, IncompleteRead

from urllib3 import exceptions as urllib3_errors
from urllib3.util.ssl_match_hostname import CertificateError

from .types import TransportError

_TLS_HINT = "is it an https port, and does tls_config trust its certificate?"
_REFUSED_HINT = "does anything listen on this port, and may this network reach it?"
_BROKEN_HINT = "the other side, or something between, closed it"
_AFTER_THE_HANDSHAKE = ("sending the request", "waiting for the answer", "reading the body")
_SLOW_HINT = "the other side is slow or stuck"
_SLOW_HINTS = {"connecting": "a security group, route or firewall may drop the packets"}


def _parts(error: BaseException) -> tuple[object, ...]:
    """The error, and what a ProtocolError wraps."""
    return (error, *error.args) if isinstance(error, urllib3_errors.ProtocolError) else (error,)


def is_dead_connection(error: BaseException) -> bool:
    """The other side closed a kept connection before it answered anything."""
    if isinstance(error, urllib3_errors.ProxyError):  # so it is when a proxy's kept connection has died
        error = error.original_error
    return any(isinstance(part, ConnectionError) for part in _parts(error))


def explained(error: Exception, host: str, step: str) -> TransportError:
    """A library's error -> one that names host, step and likely cause."""
    cause = error.__cause__ or error
    if isinstance(error, TransportError):
        return error
    if isinstance(error, urllib3_errors.NameResolutionError):
        return TransportError(
            "dns", f"{host}: the name does not resolve ({cause}); check the host name, or the VPC's DNS"
        )
    if isinstance(error, urllib3_errors.ProxyError):
        inner = error.original_error
        return TransportError("proxy", f"{host}: the proxy failed while {step} ({inner})")
    if step in _AFTER_THE_HANDSHAKE and isinstance(_inner(error), ssl.SSLEOFError):
        return TransportError("reset", f"{host}: the connection broke while {step}; {_BROKEN_HINT}")
    if isinstance(error, urllib3_errors.SSLError | ssl.SSLError | CertificateError):
        return TransportError("tls", f"{host}: TLS failed while {step} ({_tls_reason(error)}); {_TLS_HINT}")
    if isinstance(error, urllib3_errors.NewConnectionError | ConnectionRefusedError):
        return TransportError("connect", f"{host}: no connection ({cause}); {_REFUSED_HINT}")
    if any(isinstance(part, urllib3_errors.TimeoutError | TimeoutError) for part in _parts(error)):
        return TransportError("timeout", f"{host}: timed out while {step}; {_SLOW_HINTS.get(step, _SLOW_HINT)}")
    if any(
        isinstance(part, ConnectionError | urllib3_errors.IncompleteRead | IncompleteRead) for part in _parts(error)
    ):
        return TransportError("reset", f"{host}: the connection broke while {step}; {_BROKEN_HINT}")
    if isinstance(error, urllib3_errors.HTTPError | HTTPException):
        return TransportError("protocol", f"{host}: not a valid HTTP answer while {step} ({_short(error)})")
    return TransportError("protocol", f"{host}: {type(error).__name__} while {step} ({_short(error)})")


def _inner(error: Exception) -> Exception:
    """What a library's error wraps, or the error itself."""
    return error.args[0] if error.args and isinstance(error.args[0], Exception) else error


def _tls_reason(error: Exception) -> str:
    inner = _inner(error)
    return str(getattr(inner, "verify_message", "") or getattr(inner, "reason", "") or inner)


def _short(error: Exception) -> str:
    return str(error)[:200]
