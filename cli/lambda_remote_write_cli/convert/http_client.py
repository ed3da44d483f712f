"""Credentials that other programs take in a header or in the address, as the blocks that we have for them."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote, urlsplit, urlunsplit

from lambda_remote_write.config.http_client import RESERVED_FOR_REMOTE_WRITE, RESERVED_FOR_SOURCES

from .tree import DroppedKeys, Entry, List, Map, Scalar, listing, mapping, scalar

AUTHENTICATIONS = ("basic_auth", "authorization", "oauth2", "sigv4", "bearer_token", "bearer_token_file")
_OWN_BLOCK = "write it as basic_auth or authorization, of which there is one already or which this text does not fit"
_NO_BLOCK = (
    "requests go out without Authorization, as its text is not known here: write it as basic_auth or authorization"
)


def variable_of(value: object) -> str:
    """The name of the environment variable that a value consists of; empty for any other value."""
    if isinstance(value, Scalar) and len(value.variables) == 1 and value.text == f"${{{value.variables[0]}}}":
        return value.variables[0]
    return ""


def move_userinfo(client: Map, key: str) -> None:
    """`https://user:password@host` -> the address alone, and basic_auth where there is no other authentication."""
    entry = client.get(key)
    if entry is None or not isinstance(entry.value, Scalar):
        return
    try:
        parts = urlsplit(entry.value.text)
    except ValueError:
        return
    if "@" not in parts.netloc:
        return
    user, _, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    entry.value = Scalar(urlunsplit(parts._replace(netloc=host)), entry.value.style)
    if not any(client.get(auth) for auth in AUTHENTICATIONS):
        client.put("basic_auth", mapping(username=unquote(name), password=unquote(password)))


def put_headers(client: Map, headers: Entry, dropped: DroppedKeys, *, for_remote_write: bool) -> None:
    """`headers` of a collector's exporter or a json_exporter module: plain ones stay, Authorization becomes its block,
    one that is an environment variable becomes a reference, and those that the client sets itself go."""
    reserved = RESERVED_FOR_REMOTE_WRITE if for_remote_write else RESERVED_FOR_SOURCES
    plain, references = Map(), Map()
    for header in headers.value.pairs() if isinstance(headers.value, Map | List) else []:
        header = _named(header)
        variable = variable_of(header.value)
        is_auth = header.key.lower() == "authorization"
        if is_auth and _put_authorization(client, header):
            continue
        if is_auth and not any(client.get(auth) for auth in AUTHENTICATIONS):
            plain.entries.append(dropped.by_hand(header, _NO_BLOCK))
        elif header.key.lower() in reserved:
            plain.entries.append(dropped.note(header, _OWN_BLOCK if is_auth else "the client sets this header itself"))
        elif variable:
            references.put(header.key, Map([Entry("refs", listing(scalar(f"env:{variable}"), flow=True))]), header)
        else:
            plain.entries.append(header)
    for key, found, like in (("headers", plain, headers), ("http_headers", references, None)):
        if known := client.get(key):
            known.map.entries += found.entries
        elif found.entries:
            client.put(key, found, like)


def _named(header: Entry) -> Entry:
    """A newer collector writes headers as a list of {name, value}."""
    if isinstance(header.value, Map):
        value = header.value.get("value")
        return Entry(header.value.text("name"), value.value if value else scalar(""), header.line, header.path)
    return header


def _put_authorization(client: Map, header: Entry) -> bool:
    """True when the header's value could be said as a block."""
    if not isinstance(header.value, Scalar) or any(client.get(auth) for auth in AUTHENTICATIONS):
        return False
    scheme, _, credentials = header.value.text.strip().partition(" ")
    if scheme.lower() == "basic":
        try:
            user, colon, password = base64.b64decode(credentials.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        if colon:
            client.put("basic_auth", mapping(username=user, password=password), header)
        return bool(colon)
    if not credentials:
        return False
    block = Map()
    if scheme != "Bearer":
        block.put("type", scalar(scheme))
    block.put("credentials", Scalar(credentials.strip(), header.value.style, variables=header.value.variables))
    client.put("authorization", block, header)
    return True
