"""Tree -> YAML text, written by ruamel.yaml: scalars keep the quoting they had wherever it can hold them, and comments
stand where the tree has them."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable
from typing import Any

from ruamel.yaml import events
from ruamel.yaml.emitter import Emitter
from ruamel.yaml.error import StringMark
from ruamel.yaml.main import YAML
from ruamel.yaml.tag import Tag
from ruamel.yaml.tokens import CommentToken

from lambda_remote_write.config.scalars import NULL
from lambda_remote_write.report.mask import printable

from .tree import Comment, Entry, List, Map, Scalar, Value

_WIDTH = 118
_TEXT = Tag(suffix="tag:yaml.org,2002:str")
_NOTHING = "-"  # the style in which ruamel.yaml writes an empty text without quotes
_BLOCKS = {
    Map: (events.MappingStartEvent, events.MappingEndEvent),
    List: (events.SequenceStartEvent, events.SequenceEndEvent),
}


class _Emitter(Emitter):
    """Escapes a text that would move a terminal's cursor, or end a line for some reader of YAML."""

    MAX_SIMPLE_KEY_LENGTH = 1_000  # a longer key stands after a `?`, because YAML takes 1,024 characters

    def analyze_scalar(self, scalar: str) -> Any:
        self.allow_unicode = _prints(scalar)
        found = super().analyze_scalar(scalar)
        # Readers differ about a ? in a flow, and about a : that begins a text there.
        found.allow_flow_plain = found.allow_flow_plain and "?" not in scalar and not scalar.startswith(":")
        return found


def render(top: Map) -> str:
    """The text of a whole file, with an empty line between its sections."""
    lines: list[str] = []
    for entry in top.entries:
        is_section = isinstance(entry, Entry)
        found = _written(Map([entry])).splitlines() if is_section else [*map(_safe, _lines_of(entry, 0))]
        is_apart = is_section or (entry.text and lines and not lines[-1].startswith("#"))
        if lines and lines[-1] and found and found[0] and is_apart:
            lines.append("")
        lines += found
    return "\n".join(lines).strip("\n") + "\n"


def commented(value: Value) -> list[str]:
    """What was dropped, as lines of comment for its place."""
    return [_safe(f"# {line}".rstrip(" ")) for line in textwrap.dedent(_written(value)).splitlines()]


def flow_text(value: Value) -> str:
    """A value in one line, as `{a: [b]}`."""
    return _written(value, in_flow=True).strip("\n")


def _written(value: Value, *, in_flow: bool = False) -> str:
    stream, yaml = io.StringIO(), YAML()
    yaml.Emitter, yaml.width = _Emitter, 1_000_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    _, found = _events(value, -2, in_flow=in_flow)
    begin, end = [events.StreamStartEvent(), events.DocumentStartEvent()], [events.DocumentEndEvent()]
    yaml.emit([*begin, *found, *end, events.StreamEndEvent()], stream)
    return stream.getvalue()


def _events(
    value: Value, column: int, beside: str = "", *, is_item: bool = False, in_flow: bool = False
) -> tuple[list[str], list[events.Event]]:
    """The comments that have to stand above a value, and the value as ruamel.yaml's events. Above stand those with
    which an item of a list begins, and those of a block that has nothing else. `column` is that of its key or dash."""
    if isinstance(value, Scalar):
        style = _style(value, in_flow=in_flow)
        if style == "|" and beside:  # in the line of the | it would be a part of the text
            return [beside], [_scalar(value.text, style, "", in_flow)]
        return [], [_scalar(value.text, style, beside, in_flow)]
    is_list = isinstance(value, List)
    column += 4 if is_item and is_list else 2
    flow = in_flow or not value.pairs() or (value.flow and _fits(value, column))
    found: list[events.Event] = []
    above: list[str] = []
    lines: list[str] = []
    for entry in value.entries:
        lines += _lines_of(entry, column)
        if isinstance(entry, Comment):
            continue
        leading, inner = _events(entry.value, column, entry.beside, is_item=is_list, in_flow=flow)
        if not is_list:
            inner.insert(0, _scalar(entry.key, entry.key_style, "", flow))
        lines += leading
        if is_item and not found:
            above, lines = lines, []
        inner[0].comment = inner[0].comment[0], _above(lines, column)
        found, lines = found + inner, []
    if not found:
        above, lines = lines, []
    begin, end = _BLOCKS[type(value)]
    first = begin(None, None, True, flow_style=flow, comment=_beside("" if flow else beside))
    return above, [first, *found, end(comment=_beside(beside) if flow else (None, _above(lines, column)))]


def _fits(value: Map | List, column: int) -> bool:
    """Whether a value can stand in one line: there is no comment anywhere inside."""
    return _is_bare(value) and column + len(flow_text(value)) <= _WIDTH


def _is_bare(value: Value) -> bool:
    return isinstance(value, Scalar) or all(
        isinstance(entry, Entry) and not entry.above and not entry.beside and _is_bare(entry.value)
        for entry in value.entries
    )


# scalars


def _scalar(text: str, style: str, beside: str, in_flow: bool) -> events.ScalarEvent:
    if not text and not style:
        text, style = ("null", "") if in_flow else ("", _NOTHING)
    return events.ScalarEvent(None, _TEXT, (True, True, True), text, style=style, comment=_beside(beside))


def _style(value: Scalar, *, in_flow: bool) -> str:
    if value.style not in ("|", ">"):
        return value.style
    text = value.text
    is_block = "\n" in text and text[0] not in " \n" and not text.endswith("\n\n") and _prints(text)
    if is_block and not in_flow:
        return "|"
    return "'" if value.text in NULL else ""


def _prints(text: str) -> bool:
    """Whether a text neither moves a terminal's cursor nor ends a line for any reader of YAML."""
    return all(line.isprintable() for line in text.split("\n"))


# comments


def _lines_of(entry: Entry | Comment, column: int) -> list[str]:
    """What stands above an entry, or what a comment of ours says."""
    if isinstance(entry, Entry):
        return entry.above
    wrapped = textwrap.wrap(entry.text, max(40, _WIDTH - column), break_long_words=False, break_on_hyphens=False)
    return [*entry.above, *(f"# {line}" for line in wrapped), *entry.below]


_Comments = tuple[CommentToken | None, list[CommentToken] | None]
"""As ruamel.yaml takes them: what stands beside something, and what stands above."""


def _beside(comment: str) -> _Comments:
    return (_token(f" {comment}", 0) if comment else None), None


def _above(lines: Iterable[str], column: int) -> list[CommentToken] | None:
    return [_token(line, column if line else 0) for line in lines] or None


def _token(line: str, column: int) -> CommentToken:
    return CommentToken(f"{_safe(line)}\n", StringMark("", 0, 0, column, "", 0), None)


def _safe(comment: str) -> str:
    """One line of comment, whatever it quotes: to a reader of YAML a line ends at NEL, LS and PS too."""
    return "\t".join(map(printable, comment.split("\t")))
