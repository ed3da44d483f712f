"""json_exporter's JSONPath (the Kubernetes dialect, inside templates) -> the JMESPath of our expressions.

A template is text with actions in braces. What has no JMESPath counterpart raises Untranslatable, with its name:
nothing is translated into something that would find other values.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import NoReturn

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_FIELD = re.compile(r"\.((?:\\.|[^\s.,\[\]$@{}\\])*)")
_INDEX = re.compile(r"-?\d*")  # `[]` is a slice from 0, and a slice without a second number is one value
_SLICE = re.compile(r"(-?\d*):(-?\d*)(?::(-?\d*))?")
_COMPARISON = re.compile(r"([^!<>=]+?)\s*(==|!=|<=|>=|<|>)\s*([^=~].*)", re.S)
_CONDITIONS = re.compile(r"""&&|\|\||(?:"[^"]*"|'[^']*'|(?!&&|\|\|).)+""", re.S)
_INTEGER_SIDE = re.compile(r"^\s*[-+]?\d+\s*[!<>=]|[!<>=]\s*[-+]?\d+\s*$")
"""A comparison with an integer. JSON has no integers for Go, and its templates compare no float with one."""
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?")
_QUOTED = re.compile(r"""(['"])((?:(?!\1)[^\\]|\\.)*)\1""")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
TRUTHS = dict.fromkeys(("t", "T", "true", "TRUE", "True"), "1") | dict.fromkeys(
    ("f", "F", "false", "FALSE", "False"), "0"
)
"""What Go's ParseBool takes for a truth, apart from 0 and 1."""
NULL = "`null`"


class Untranslatable(ValueError):
    """The text says something that our expressions cannot; the message names it."""


@dataclass(slots=True)
class Path:
    """One action as JMESPath. `depth` is 0 for at most one result, else the number of steps that give several, each
    of which nests the lists. `groups` are the same steps apart, each with one that gives several, for `records`."""

    text: str = ""
    depth: int = 0
    groups: tuple[str, ...] = ()
    begins_with_index: bool = False
    is_there: str = ""
    """A condition: the path finds something, which may be null. Empty where only null tells that it does not."""
    compares: bool = False
    """True for a filter that compares: json_exporter fails when a record lacks what is compared."""
    only_here: bool = False
    """True when json_exporter fails in any case where our expression finds something."""

    @property
    def flat(self) -> str:
        """All results in one list."""
        return self.text + "[]" * max(0, self.depth - 1)


Template = tuple[str | Path, ...]


# what the converter asks for


def value_expression(text: str) -> str:
    """A template whose text becomes a number. Raises Untranslatable."""
    match parse_template(text.strip()):
        case [Path() as path]:
            return f"{path.flat} | [0]" if path.depth else path.text
        case template if any(isinstance(part, Path) for part in template):
            return _joined(template)
        case constant:
            return _number("".join(map(str, constant)))


def label_expression(text: str, *, exact: bool = False) -> str:
    """A template whose text becomes a label value; empty when it is always empty. `exact`: null is the text null, and a
    list or an object is JSON, as in json_exporter. Raises Untranslatable."""
    match parse_template(text):
        case [Path(depth=0) as path] if exact:
            return f"{path.is_there or f'{path.text} != {NULL}'} && to_string({path.text}) || {NULL}"
        case [Path() as path]:
            return _all_of(path) if path.depth else path.text
        case template if any(isinstance(part, Path) for part in template):
            return _joined(template, exact=exact)
        case constant:
            return quoted("".join(map(str, constant))) if constant else ""


def single_path(text: str, what: str) -> Path:
    """A template that is one action and nothing else. Raises Untranslatable."""
    match parse_template(text.strip()):
        case [Path() as path]:
            return path
    raise Untranslatable(f"{what} is not one path in braces")


def paths_of(text: str) -> list[Path]:
    """The paths of a template; none when it cannot be translated."""
    try:
        return [part for part in parse_template(text.strip()) if isinstance(part, Path)]
    except Untranslatable:  # said where the text is translated
        return []


