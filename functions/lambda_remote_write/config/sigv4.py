"""Reads `sigv4`: as whom requests are signed, for which service and in which region."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from . import aws_identity, scalars
from .schema import HttpClientConfig, SigV4
from .yaml_reader import Section

_INSTEAD = "sigv4 takes keys from the function's role, its environment or a profile: leave it out"
_NO_SESSION = "sigv4 has no key for it: keys that end come from the function's role, its environment or a profile"
_SESSION_NAME = r"[A-Za-z0-9_+=,.@-]{2,64}"
_SERVICE = r"[A-Za-z0-9][A-Za-z0-9.-]*"
_WORTH_SAYING_USD = 1.0
_MAX_TAG_KEY, _MAX_TAG_VALUE = 128, 256
_OTHERS = (
    "basic_auth", "authorization", "bearer_token", "bearer_token_file", "oauth2", "digest_auth", "login",
)  # fmt: skip
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


def read(block: Section, env_vars: Mapping[str, str], address_region: str, service: str) -> SigV4:
    """The block, all of its keys. `address_region` is the region that the address names, or ""."""
    found = SigV4(
        **aws_identity.read(block, env_vars, address_region, instead=_INSTEAD),
        session_name=block.read("session_name", _session_name, ""),
        tags=_session_tags(block),
        use_fips_sts_endpoint=block.boolean("use_fips_sts_endpoint"),
        service=service,
    )
    if bool(found.access_key) != bool(found.secret_key):
        half = "access_key" if found.access_key else "secret_key"
        block.problem(half, "access_key and secret_key are set both or neither")
    for key in ("external_id", "session_name", "tags"):
        if getattr(found, key) and not found.role_arn:
            block.problem(key, "needs a role_arn")
    block.close({"session_token": _NO_SESSION})
    return found


def of_source(section: Section, http: HttpClientConfig, url: str, env_vars: Mapping[str, str]) -> HttpClientConfig:
    """The HTTP client keys of a source with its `sigv4`. Region and service are stated there: what a wrong guess costs
    is a 403 that does not say why. `url` is "" for a job that discovers its targets."""
    block = section.section("sigv4", SigV4(""))
    if block is None:
        return http
    from . import aws_hosts  # few configs sign what they ask

    host = aws_hosts.host_of(url)
    service = _service(block, host.service if host else "")
    _check_region(block, host.region if host else "")
    found = read(block, env_vars, host.region if host else "us-east-1", service)
    if others := [key for key in _OTHERS if key in section]:
        section.problem("sigv4", f"cannot stand with {others[0]}: both say who asks; leave one of the two out")
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in _THIS_MACHINE:
        section.warn("sigv4", "over http:// the signed request can be read and repeated; AWS's own APIs take https")
    return replace(http, sigv4=found)


def warn_of_price(section: Section, http: HttpClientConfig, interval_ms: int) -> None:
    """Warns of an API that is billed by request, where a month costs more than a stack does."""
    if http.sigv4 is None:
        return
    from ..report import cost  # few configs sign what they ask

    price = cost.REQUEST_USD.get(http.sigv4.service, 0)
    dollars = price * cost.requests_per_month(interval_ms / 1000)
    if dollars >= _WORTH_SAYING_USD:
        every = f"every {scalars.print_duration(interval_ms)} that is ${dollars:,.2f} a month"
        detail = "and each further page costs as much again; a longer scrape_interval costs less"
        section.warn("sigv4", f"AWS bills each request to this API, ${price:g}: {every}, {detail}")


def _service(block: Section, of_host: str) -> str:
    """Under our name, or the one that it has in remote_write."""
    key = "service_name" if block.has("service_name") and not block.has("service") else "service"
    found = block.read(key, _checked_service, "")
    if key == "service" and block.has("service_name"):
        block.problem("service_name", "is another name of service: leave one of the two out")
    if not found and not block.is_wrong(key):
        write = f"write service: {of_host}" if of_host else "as service: execute-api, lambda, es, aps or ce"
        block.problem(key, f"is required here: the AWS service that the API belongs to, {write}")
    elif of_host and found and found != of_host:
        block.problem(key, f"{found!r} is not the service of the url's host ({of_host}), which would answer 403")
    return found


def _checked_service(text: str) -> str:
    if text and not re.fullmatch(_SERVICE, text):
        raise ValueError("a service is named as in signatures: execute-api, lambda, es, aps, ce")
    return text


def _check_region(block: Section, of_host: str) -> None:
    written = block.text("region")
    if not written:
        write = f"write region: {of_host}" if of_host else "as region: eu-west-1"
        block.problem("region", f"is required here: the region that the API is in, {write}")
    elif of_host and written != of_host:
        block.problem("region", f"{written!r} is not the region of the url's host ({of_host}), which would answer 403")


def _session_name(text: str) -> str:
    if text and not re.fullmatch(_SESSION_NAME, text):
        raise ValueError("a session's name has 2 to 64 letters, digits and characters of _+=,.@-")
    return text


def _session_tags(block: Section) -> tuple[tuple[str, str], ...]:
    """Bounds: Prometheus's sigv4, which are those of AWS for session tags."""
    tags, found = block.map("tags"), []
    for key in tags:
        value = tags.text(key)
        if not 0 < len(key.encode()) <= _MAX_TAG_KEY:
            tags.problem(key, f"a tag's key has 1 to {_MAX_TAG_KEY} bytes")
        if len(value.encode()) > _MAX_TAG_VALUE:
            tags.problem(key, f"a tag's value has at most {_MAX_TAG_VALUE} bytes")
        found.append((key, value))
    return tuple(found)
