"""Reads Prometheus's HTTP client keys (inline in jobs and remote_write): authentication, TLS, proxy, extra headers."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

import urllib3

from . import plain_text, unsupported_keys
from .schema import Authorization, BasicAuth, HttpClientConfig, OAuth2, ProxyConfig, TlsConfig
from .secrets import Secret, looks_like_reference, parse_reference
from .yaml_reader import Section, shown_url

T = TypeVar("T")
_OAUTH2 = "of oauth2, client_secret_ref and endpoint_params take references"
_TLS_VERSIONS = ("TLS10", "TLS11", "TLS12", "TLS13")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CLIENT_CREDENTIALS, _PASSWORD = "client_credentials", "password"
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SIGNED = "nothing here signs with a private key"
_OF_JWT_BEARER = (
    "client_certificate_key", "client_certificate_key_file", "client_certificate_key_ref", "client_certificate_key_id",
    "signature_algorithm", "iss", "audience", "claims",
)  # fmt: skip

# Headers that the transport or an auth block sets; a user's value would break the request or leak past a redirect.
RESERVED_FOR_SOURCES = frozenset(
    ("authorization", "host", "content-length", "content-encoding", "transfer-encoding", "connection", "keep-alive",
     "proxy-authenticate", "proxy-authorization", "www-authenticate", "accept-encoding")
)  # fmt: skip
RESERVED_FOR_SCRAPES = RESERVED_FOR_SOURCES | frozenset(  # prometheus/common config/headers.go, ReservedHeaders
    ("content-type", "user-agent", "x-prometheus-remote-write-version", "x-prometheus-remote-read-version",
     "x-prometheus-scrape-timeout-seconds", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256")
)  # fmt: skip
RESERVED_FOR_REMOTE_WRITE = RESERVED_FOR_SCRAPES | {"retry-attempt"}
_OF_SIGNATURES = frozenset(("x-amz-date", "x-amz-security-token", "x-amz-content-sha256"))


def _split(text: str) -> SplitResult | None:
    """The parts of an absolute http(s) URL; None for anything else. The message of `urlsplit` may show a password."""
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return None
    return parts if valid else None


def url(text: str) -> str:
    """An absolute http(s) URL without user and password. Raises ValueError; the message hides the query."""
    parts = _split(text)
    if looks_like_reference(text):
        raise ValueError("a URL is expected, and no reference is read here")
    if "@" in (parts.netloc if parts else text):
        raise ValueError("a URL holds no user and password; put them into basic_auth")
    if not parts or any(char.isspace() or ord(char) < 0x20 for char in text):
        raise ValueError(f"{shown_url(text)} is not an absolute http:// or https:// URL")
    try:
        (parts.hostname or "").encode("idna")
        urllib3.util.parse_url(text)
    except (UnicodeError, urllib3.exceptions.LocationParseError):
        raise ValueError(f"{parts.hostname!r:.60} is not a host name") from None
    return text


_INSTEAD = {"bearer_token": "write authorization: {credentials_ref: …}"}  # it has no form by reference of its own
_FORMS = {"": "literal", "_file": "file", "_ref": "reference"}


def secret(section: Section, key: str, *, reference: bool = True, literal: Callable[[str], str] = str) -> Secret | None:
    """The secret that one of `key`, `key_file` and `key_ref` gives. `literal` checks one in the config."""
    forms = {f"{key}{ending}": form for ending, form in _FORMS.items() if reference or form != "reference"}
    given = [(name, form) for name, form in forms.items() if section.has(name)]
    if len(given) > 1:  # an empty one counts as absent then, as in Prometheus
        given = [one for one in given if not section.is_empty(one[0])] or given[:1]
    if len(given) > 1:
        section.problem(given[1][0], f"at most one of {', '.join(forms)} may be set")
    if not given:
        return None
    name, form = given[0]
    if form == "literal":
        instead = f"write {key}_ref" if reference else _INSTEAD.get(key, f"write {key}_file")
        text = plain_text.text(section, name, instead, literal)
    elif form == "file":
        text = section.read(name, str)
    else:
        text = section.hidden(name, parse_reference)
    return Secret(**{form: text}) if text is not None else None


def tls_config(section: Section, key: str = "tls_config") -> TlsConfig:
    default = TlsConfig()
    tls = section.section(key, default)
    if tls is None:
        return default
    found = TlsConfig(
        ca=secret(tls, "ca"),
        cert=secret(tls, "cert"),
        key=secret(tls, "key"),
        server_name=tls.text("server_name"),
        insecure_skip_verify=tls.boolean("insecure_skip_verify"),
        min_version=tls.choice("min_version", _TLS_VERSIONS),
        max_version=tls.choice("max_version", _TLS_VERSIONS),
    )
    if bool(found.cert) != bool(found.key):
        half = "cert" if found.cert else "key"
        written = next(f"{half}{ending}" for ending in _FORMS if tls.has(f"{half}{ending}"))
        tls.problem(written, "a client certificate needs both cert and key")
    if found.max_version and found.max_version < found.min_version:
        tls.problem("max_version", f"{found.max_version} is below min_version {found.min_version}")
    tls.close()
    return found


def proxy_config(section: Section) -> ProxyConfig:
    found = ProxyConfig(
        url=_proxy_url(section),
        no_proxy=section.text("no_proxy"),
        from_environment=section.boolean("proxy_from_environment", ProxyConfig().from_environment),
        connect_header=_proxy_header(section),
    )
    if found.from_environment and (found.url or found.no_proxy):
        section.problem("proxy_from_environment", "cannot be combined with proxy_url or no_proxy")
    if not found.url and not found.from_environment and not section.is_wrong("proxy_url"):
        for key, value in (("no_proxy", found.no_proxy), ("proxy_connect_header", found.connect_header)):
            if value:
                section.problem(key, "needs a proxy_url")
    return found


def _proxy_url(section: Section) -> Secret | None:
    def checked(text: str) -> str:
        if _split(text) is None:
            raise ValueError("a proxy is an http:// or https:// URL")
        return text

    text = section.hidden("proxy_url", checked)
    return Secret(literal=text) if text else None


def _proxy_header(section: Section) -> tuple[tuple[str, tuple[Secret, ...]], ...]:
    header = section.map("proxy_connect_header")
    return tuple(
        (name, tuple(Secret(literal=text) for text in plain_text.texts(header, name, plain_text.NOWHERE, header_value)))
        for name in header
        if header_name(header, name, ())
    )


def header_name(section: Section, name: str, reserved: Collection[str]) -> bool:
    """Reports a header name that is no token or may not be set. Returns whether it is valid."""
    try:
        return bool(valid_header_name(name, reserved))
    except ValueError as error:
        section.problem(name, str(error))
        return False


def valid_header_name(name: str, reserved: Collection[str]) -> str:
    """The name. Raises ValueError for one that is no token or may not be set."""
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("not a header name")
    if name.lower() in reserved:
        how = "use authorization or basic_auth" if name.lower() == "authorization" else "the client sets it itself"
        raise ValueError(f"this header may not be set: {how}")
    return name


def header_value(text: str) -> str:
    if any((ord(char) < 0x20 and char != "\t") or ord(char) in (0x7F, 0x85) or ord(char) > 0xFF for char in text):
        raise ValueError("a header value holds no line break, no control character and nothing outside Latin-1")
    return text


def _reserved(entry: Section, reserved: Collection[str]) -> Collection[str]:
    """A job that signs its requests has the signature's headers from there."""
    return frozenset(reserved) | _OF_SIGNATURES if "sigv4" in entry else reserved


