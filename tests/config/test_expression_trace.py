"""What is missing, and what is an empty fact: expressions followed into documents, against the definition of a failed
metric, and against jmespath wherever there is a value."""

from __future__ import annotations

import json
from typing import Any

import jmespath
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lambda_remote_write.config.expression import parse_step, records
from lambda_remote_write.config.expression_trace import Kind, Trace, follow, is_true, nearest_path
from lambda_remote_write.config.shown_json import first_characters, shown
from tests.rig.tables import table

# (id, expression, document, kind, the path that exists)
TRACES: list[tuple[str, str, Any, Kind, str]] = [
    ("a key that is there", "a.b", {"a": {"b": 1}}, Kind.FOUND, "a.b"),
    ("a key that is not", "a.c", {"a": {"b": 1}}, Kind.MISSING, "a"),
    ("a key of a list", "a.b", {"a": [1]}, Kind.MISSING, "a"),
    ("the document itself", "@", {"a": 1}, Kind.FOUND, ""),
    ("an empty list, flattened", "a[]", {"a": []}, Kind.EMPTY, "a"),
    ("an object, flattened", "a[]", {"a": {"b": 1}}, Kind.NOT_A_LIST, "a"),
    ("a missing list, flattened", "b[]", {"a": []}, Kind.MISSING, ""),
    ("an index on an empty list", "a[0]", {"a": []}, Kind.EMPTY, "a"),
    ("an index behind the end", "a[3]", {"a": [1]}, Kind.MISSING, "a"),
    ("the last of an empty list", "a[-1].b", {"a": []}, Kind.EMPTY, "a"),
    ("an index on an object", "a[0]", {"a": {}}, Kind.NOT_A_LIST, "a"),
    ("a filter on an empty list", "a[?b]", {"a": []}, Kind.EMPTY, "a"),
    ("a filter that lets nothing pass", "a[?b]", {"a": [{"c": 1}]}, Kind.EMPTY, "a"),
    ("the first of a filter's nothing", "a[?b] | [0]", {"a": [{"c": 1}]}, Kind.EMPTY, "a"),
    ("a renamed list in each", "a[].b[]", {"a": [{"c": [1]}, {"c": [2]}]}, Kind.MISSING, "a[]"),
    ("one of several lacks the list", "a[].b[]", {"a": [{"c": 1}, {"b": [2]}]}, Kind.FOUND, "a[].b[]"),
    ("nothing to look into", "a[].b[]", {"a": []}, Kind.EMPTY, "a"),
    ("values of an empty map", "a.*.b", {"a": {}}, Kind.EMPTY, "a.*"),
    ("values of a list", "a.*.b", {"a": [1]}, Kind.MISSING, "a"),
    ("an empty list where it is missing", "a || `[]`", {"b": 1}, Kind.FOUND, ""),
    ("a function of nothing", "sort_by(a, &b)", {"c": 1}, Kind.MISSING, ""),
    ("a function of another type", "sort_by(a, &b)", {"a": 5}, Kind.MISSING, ""),
    ("a quoted key", '"a b".c', {"a b": {"d": 1}}, Kind.MISSING, '"a b"'),
]


@table("expression, document, kind, path", TRACES)
def test_how_far_an_expression_goes(expression: str, document: Any, kind: Kind, path: str) -> None:
    found = follow(jmespath.compile(expression).parsed, Trace(Kind.FOUND, document))
    assert (found.kind, found.path) == (kind, path)


# (id, steps of records, documents, whether the records are missing)
MISSING: list[tuple[str, list[str], list[Any], bool]] = [
    ("an empty list", ["a"], [{"a": []}], False),
    ("no such key", ["a"], [{"b": []}], True),
    ("no such key on the last page", ["a"], [{"a": [1]}, {"b": []}], False),
    ("no such key on the first page", ["a"], [{"b": []}, {"a": []}], False),
    ("no such key on any page", ["a"], [{"b": 1}, {"c": 1}], True),
    ("in one of several regions", ["a[]", "b"], [{"a": [{"c": 1}, {"b": []}]}], False),
    ("in no region", ["a[]", "b"], [{"a": [{"c": 1}, {"c": 2}]}], True),
    ("an object where a list is meant", ["a[]"], [{"a": {"b": 1}}], True),
    ("the document, null", ["@"], [None], True),
    ("the list left out where it is empty", ["a || `[]`"], [{"b": 1}], False),
    ("no document at all", ["a"], [], False),
]


