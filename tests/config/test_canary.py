"""Secrets never show: not in a config's repr, not in an error, not in a warning, whatever the mistake beside them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from lambda_remote_write.config.load import YamlDocument, parse_config
from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write_cli.run.web.masked_config import masked
from sandbox.api import Api
from sandbox.server import Answer, Request
from tests.rig.command_line import pusher
from tests.rig.compliance import sender
from tests.rig.web import Client, port_of
from tests.rig.yaml_files import read_yaml

CONFIGS = Path(__file__).parents[1] / "testdata" / "config"
ENVIRONMENT = {"AWS_REGION": "eu-west-1"}
CANARY = re.compile("canary", re.IGNORECASE)


def canary(field: str) -> str:
    return f"CANARY-{field}-CANARY"


FULL = json.dumps(read_yaml(CONFIGS / "secrets-everywhere.yaml"))  # JSON shares nothing


def full() -> dict[str, Any]:
    """A config with a text of its own in every field that may hold a secret."""
    config: dict[str, Any] = json.loads(FULL)
    return config


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the canaries sit."""
    if isinstance(value, str):
        if CANARY.search(value):
            yield path
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


def with_wrong(path: tuple[Any, ...], how: str) -> dict[str, Any]:
    """The full config, with one canary's field spoilt."""
    config = full()
    holder: Any = reduce(getitem, path[:-1], config)
    key, value = path[-1], holder[path[-1]]
    wrong: dict[str, Any] = {
        "list": [value],
        "map": {"value": value},
        "line-break": f"{value}\n{value}",
        "control-character": f"{value}\x00",
        "not-latin-1": f"{value}☃",
        "not-a-url": f"htp:/{value}",
        "url-password": f"https://user:{value}@host.example.com/",
        "url-cut-password": f"https://user:{value}/{value}@host.example.com/",
        "url-odd-password": f"https://user:{value}℀@host.example.com/",
        "url-bracket": f"https://[{value}",
    }
    if how in wrong:
        holder[key] = wrong[how]
    elif isinstance(key, int):
        holder.append(value)
    elif how == "misspelt":
        holder[key[:-1] + key[-1] * 2] = holder.pop(key)
        holder[key[1] + key[0] + key[2:]] = value
    elif how == "reference":
        holder[f"{key}_ref"] = holder.pop(key)
    else:
        holder[f"{key}_file"] = canary("file")
    return config


PATHS = list(places(full()))
SPOILT = (
    *("list", "map", "line-break", "control-character", "not-latin-1", "misspelt", "reference", "twice"),
    *("not-a-url", "url-password", "url-cut-password", "url-odd-password", "url-bracket"),
)


def shown(text: str) -> str:
    """All that a user or a log can see of a config that loads, or of one that does not."""
    try:
        documents: list[YamlDocument] = []
        config = parse_config(text, "pusher.yaml", ENVIRONMENT, documents=documents)
    except ConfigError as error:
        return f"{error}\n{error!r}\n{error.problems!r}\n{error.__cause__!r}"
    return "\n".join(
        [
            repr(config),
            str(config),
            *map(repr, config.jobs),
            *map(str, config.endpoints),
            *config.warnings,
            *map(masked, documents),
        ]
    )


def test_every_field_has_its_canary() -> None:
    """The full config loads, and each canary sits in one field."""
    found = CANARY.findall(yaml.safe_dump(full()))
    assert len(found) == 2 * len(PATHS)
    assert len(PATHS) > 30
    assert parse_config(yaml.safe_dump(full()), "pusher.yaml", ENVIRONMENT).warnings


def test_repr() -> None:
    """A config that holds secrets prints none of them."""
    assert not CANARY.search(shown(yaml.safe_dump(full())))


@pytest.mark.slow  # every spoilt form of every secret
@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_mistakes(path: tuple[Any, ...], how: str) -> None:
    """The message about a mistake in a field that may hold a secret, or beside it, does not show the secret."""
    text = yaml.safe_dump(with_wrong(path, how), allow_unicode=True)
    assert not CANARY.search(shown(text))


def test_mistakes_everywhere_else() -> None:
    """Mistakes all around the secrets do not bring them out."""
    config = full()
    for section in (*config["json_configs"], *config["remote_write"]):
        section |= {"scrape_intervall": "1m", "follow_redirects": "maybe", "no_proxy": ["a"], "enable_http2": []}
        section.pop("url", None)
    assert not CANARY.search(shown(yaml.safe_dump(config)))


BROKEN = {
    "plain-at": f"json_configs:\n  - authorization: {{credentials: @{canary('credentials')}}}\n",
    "tag": f"json_configs:\n  - authorization: {{credentials: !{canary('a')} {canary('b')}}}\n",
    "bad-tag": f"json_configs:\n  - authorization: {{credentials: !<{canary('a')}\n",
    "escape": f'json_configs:\n  - authorization: {{credentials: "\\q{canary("a")}"}}\n',
    "directive": f"%{canary('a')} 1\n---\na: b\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_not_yaml(text: str) -> None:
    """An error of the YAML reader does not quote the line it stumbled over."""
    detail = shown(text)
    assert "pusher.yaml:" in detail
    assert not CANARY.search(detail)


# --- Programs that repeat what they were sent -------------------------------------------------------------------------

ENCODED: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent-encoded": lambda text: quote(text, safe=""),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "JSON in JSON": lambda text: json.dumps(text)[1:-1],
}
VALUES = {
    "CANARY_PASSWORD": "CANARY/pass+word&<1>",
    "CANARY_TOKEN": "CANARY-token-0123456789",
    "CANARY_HEADER": 'CANARY "header" 0123456789',
    "CANARY_SECRET": "CANARY-client-secret-xyz",
}
REPEATING = (CONFIGS / "repeated-secrets.yaml").read_text()