def static_headers(entry: Section, reserved: Collection[str]) -> tuple[tuple[str, str], ...]:
    """`headers: {Name: value}`; values never show."""

    def value(section: Section, name: str) -> str | None:
        return plain_text.text(section, name, f'write http_headers: {{{name}: {{refs: ["…"]}}}}', header_value)

    return tuple(_headers(entry, reserved, value))


def secret_headers(entry: Section, reserved: Collection[str]) -> tuple[tuple[str, tuple[Secret, ...]], ...]:
    """`headers: {Name: value}`, the short form of http_headers, whose values may be references."""

    def value(section: Section, name: str) -> Secret | None:
        return plain_text.secret(section, name, header_value)

    return tuple((name, (found,)) for name, found in _headers(entry, reserved, value))


def _headers(
    entry: Section, reserved: Collection[str], value: Callable[[Section, str], T | None]
) -> Iterator[tuple[str, T]]:
    if entry.is_list("headers"):
        entry.problem("headers", unsupported_keys.HEADER_LIST)
        return
    section, reserved = entry.map("headers"), _reserved(entry, reserved)
    for name in section:
        found = value(section, name)
        if header_name(section, name, reserved) and found is not None:
            yield name, found


def http_headers(section: Section, reserved: Collection[str]) -> tuple[tuple[str, tuple[Secret, ...]], ...]:
    """`http_headers: {Name: {values, secrets, files, refs}}`."""
    headers, found, reserved = section.map("http_headers"), [], _reserved(section, reserved)
    for name in headers:
        header = headers.section(name)
        if header is None or not header_name(headers, name, reserved):
            continue
        instead = f"write refs: […] below {name}"
        literals = [plain_text.texts(header, key, instead, header_value) for key in ("values", "secrets")]
        values = [Secret(literal=text) for texts in literals for text in texts]
        values += [Secret(file=text) for text in header.texts("files")]
        values += [Secret(reference=text) for text in header.read_list("refs", parse_reference, hidden=True)]
        header.close()
        found.append((name, tuple(values)))
    return tuple(found)


