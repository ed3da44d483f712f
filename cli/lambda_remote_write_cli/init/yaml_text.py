"""Writes YAML as a person does: plain where that is safe, quotes where the text needs them, flow maps on one line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_/^@$][A-Za-z0-9_./^@$ -]*(?<! )|https?://[A-Za-z0-9_./?=&%~:+@-]*[A-Za-z0-9_/=&%~+-]")
_STARTS_BADLY = re.compile(r"[@%`&*!|>'\"#?-]")
_NO_TEXT = re.compile(r"(?i:true|false|null|yes|no|on|off|y|n)|~|\.inf|\.nan")


def scalar(text: str, *, in_flow: bool = False) -> str:
    """A text that reads back as itself."""
    is_plain = _PLAIN.fullmatch(text) and not _NO_TEXT.fullmatch(text) and not _STARTS_BADLY.match(text)
    if is_plain and ": " not in text and " #" not in text and not (in_flow and re.search(r"[,\[\]{}?]", text)):
        return text
    if not text.isprintable():
        return f'"{"".join(map(_escaped, text))}"'
    if '"' in text or "\\" in text:
        return "'" + text.replace("'", "''") + "'"
    return f'"{text}"'


def _escaped(char: str) -> str:
    """Half of a surrogate pair, which JSON may hold and YAML may not, is replaced."""
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable():
        return char
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"
    return f"\\U{ord(char):08x}" if char > "\uffff" else f"\\u{ord(char):04x}"


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(str(key), in_flow=True)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value, in_flow=True) if isinstance(value, str) else json.dumps(value)
