"""Reads the HTTP client keys of a source: Prometheus's own, and `digest_auth`, `login` and `sigv4`, by which APIs and
devices let others in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from . import http_client, sigv4
from .schema import DigestAuth, HttpClientConfig, Login
from .yaml_reader import Section


def read(section: Section, reserved: Collection[str], url: str, env_vars: Mapping[str, str]) -> HttpClientConfig:
    """All HTTP client keys of a source. Headers of the names `reserved` may not be set; `url` is "" for a job that
    discovers its targets."""
    client = http_client.read(section, reserved)
    found = replace(client, digest_auth=_digest_auth(section), login=_login(section))
    others = [key for key in ("basic_auth", "authorization", "oauth2", "digest_auth") if getattr(found, key)]
    if found.digest_auth and len(others) > 1:
        section.problem("digest_auth", f"cannot stand with {others[0]}: leave one of the two out")
    login = found.login
    if others and HttpClientConfig(login=login).has_authorization:
        detail = f"its token goes into Authorization, where {others[0]} goes: leave one of the two out"
        section.problem("login", f"{detail}, or give login.use another header, or a query")
    return sigv4.of_source(section, found, url, env_vars)


def _login(section: Section) -> Login | None:
    if not section.has("login"):
        return None
    from . import login  # seldom needed

    return login.read(section)


def _digest_auth(section: Section) -> DigestAuth | None:
    digest = section.section("digest_auth")
    if digest is None:
        return None
    found = DigestAuth(http_client.secret(digest, "username"), http_client.secret(digest, "password"))
    for key, value in (("username", found.username), ("password", found.password)):
        if value is None and not digest.is_wrong(key):
            digest.problem(key, f"is required: {key}, {key}_file or {key}_ref")
    digest.close()
    return found
