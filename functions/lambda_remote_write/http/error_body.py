"""What a source means that answers 401 or another error: the message in its body, and what it asks for."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..config.schema import HttpClientConfig
from ..report.mask import is_public_header, names_credential
from . import content_coding
from .response import declared_charset

_UNPACKED_BYTES = 8_192
_MAX_DEPTH = 6
_MESSAGE_NAMES = (
    "errordescription", "message", "msg", "errormessage", "errormessages", "detail", "details", "description", "reason",
    "errors", "error", "title", "fault", "faultstring", "text", "info", "cause", "exception", "statustext", "value",
)  # fmt: skip
_ONLY_MESSAGES = tuple(
    name for name in _MESSAGE_NAMES if name.startswith(("error", "message", "msg", "fault", "reason"))
)
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_XML_MESSAGE = re.compile(
    r"<(?:\w+:)?(message|error_?description|detail|faultstring|description|reason|title|error)\b[^>]*>([^<]+)<",
    re.IGNORECASE,
)
_NO_TEXT = re.compile(r"<(script|style|head)\b.*?</\1>|<!--.*?-->|<[^>]*>", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]{0,29})(?:\s+(?!=)\S.*)?", re.DOTALL)
_SCHEMES = {name.lower(): name for name in ("Basic", "Bearer", "Digest", "Negotiate", "NTLM", "HOBA", "Mutual", "DPoP")}


# --- The message in the body ------------------------------------------------------------------------------------------


def message_of(body: bytes, content_type: str, content_encoding: str) -> str:
    """What an error's body says, as foreign text; "" when it says nothing. The body may be cut short."""
    text = _decoded(body, content_type, content_encoding).strip()
    if not text or not _is_readable(text):
        return ""
    if text[0] in '{["':
        return _of_json(text)
    return _of_markup(text) if text[0] == "<" else text


def said_in(content: bytes) -> str:
    """What an answer with a good status says of a failure, as foreign text: under the names of its JSON that only hold
    messages, so that nothing else of it shows."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    return _find(document, names=_ONLY_MESSAGES) if isinstance(document, dict) else ""


def _decoded(body: bytes, content_type: str, content_encoding: str) -> str:
    body = content_coding.beginning(body, content_encoding, _UNPACKED_BYTES)
    try:
        return body.decode(declared_charset(content_type) or "utf-8-sig", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


def _is_readable(text: str) -> bool:
    strange = sum((not char.isprintable() and char not in "\t\r\n") or char == "\ufffd" for char in text)
    return strange <= len(text) / 20


def _of_json(text: str) -> str:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):  # cut short, or nearly JSON
        found = (re.search(rf'"{name}"\s*:\s*{_QUOTED}', text, re.IGNORECASE) for name in _MESSAGE_NAMES)
        return next((one[1] for one in found if one and one[1].strip()), text)
    if document in ({}, [], ""):
        return ""
    return _find(document) or text


def _find(value: Any, depth: int = 0, names: Sequence[str] = _MESSAGE_NAMES) -> str:
    """The first text that stands under a name for messages, the more telling names first, the outer ones before."""
    if isinstance(value, str):
        return value.strip()
    if depth > _MAX_DEPTH:
        return ""
    if isinstance(value, list):
        return next(filter(None, (_find(item, depth + 1, names) for item in value)), "")
    if not isinstance(value, dict):
        return ""
    by_name = {re.sub(r"[^a-z]", "", str(name).lower()): item for name, item in value.items()}
    named = (_find(by_name[name], depth + 1, names) for name in names if name in by_name)
    return next(filter(None, named), "") or next(filter(None, _inside(value, depth, names)), "")


def _inside(value: Mapping[str, Any], depth: int, names: Sequence[str]) -> Iterator[str]:
    """The same in objects under other names; a plain text there is no message."""
    for item in value.values():
        if isinstance(item, dict) or (isinstance(item, list) and any(isinstance(one, dict) for one in item)):
            yield _find(item, depth + 1, names)


def _of_markup(text: str) -> str:
    """An XML error's message, an HTML page's title, else its text without the markup."""
    title, message = _TITLE.search(text), _XML_MESSAGE.search(text)
    if title and title[1].strip():
        return html.unescape(title[1])
    if message and "<html" not in text[:200].lower():
        return html.unescape(message[2])
    return html.unescape(_NO_TEXT.sub(" ", text))


# --- Credentials ------------------------------------------------------------------------------------------------------


def asked_schemes(www_authenticate: str) -> list[str]:
    """The schemes of `WWW-Authenticate`, in its order: `Digest realm="r", qop="auth", Basic realm="x"`."""
    found = []
    for part in re.split(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", www_authenticate):
        scheme = _SCHEME.fullmatch(part.strip())
        if scheme and "=" not in part.strip().split(" ")[0]:
            found.append(_SCHEMES.get(scheme[1].lower(), scheme[1]))
    return list(dict.fromkeys(found))


def credentials_used(client: HttpClientConfig, url: str) -> list[str]:
    """The kinds of credentials of a request, as the config calls them."""
    keys = ("basic_auth", "authorization", "oauth2", "digest_auth", "login", "sigv4")
    found = [key for key in keys if getattr(client, key)]
    found += [f"the header {name}" for name, _ in client.http_headers if not is_public_header(name)]
    in_url = (name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True) if names_credential(name))
    names = dict.fromkeys([*(name for name, _ in client.secret_params), *in_url])
    return found + [f"the query parameter {name}" for name in names]


def not_let_in(used: Sequence[str], asked: Sequence[str]) -> str:
    """What a 401 or 403 means, by what was sent and what `WWW-Authenticate` asks for."""
    parts = [_asks(used, asked)] if asked else []
    if used:
        parts.append(f"it does not take our credentials; check {' and '.join(used)}")
    else:
        parts.append("no credentials are configured")
    return "; ".join(parts)


def _asks(used: Sequence[str], asked: Sequence[str]) -> str:
    detail = f"it asks for {' or '.join(asked[:4])}"
    if "Basic" in asked and "digest_auth" in used and "Digest" not in asked:
        return f"{detail}, and digest_auth sends Digest only: set basic_auth"
    if "Basic" in asked:
        return detail if used else f"{detail}: set basic_auth"
    only = ", and basic_auth sends Basic only" if "basic_auth" in used else ""
    if "Digest" in asked:
        return detail if "digest_auth" in used else f"{detail}{only}: set digest_auth"
    if "Bearer" in asked:
        return detail if {"authorization", "oauth2", "login"} & set(used) else f"{detail}: set authorization or oauth2"
    known = [scheme for scheme in asked if scheme in _SCHEMES.values()]
    return f"{detail}, which is not supported{only}" if known else detail
