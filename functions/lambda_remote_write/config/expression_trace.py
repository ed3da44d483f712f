"""Why an expression finds nothing: how far its path goes into a document, and what stands there instead.

An empty list is a fact, and so is an index or a filter on one. A key that is not there, or holds null, is an absence.
JMESPath itself does not tell the two apart: a projection drops what it does not find.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

_MAX_PATHS, _MAX_DEPTH = 500, 5  # of the paths among which the nearest is looked for
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_CLOSE = 0.5  # how alike two paths are before one is offered for the other, from 0 to 1


class Kind(Enum):
    """What following an expression came to."""

    FOUND = "there is a value"
    EMPTY = "an empty list on the way: there is nothing to find, and that is a fact"
    NOT_A_LIST = "something else stands where a list is expected"
    MISSING = "a key is not there, or holds null"


@dataclass(frozen=True, slots=True)
class Trace:
    """How far an expression went. `path` is the part of it that exists, `value` what stands there."""

    kind: Kind
    value: Any
    path: str = ""

    @property
    def is_absence(self) -> bool:
        return self.kind in (Kind.NOT_A_LIST, Kind.MISSING)


Node = Any
"""A parsed JMESPath expression, as jmespath.py has it: a dict of type, children, and a value in some."""


def first_of(traces: Iterable[Trace]) -> Trace | None:
    """The trace that speaks for several: what was found, else an empty list, else the first absence."""
    order = list(Kind)
    return min(traces, key=lambda one: order.index(one.kind), default=None)


def follow_names(names: Sequence[str], start: Trace) -> Trace:
    """Follows a plain dotted path."""
    at = _itself(None, start, None)
    for name in names:
        at = _field({"value": name}, at, None)
        if at.kind is not Kind.FOUND:
            return at
    return at


def follow(node: Node, at: Trace, using: Any = None) -> Trace:
    """Follows a parsed expression from what was found at `at`. `using` is the interpreter of its functions and words
    (expression_program.Interpreter)."""
    if using is None:
        from .expression_program import Interpreter  # only an expression that is no plain path needs it

        using = Interpreter()
    return _FOLLOWERS.get(node["type"], _evaluated)(node, at, using)


def flattened(at: Trace) -> Trace:
    """What `[]` makes of what was found."""
    if not isinstance(at.value, list):
        return Trace(Kind.NOT_A_LIST, at.value, at.path)
    items = [item for value in at.value for item in (value if isinstance(value, list) else (value,))]
    return Trace(Kind.FOUND, items, f"{at.path}[]") if items else Trace(Kind.EMPTY, [], at.path)


def _itself(_: Node, at: Trace, __: Any) -> Trace:
    return Trace(Kind.MISSING, None, at.path) if at.value is None else at


def _field(node: Node, at: Trace, _: Any) -> Trace:
    name = node["value"]
    if not isinstance(at.value, dict) or name not in at.value:
        return Trace(Kind.MISSING, at.value, at.path)
    found, path = at.value[name], joined(at.path, name)
    return Trace(Kind.MISSING if found is None else Kind.FOUND, found, path)


def _chain(node: Node, at: Trace, using: Any) -> Trace:
    """`a.b` and `a | b`."""
    for child in node["children"]:
        at = follow(child, at, using)
        if at.kind is not Kind.FOUND:
            return at
    return at


def _index(node: Node, at: Trace, _: Any) -> Trace:
    if not isinstance(at.value, list):
        return Trace(Kind.NOT_A_LIST, at.value, at.path)
    if not at.value:
        return Trace(Kind.EMPTY, [], at.path)
    try:
        found = at.value[node["value"]]
    except IndexError:
        return Trace(Kind.MISSING, at.value, at.path)
    path = f"{at.path}[{node['value']}]"
    return Trace(Kind.MISSING if found is None else Kind.FOUND, found, path)


def _slice(node: Node, at: Trace, _: Any) -> Trace:
    if not isinstance(at.value, list):
        return Trace(Kind.NOT_A_LIST, at.value, at.path)
    values = at.value[slice(*node["children"])]
    return Trace(Kind.FOUND if values else Kind.EMPTY, values, at.path)


def _flatten(node: Node, at: Trace, using: Any) -> Trace:
    inner = follow(node["children"][0], at, using)
    return flattened(inner) if inner.kind is Kind.FOUND else inner


def _list_at(node: Node, at: Trace, using: Any) -> Trace:
    """The list that a projection walks."""
    base = follow(node, at, using)
    is_other = base.kind is Kind.FOUND and not isinstance(base.value, list)
    return Trace(Kind.NOT_A_LIST, base.value, base.path) if is_other else base


def _projection(node: Node, at: Trace, using: Any) -> Trace:
    left, right = node["children"]
    base = _list_at(left, at, using)
    return _each(right, base.value, base.path, using) if base.kind is Kind.FOUND else base


def _filter(node: Node, at: Trace, using: Any) -> Trace:
    """A filter that lets nothing pass has looked at a list: an empty result is a fact."""
    left, right, condition = node["children"]
    base = _list_at(left, at, using)
    if base.kind is not Kind.FOUND:
        return base
    using.visit_elements(len(base.value))
    return _each(right, [item for item in base.value if is_true(using.or_none(condition, item))], base.path, using)


def _map_values(node: Node, at: Trace, using: Any) -> Trace:
    left, right = node["children"]
    base = follow(left, at, using)
    if base.kind is not Kind.FOUND:
        return base
    if not isinstance(base.value, dict):
        return Trace(Kind.MISSING, base.value, base.path)
    return _each(right, list(base.value.values()), f"{base.path}.*" if base.path else "*", using)


def _each(node: Node, items: list[Any], path: str, using: Any) -> Trace:
    """The rest of a projection on each item."""
    if not items:
        return Trace(Kind.EMPTY, [], path)
    if node["type"] == "identity":
        return Trace(Kind.FOUND, items, path)
    using.visit_elements(len(items))
    inside = path if path.endswith(("]", "*")) else f"{path}[]"
    traces = [follow(node, Trace(Kind.FOUND, item, inside), using) for item in items]
    best = first_of(traces)
    assert best is not None  # noqa: S101 - there are items
    if best.kind is not Kind.FOUND:
        return best
    return Trace(Kind.FOUND, [one.value for one in traces if one.kind is Kind.FOUND], best.path)


def _or(node: Node, at: Trace, using: Any) -> Trace:
    left = follow(node["children"][0], at, using)
    if left.kind is Kind.FOUND and is_true(left.value):
        return left
    right = follow(node["children"][1], at, using)
    if left.kind is Kind.FOUND:  # false, an empty text or object: the value is the right side's, null too
        return right
    return first_of([right, left]) or right


def _evaluated(node: Node, at: Trace, using: Any) -> Trace:
    """Functions, comparisons, literals: what jmespath makes of them; when that is null, which argument is, and why."""
    found = using.or_none(node, at.value)
    if found is not None:
        return Trace(Kind.FOUND, found, at.path)
    inner = [child for child in node["children"] if isinstance(child, dict) and child["type"] not in _VALUES]
    traces = (follow(child, at, using) for child in inner)
    return next((one for one in traces if one.kind is not Kind.FOUND), Trace(Kind.MISSING, at.value, at.path))


def _word(node: Node, at: Trace, using: Any) -> Trace:
    """`$`, `^` and their kin: the path begins anew there."""
    found = using.or_none(node, at.value)
    return Trace(Kind.MISSING if found is None else Kind.FOUND, found, node["value"].text)


def _once(node: Node, at: Trace, using: Any) -> Trace:
    return follow(node["children"][0], at, using)


_VALUES = ("literal", "expref", "key_val_pair")
_FOLLOWERS: dict[str, Callable[[Node, Trace, Any], Trace]] = {
    "scope": _word,
    "once": _once,
    "field": _field,
    "subexpression": _chain,
    "index_expression": _chain,
    "pipe": _chain,
    "index": _index,
    "slice": _slice,
    "flatten": _flatten,
    "projection": _projection,
    "filter_projection": _filter,
    "value_projection": _map_values,
    "or_expression": _or,
    "identity": _itself,
    "current": _itself,
}


def is_true(value: Any) -> bool:
    """JMESPath's truth: null, false and what is empty are false; the number 0 is true."""
    return value is not None and value is not False and value not in ("", [], {})


