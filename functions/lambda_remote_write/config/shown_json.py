"""JSON values in messages: what they are, and how they begin."""

from __future__ import annotations

import json
from typing import Any

SHOWN_CHARACTERS = 80


def shown(value: Any) -> str:
    """The type of a value and its first characters, as JSON."""
    return f"{kind_of(value)}, {first_characters(value)}" if value is not None else "null"


def kind_of(value: Any) -> str:
    """The type of a JSON value, with its article."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def first_characters(value: Any, most: int = SHOWN_CHARACTERS) -> str:
    """A value as JSON, cut; only as much of it is written as is shown."""
    text = ""
    for piece in json.JSONEncoder(ensure_ascii=False, default=str).iterencode(value):
        text += piece[: most + 1]
        if len(text) > most:
            break
    line = "".join(char if char.isprintable() else " " for char in text[:most])
    return f"{line}…" if len(text) > most else line
