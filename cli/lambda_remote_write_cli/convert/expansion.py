"""Expands the texts of a config as an OpenTelemetry collector does before it reads them: `$$` is a `$`, and
`${env:NAME}`, `${NAME}` and `$NAME` are environment variables.

A variable with a given value or a default is written out; the others stay as `${NAME}` and are resolved afterwards: as
a reference to a secret, as what a default of ours does anyway, or as a comment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .http_client import variable_of
from .tree import DroppedKeys, List, Map, Scalar, Value

_DOLLAR = re.compile(r"\$(?:(\$)|\{([^{}]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRETS = ("username", "password", "credentials", "client_secret")
_OWN_REGION = ("AWS_REGION", "AWS_DEFAULT_REGION")


def expand(value: Value, given: Mapping[str, str]) -> None:
    """Expands every text in a tree. `given` holds the values that are known."""
    if isinstance(value, Scalar):
        value.text, value.variables = _expanded(value.raw, given, dollar="$")
        return
    for entry in value.pairs():
        expand(entry.value, given)


def external_label(value: Value, given: Mapping[str, str]) -> Value:
    """A label of an exporter as `external_labels` take it, where `$$` and `${NAME}` mean what a collector means."""
    if not isinstance(value, Scalar):
        return value
    text, variables = _expanded(value.raw, given, dollar="$$")
    return Scalar(text, value.style, variables=variables)


def _expanded(raw: str, given: Mapping[str, str], dollar: str) -> tuple[str, tuple[str, ...]]:
    variables: list[str] = []

    def replacement(match: re.Match[str]) -> str:
        if match[1]:
            return dollar
        scheme, colon, rest = (match[2] or "").partition(":")
        reference = rest if colon and scheme == "env" else match[2] or match[3] or ""
        name, default_sign, default = reference.partition(":-")
        if not _NAME.fullmatch(name):
            if _NAME.fullmatch(scheme) and colon:  # ${file:…}: another provider's
                variables.append(reference)
            return match[0]
        if name in given or default_sign:
            return given.get(name, default).replace("$", dollar)
        variables.append(name)
        return f"${{{name}}}"

    return _DOLLAR.sub(replacement, raw), tuple(variables)


def resolve(container: Map | List, dropped: DroppedKeys) -> None:
    """Finds a place for every variable that still has no value; external_labels are expanded here, too."""
    for entry in container.pairs():
        value, whole = entry.value, variable_of(entry.value)
        if entry.key == "external_labels":
            continue
        if not isinstance(value, Scalar):
            resolve(value, dropped)
        elif entry.key in _SECRETS and _NAME.fullmatch(whole):
            entry.key, entry.value = f"{entry.key}_ref", Scalar(f"env:{whole}")
        elif entry.key == "region" and whole in _OWN_REGION:
            dropped.drop(container, entry, f"{whole} is what counts anyway when no region is written")
        elif value.variables:
            dropped.change(entry, f"not expanded: {no_value(value)}, or put the value in its place")


def no_value(value: Scalar) -> str:
    """What to do about the variables of a text."""
    names = ", ".join(value.variables)
    is_name = _NAME.fullmatch(value.variables[0])
    return f"nothing reads {names} here" + (f"; convert again with --env {value.variables[0]}=…" if is_name else "")
