"""Reads `params` and `query`: the parameters of a URL's query, each a text, a template or a secret by reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from . import plain_text, templates
from .schema import HttpClientConfig
from .secrets import Secret
from .yaml_reader import Section

Params = tuple[tuple[str, tuple[Secret, ...]], ...]
"""Names and values of a query."""


def read(entry: Section, convert: Callable[[str], str] = str) -> Params:
    """`params: {name: [value, …]}`."""
    section = entry.map("params")
    return tuple((name, tuple(plain_text.secrets(section, name, convert))) for name in section)


def read_query(entry: Section) -> Params:
    """`query: {name: value}`, the short form of params with one value for each name; the values are templates."""
    convert = templates.reader(entry, "query", templates.IN_URL)
    return tuple((name, (value,)) for name, value in plain_text.secret_map(entry, "query", convert).items())


def with_params(given: Params, http: HttpClientConfig) -> dict[str, Any]:
    """The fields `params` and `http` of a job: a parameter with a reference among its values is no part of a target's
    labels and address."""
    plain, secret = [], []
    for name, values in given:
        texts = tuple(value.literal for value in values if value.literal is not None)
        if len(texts) == len(values):
            plain.append((name, texts))
        else:
            secret.append((name, values))
    return {"params": tuple(plain), "http": replace(http, secret_params=tuple(secret))}
