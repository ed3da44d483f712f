"""The types of config keys as JSON Schema.

The reader sees a value as the text that was written. An editor sees what YAML makes of it, so that a type here takes
each kind that may be meant: `1m` and 0 are durations, and a password may be all digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lambda_remote_write.config.timestamp import NAMES
from lambda_remote_write.relabel import Action

Schema = dict[str, Any]

_SCALAR = ["string", "number", "boolean"]
_DURATION = "".join(f"(?:[0-9]+{unit})?" for unit in ("y", "w", "d", "h", "m", "s", "ms"))
_SIZE = r"[0-9]+(?:\.[0-9]+)?"
_NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*"
_FLOAT = r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|\.?[iI][nN][fF]|\.?[nN][aA][nN])"
_BOOLEANS = "[tT]rue|TRUE|[yY]es|YES|[oO]n|ON|[yYnN]|[fF]alse|FALSE|[nN]o|NO|[oO]ff|OFF"
_ACTIONS = "|".join("".join(f"[{char}{char.upper()}]" for char in action) for action in Action)
_REFERENCE = r"env:[A-Za-z_].*|ssm:/.*|secretsmanager:[^#].*"
_WORKSPACE = "ws-[A-Za-z0-9-]+"


def like(pattern: str, says: str, kinds: Any = "string") -> Schema:
    """A value that has a form; `says` is what an editor shows for one that has not."""
    return {"type": kinds, "pattern": pattern, "patternErrorMessage": says}


def one_of(values: Any) -> Schema:
    return {"type": "string", "enum": list(values)}


def any_of(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


def list_of(schema: Schema) -> Schema:
    return {"type": ["array", "null"], "items": schema}


def some_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema, "minItems": 1}


def map_of(schema: Schema) -> Schema:
    return {"type": ["object", "null"], "additionalProperties": schema}


def some_map_of(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema, "minProperties": 1}


def _whole(minimum: int, maximum: int | None = None, pattern: str = "[0-9][0-9_]*") -> Schema:
    between = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
    form = like(f"^(?:{pattern})$", f"a whole number {between} is expected", ["integer", "string"])
    return form | {"minimum": minimum} | ({} if maximum is None else {"maximum": maximum})


def _or_zero(pattern: str, says: str) -> Schema:
    return like(f"^(?:0|{pattern})$", says, ["string", "integer"]) | {"minimum": 0, "maximum": 0}


_NOT_EMPTY = like(r"\S", "a text is expected", _SCALAR)
_TIMES = like("%", f"allowed are {', '.join(NAMES)} or an strptime format, as %Y-%m-%d %H:%M")
_URL = r"[hH][tT][tT][pP][sS]?://\S+"
_TEXT: Schema = {"type": _SCALAR}

BY_REFERENCE = "secret_text"
LITERAL = "literal_text"
TEXT_MAPS: dict[str, Schema] = {
    BY_REFERENCE: {
        "type": "object",
        "properties": {
            "ref": like(f"^(?:{_REFERENCE})$", "a reference is secretsmanager:NAME[#json-key], ssm:/path or env:NAME")
            | {"description": "A reference to a secret: secretsmanager:NAME#json-key, ssm:/path or env:NAME."},
            "text": _TEXT | {"description": "A text as it stands, also when it looks like a reference."},
        },
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    },
    LITERAL: {
        "type": "object",
        "properties": {"text": _TEXT | {"description": "A text as it stands, also when it looks like a reference."}},
        "additionalProperties": False,
        "required": ["text"],
    },
}
"""The maps that may stand in place of a text."""


def ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


NAMED: dict[str, Schema] = {
    "text": _TEXT,
    "name": _NOT_EMPTY,
    "plain text": any_of(_TEXT, ref(LITERAL)),
    "secret text": any_of(_TEXT, ref(BY_REFERENCE)),
    "reference": like(f"^(?:{_REFERENCE})$", "a reference is secretsmanager:NAME[#json-key], ssm:/path or env:NAME"),
    "expression": _NOT_EMPTY,
    "steps": any_of(_NOT_EMPTY, some_of(_NOT_EMPTY)),
    "boolean": like(f"^(?:{_BOOLEANS})$", "allowed are true and false", ["boolean", "string"]),
    "true alone": like("^(?:[tT]rue|TRUE|[yY]es|YES|[oO]n|ON|[yY])$", "true is expected", ["boolean", "string"])
    | {"not": {"const": False}},
    "integer": _whole(0),
    "positive": _whole(1, pattern="[1-9][0-9_]*"),
    "port": _whole(1, 65_535, "[1-9][0-9]{0,4}"),
    "port or 0": _whole(0, 65_535, "[0-9]{1,5}"),
    "status": _whole(100, 599, "[1-5][0-9]{2}"),
    "number": like(f"^(?:{_FLOAT})$", "a number is expected", ["number", "string"]),
    "number or null": like(f"^(?:{_FLOAT})$", "a number or null is expected", ["number", "string", "null"]),
    "duration": _or_zero(f"(?=[0-9]){_DURATION}", "a duration is whole numbers with units y w d h m s ms, as 1h30m"),
    "size": _or_zero(f"{_SIZE}(?:B|[KMGTPE]i?B)", "a size is a number with a unit B, KB, MB, GB, …, as 100MB"),
    "body size": like(
        rf"^(?:[1-9][0-9]{{4,}}(?:B|Ki?B)?|[1-9][0-9]+(?:\.[0-9]+)?Ki?B|{_SIZE}[MGTPE]i?B)$",
        "at least 10000 bytes, as 1000000 or 1MB",
        ["integer", "string"],
    )
    | {"minimum": 10_000},
    "url": like(f"^{_URL}$", "an http:// or https:// URL is expected"),
    "proxy url": like(f"^{_URL}$", "a proxy is an http:// or https:// URL"),
    "workspace": like(
        rf"^(?:{_WORKSPACE}|arn:aws[a-z-]*:aps:[a-z0-9-]+:[0-9]{{12}}:workspace/{_WORKSPACE}|env:.+)$",
        "a workspace is an id (ws-…), its ARN, or env:NAME of a variable that holds one",
    ),
    "service": like("^[A-Za-z0-9][A-Za-z0-9.-]*$", "a service is named as in signatures: execute-api, es, aps, ce"),
    "metric name": like(f"^{_NAME}$", "a metric name is letters, digits, _ and :, no digit first"),
    "header name": like("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", "the name of a header is expected"),
    "authorization type": like(r"^(?!\s*[bB][aA][sS][iI][cC]\s*$)", "use basic_auth for this type", _SCALAR),
    "tls version": one_of(("TLS10", "TLS11", "TLS12", "TLS13")),
    "protocol": one_of(
        (
            "PrometheusProto", "OpenMetricsText2.0.0", "OpenMetricsText1.0.0", "OpenMetricsText0.0.1",
            "PrometheusText1.0.0", "PrometheusText0.0.4",
        )
    ),
    "action": any_of(one_of(map(str, Action)), like(f"^(?:{_ACTIONS})$", f"allowed are {', '.join(Action)}")),
    "time format": any_of(one_of(NAMES), _TIMES),
    "value format": any_of(one_of(("number", "duration", "quantity", "percent", "hex", "boolean", *NAMES)), _TIMES),
}  # fmt: skip


def schema_of(kind: Any) -> Schema:
    """The schema of a type as generate/config_keys.yaml writes it. Raises KeyError for a type that there is not."""
    if isinstance(kind, list):
        return any_of(*map(schema_of, kind))
    if isinstance(kind, str):
        return dict(NAMED[kind])
    (name, detail), *rest = kind.items()
    if name == "one of":
        return one_of(detail)
    if name == "sections":
        return list_of(ref(detail))
    if name == "text like":
        return like(detail, *(says for _, says in rest))
    return ref(detail) if name == "section" else _OF[name](schema_of(detail))


_OF: dict[str, Callable[[Schema], Schema]] = {
    "list of": list_of, "some of": some_of, "map of": map_of, "some map of": some_map_of,
}  # fmt: skip


def literal(kind: Any, text: str) -> Any:
    """A default as JSON has it; None where the type has no such value."""
    if kind == "boolean":
        return text == "true"
    if kind in ("integer", "positive", "number", "port", "port or 0", "body size"):
        return float(text) if "." in text else int(text)
    if kind == "true alone" or (isinstance(kind, list) and "true alone" in kind):
        return True
    return text
