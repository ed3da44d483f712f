"""A document as a tree of a bounded size: keys, types, samples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lambda_remote_write.report.mask import MASKED
from lambda_remote_write.report.printable import printable

from .names import holds_secret
from .times import format_of, names_time

_MAX_LINES, _MAX_DEPTH, _MAX_KEYS, _SAMPLE = 60, 6, 25, 60


def tree(document: Any, now_ms: int, width: int = 100) -> list[str]:
    """Lines of at most `width` characters; a list shows its first element."""
    lines = list[str]()
    for line in _lines("", document, 0, now_ms):
        if len(lines) == _MAX_LINES:
            lines.append("…")
            break
        lines.append(line if len(line) <= width else f"{line[: width - 1]}…")
    return lines


def _lines(key: str, value: Any, depth: int, now_ms: int) -> Iterator[str]:
    lead = "  " * depth + (f"{printable(key)}: " if key else "")
    if isinstance(value, dict) and value:
        yield f"{lead}{{{_count(len(value), 'key')}}}"
        if depth < _MAX_DEPTH:
            for index, (name, item) in enumerate(value.items()):
                if index == _MAX_KEYS:
                    yield f"{'  ' * (depth + 1)}… {len(value) - _MAX_KEYS} more keys"
                    break
                yield from _lines(str(name) or '""', item, depth + 1, now_ms)
    elif isinstance(value, list) and value and isinstance(value[0], dict | list):
        yield f"{lead}[{_count(len(value), 'element')}], the first:"
        if depth < _MAX_DEPTH:
            yield from _lines("", value[0], depth + 1, now_ms)
    else:
        yield f"{lead}{_sample(key, value, now_ms)}"


def shown_value(value: Any) -> str:
    """A value behind a metric's name: a text without quotes, everything else as JSON writes it."""
    return printable(value if isinstance(value, str) else json.dumps(value, default=str))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _sample(key: str, value: Any, now_ms: int) -> str:
    if value and not isinstance(value, bool | int | float) and holds_secret(key):
        return MASKED
    if isinstance(value, list):
        shown = ", ".join(_text(one) for one in value[:4])
        return f"[{shown}{f', … {len(value)} in all' if len(value) > 4 else ''}]"
    found = format_of(key, [value], now_ms) if names_time(key) or isinstance(value, str) else None
    return f"{_text(value)}{f'   ({found.described(now_ms)})' if found else ''}"


def _text(value: Any) -> str:
    text = printable(json.dumps(value, ensure_ascii=False, default=str)[: 2 * _SAMPLE])
    return text if len(text) <= _SAMPLE else f"{text[: _SAMPLE - 1]}…"
