"""HTTP client keys of the config -> how to connect and which headers say who we are. Resolves the secrets."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from .config.schema import HttpClientConfig, ProxyConfig, TlsConfig
from .config.secrets import Secret, SecretStore
from .transport import Channel


def channel_for(
    url: str, tls: TlsConfig, proxy: ProxyConfig, secrets: SecretStore, environment: Mapping[str, str]
) -> Channel:
    """The channel to `url`. Raises SecretError when a certificate or key cannot be read."""
    proxy_url = _proxy_for(urlsplit(url), proxy, secrets, environment)
    connect_header = [(name, _reveal(value, secrets)) for name, values in proxy.connect_header for value in values]
    return Channel(
        ca=_reveal(tls.ca, secrets),
        cert=_reveal(tls.cert, secrets),
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
    headers = {name: ", ".join(_reveal(value, secrets) for value in values) for name, values in client.http_headers}
    if client.basic_auth:
        pair = f"{_reveal(client.basic_auth.username, secrets)}:{_reveal(client.basic_auth.password, secrets)}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    if client.authorization:
        credentials = _reveal(client.authorization.credentials, secrets)
        headers["Authorization"] = f"{client.authorization.type} {credentials}".strip()
    return headers


def _reveal(secret: Secret | None, secrets: SecretStore) -> str:
    return secrets.reveal(secret) if secret else ""


def _proxy_for(url: SplitResult, proxy: ProxyConfig, secrets: SecretStore, environment: Mapping[str, str]) -> str:
    if proxy.from_environment:
        name = f"{url.scheme}_proxy"
        address = environment.get(name) or environment.get(name.upper(), "")
        no_proxy = environment.get("no_proxy") or environment.get("NO_PROXY", "")
    else:
        address, no_proxy = _reveal(proxy.url, secrets), proxy.no_proxy
    return "" if not address or _bypassed(url.hostname or "", url.port, no_proxy) else address


def _bypassed(host: str, port: int | None, no_proxy: str) -> bool:
    """Go's rule: `*`, an address, a network, a name with its subdomains, or `.name` for the subdomains alone."""
    for entry in filter(None, (part.strip().lower() for part in no_proxy.split(","))):
        name, colon, wanted_port = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
        if colon and wanted_port != str(port):
            continue
        if name == "*" or _same_network(host, name) or host.lower() == name:
            return True
        if host.lower().endswith(name if name.startswith(".") else f".{name}"):
            return True
    return False


def _same_network(host: str, entry: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
