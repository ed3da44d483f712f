"""The authenticator extensions of an OpenTelemetry collector -> our auth blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from . import components
from .http_client import put_headers, variable_of
from .tree import DroppedKeys, Entry, List, Map, Scalar, Value, is_empty, listing, scalar

_UNKNOWN = "this authenticator has no counterpart here, and requests go out without: write credentials of another kind"
_FROM_CONTEXT = "it came from the request that the collector had got, and none comes in here"
_ROLE = {"arn": "role_arn", "external_id": "external_id", "session_name": "session_name"}
_NO_ROLE = "there is no arn, so that no role is assumed"
_NO_ROLE_KEY = {"sts_region": "the role is assumed in sigv4's own region"}
_NO_SIGV4 = "has no counterpart in sigv4"
_BEARER = {"scheme": "type", "filename": "credentials_file"}
_OAUTH2 = {
    "client_id": "client_id", "client_secret": "client_secret", "client_secret_file": "client_secret_file",
    "token_url": "token_url", "scopes": "scopes", "endpoint_params": "endpoint_params", "tls": "tls_config",
}  # fmt: skip
_NEEDS_NONE = {"timeout": "the endpoint's remote_timeout counts", "expiry_buffer": "tokens are renewed in time"}


def put(client: Map, entry: Entry, dropped: DroppedKeys) -> None:
    """Adds what an extension (its entry in `extensions`) does to an endpoint."""
    block = entry.map
    match components.type_of(entry.key):
        case components.SIGV4:
            client.put("sigv4", signing(block, dropped), entry)
        case "basicauth":
            client.put("basic_auth", _basic(block, dropped), entry)
        case "bearertokenauth":
            _bearer(client, block, dropped, entry)
        case "oauth2client":
            client.put("oauth2", _oauth2(block, dropped), entry)
        case "headerssetter":
            _headers(client, block, dropped, entry)
        case _:
            client.entries.append(dropped.by_hand(entry, f"{entry.key}: {_UNKNOWN}"))


def _renamed(
    entries: Iterable[Entry], names: Mapping[str, str], dropped: DroppedKeys, reasons: Mapping[str, str], why: str
) -> Map:
    """The entries under our names; in the place of each other one a comment with its reason, or with `why`."""
    found = Map()
    for entry in entries:
        if entry.key in names:
            found.put(names[entry.key], entry.value, entry)
        else:
            found.entries.append(dropped.note(entry, reasons.get(entry.key, why)))
    return found


def signing(block: Map, dropped: DroppedKeys) -> Map:
    """`sigv4auth`, or `aws_auth` of an old exporter -> our sigv4."""
    found = Map(flow=True)
    for entry in block.pairs():
        if entry.key == "service":
            if entry.text != "aps":
                found.put("service_name", entry.value, entry)
        elif entry.key == "assume_role" and isinstance(entry.value, Map):
            names, reasons = (_ROLE, {}) if entry.map.text("arn") else ({}, dict.fromkeys(_ROLE, _NO_ROLE))
            role = [one for one in entry.map.pairs() if not is_empty(one.value)]
            found.entries += _renamed(role, names, dropped, _NO_ROLE_KEY | reasons, _NO_SIGV4).entries
        elif entry.key in ("region", "role_arn"):
            found.put(entry.key, entry.value, entry)
        elif not is_empty(entry.value):
            found.entries.append(dropped.note(entry, _NO_SIGV4))
    return found


def _basic(block: Map, dropped: DroppedKeys) -> Map:
    client = block.map("client_auth").pairs()
    rest = [entry for entry in block.pairs() if entry.key != "client_auth"]
    return _renamed([*client, *rest], {entry.key: entry.key for entry in client}, dropped, {}, "is for servers")


def _bearer(client: Map, block: Map, dropped: DroppedKeys, like: Entry) -> None:
    """A token in a file counts before one that is written (bearertokenauthextension, README)."""
    header = block.text("header")
    token = None if block.text("filename") else _token(block)
    if header and header.lower() != "authorization" and token:
        client.put("http_headers", Map([Entry(header, _header_value(token))]), like)
        return
    rest = [entry for entry in block.pairs() if entry.key not in ("token", "tokens", "header")]
    rest = [entry for entry in rest if entry.key != "scheme" or entry.text not in ("", "Bearer")]
    found = _renamed(rest, _BEARER, dropped, {}, "has no counterpart in authorization")
    if token:
        found.put("credentials", token.value, token)
    client.put("authorization", found, like)


def _token(block: Map) -> Entry | None:
    """The token; of several the first, which is the one that a client sends."""
    tokens = block.items("tokens")
    return block.get("token") or (tokens[0] if tokens else None)


def _header_value(token: Entry) -> Value:
    variable = variable_of(token.value)
    if variable:
        return Map([Entry("refs", listing(scalar(f"env:{variable}"), flow=True))])
    return Map([Entry("secrets", List([Entry("", token.value)], flow=True))])


def _headers(client: Map, block: Map, dropped: DroppedKeys, like: Entry) -> None:
    """`headers_setter`: what it sets by itself is a header like any other."""
    found, lost = Map(), []
    for item in block.items("headers"):
        header = item.map
        value = header.get("value") or header.get("default_value")
        if value and header.text("action") != "delete":
            found.put(header.text("key"), value.value, value)
        else:
            lost.append(dropped.note(item, _FROM_CONTEXT, name=header.text("key")))
    put_headers(client, Entry("headers", found, like.line, like.path), dropped, for_remote_write=True)
    client.entries += lost


def _oauth2(block: Map, dropped: DroppedKeys) -> Map:
    found = _renamed(block.pairs(), _OAUTH2, dropped, _NEEDS_NONE, "has no counterpart in oauth2")
    for entry in found.pairs():
        if entry.key == "endpoint_params" and isinstance(entry.value, Map):
            entry.value = _single_values(entry.value, dropped)
        elif entry.key == "tls_config" and isinstance(entry.value, Map):
            entry.value = tls(entry.value, dropped)
    return found


def _single_values(parameters: Map, dropped: DroppedKeys) -> Map:
    """A collector takes a list of values per parameter, we take one."""
    found = Map()
    for entry in parameters.pairs():
        values = entry.value.pairs() if isinstance(entry.value, List) else [entry]
        if len(values) == 1 and isinstance(values[0].value, Scalar):
            found.put(entry.key, values[0].value, entry)
        else:
            found.entries.append(dropped.note(entry, "a parameter has one value here"))
    return found


_TLS = {
    "ca_file": "ca_file", "cert_file": "cert_file", "key_file": "key_file", "ca_pem": "ca", "cert_pem": "cert",
    "key_pem": "key", "insecure_skip_verify": "insecure_skip_verify", "server_name_override": "server_name",
    "min_version": "min_version", "max_version": "max_version",
}  # fmt: skip
_NO_TLS = {
    "insecure": "the scheme of the url decides whether TLS is used",
    "include_system_ca_certs_pool": "with a ca of its own an endpoint trusts that alone",
    "reload_interval": "files are read when a connection is made",
}


def tls(block: Map, dropped: DroppedKeys) -> Map:
    """A collector's `tls` -> our tls_config."""
    found = _renamed(block.pairs(), _TLS, dropped, _NO_TLS, "has no counterpart in tls_config")
    for entry in found.pairs():
        if entry.key in ("min_version", "max_version"):
            entry.value = scalar(f"TLS{entry.text.replace('.', '')}")
    return found