def repeated(request: Request, encode: Callable[[str], str]) -> str:
    """All that a request brings, as it came and taken apart."""
    basic = request.headers.get("Authorization", "").partition("Basic ")[2]
    found = [value for _, value in request.headers.items()]
    found += base64.b64decode(basic).decode().split(":") if basic else []
    found += [request.query, *request.params.values()]
    found += [request.body.decode("latin-1")] if len(request.body) < 300 else []
    return " ".join(map(encode, found))


@contextmanager
def repeating(encode: Callable[[str], str]) -> Iterator[Api]:
    def with_text(make: Callable[[str], Answer]) -> Callable[[Request], Answer]:
        return lambda request: make(repeated(request, encode))

    def list_of(text: str) -> Answer:
        return Answer(200, {"Content-Type": f"text/{text}"}, text.encode())

    cookie = {"Content-Type": "text/plain", "Set-Cookie": "sid=CANARY-cookie-0123456789; Path=/"}
    page = {"Content-Type": "text/plain; version=0.0.4"}

    def with_cookie(status: int) -> Callable[[str], Answer]:
        return lambda text: Answer(status, cookie, f"CANARY-cookie-0123456789 {text}".encode())

    def denied(text: str) -> Answer:
        return Answer.json({"message": f"no {text}"}, 401, {"WWW-Authenticate": text})

    with Api() as api:
        api.serve("/echo", with_text(denied))
        api.serve("/text", with_text(with_cookie(200)))
        api.serve("/record", with_text(lambda text: Answer.json([{"v": text}, {"v": text[:60]}])))
        api.serve("/token", lambda request: Answer.json({"access_token": "CANARY-access-token-0123"}))
        api.serve("/page", with_text(lambda text: Answer(200, page, f"a b {text}\n".encode())))
        api.serve("/list", lambda request: list_of(encode(request.headers["Authorization"])))
        api.serve("/write", with_text(with_cookie(400)))
        api.serve("/deny", with_text(lambda text: Answer(403, {}, text.encode())))
        yield api


def hidden_forms() -> list[str]:
    """What no output may hold: the word of every secret, plain and in base64 at each of its three places."""
    places = [base64.b64encode(b"x" * shift + b"CANARY").decode() for shift in range(3)]
    return ["CANARY", "canary", *(text[(0, 2, 3)[shift] : 8] for shift, text in enumerate(places))]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["push", "plan", "plan --json"])
@pytest.mark.parametrize("encode", ENCODED.values(), ids=ENCODED)
def test_what_others_repeat(tmp_path: Path, encode: Callable[[str], str], command: str) -> None:
    """APIs, token endpoints, lists of targets, pages and receivers that repeat what they were sent, in any encoding."""
    with repeating(encode) as api:
        path = tmp_path / "pusher.yaml"
        text = REPEATING.replace("METRIC", 'metrics: [{name: a, records: "[]", value: v}]')
        path.write_text(text.replace("API", api.url).replace("HOST", api.url.removeprefix("http://")))
        done = pusher(*command.split(), path, **VALUES, COLUMNS="400")
    detail = done.stdout + done.stderr
    assert "answered 401" in detail
    assert "<secret>" in detail
    assert revealed(detail) == []


def revealed(detail: str) -> list[str]:
    return [detail[max(at - 60, 0) : at + 60] for form in hidden_forms() if (at := detail.find(form)) >= 0]


@pytest.mark.slow
@pytest.mark.parametrize("encode", ENCODED.values(), ids=ENCODED)
def test_what_others_repeat_on_the_pages_of_a_process(tmp_path: Path, encode: Callable[[str], str]) -> None:
    """The status page and /metrics show no more than messages do."""
    with repeating(encode) as api:
        text = REPEATING.replace("METRIC", 'metrics: [{name: a, records: "[]", value: v}]')
        text = text.replace("API", api.url).replace("HOST", api.url.removeprefix("http://"))
        config = yaml.safe_load(text)
        with sender(config, tmp_path, "--web.listen-address=:0", variables=VALUES) as process:
            process.wait_for(lambda: port_of(process.log_text), "where it listens")
            client = Client(port_of(process.log_text))
            process.wait_for(lambda: "unknown</td>" not in (page := client.ask("/").text) and "401" in page, "scrapes")
            process.wait_for(lambda: 'outcome="rejected"' in client.ask("/metrics").text, "a refusal")
            page, metrics = client.ask("/").text, client.ask("/metrics").text
            assert process.stop() == 0
    assert "&lt;secret&gt;" in page
    assert revealed(re.sub(r"CANARY_[A-Z]+", "", page)) == []  # the names of variables, which references hold
    assert revealed(metrics) == []
