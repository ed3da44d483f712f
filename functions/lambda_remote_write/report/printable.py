"""The way out for everything that is printed: text from outside is escaped, so that it can neither move a terminal's
cursor, nor turn the direction of a line, nor pass for a line of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .mask import printable

__all__ = ["json_text", "printable"]


def json_text(document: Any, indent: int | None = None, default: Callable[[Any], Any] | None = None) -> str:
    """JSON with an escape for every character that does not print; it means the same."""
    separators = (",", ": ") if indent else (",", ":")
    text = json.dumps(document, indent=indent, ensure_ascii=False, separators=separators, default=default)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)
