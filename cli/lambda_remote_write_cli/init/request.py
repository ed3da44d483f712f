"""What the options say about the request -> the keys of the job. A secret that was given as it is never gets into the
config: an environment variable of this run holds it, and the config refers to that."""

from __future__ import annotations

import argparse
import base64
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from lambda_remote_write.config.secrets import looks_like_reference, parse_reference
from lambda_remote_write.report.mask import is_public_header, names_credential

from ..command import BadUsage
from .names import snake

PLACEHOLDER_URL = "https://CHANGE.ME/"


@dataclass(slots=True)
class Request:
    """The request of a job: its `url`, its other keys, the variables that hold what was given as a literal, and what to
    say about them."""

    url: str
    keys: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict, repr=False)
    notes: list[str] = field(default_factory=list)
    prefix: str = "API"

    def reference(self, text: str, name: str, what: str) -> str:
        """A reference as it was given, or one to a variable that holds the literal. Raises BadUsage."""
        if looks_like_reference(text):
            return _checked(text, what)
        variable = name_of_variable(self.prefix, name)
        self.variables[variable] = text
        self.notes.append(
            f"{what} is a secret: the config refers to env:{variable} in its place. Before the next command: "
            f"export {variable}=…; for Lambda put it into Secrets Manager and write secretsmanager:NAME"
        )
        return f"env:{variable}"


def name_of_variable(prefix: str, name: str) -> str:
    found = snake(f"{prefix} {name}").upper()
    return found if found and found[0].isalpha() else f"API_{found}"


def read(options: argparse.Namespace, url: str, prefix: str) -> Request:
    """Raises BadUsage for an option that cannot be read."""
    found = Request(url, prefix=prefix)
    _url(found)
    _headers(found, options)
    for text in options.query_ref:
        name, reference = _pair(text, "--query-ref", "NAME=env:VARIABLE")
        found.keys.setdefault("query", {})[name] = {"ref": found.reference(reference, name, f"--query-ref {name}")}
    _credentials(found, options)
    if options.body:
        found.keys["body"] = _body(found, options.body, "--body")
    if options.method and options.method != ("POST" if options.body else "GET"):
        found.keys["method"] = options.method
    if options.login:
        found.keys["login"] = _login(found, options)
    elif options.login_body or options.login_token:
        raise BadUsage("--login-body and --login-token need --login URL")
    return found


def _url(found: Request) -> None:
    """Moves a user and password, and parameters that are credentials, out of the URL. Raises BadUsage."""
    try:
        parts = urlsplit(found.url)
        host = parts.hostname
    except ValueError as error:
        raise BadUsage(f"the URL cannot be read: {error}") from None
    if not host:
        raise BadUsage("the URL names no host; write http://HOST/PATH or https://HOST/PATH")
    if parts.username is not None:
        password = found.reference(unquote(parts.password or ""), "password", "the password in the URL")
        found.keys["basic_auth"] = {"username": unquote(parts.username), "password_ref": password}
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    secret = {name: value for name, value in pairs if names_credential(name) and value}
    for name, value in secret.items():
        reference = found.reference(value, name, f"the parameter {name}")
        found.keys.setdefault("query", {})[name] = {"ref": reference}
    query = urlencode([pair for pair in pairs if pair[0] not in secret]) if secret else parts.query
    found.url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def _headers(found: Request, options: argparse.Namespace) -> None:
    for text in options.header:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise BadUsage(f"--header {text.partition(':')[0]!r:.40}: write --header 'Name: value'")
        _header(found, name.strip(), value.strip())
    for text in options.header_ref:
        name, reference = _pair(text, "--header-ref", "NAME=env:VARIABLE")
        _reference_header(found, name, found.reference(reference, name, f"the header {name}"))


def _header(found: Request, name: str, value: str) -> None:
    if name.lower() == "authorization":
        _authorization(found, value)
    elif is_public_header(name):
        found.keys.setdefault("headers", {})[name] = value
    else:
        _reference_header(found, name, found.reference(value, name, f"the header {name}"))


def _reference_header(found: Request, name: str, reference: str) -> None:
    if name.lower() == "authorization":
        found.keys["authorization"] = {"credentials_ref": reference}
        found.notes.append(
            "the variable holds the token alone, without the word Bearer; authorization.type names another"
        )
    else:
        found.keys.setdefault("headers", {})[name] = {"ref": reference}