def _number(constant: str) -> str:
    text = TRUTHS.get(constant, constant)
    if re.fullmatch(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?", text, re.ASCII):
        return text
    if re.fullmatch(r"(?i)[-+]?(?:inf|infinity)|nan", text):
        return quoted(text)
    raise Untranslatable(f"the text {constant!r:.60} is no number and no path: a path stands in braces, as {{.a}}")


def quoted(text: str) -> str:
    """A constant text as an expression."""
    if "'" not in text and "\\" not in text:
        return f"'{text}'"
    return "`" + json.dumps(text, ensure_ascii=False).replace("`", "\\`") + "`"


def _all_of(path: Path) -> str:
    """Several results, printed as they are: one blank between them."""
    values = path.flat.removesuffix("[*]") or "@" if path.depth == 1 else path.flat  # `[*]` leaves null out
    return f"join(' ', map(&to_string(@), {values}))"


def _joined(template: Template, *, exact: bool = False) -> str:
    """Text and paths side by side; nothing at all when one of the paths finds nothing."""
    parts, guards = [], []
    for part in template:
        if isinstance(part, str):
            parts.append(quoted(part))
        elif part.depth:
            parts.append(_all_of(part))
        else:
            parts.append(f"to_string({part.text})")
            guards.append((part.is_there if exact else "") or f"{part.text} != {NULL}")
    joined = f"join('', [{', '.join(parts)}])"
    return " && ".join([*dict.fromkeys(guards), joined]) + (f" || {NULL}" if guards else "")


# templates


def parse_template(text: str) -> Template:
    """Text and the actions in its braces. Raises Untranslatable."""
    parts: list[str | Path] = []
    rest = text
    while rest:
        before, brace, rest = rest.partition("{")
        if before:
            parts.append(before)
        if brace:
            action, rest = _until(rest, "}", "a brace that is never closed")
            parts.append(_action(action.strip()))
    return tuple(parts)


def _until(text: str, close: str, problem: str) -> tuple[str, str]:
    """Text up to a closing character that stands outside quotes, and the text after it."""
    quote = ""
    for index, char in enumerate(text):
        if quote:
            quote = "" if char == quote and text[index - 1] != "\\" else quote
        elif char in "'\"":
            quote = char
        elif char == close:
            return text[:index], text[index + 1 :]
    raise Untranslatable(problem)


def _action(action: str) -> str | Path:
    if re.match(r"(range|end)\b", action):
        raise Untranslatable("{range} … {end}: a list is walked by type: object, and a label holds one value")
    if literal := _QUOTED.fullmatch(action):
        return _unescaped(literal)
    if _NUMBER.fullmatch(action) or action in ("true", "false"):
        return action
    return _PathReader(action).path()


def _unescaped(match: re.Match[str]) -> str:
    return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), match[2])


# paths


class _PathReader:
    """Reads one path from left to right into JMESPath."""

    def __init__(self, action: str) -> None:
        self._action, self._rest = action, action
        self._path, self._group = Path(), ""
        self._groups: list[list[str]] = []  # each with its variants: `.*` goes into objects and lists

    def path(self) -> Path:
        while self._rest:
            self._step()
        groups = self._groups or [[self._group or "@"]]
        if self._groups:
            groups[-1] = [_after(variant, self._group) for variant in groups[-1]]
        self._path.text, self._path.groups = self._path.text or "@", tuple(map(" || ".join, groups))
        return self._path

    def _step(self) -> None:
        char = self._rest[0]
        if char in "$@ \t":  # they stand for where the path is anyway
            self._rest = self._rest[1:]
        elif self._rest.startswith(".."):
            self._fail("the recursive descent ..")
        elif char == ".":
            self._dotted()
        elif char == "[":
            self._path.begins_with_index = self._path.begins_with_index or not self._path.text
            self._bracket()
        else:
            self._fail(f"{self._action!r:.60}, which is no path (a path begins with a dot)")

    def _fail(self, what: str) -> NoReturn:
        raise Untranslatable(f"JMESPath has no counterpart for {what}")

    def _dotted(self) -> None:
        match = _FIELD.match(self._rest)
        name = match[1] if match else ""
        self._rest = self._rest[1 + len(name) :]
        if name == "*":
            self._several(".*")
        elif name:
            key = re.sub(r"\\(.)", r"\1", name)
            self._add(_name(key), key)
        elif self._rest and self._rest[0] not in "[ ":
            self._fail(f"{self._action!r:.60}")

    def _bracket(self) -> None:
        if self._rest.startswith("[?("):
            self._filter()
            return
        inside, self._rest = _until(self._rest[1:], "]", "a bracket that is never closed")
        parts = [part.strip() for part in inside.split(",")]
        if len(parts) > 1:
            self._union(parts)
        elif parts[0] == "*":
            self._several("[*]")
        elif name := _QUOTED.fullmatch(parts[0]):
            self._add(*_bracketed(name))
        elif _INDEX.fullmatch(parts[0]):
            self._add_index(int(parts[0] or 0))
        elif piece := _SLICE.fullmatch(parts[0]):
            self._slice(piece)
        else:
            self._fail(f"[{inside:.40}]")

    def _slice(self, piece: re.Match[str]) -> None:
        if piece[3] and int(piece[3]) <= 0:
            self._fail("a slice whose step is not positive")
        bounds = ":".join(part or "" for part in piece.groups()[: 3 if piece[3] else 2])
        self._several(f"[{bounds}]" if bounds != ":" else "[*]")

    def _union(self, parts: list[str]) -> None:
        names = []
        for part in parts:
            name = _QUOTED.fullmatch(part)
            if not name and not re.fullmatch(r"-?\d+", part):
                self._fail(f"[{', '.join(parts):.40}]")
            names.append(_bracketed(name)[0] if name else f"[{int(part)}]")
        self._several(f".[{', '.join(names)}][*]")

    def _filter(self) -> None:
        condition, self._rest = _until(self._rest[3:], ")", "a filter that is never closed")
        if not self._rest.startswith("]"):
            self._fail(f"the filter {condition:.60}")
        self._rest = self._rest[1:]
        path = self._path
        path.compares = path.compares or _COMPARISON.fullmatch(condition.strip()) is not None
        path.only_here = path.only_here or bool(_INTEGER_SIDE.search(_QUOTED.sub("''", condition)))
        self._several(f"[?{_condition(condition.strip())}]")

    def _add(self, piece: str, key: str = "") -> None:
        path = self._path
        path.is_there = f"contains(keys({path.text or '@'}), {quoted(key)})" if key else ""
        path.text, self._group = _after(path.text, piece), _after(self._group, piece)

    def _add_index(self, index: int) -> None:
        container = self._path.text or "@"
        self._add(f"[{index}]")
        self._path.is_there = f"length({container}) > `{index if index >= 0 else -index - 1}`"

    def _several(self, piece: str) -> None:
        """A step that gives several results."""
        variants = [piece, "[*]"] if piece == ".*" else [piece]
        self._groups.append([_after(self._group, variant) for variant in variants])
        self._path.text, self._group = _after(self._path.text, piece), ""
        self._path.depth += 1


