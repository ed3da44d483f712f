"""What a config makes of the answer that it was made of: no second request goes out."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import Config
from lambda_remote_write.plan import plan

from ..golden.file import Answer as Recorded
from ..golden.replay import ReplayDependencies, placeholder_variables
from .answer import Answer
from .request import Request

_MAX_PAGES = 3
_OF_TRANSFER = ("content-type", "link")


def checked(text: str, file: str, env_vars: Mapping[str, str]) -> Config:
    """The config as the engine reads it. Raises ConfigError."""
    return parse_config(text, file, {**placeholder_variables(text), **env_vars})


def recorded(answer: Answer, request: Request) -> list[Recorded]:
    """The answers that a run over this config gets, the login's among them."""
    headers = [(name, answer.headers[name]) for name in answer.headers if _is_kept(name)]
    if not answer.headers and answer.content_type:
        headers = [("Content-Type", answer.content_type)]
    method = str(request.keys.get("method") or ("POST" if "body" in request.keys else "GET"))
    found = [Recorded(with_query(request), answer.status, headers, answer.content, method)]
    login = request.keys.get("login")
    return [_login(login, request.url), *found] if login else found


def _is_kept(name: str) -> bool:
    return name in _OF_TRANSFER or "ratelimit" in name.replace("-", "")


def with_query(request: Request) -> str:
    """The URL with the parameters that hold secrets, as a golden test names them."""
    query = "&".join(f"{name}=<secret>" for name in request.keys.get("query", {}))
    return f"{request.url}{'&' if '?' in request.url else '?'}{query}" if query else request.url


def _login(login: Mapping[str, Any], url: str) -> Recorded:
    """An answer in which the token is found, and that holds none."""
    path, headers = str(login["token"]), [("Content-Type", "application/json")]
    document: Any = "placeholder"
    if path == "cookie":
        headers.append(("Set-Cookie", "session=placeholder"))
    elif path.startswith("@header."):
        headers.append((path.removeprefix("@header.").strip('"'), "placeholder"))
    elif path != "@":
        for key in reversed(path.split(".")):
            document = {key.strip('"'): document}
    method = str(login.get("method", "POST"))
    return Recorded(urljoin(url, login["url"]), 200, headers, json.dumps(document).encode(), method)


def planned(config: Config, answers: list[Recorded], now_ms: int, env_vars: Mapping[str, str]) -> dict[str, Any]:
    """What `plan` finds. To a page that was not fetched an empty one is the answer, which is added to `answers`."""
    url = answers[-1].url
    for _ in range(_MAX_PAGES):
        dependencies = ReplayDependencies(answers, now_ms, {**placeholder_variables(""), **env_vars})
        found = plan(config, dependencies, time.monotonic() + 60)
        missing = [one.partition(" ")[::2] for one in dependencies.replay.unrecorded]
        if not missing or not answers:
            return found
        if dependencies.replay.unused and answers[-1].url == url:  # the first page has a parameter of the pagination
            answers[-1] = replace(answers[-1], url=missing[0][1])
            continue
        answers += [
            Recorded(address, 200, _plain(answers[-1].headers), _emptied(answers[-1].body), how)
            for how, address in missing
        ]
    return found


def _plain(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() != "link"]


def _emptied(body: bytes) -> bytes:
    """The last page: its lists have nothing in them, and it names no further one."""
    try:
        document = json.loads(body)
    except ValueError:
        return b"[]"
    return json.dumps(_without_records(document)).encode()


def _without_records(value: Any) -> Any:
    if isinstance(value, list):
        return []
    if isinstance(value, dict):
        return {key: _without_records(item) for key, item in value.items()}
    return value if isinstance(value, int | float) else None
