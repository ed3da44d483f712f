"""Texts of the config that go out as they are: query parameters, headers, form fields, passwords.

In a query, a header and a form field `{ref: "env:KEY"}` is a secret by reference; elsewhere another key names it
(`password_ref`, `refs` beside a body). A plain text that looks like a reference would be sent to the API as it is; it
is refused, with what to write instead. `{text: "env:prod"}` is how to send such a text after all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import yaml

from .secrets import Secret, looks_like_reference, parse_reference
from .yaml_reader import Section

BY_REF = '{ref: "env:…"}'
"""Where a reference is read in the text's own place."""
IN_BODY = 'write {ref.NAME} in its place, and refs: {NAME: "env:…"} beside body'
NOWHERE = ""


def text(section: Section, key: str, instead: str, convert: Callable[[str], str] = str) -> str | None:
    """The text at `key`, through `convert`; None when it is absent or wrong. Mistakes never show it. `instead` says
    where a reference is read."""
    return _text_of(section, section.value(key), key, instead, convert) if section.has(key) else None


def texts(section: Section, key: str, instead: str, convert: Callable[[str], str] = str) -> list[str]:
    """The same for each text of a list."""
    found = (_text_of(section, node, path, instead, convert) for path, node in section.items(key))
    return [value for value in found if value is not None]


def secret(section: Section, key: str, convert: Callable[[str], str] = str) -> Secret | None:
    """The text at `key`, plain or by `{ref: …}`; None when it is absent or wrong."""
    return _secret_of(section, section.value(key), key, convert) if section.has(key) else None


def secrets(section: Section, key: str, convert: Callable[[str], str] = str) -> list[Secret]:
    """The same for each text of a list."""
    found = (_secret_of(section, node, path, convert) for path, node in section.items(key))
    return [value for value in found if value is not None]


def secret_map(section: Section, key: str, convert: Callable[[str], str] = str) -> dict[str, Secret]:
    """A map of names to such texts."""
    block = section.map(key)
    read = {name: secret(block, name, convert) for name in block}
    return {name: value for name, value in read.items() if value is not None}


def text_map(section: Section, key: str, instead: str, convert: Callable[[str], str] = str) -> dict[str, str]:
    """A map of names to texts."""
    block = section.map(key)
    read = {name: text(block, name, instead, convert) for name in block}
    return {name: value for name, value in read.items() if value is not None}


def warn_of_references_within(section: Section, key: str, value: str) -> None:
    """Warns of a JSON body that holds a text like a reference: it may be meant as a text."""
    try:
        found = [one for one in _texts_of(json.loads(value)) if looks_like_reference(one)]
    except (ValueError, RecursionError):
        return
    if found:
        scheme = found[0].strip().partition(":")[0]
        detail = f'a text in it looks like a reference ("{scheme}:…") and is sent as it is'
        section.warn(key, f"{detail}; {IN_BODY}")


def _texts_of(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts_of(item)


def _secret_of(section: Section, node: yaml.Node | None, key: str, convert: Callable[[str], str]) -> Secret | None:
    """A text, plain or as `{ref: …}`."""
    if isinstance(node, yaml.MappingNode) and (block := section.at(node, key)).has("ref"):
        reference = block.hidden("ref", parse_reference)
        block.close()
        return Secret(reference=reference) if reference else None
    found = _text_of(section, node, key, BY_REF, convert)
    return Secret(literal=found) if found is not None else None


def _text_of(
    section: Section, node: yaml.Node | None, key: str, instead: str, convert: Callable[[str], str]
) -> str | None:
    """A text as it stands, or as `{text: …}`."""
    if not isinstance(node, yaml.MappingNode):
        found = section.converted(node, key, convert, None, hidden=True)
        if found is not None and looks_like_reference(found):
            section.problem(key, _refused(found, instead), node)
        return found
    block = section.at(node, key)
    if block.has("ref"):
        block.problem("ref", f"is not read here{f': {instead}' if instead else ''}")
    elif block.has("text"):
        found = block.hidden("text", convert)
        block.close()
        return found
    else:
        section.problem(key, "a single value is expected here, not a map", node)
    return None


def _refused(value: str, instead: str) -> str:
    """Shows no more of the text than its scheme: it may be a password after all."""
    scheme = value.strip().partition(":")[0]
    literally = f'to send this very text write {{text: "{scheme}:…"}}'
    if instead == BY_REF:
        secret = f'for the secret write {{ref: "{scheme}:…"}}'
        return f"looks like a reference, and would be sent as it is; {secret}; {literally}"
    detail = "looks like a reference, but none is read here: it would be sent as it is"
    return "; ".join(filter(None, (detail, instead, literally)))
