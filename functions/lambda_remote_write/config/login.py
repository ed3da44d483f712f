"""Reads `login`: how a source is asked for a token or cookies, and where these go."""

from __future__ import annotations

import re

import yaml

from . import http_client, json_api, plain_text, templates
from .expression import Expression
from .schema import Login, TokenUse
from .secrets import Secret, SecretText, looks_like_reference
from .yaml_reader import Section

_COOKIE = "cookie"  # as `token`: the job's requests carry the answer's cookies
_RESERVED = http_client.RESERVED_FOR_SOURCES - {"authorization"}
_FORM = re.compile(r"[^\s=&{}<>\"]+=[^\s]*")
_FORM_TYPE, _JSON_TYPE = "application/x-www-form-urlencoded", "application/json"


def read(section: Section) -> Login | None:
    """The key `login` of a section."""
    block = section.section("login")
    if block is None:
        return None
    url, token = block.hidden("url", _url), _token(block)
    for key in ("url", "token"):
        if not block.has(key):
            block.problem(key, _REQUIRED[key])
    block.defaults = Login(url or "", token)
    headers = http_client.secret_headers(block, http_client.RESERVED_FOR_SOURCES)
    body, content_type = _body(block, headers)
    found = Login(
        url=url or "",
        token=token,
        method=block.choice("method", ("POST", "GET", "PUT")),
        body=body,
        headers=(*content_type, *((name, value) for name, (value,) in headers)),
        query=tuple(plain_text.secret_map(block, "query").items()),
        basic_auth=http_client.basic_auth(block),
        use=_use(block, token),
        lifetime_ms=block.positive_ms("lifetime"),
    )
    if found.method == "GET" and body is not None:
        block.problem("method", "a GET request has no body; leave method out or set it to POST")
    block.close()
    return found


_REQUIRED = {
    "url": "is required: an address, or a path as /api/login, at which each target is logged in",
    "token": 'is required: an expression that finds the token in the answer, as data.token, @header."X-Auth-Token" or '
    "@ for a plain text; or the word cookie",
}


def _url(text: str) -> str:
    if not text.startswith("/") or text.startswith("//"):
        if "://" not in text and not looks_like_reference(text):
            raise ValueError("an http:// or https:// address is expected, or a path as /api/login")
        return http_client.url(text)
    if any(char.isspace() or ord(char) < 0x20 for char in text):
        raise ValueError("a path holds no white space and no control character")
    return text


def _token(block: Section) -> Expression | None:
    """None for the cookies."""
    node = block.value("token")
    if isinstance(node, yaml.ScalarNode) and node.value == _COOKIE:
        return None
    return json_api.read_expression(block, "token", json_api.over_document)


# the body


def _body(
    block: Section, headers: tuple[tuple[str, tuple[Secret, ...]], ...]
) -> tuple[SecretText | None, tuple[tuple[str, Secret], ...]]:
    """The body, and the Content-Type that goes with it unless `headers` have one."""
    check = templates.reader(block, "body", ("ref",), is_body=True)
    text, refs = plain_text.text(block, "body", plain_text.IN_BODY, check), json_api.read_refs(block)
    json_api.check_refs(block, [text], refs)
    if text is None:
        return None, ()
    if not block.is_map("body"):
        plain_text.warn_of_references_within(block, "body", text)
    stated = next((value.literal or "" for name, (value,) in headers if name.lower() == "content-type"), None)
    kind = _content_type(text) if stated is None else stated
    content_type = (("Content-Type", Secret(literal=kind)),) if kind and stated is None else ()
    parts = templates.fill(text, lambda name: refs.get(name.removeprefix("ref.")), str)
    return SecretText(tuple(parts), templates.escape_of_body(text, kind)), content_type


def _content_type(body: str) -> str:
    """What a body looks like."""
    if templates.begins_as_json(body):
        return _JSON_TYPE
    return _FORM_TYPE if _FORM.fullmatch(templates.filled(body.strip(), lambda name: "x", str)) else ""


# where the token goes


def _use(block: Section, token: Expression | None) -> TokenUse:
    default = TokenUse()
    use = block.section("use", default)
    if use is None:
        return default
    if token is None and not block.is_wrong("token"):
        block.problem("use", "cookies go where they belong: leave use out, or let token find one in the answer")
    header = use.read("header", _header, "" if use.has("query") else default.header)
    prefix = use.read("prefix", http_client.header_value, default.prefix if header.lower() == "authorization" else "")
    for key in ("header", "prefix"):
        if use.has("query") and use.has(key):
            use.problem(key, "cannot stand with query: a token goes into one of the two")
    found = TokenUse(header, prefix, use.read("query", _parameter, ""), use.boolean("cookies", default.cookies))
    use.close()
    return found


def _parameter(text: str) -> str:
    if not text:
        raise ValueError("the name of a parameter is expected")
    return text


def _header(text: str) -> str:
    return http_client.valid_header_name(text, _RESERVED)