@table("steps, documents, missing", MISSING)
def test_missing_records_are_no_empty_list(steps: list[str], documents: list[Any], missing: bool) -> None:
    found = records([parse_step(step) for step in steps], []).absence(documents)
    assert (found is not None) == missing


KEYS = st.sampled_from(["a", "b", "c"])
DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=12,
)
EXPRESSIONS = st.sampled_from([
    "a", "a.b", "a[]", "a[].b", "a[].b[]", "a[0]", "a[-1].b", "a[1:]", "a[?b]", "a[?b].c", "a.*.b", "a || b", "a && b",
    "[a, b]", "{x: a}", "a | b", "a[?b] | [0]", "a[*].b", "a[*][]", "!a", "a == b", "length(a)", "keys(a)", "@",
    "a.b.c[]",
])  # fmt: skip


@pytest.mark.slow  # hundreds of examples
@settings(max_examples=400)
@given(EXPRESSIONS, DOCUMENTS)
@example("a || b", {"a": False})
def test_a_value_that_jmespath_finds_is_never_called_missing(expression: str, document: Any) -> None:
    """And what is called found is what it finds, or an empty list of it."""
    compiled = jmespath.compile(expression)
    try:
        value = compiled.search(document)
    except (jmespath.exceptions.JMESPathError, TypeError, ValueError):
        value = None
    found = follow(compiled.parsed, Trace(Kind.FOUND, document))
    if found.kind is Kind.FOUND:
        assert value is not None
    if value not in (None, []):
        assert found.kind is Kind.FOUND


@pytest.mark.parametrize("value", [None, False, "", [], {}])
def test_what_is_false(value: Any) -> None:
    assert not is_true(value)


@pytest.mark.parametrize("value", [True, 0, 0.0, 1, "x", [0], {"a": None}])
def test_what_is_true(value: Any) -> None:
    """The number 0 is true: https://jmespath.org/specification.html#or-expressions."""
    assert is_true(value)


# (id, wanted, document, whether a list is wanted, nearest)
NEAREST: list[tuple[str, str, Any, bool, str]] = [
    ("renamed", "data.items", {"data": {"entries": [1], "count": 1}}, True, "data.entries"),
    ("with an underscore", "requestCount", {"request_count": 1, "code": 2}, False, "request_count"),
    ("moved into an object", "temp", {"main": {"temp": 1}, "id": 3}, False, "main.temp"),
    ("a key in quotes", "tempC", {"temp-C": 1, "wind": 3}, False, '"temp-C"'),
    ("in the first record of a list", "values", {"data": [{"values": [1]}]}, True, "data[].values"),
    ("the only list there is", "items", {"zzz": [], "n": 1}, True, "zzz"),
    ("nothing like it", "temperature", {"a": 1, "b": 2}, False, ""),
]


@table("wanted, document, lists, nearest", NEAREST)
def test_the_nearest_path(wanted: str, document: Any, lists: bool, nearest: str) -> None:
    assert nearest_path(wanted, document, lists=lists) == nearest


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (True, "a boolean, true"),
        ("a\nb\x1b[0m", 'a text, "a\\nb\\u001b[0m"'),
        ({"a": [1]}, 'an object, {"a": [1]}'),
        ("\u202eabc", 'a text, " abc"'),
    ],
)
def test_a_value_is_shown_with_its_type_on_one_printable_line(value: Any, detail: str) -> None:
    assert shown(value) == detail


def test_only_the_first_characters_of_a_value_are_shown() -> None:
    document = {"a": ["x" * 50] * 100_000}
    detail = first_characters(document)
    assert detail == json.dumps(document)[:80] + "…"
