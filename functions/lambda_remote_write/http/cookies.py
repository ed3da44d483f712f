"""Cookies as a browser keeps them (RFC 6265): which host set them, and where they go."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from .address import parsed

MAX_COOKIE_CHARACTERS = 4_096  # of a name and value together (6.1)
MAX_COOKIES = 50  # of one host (6.1)
_NO_COOKIE_TEXT = re.compile(r"[^\x20-\x7e\x80-\xff]")


@dataclass(frozen=True, slots=True)
class Cookie:
    """`domain` is a host, and with `is_host_only` goes to this very host. `until` is Unix seconds."""

    name: str
    value: str = field(repr=False)
    domain: str
    is_host_only: bool
    path: str
    is_secure: bool
    until: float


class Cookies:
    """Those of one login. `refused` says why others were not taken; `now` is Unix seconds."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._cookies: dict[tuple[str, str, str], Cookie] = {}
        self.refused: list[str] = []

    @property
    def values(self) -> list[str]:
        return [one.value for one in self._cookies.values()]

    @property
    def places(self) -> list[str]:
        """Where they go, in words."""
        return list(dict.fromkeys(f"{one.domain}{one.path}" for one in self._cookies.values()))

    @property
    def are_over(self) -> bool:
        """Whether there were some, and all have ended."""
        return bool(self._cookies) and all(one.until <= self._now() for one in self._cookies.values())

    def add(self, set_cookie: Iterable[str], url: str) -> None:
        """The `Set-Cookie` lines of an answer from this URL (5.3)."""
        for line in set_cookie:
            cookie = self._parsed(line, url)
            if cookie is None:
                continue
            key = cookie.name, cookie.domain, cookie.path
            self._cookies.pop(key, None)
            if cookie.until <= self._now():
                continue
            if len(self._cookies) < MAX_COOKIES:
                self._cookies[key] = cookie
            else:
                self.refused.append(f"there are more than {MAX_COOKIES}")

    def header(self, url: str) -> str:
        """What `Cookie` says in a request to this URL (5.4): those with longer paths first; "" when none goes there."""
        parts = parsed(url)
        host, path, is_https = _host(url), parts.path or "/", parts.scheme == "https"
        found = [
            one
            for one in self._cookies.values()
            if (host == one.domain if one.is_host_only else _is_within(host, one.domain))
            and _is_below(path, one.path)
            and (is_https or not one.is_secure)
            and one.until > self._now()
        ]
        return "; ".join(f"{one.name}={one.value}" for one in sorted(found, key=lambda one: -len(one.path)))

    def _parsed(self, line: str, url: str) -> Cookie | None:
        """None for one that no browser would keep either (5.2, 5.3)."""
        pair, *parts = line.split(";")
        name, equals, value = (part.strip() for part in pair.partition("="))
        attributes = {key.strip().lower(): text.strip() for key, _, text in (part.partition("=") for part in parts)}
        if not equals or not name:
            return None
        if len(name) + len(value) > MAX_COOKIE_CHARACTERS or _NO_COOKIE_TEXT.search(name + value):
            self.refused.append(
                f"one has more than {MAX_COOKIE_CHARACTERS} characters, or some that no header may hold"
            )
            return None
        host, domain = _host(url), attributes.get("domain", "").lower().lstrip(".")
        if domain and domain != host and not ("." in domain and _is_within(host, domain)):
            self.refused.append(f"that for Domain={domain:.100} is another host's")
            return None
        path = attributes.get("path", "")
        return Cookie(
            name=name,
            value=value,
            domain=domain or host,
            is_host_only=not domain or (domain == host and _is_address(host)),
            path=path if path.startswith("/") else _default_path(url),
            is_secure="secure" in attributes,
            until=self._until(attributes),
        )

    def _until(self, attributes: dict[str, str]) -> float:
        """Max-Age before Expires; one that has neither lasts as long as the login does."""
        max_age = attributes.get("max-age", "")
        if re.fullmatch(r"-?[0-9]{1,18}", max_age):
            return self._now() + int(max_age) if int(max_age) > 0 else 0.0
        try:
            return parsedate_to_datetime(attributes["expires"]).timestamp()
        except (KeyError, ValueError, OverflowError, TypeError):
            return float("inf")


def _host(url: str) -> str:
    return (parsed(url).host or "").lower().strip("[]")


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _is_within(host: str, domain: str) -> bool:
    """Domain matching (5.1.3)."""
    return host == domain or (host.endswith(f".{domain}") and not _is_address(host))


def _is_below(path: str, of_cookie: str) -> bool:
    """Path matching (5.1.4)."""
    return path == of_cookie or path.startswith(of_cookie if of_cookie.endswith("/") else f"{of_cookie}/")


def _default_path(url: str) -> str:
    """5.1.4."""
    return (parsed(url).path or "/").rpartition("/")[0] or "/"
