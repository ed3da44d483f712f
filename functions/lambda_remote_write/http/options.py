"""HTTP client keys of the config -> how to connect and which headers say who we are. Resolves the secrets."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from ..config.http_client import header_value
from ..config.schema import HttpClientConfig, ProxyConfig, TlsConfig
from ..config.secrets import Secret, SecretError, SecretStore
from . import ConnectionOptions

_DEFAULT_PORTS = {"http": 80, "https": 443}


def connection_options(
    url: str, tls: TlsConfig, proxy: ProxyConfig, secrets: SecretStore, env_vars: Mapping[str, str]
) -> ConnectionOptions:
    """How to connect to `url`. Raises SecretError when a certificate or key cannot be read."""
    proxy_url = _proxy_for(urlsplit(url), proxy, secrets, env_vars)
    connect_header = [(name, _reveal(value, secrets)) for name, values in proxy.connect_header for value in values]
    return ConnectionOptions(
        ca=_reveal(tls.ca, secrets, is_public=True),
        cert=_reveal(tls.cert, secrets, is_public=True),
        key=_reveal(tls.key, secrets),
        server_name=tls.server_name,
        verify=not tls.insecure_skip_verify,
        min_version=tls.min_version,
        max_version=tls.max_version,
        proxy_url=proxy_url,
        proxy_headers=tuple(connect_header) if proxy_url else (),
    )


def auth_headers(client: HttpClientConfig, secrets: SecretStore) -> dict[str, str]:
    """`basic_auth`, `authorization` and `http_headers` as header values. Raises SecretError."""
    headers = {
        name: ", ".join(_reveal_for_header(name, value, secrets) for value in values)
        for name, values in client.http_headers
    }
    if client.basic_auth:
        pair = f"{_reveal(client.basic_auth.username, secrets)}:{_reveal(client.basic_auth.password, secrets)}"
        encoded = base64.b64encode(pair.encode()).decode()
        secrets.mask.add(encoded)
        headers["Authorization"] = f"Basic {encoded}"
    if client.authorization:
        credentials = _reveal_for_header("Authorization", client.authorization.credentials, secrets)
        headers["Authorization"] = f"{client.authorization.type} {credentials}".strip()
    return headers


def merged(*parts: Mapping[str, str]) -> dict[str, str]:
    """Headers put together; a later one takes the place of an earlier one, however its name is written."""
    found: dict[str, tuple[str, str]] = {}
    for part in parts:
        for name, value in part.items():
            found[name.lower()] = (name, value)
    return dict(found.values())


def _reveal(secret: Secret | None, secrets: SecretStore, *, is_public: bool = False) -> str:
    return secrets.reveal(secret, is_public=is_public) if secret else ""


def _reveal_for_header(name: str, secret: Secret | None, secrets: SecretStore) -> str:
    """A secret without the white space around it; one that no header takes is refused here, because a library would
    quote it in its error. What the config has by reference is a secret whatever the header's name is."""
    text = _reveal(secret, secrets, is_public=secret is not None and secret.literal is not None).strip()
    secrets.mask.add_header(name, text)
    try:
        return header_value(text)
    except ValueError as error:
        where = (secret and (secret.reference or secret.file)) or "a literal secret"
        raise SecretError(f"header {name}, {where}: {error}") from None


def _proxy_for(url: SplitResult, proxy: ProxyConfig, secrets: SecretStore, env_vars: Mapping[str, str]) -> str:
    if proxy.from_environment:
        name = f"{url.scheme}_proxy"
        address = env_vars.get(name.upper()) or env_vars.get(name, "")
        secrets.mask.add(address)
        no_proxy = env_vars.get("NO_PROXY") or env_vars.get("no_proxy", "")
    else:
        address, no_proxy = _reveal(proxy.url, secrets), proxy.no_proxy
    port = url.port or _DEFAULT_PORTS.get(url.scheme, 0)
    if not address or _bypassed((url.hostname or "").lower(), port, no_proxy):
        return ""
    return address if "://" in address else f"http://{address}"


def _bypassed(host: str, port: int, no_proxy: str) -> bool:
    """Go's rule: `*`, a network, or an address or name with or without a port. A name stands for its subdomains too,
    `.name` and `*.name` for the subdomains alone."""
    for entry in filter(None, (part.strip().lower() for part in no_proxy.split(","))):
        if entry == "*" or _same_network(host, entry):
            return True
        name, wanted_port = _split_port(entry)
        if not name or wanted_port not in ("", str(port)):
            continue
        name = name.removeprefix("*") if name.startswith("*.") else name
        is_within = host.endswith(name) if name.startswith(".") else f".{host}".endswith(f".{name}")
        if is_within or _same_network(host, name):
            return True
    return False


def _split_port(entry: str) -> tuple[str, str]:
    name, colon, port = entry.rpartition(":")
    if not colon or (":" in name and not name.startswith("[")):  # no port, or an IPv6 address without brackets
        return entry, ""
    return name.strip("[]"), port


def _same_network(host: str, entry: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
