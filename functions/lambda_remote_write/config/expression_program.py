"""Expressions that are more than a dotted path: parsed by jmespath's parser, evaluated by its interpreter, with the
words of expression_words.py and the functions of expression_functions.py. Loaded by configs that have one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jmespath.exceptions import ParseError
from jmespath.parser import Parser as StandardParser
from jmespath.visitor import Options, TreeInterpreter, _is_comparable

from .expression_context import Columns, Document, ExpressionFailed, Failure, Position, Rows, word_value
from .expression_functions import TABLES, Functions, Lookups, arity, time_format, weight
from .expression_words import Scope, Word, tokens
from .shown_json import shown

Node = dict[str, Any]


class Program:
    """A parsed expression. `parsed` is jmespath's tree, with nodes of type `scope` for words, and of type `once` around
    what is the same for all records of a document or group."""

    def __init__(self, text: str, found: Sequence[Word]) -> None:
        """`found` are the words in it. Raises jmespath's errors, ValueError for a wrong call, and RecursionError."""
        self.parsed: Node = _Parser().parsed(text, found)
        _check_calls(self.parsed)
        self.words = tuple(found)
        self.parsed = _with_once(self.parsed)
        if self.parsed["type"] == "once" and self.parsed["children"][0].get("value") in TABLES:
            self.parsed = self.parsed["children"][0]  # the interpreter looks for it at the top

    def calls(self, name: str) -> bool:
        """Whether a function of this name is called in it."""
        return any(one["type"] == "function_expression" and one["value"] == name for one in _nodes(self.parsed))

    @property
    def unlikely_keys(self) -> Iterator[str]:
        """What is compared with a key that was hardly meant as one: `state == "ok"`, `active == true`."""
        for node in _nodes(self.parsed):
            if node["type"] == "comparator" and (detail := _unlikely_key(bare(node["children"][1]))):
                yield detail

    @property
    def is_of_operands(self) -> bool:
        """Whether operands stand side by side in it, so that a prefix is the first one's alone: `a || b`."""
        node = bare(self.parsed)
        while node["type"] == "pipe":
            node = bare(node["children"][0])
        return node["type"] in ("or_expression", "and_expression", "comparator")

    def interpreter(self, position: Position | None = None, failures: list[Failure] | None = None) -> Interpreter:
        return Interpreter(position, failures)


class _Parser(StandardParser):  # type: ignore[misc]  # jmespath has no types
    BINDING_POWER = {**StandardParser.BINDING_POWER, "scope": 0}  # noqa: RUF012 - as jmespath has it

    def parsed(self, text: str, found: Sequence[Word]) -> Node:
        self._tokens, self._index = list(tokens(text, found)), 0
        try:
            tree: Node = self._expression(binding_power=0)
            if self._current_token() != "eof":
                token = self._lookahead_token(0)
                detail = f"Unexpected token: {token['value']}"
                raise ParseError(token["start"], token["value"], token["type"], detail)
        except ParseError as error:
            error.expression = text
            raise
        return tree

    def _token_nud_quoted_identifier(self, token: Mapping[str, Any]) -> Node:
        found: Node = super()._token_nud_quoted_identifier(token)
        return found | {"is_quoted": True}

    def _token_nud_scope(self, token: Mapping[str, Any]) -> Node:
        return {"type": "scope", "children": [], "value": token["word"]}


def bare(node: Node) -> Node:
    """A node without the `once` around it."""
    return node["children"][0] if node["type"] == "once" else node


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _nodes(child)


def _unlikely_key(right: Node) -> str:
    name = right.get("value")
    if right["type"] != "field":
        return ""
    if right.get("is_quoted"):
        return f"\"{name:.40}\" in double quotes is a key; a text stands in single quotes: '{name:.40}'"
    return f"{name} is a key here; the boolean stands in backticks: `{name}`" if name in ("true", "false") else ""


# Calls


def _check_calls(tree: Node) -> None:
    """Names, argument counts and constant formats, which jmespath itself looks at only when it runs."""
    for node in _nodes(tree):
        if node["type"] == "function_expression":
            _check_call(node["value"], node["children"])


