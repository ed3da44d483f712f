"""A body that is a Go template with Sprig's functions, which json_exporter fills with the parameters of Prometheus's
request -> a body of ours, whose `{now}` and `{label.NAME}` are filled for each request here.

Only single values are translated: no variables, conditions or loops.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .jsonpath import Untranslatable

_ACTION = re.compile(r"""\{\{(-\s)?((?:"(?:\\.|[^"\\])*"|`[^`]*`|[^"`}]|\}(?!\}))*?)(\s-)?\}\}""", re.S)
_TOKEN = re.compile(
    r"""(?P<blank>\s+)|(?P<text>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<number>-?\d+)|(?P<name>[A-Za-z_]\w*)"""
    r"""|(?P<field>\.[A-Za-z_]\w*)|(?P<sign>[|()])"""
)
_COMMENT = re.compile(r"/\*.*\*/", re.S)
_PERIOD = re.compile(r"-(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_LAYOUT = {
    "2006": "%Y", "January": "%B", "Jan": "%b", "Monday": "%A", "Mon": "%a", "-0700": "%z", "01": "%m", "02": "%d",
    "15": "%H", "03": "%I", "04": "%M", "05": "%S", "06": "%y", "PM": "%p", "%": "%%",
}  # fmt: skip
_LAYOUT_PART = re.compile(rf"{'|'.join(sorted(_LAYOUT, key=len, reverse=True))}|Z(?:07:?00)?|MST|[_.,]?\d+")
"""What Go's layouts replace; what stands here and not in `_LAYOUT` has no counterpart."""

_MILLISECONDS = ("2006-01-02T15:04:05.000Z", "2006-01-02T15:04:05.000Z07:00")  # as `rfc3339` writes a time

Parameters = Callable[[str], Sequence[str]]
"""The values of a parameter of the request; there may be none. Raises Untranslatable when they are not known."""


class Template(str):
    """Text in which something may be filled for each request."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class _Moment:
    """So many seconds before now. `zone` is empty for that of json_exporter's machine."""

    seconds: int = 0
    zone: str = ""


@dataclass(slots=True)
class Body:
    """A body of ours. `format` and `zone` say how it writes times, `variables` are those whose values it holds."""

    text: str = ""
    format: str = ""
    zone: str = ""
    variables: list[str] = field(default_factory=list)


def without_actions(text: str) -> str:
    """What json_exporter sends as it stands."""
    return _ACTION.sub("", text)


def translated(content: str, parameters: Parameters) -> Body:
    """Raises Untranslatable, with the action that has no counterpart."""
    body, end, trims = Body(), 0, False
    for match in _ACTION.finditer(content):
        before = _trimmed(content[end : match.start()], left=trims, right=bool(match[1]))
        body.text += before + _filled(match[2].strip(), body, parameters)
        end, trims = match.end(), bool(match[3])
    rest = _trimmed(content[end:], left=trims, right=False)
    if "{{" in rest:
        raise Untranslatable(f"{rest[rest.index('{{') :]!r:.60} is never closed")
    body.text += rest
    return body


def _trimmed(text: str, *, left: bool, right: bool) -> str:
    text = text.lstrip() if left else text
    return text.rstrip() if right else text


def _filled(action: str, body: Body, parameters: Parameters) -> str:
    """What an action puts into the text."""
    if _COMMENT.fullmatch(action):
        return ""
    try:
        return _printed(_Action(action, body, parameters).value())
    except (TypeError, ValueError, IndexError) as error:
        detail = f": {error}" if isinstance(error, Untranslatable) else ""
        raise Untranslatable(f"{{{{ {action:.60} }}}} has no counterpart{detail}") from None


def _printed(value: Any) -> str:
    """As Go's templates write it."""
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, tuple):
        return f"[{' '.join(value)}]"
    raise Untranslatable("it has no value" if value is None else "it is no text")


class _Action:
    """Evaluates the pipeline of one action."""

    def __init__(self, action: str, body: Body, parameters: Parameters) -> None:
        self._tokens = [*_tokens(action)]
        self._body, self._parameters = body, parameters

    def value(self) -> Any:
        found = self._pipeline()
        if self._tokens:
            raise Untranslatable(f"{self._tokens[0][1]!r} is not expected")
        return found

    def _pipeline(self) -> Any:
        found = self._command([])
        while self._take("|"):
            found = self._command([found])
        return found

    def _command(self, piped: list[Any]) -> Any:
        """A function with its arguments, of which the piped one is the last, or a single value."""
        function, operands = "", []
        first, second = ([kind for kind, _ in self._tokens[:2]] + ["", ""])[:2]
        if first == "name" and second != "method":
            _, function = self._tokens.pop(0)
        while self._tokens and self._tokens[0][1] not in ("|", ")"):
            operands.append(self._operand())
        if function:
            return self._call(function, [*operands, *piped])
        (found,) = [*operands, *piped]
        return found

    def _operand(self) -> Any:
        found = self._term(*self._tokens.pop(0))
        while self._tokens and self._tokens[0][0] == "method":
            _, method = self._tokens.pop(0)
            found = self._call("date", [self._operand(), found]) if method == ".Format" else self._call(method, [found])
        return found

    def _term(self, kind: str, text: str) -> Any:
        match kind:
            case "text":
                return json.loads(text) if text.startswith('"') else text[1:-1]
            case "number":
                return int(text)
            case "field":
                return tuple(self._parameters(text[1:]))
            case "name":
                return self._call(text, [])
        if text != "(":
            raise Untranslatable(f"{text!r} is not expected")
        found = self._pipeline()
        if not self._take(")"):
            raise Untranslatable("a bracket that is never closed")
        return found

    def _take(self, sign: str) -> bool:
        found = bool(self._tokens) and self._tokens[0] == ("sign", sign)
        if found:
            self._tokens.pop(0)
        return found

    def _call(self, name: str, arguments: list[Any]) -> Any:
        """Functions of the body's own values; others are in `_FUNCTIONS`."""
        match name, arguments:
            case ("date", [layout, _Moment() as moment]):
                return self._stamp(moment, _format(layout, moment.zone))
            case ("dateInZone" | "date_in_zone", [layout, _Moment() as moment, zone]):
                return self._stamp(replace(moment, zone=zone), _format(layout, zone))
            case ("htmlDate", [_Moment() as moment]):
                return self._stamp(moment, "%Y-%m-%d")
            case ("unixEpoch" | ".Unix", [_Moment() as moment]):
                return self._stamp(replace(moment, zone="UTC"), "unix")
            case (".UnixMilli", [_Moment() as moment]):
                return self._stamp(replace(moment, zone="UTC"), "unix_ms")
            case ("env", [variable]):
                self._body.variables.append(variable)
                return Template(f"{{ref.{variable}}}")
        if name not in _FUNCTIONS:
            raise Untranslatable(name.removeprefix("."))
        return _FUNCTIONS[name](*arguments)

    def _stamp(self, moment: _Moment, written: str) -> Template:
        """A time in the text; all have one format."""
        known = (self._body.format, self._body.zone)
        if known[0] and known != (written, moment.zone):
            raise Untranslatable("all times of a body have one format here")
        self._body.format, self._body.zone = written, moment.zone
        hours, rest = divmod(moment.seconds, 3600)
        parts = ((hours, "h"), (rest // 60, "m"), (rest % 60, "s"))
        before = "".join(f"{count}{unit}" for count, unit in parts if count)
        return Template(f"{{now-{before}}}" if before else "{now}")


def _tokens(action: str) -> Iterator[tuple[str, str]]:
    """Kinds and texts; a method is a field that follows something without a blank."""
    place, before = 0, ""
    while place < len(action):
        match = _TOKEN.match(action, place)
        if not match:
            raise Untranslatable(f"{action[place]!r} is not read")
        kind, text = str(match.lastgroup), match[0]
        if kind == "field" and before in ("name", "field", "method", ")"):
            kind = "method"
        if kind != "blank":
            yield kind, text
        place, before = match.end(), ")" if text == ")" else kind


# functions


def _constant(text: Any) -> str:
    if isinstance(text, Template) or not isinstance(text, str):
        raise Untranslatable("it is no constant text")
    return text


def _modified(period: str, moment: _Moment) -> _Moment:
    """Go's durations; a time in the future has no counterpart."""
    match = _PERIOD.fullmatch(period)
    if not match or not isinstance(moment, _Moment):
        raise Untranslatable(f"{period!r} is no time before now")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return replace(moment, seconds=moment.seconds + 3600 * hours + 60 * minutes + seconds)


def _format(layout: str, zone: str) -> str:
    """A layout of Go as a format of ours."""
    if zone in ("", "UTC") and layout in _MILLISECONDS:
        return "rfc3339"

    def directive(match: re.Match[str]) -> str:
        part = match[0]
        if part[0] in "ZM" and zone in ("", "UTC") and part not in _LAYOUT:
            return "UTC" if part == "MST" else "Z"
        if part not in _LAYOUT and part.strip("0"):
            raise Untranslatable(f"{part!r} of the layout {layout!r}")
        return _LAYOUT.get(part, part)

    return _LAYOUT_PART.sub(directive, layout)


def _duration(seconds: str | int) -> str:
    """As Go prints it: `1m35s`. Sprig reads seconds in a text only."""
    hours, rest = divmod(int(seconds) if isinstance(seconds, str) else 0, 3600)
    minutes, rest = divmod(rest, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest}s"


def _quoted(text: str) -> str:
    if not isinstance(text, str):
        raise Untranslatable("it is no text")
    return Template(json.dumps(text, ensure_ascii=False))


def _joined(separator: str, values: tuple[str, ...]) -> str:
    return Template(separator.join(values))


def _in_utc(moment: _Moment) -> _Moment:
    return replace(moment, zone="UTC")


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "now": lambda: _Moment(),
    "dateModify": _modified,
    "date_modify": _modified,
    ".UTC": _in_utc,
    "first": lambda values: values[0] if values else None,
    "last": lambda values: values[-1] if values else None,
    "index": lambda values, index: values[int(index)],
    "join": _joined,
    "default": lambda other, value: value or other,
    "duration": _duration,
    "quote": _quoted,
    "toJson": lambda value: Template(json.dumps(value, ensure_ascii=False, separators=(",", ":"))),
    "toString": lambda value: value,
    "upper": lambda text: _constant(text).upper(),
    "lower": lambda text: _constant(text).lower(),
    "trim": lambda text: _constant(text).strip(),
}