def _after(text: str, piece: str) -> str:
    if not piece or piece.startswith("["):
        return text + piece
    piece = piece.removeprefix(".")
    return f"{text}.{piece}" if text else piece


def _name(name: str) -> str:
    return name if _IDENTIFIER.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _bracketed(match: re.Match[str]) -> tuple[str, str]:
    """A quoted key as JMESPath, and the key when it is a plain one. json_exporter takes the dot in `['a.b']` for a
    step, people mean the key: here it is whichever there is. A backslash makes it the key."""
    written = match[2]
    key = re.sub(r"\\(.)", r"\1", written)
    if key != written or "." not in written.strip("."):
        return _name(key), key
    return f"not_null({_name(written)}, {'.'.join(_name(step) for step in written.split('.'))})", ""


# filters


def _condition(text: str) -> str:
    """What stands in `[?(…)]`: a comparison, or a path that has to exist."""
    if len(parts := _CONDITIONS.findall(text)) > 1:
        written = " ".join(part if part in ("&&", "||") else _condition(part.strip()) for part in parts)
        raise Untranslatable(f"a filter compares once, and this one does more: in JMESPath it is [?{written}]")
    comparison = _COMPARISON.fullmatch(text)
    if comparison is None:
        if re.search(r"[!<>=~]", _QUOTED.sub("", text)):
            raise Untranslatable(f"JMESPath has no counterpart for the filter {text!r:.60}")
        return f"{_operand(text)[0]} != {NULL}"
    left, right, operator = _operand(comparison[1]), _operand(comparison[3]), comparison[2]
    if operator not in ("==", "!=") and "text" in (left[1], right[1]):
        raise Untranslatable(
            "JMESPath compares texts with == and != only, not by their order: take all records, and drop some by "
            "metric_relabel_configs"
        )
    detail = f"{left[0]} {operator} {right[0]}"
    if operator != "!=":
        return detail
    present = [f"{text} != {NULL}" for text, kind in (left, right) if kind == "path"]
    return " && ".join([*present, detail])


def _operand(text: str) -> tuple[str, str]:
    """One side of a comparison as JMESPath, and its kind: path, text or constant."""
    text = text.strip()
    if literal := _QUOTED.fullmatch(text):
        return quoted(_unescaped(literal)), "text"
    if _NUMBER.fullmatch(text):
        return f"`{text.lstrip('+').rstrip('.')}`", "constant"
    if text in ("true", "false"):
        return f"`{text}`", "constant"
    path = _PathReader(text).path()
    if path.depth:
        raise Untranslatable("a filter compares one value, not a list of them")
    return path.text, "path"