def read(section: Section, reserved: Collection[str], default: HttpClientConfig | None = None) -> HttpClientConfig:
    """All HTTP client keys of one section."""
    basic, authorization, oauth2 = basic_auth(section), _authorization(section), _oauth2(section)
    given = [
        name for name, value in (("basic_auth", basic), ("authorization", authorization), ("oauth2", oauth2)) if value
    ]
    if len(given) > 1:
        key = given[1] if section.has(given[1]) else _written_bearer(section)
        section.problem(key, "at most one of basic_auth, authorization (or bearer_token) and oauth2 may be set")
    section.boolean("enable_http2", False)  # accepted: HTTP/1.1 serves a handful of requests as well
    return HttpClientConfig(
        basic_auth=basic,
        authorization=authorization,
        oauth2=oauth2,
        tls=tls_config(section),
        proxy=proxy_config(section),
        follow_redirects=section.boolean("follow_redirects", (default or HttpClientConfig()).follow_redirects),
        http_headers=http_headers(section, reserved),
    )


def basic_auth(section: Section) -> BasicAuth | None:
    basic = section.section("basic_auth")
    if basic is None:
        return None
    found = BasicAuth(secret(basic, "username"), secret(basic, "password"))
    basic.close()
    return found


def _authorization(section: Section) -> Authorization | None:
    def scheme(text: str) -> str:
        if text.strip().lower() == "basic":
            raise ValueError("use basic_auth for this type")
        return header_value(text.strip())

    bearer = _bearer_token(section)
    default = Authorization(credentials=bearer)
    block = section.section("authorization", default)
    if block is None:
        return default if bearer else None
    if bearer:
        section.problem("authorization", "cannot be combined with bearer_token")
    found = Authorization(
        block.read("type", scheme, default.type) or default.type, secret(block, "credentials", literal=header_value)
    )
    block.close()
    return found


def _bearer_token(section: Section) -> Secret | None:
    if not section.has("bearer_token") and not section.has("bearer_token_file"):
        return None
    key = _written_bearer(section)
    section.warn(key, f"deprecated; use authorization: {{{key.replace('bearer_token', 'credentials')}: …}}")
    return secret(section, "bearer_token", reference=False, literal=header_value)


def _written_bearer(section: Section) -> str:
    return "bearer_token" if section.has("bearer_token") else "bearer_token_file"


def _oauth2(section: Section) -> OAuth2 | None:
    block = section.section("oauth2")
    if block is None:
        return None
    found = OAuth2(
        grant_type=block.read("grant_type", _grant_type, _CLIENT_CREDENTIALS),
        username=secret(block, "username"),
        password=secret(block, "password"),
        client_id=plain_text.text(block, "client_id", _OAUTH2) or "",
        client_secret=secret(block, "client_secret"),
        token_url=block.hidden("token_url", url) or "",
        scopes=tuple(block.texts("scopes")),
        endpoint_params=tuple(plain_text.secret_map(block, "endpoint_params").items()),
        tls=tls_config(block),
        proxy=proxy_config(block),
    )
    for key in ("client_id", "token_url"):
        if not block.has(key):
            block.problem(key, "is required in oauth2")
    if not block.is_wrong("grant_type"):
        _check_user(block, found)
    block.close(dict.fromkeys(_OF_JWT_BEARER, f"is for the grant type {_JWT_BEARER}: {_SIGNED}"))
    return found


def _grant_type(text: str) -> str:
    if text == _JWT_BEARER:
        raise ValueError(f"{_SIGNED}; allowed are {_CLIENT_CREDENTIALS} and {_PASSWORD}")
    if text not in (_CLIENT_CREDENTIALS, _PASSWORD):
        raise ValueError(f"allowed are {_CLIENT_CREDENTIALS} and {_PASSWORD}; other grants go into endpoint_params")
    return text


def _check_user(block: Section, oauth2: OAuth2) -> None:
    """The user belongs to the password grant, which needs it."""
    is_password, params = oauth2.grant_type == _PASSWORD, dict(oauth2.endpoint_params)
    for key, value in (("username", oauth2.username), ("password", oauth2.password)):
        written = next((f"{key}{ending}" for ending in _FORMS if block.has(f"{key}{ending}")), key)
        if value and not is_password:
            block.problem(written, f"belongs to grant_type: {_PASSWORD}")
        elif is_password and not value and not block.is_wrong(written) and key not in params:
            block.problem(key, f"is required with grant_type {_PASSWORD}: {key}, {key}_file or {key}_ref")