# Paths


def joined(path: str, name: str) -> str:
    """A path and the key that comes next, quoted where JMESPath wants that."""
    key = name if _PLAIN_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)
    return f"{path}.{key}" if path else key


def nearest_path(wanted: str, value: Any, *, lists: bool) -> str:
    """The path in `value` that is most like `wanted`, of those that lead to lists (or to anything but lists and
    objects); "" when there is none."""
    found = [(path, one) for path, one in _paths(value) if one is not None and isinstance(one, list) == lists]
    paths = [path for path, one in found if lists or not isinstance(one, dict)]
    best = max(paths, key=lambda path: _likeness(wanted, path), default="")
    return best if best and (_likeness(wanted, best) >= _CLOSE or len(paths) == 1) else ""


def _likeness(wanted: str, path: str) -> float:
    whole = difflib.SequenceMatcher(None, _bare(wanted), _bare(path)).ratio()
    last = difflib.SequenceMatcher(None, _bare(_last(wanted)), _bare(_last(path))).ratio()
    return max(whole, last)


def _bare(path: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", path.lower())


def _last(path: str) -> str:
    return path.rstrip("[]").rpartition(".")[2]


def _paths(value: Any) -> Iterator[tuple[str, Any]]:
    """Paths and what they lead to, the shortest first; of a list, those of its first object."""
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    for _ in range(_MAX_PATHS):
        if not waiting:
            return
        path, one, depth = waiting.pop(0)
        if path:
            yield path, one
        if depth < _MAX_DEPTH:
            waiting += [(inner, item, depth + 1) for inner, item in _inside(path, one)]


def _inside(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in list(value.items())[:_MAX_PATHS]:
            yield joined(path, str(name)), item
    elif isinstance(value, list):
        first = next((item for item in value if isinstance(item, dict)), None)
        if first is not None:
            yield f"{path}[]", first
