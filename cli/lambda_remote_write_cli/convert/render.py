"""Tree -> YAML text. Scalars keep the quoting they were written with wherever it can hold them."""

from __future__ import annotations

import functools
import json
import textwrap

import yaml

from lambda_remote_write.config.scalars import NULL
from lambda_remote_write.report.mask import printable

from .tree import Comment, Entry, List, Map, Scalar, Value

_WIDTH = 118
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def render(top: Map) -> str:
    """The text of a whole file, with an empty line between its sections."""
    lines: list[str] = []
    for entry in top.entries:
        found = _entry_lines(entry, 0)
        is_section = isinstance(entry, Entry) or (bool(entry.text) and lines and not lines[-1].startswith("#"))
        if lines and lines[-1] and found and found[0] and is_section:
            lines.append("")
        lines += found
    return "\n".join(lines).strip("\n") + "\n"


def commented(value: Value, indent: int = 0) -> list[str]:
    """What was dropped, as lines of comment for its place."""
    return [_safe(f"# {line}".rstrip(" ")) for line in _lines(value, indent)]


def _lines(value: Value, indent: int) -> list[str]:
    if isinstance(value, Scalar):
        return [" " * indent + scalar_text(value.text, value.style)]
    return [line for entry in value.entries for line in _entry_lines(entry, indent)]


def _entry_lines(entry: Entry | Comment, indent: int) -> list[str]:
    pad = " " * indent
    above = [f"{pad}{_safe(line)}" if line else "" for line in entry.above]
    if isinstance(entry, Comment):
        wrapped = textwrap.wrap(entry.text, max(40, _WIDTH - indent), break_long_words=False, break_on_hyphens=False)
        return [
            *above,
            *(f"{pad}# {_safe(line)}" for line in wrapped),
            *(f"{pad}{_safe(line)}" for line in entry.below),
        ]
    is_pair = not (entry.key == "" and not entry.key_style)
    return above + (_pair_lines(entry, indent) if is_pair else _item_lines(entry, indent))


def _pair_lines(entry: Entry, indent: int) -> list[str]:
    head = f"{' ' * indent}{scalar_text(entry.key, entry.key_style, 'key')}:"
    beside = f"  {_safe(entry.beside)}" if entry.beside else ""
    inline = _inline(entry.value, len(head) + 1)
    if inline is not None:
        return [f"{head} {inline}".rstrip(" ") + beside]
    if isinstance(entry.value, Scalar):
        return _literal_lines(f"{head} ", entry.value, indent + 2, beside)
    if not entry.value.pairs():  # with nothing but comments below it, the key would have no value
        empty = "{}" if isinstance(entry.value, Map) else "[]"
        return [*_lines(entry.value, indent), f"{head} {empty}{beside}"]
    return [head + beside, *_lines(entry.value, indent + 2)]


def _item_lines(entry: Entry, indent: int) -> list[str]:
    pad, beside = " " * indent, f"  {_safe(entry.beside)}" if entry.beside else ""
    inline = _inline(entry.value, indent + 2)
    if inline is not None:
        return [f"{pad}- {inline}".rstrip(" ") + beside]
    if isinstance(entry.value, Scalar):
        return _literal_lines(f"{pad}- ", entry.value, indent + 2, beside)
    lines = _lines(entry.value, indent + 2)
    first = next((index for index, line in enumerate(lines) if line and line.lstrip(" ")[0] != "#"), len(lines))
    hoisted = [line and pad + line.lstrip(" ") for line in lines[:first]]
    if first == len(lines):
        return [*hoisted, f"{pad}- {{}}"]
    return [*hoisted, f"{pad}- {lines[first][indent + 2 :]}{beside}", *lines[first + 1 :]]


def _inline(value: Value, column: int) -> str | None:
    """The value on the line of its key; None when it needs lines of its own."""
    if isinstance(value, Scalar):
        return None if _is_literal(value) else scalar_text(value.text, value.style)
    if not value.entries:
        return "{}" if isinstance(value, Map) else "[]"
    if not value.flow or not _is_bare(value):
        return None
    text = flow_text(value)
    return text if column + len(text) <= _WIDTH + 2 else None


def _is_bare(value: Value) -> bool:
    """True when no comment stands anywhere inside."""
    if isinstance(value, Scalar):
        return True
    return all(
        isinstance(entry, Entry) and not entry.above and not entry.beside and _is_bare(entry.value)
        for entry in value.entries
    )


def flow_text(value: Value) -> str:
    """A value in one line, as `{a: [b]}`."""
    if isinstance(value, Scalar):
        return scalar_text(value.text, value.style, "flow") or "null"
    if isinstance(value, List):
        return f"[{', '.join(flow_text(item.value) for item in value.pairs())}]"
    pairs = (f"{scalar_text(pair.key, pair.key_style, 'flow')}: {flow_text(pair.value)}" for pair in value.pairs())
    return f"{{{', '.join(pairs)}}}"


# scalars


def scalar_text(text: str, style: str, place: str = "value") -> str:
    """One line of YAML for a text, in its own style if that can hold it. `place` is value, key or flow."""
    if style in ("|", ">"):
        style = "" if text not in NULL else "'"
    if style == "" and (not text or is_plain(text, place)):
        return text
    is_quote_heavy = style == "" and "'" in text and '"' not in text and "\\" not in text
    if style in ("", "'") and not is_quote_heavy and "\n" not in text and _prints(text):
        return "'" + text.replace("'", "''") + "'"
    return "".join(char if char.isprintable() else _yaml_escape(char) for char in json.dumps(text, ensure_ascii=False))


def _prints(text: str) -> bool:
    """Whether a text neither moves a terminal's cursor nor ends a line for any reader of YAML."""
    return all(char.isprintable() or char in "\t\n" for char in text)


def _yaml_escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x1_0000 else f"\\U{ord(char):08x}"


def _safe(comment: str) -> str:
    """One line of comment, whatever it quotes: to a reader of YAML a line ends at NEL, LS and PS too."""
    return "\t".join(map(printable, comment.split("\t")))


_CONTEXT = {"value": "k: {}", "key": "{}: v", "flow": "[{}]"}


@functools.lru_cache(maxsize=4096)
def is_plain(text: str, place: str) -> bool:
    """True when the text, written without quotes, reads as itself. (Readers differ about tabs, and ? in a flow.)"""
    if not text.isprintable() or text[:1] in ("[", "{") or (place == "flow" and "?" in text):
        return False
    try:
        node = yaml.compose(_CONTEXT[place].replace("{}", text), Loader=_Loader)
    except (yaml.YAMLError, ValueError):
        return False
    if not isinstance(node, yaml.CollectionNode) or len(node.value) != 1:
        return False
    found = node.value[0] if place == "flow" else node.value[0][place == "value"]
    return isinstance(found, yaml.ScalarNode) and not found.style and found.value == text


def _is_literal(value: Scalar) -> bool:
    """True for a text that can stand as a block of lines."""
    text = value.text
    return (
        value.style in ("|", ">")
        and "\n" in text
        and _prints(text)
        and "\r" not in text
        and "\x85" not in text
        and bool(text.strip())
        and text[0] not in " \n\t"
        and not any(line.strip() == "" and line for line in text.split("\n"))
    )


def _literal_lines(head: str, value: Scalar, indent: int, beside: str) -> list[str]:
    body = value.text.rstrip("\n")
    ends = len(value.text) - len(body)
    sign = {0: "-", 1: ""}.get(ends, "+")
    lines = [f"{' ' * indent}{line}" if line else "" for line in body.split("\n")]
    return [f"{head}|{sign}{beside}", *lines, *[""] * max(0, ends - 1)]