def _check_call(name: str, arguments: list[Node]) -> None:
    if name not in Functions.FUNCTION_TABLE:
        near = difflib.get_close_matches(name, Functions.FUNCTION_TABLE, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise ValueError(f"there is no function {name}{hint}")
    (least, most), given = arity(name), len(arguments)
    if given < least or (most is not None and given > most):
        takes = f"at least {least}" if most is None else f"{least}" if least == most else f"{least} to {most}"
        raise ValueError(f"{name} takes {takes} argument{'s' if (most or least) != 1 else ''}, not {given}")
    if name == "time":
        _check_format(*(one["value"] if one["type"] == "literal" else None for one in arguments[1:]))


def _check_format(name: Any = "rfc3339", timezone: Any = "") -> None:
    """A format and a zone of `time`, where they are constants (else None)."""
    for given, part in ((name, "format"), (timezone, "time zone")):
        if given is not None and not isinstance(given, str):
            raise ValueError(f"time expects its {part} as a text")
    if name is not None:
        _checked(f"the format {name!r:.60} of time", name, "")
    if timezone:
        _checked(f"the time zone {timezone!r:.60} of time", "rfc3339", timezone)


def _checked(what: str, name: str, timezone: str) -> None:
    try:
        time_format(name, timezone)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None


# What is evaluated once

_WALKS = ("projection", "filter_projection", "value_projection", "flatten")
_CHAINS = ("subexpression", "index_expression", "pipe", *_WALKS)
_COMBINED = ("or_expression", "and_expression", "not_expression", "comparator", "function_expression")
_EQUALITY = ("eq", "ne")
_COSTLY = (*_WALKS, "function_expression")


def _with_once(node: Node) -> Node:
    """The tree with a `once` around each largest part that costs something and looks at nothing of the record."""
    if _is_apart(node) and any(one["type"] in _COSTLY for one in _nodes(node)):
        found = [one["value"] for one in _nodes(node) if one["type"] == "scope"]
        if not any(one.scope in (Scope.KEY, Scope.INDEX) and not one.levels for one in found):
            of_document = all(one.is_of_answer for one in found)
            return {"type": "once", "children": [node], "value": "document" if of_document else "group"}
    children = [_with_once(child) if isinstance(child, dict) else child for child in node["children"]]
    return {**node, "children": children}


def _is_apart(node: Node) -> bool:
    """Whether a node does not look at the value that it is evaluated on."""
    kind, children = node["type"], node["children"]
    if kind in ("scope", "literal"):
        return True
    if kind in _CHAINS:
        return _is_apart(children[0])
    return kind in _COMBINED and all(one["type"] == "expref" or _is_apart(one) for one in children)


# Evaluation


class Interpreter(TreeInterpreter):  # type: ignore[misc]  # jmespath has no types
    """Evaluates one expression at one position, whose `key` and `index` may change from record to record. Bad elements
    of projections and filters go to `failures`, and the others stay; without that list one fails the expression."""

    def __init__(self, position: Position | None = None, failures: list[Failure] | None = None) -> None:
        position = position or Position(Document(None))
        document = position.document
        lookups = document.memo.setdefault(id(Lookups), Lookups())
        self._calls = Functions(document.evaluation, lookups, failures)
        super().__init__(Options(custom_functions=self._calls))
        self.position, self.visit_elements = position, document.evaluation.visit
        self._of_group: dict[int, Any] = {}
        self._table: Node | None = None

    def found(self, tree: Node, value: Any) -> Any:
        """What an expression finds. Raises ExpressionFailed and BudgetExceeded."""
        try:
            return self.visit(tree, value)
        except RecursionError:
            raise ExpressionFailed("the value is nested too deeply") from None

    def records(self, tree: Node, value: Any) -> Any:
        """The same for a step of `records`: the result of `columns` and `rows` stays in columns."""
        self._table = tree
        return self.found(tree, value)

    def or_none(self, tree: Node, value: Any) -> Any:
        """The same for messages; None where it cannot be applied. Raises BudgetExceeded."""
        try:
            return self.found(tree, value)
        except ExpressionFailed:
            return None

    def visit(self, node: Node, value: Any) -> Any:
        """As jmespath's, which takes half as long again."""
        kind = node["type"]
        method = self._method_cache.get(kind)
        if method is None:
            method = self._method_cache[kind] = getattr(self, f"visit_{kind}")
        return method(node, value)

    def visit_scope(self, node: Node, _: Any) -> Any:
        return word_value(node["value"], self.position)

    def visit_once(self, node: Node, value: Any) -> Any:
        memo = self.position.document.memo if node["value"] == "document" else self._of_group
        if id(node) not in memo:
            memo[id(node)] = node, self._or_failure(node["children"][0], value)  # the node is kept, and so is its id
        found = memo[id(node)][1]
        if type(found) is Failure:
            raise ExpressionFailed(found.message)
        return found

    def _or_failure(self, node: Node, value: Any) -> Any:
        try:
            return self.visit(node, value)
        except ExpressionFailed as error:
            return Failure(str(error))

    def visit_function_expression(self, node: Node, value: Any) -> Any:
        arguments = [self.visit(child, value) for child in node["children"]]
        found = self._calls.call_function(node["value"], arguments)
        if type(found) is not Columns or node is self._table:
            return found
        self.visit_elements(found.count)
        return list(Rows(found))

    def visit_comparator(self, node: Node, value: Any) -> Any:
        first, second = node["children"]
        left, right, operator = self.visit(first, value), self.visit(second, value), node["value"]
        try:
            if operator in _EQUALITY:
                if isinstance(left, list | dict) and type(left) is type(right):
                    self.visit_elements(weight(left))
                is_equal = left == right and isinstance(left, bool) is isinstance(right, bool)  # true is not 1
                return is_equal is (operator == "eq")
            if not (_is_comparable(left) and _is_comparable(right)):
                return None
            return self.COMPARATOR_FUNC[operator](left, right)
        except RecursionError:
            raise ExpressionFailed("values that are nested too deeply are compared") from None
        except TypeError:
            raise ExpressionFailed(f"{shown(left)} and {shown(right)} are compared by size") from None

    # what walks elements

    def _each(self, node: Node, elements: Any) -> list[Any]:
        self.visit_elements(len(elements))
        found, failures = [], self._calls.failures
        for element in elements:
            try:
                current = self.visit(node, element)
            except ExpressionFailed as error:
                if failures is None:
                    raise
                failures.append(Failure(str(error)))
                continue
            if current is not None:
                found.append(current)
        return found

    def visit_projection(self, node: Node, value: Any) -> Any:
        base = self.visit(node["children"][0], value)
        return self._each(node["children"][1], base) if isinstance(base, list) else None

    def visit_value_projection(self, node: Node, value: Any) -> Any:
        base = self.visit(node["children"][0], value)
        return self._each(node["children"][1], base.values()) if isinstance(base, dict) else None

    def visit_filter_projection(self, node: Node, value: Any) -> Any:
        left, right, condition = node["children"]
        base = self.visit(left, value)
        if not isinstance(base, list):
            return None
        self.visit_elements(len(base))
        return self._each(right, [one for one in base if self._passes(condition, one)])

    def _passes(self, condition: Node, element: Any) -> bool:
        """Whether a filter takes an element. A mistake inside the condition is the element's."""
        failures, self._calls.failures = self._calls.failures, None
        try:
            return bool(self._is_true(self.visit(condition, element)))
        except ExpressionFailed as error:
            if failures is None:
                raise
            failures.append(Failure(str(error)))
            return False
        finally:
            self._calls.failures = failures

    def visit_flatten(self, node: Node, value: Any) -> Any:
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        self.visit_elements(len(base) + sum(len(one) for one in base if isinstance(one, list)))
        return [item for one in base for item in (one if isinstance(one, list) else (one,))]

    def visit_slice(self, node: Node, value: Any) -> Any:
        found = super().visit_slice(node, value)
        self.visit_elements(len(found) if isinstance(found, list) else 0)
        return found