def _authorization(found: Request, value: str) -> None:
    kind, _, credentials = value.partition(" ")
    if kind.lower() == "basic":
        with suppress(ValueError, UnicodeDecodeError):
            user, _, password = base64.b64decode(credentials).decode().partition(":")
            reference = found.reference(password, "password", "the password in Authorization")
            found.keys["basic_auth"] = {"username": user, "password_ref": reference}
            return
    kind, credentials = (kind, credentials.strip()) if credentials else ("", kind)
    reference = found.reference(credentials, "token", "the token in Authorization")
    found.keys["authorization"] = {**({} if kind.lower() == "bearer" else {"type": kind}), "credentials_ref": reference}
    if not kind:
        raise BadUsage("--header Authorization: write the scheme too, as 'Authorization: Bearer …'")


def _credentials(found: Request, options: argparse.Namespace) -> None:
    if options.bearer_ref:
        found.keys["authorization"] = {"credentials_ref": found.reference(options.bearer_ref, "token", "--bearer-ref")}
    for key, text in (("basic_auth", options.basic_ref), ("digest_auth", options.digest_ref)):
        if text:
            user, reference = _pair(text, f"--{key.partition('_')[0]}-ref", "USER=env:VARIABLE")
            password = found.reference(reference, "password", "the password")
            found.keys[key] = {"username": user, "password_ref": password}
    if options.sigv4:
        service, at, region = options.sigv4.partition("@")
        if not at or not service or not region:
            raise BadUsage(f"--sigv4 {options.sigv4}: write SERVICE@REGION, as execute-api@eu-west-1")
        found.keys["sigv4"] = {"service": service, "region": region}
    given = [key for key in ("basic_auth", "digest_auth", "authorization", "sigv4") if key in found.keys]
    if len(given) > 1:
        raise BadUsage(f"{' and '.join(given)}: one of these logs in; leave the others out")


def _login(found: Request, options: argparse.Namespace) -> dict[str, Any]:
    if not options.login_token:
        raise BadUsage("--login needs --login-token: where the token is in its answer, as data.token, or cookie")
    login: dict[str, Any] = {"url": options.login}
    if options.login_body:
        inner = Request("", prefix=found.prefix, variables=found.variables, notes=found.notes)
        login["body"] = _body(inner, options.login_body, "--login-body")
        if "refs" in inner.keys:
            login["refs"] = inner.keys["refs"]
    else:
        login["method"] = "GET"
    return {**login, "token": options.login_token}


_FORM_SECRET = re.compile(r"(?:^|(?<=&))([^=&]+)=([^&]*)")


def _body(found: Request, text: str, option: str) -> str:
    """The body with `{ref.NAME}` in the place of each secret, which `refs` name. Raises BadUsage."""
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadUsage(f"{option} {text}: the file cannot be read: {error}") from None
    refs: dict[str, str] = {}

    def replaced(name: str, value: str) -> str:
        if not names_credential(name) or not value or value.startswith("{ref."):
            return value
        refs[snake(name) or "secret"] = found.reference(value, name, f"{name} in {option}")
        return f"{{ref.{snake(name) or 'secret'}}}"

    try:
        document = json.loads(text)
    except ValueError:
        if "=" in text:
            text = _FORM_SECRET.sub(lambda pair: f"{pair[1]}={replaced(pair[1], unquote(pair[2]))}", text)
    else:
        if (inside := _replaced(document, replaced)) != document:
            text = json.dumps(inside, ensure_ascii=False)
        if option == "--body" and not any(name.lower() == "content-type" for name in found.keys.get("headers", {})):
            found.keys.setdefault("headers", {})["Content-Type"] = "application/json"
    if refs:
        found.keys["refs"] = {**found.keys.get("refs", {}), **refs}
    return text


def _replaced(value: Any, replaced: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: replaced(name, item) if isinstance(item, str) else _replaced(item, replaced)
            for name, item in value.items()
        }
    return [_replaced(item, replaced) for item in value] if isinstance(value, list) else value


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise BadUsage(f"{option}: write {option} {form}")
    return name, value


def _checked(text: str, what: str) -> str:
    try:
        return parse_reference(text.strip())
    except ValueError as error:
        raise BadUsage(f"{what}: {error}") from None
