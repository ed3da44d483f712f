"""Expressions and their scopes: JMESPath in the record, `$.`, `^.`, `@key`, constants, and how `records` is walked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

import jmespath
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_remote_write.config.expression import InvalidExpression, parse, parse_step, records
from lambda_remote_write.config.expression_context import Failure
from lambda_remote_write.config.expression_words import Scope
from tests.rig.yaml_files import read_yaml

CASES = read_yaml(Path(__file__).parents[1] / "testdata/expressions.yaml")
FLEET: dict[str, Any] = CASES["document"]


def rows(document: Any, steps: list[str], expressions: Mapping[str, str]) -> list[dict[str, Any]]:
    """What each record gives, None left out."""
    parsed = {name: parse(text) for name, text in expressions.items()}
    found = []
    for group in records([parse_step(step) for step in steps], list(parsed.values())).walk(document):
        columns = {name: expression.column(group) for name, expression in parsed.items()}
        assert {len(column) for column in columns.values()} == {len(group.records)}
        found += [
            {name: column[index] for name, column in columns.items() if column[index] is not None}
            for index in range(len(group.records))
        ]
    return found


@pytest.mark.parametrize("case", CASES["scopes"].values(), ids=CASES["scopes"])
def test_scopes(case: dict[str, Any]) -> None:
    """Each expression looks where its prefix says, for every record that the steps find."""
    assert rows(FLEET, case["records"], case["expressions"]) == case["rows"]


def test_top_level_list() -> None:
    """A document that is a list: `[]` walks it, and without `records` its entries are the records too."""
    document = [{"a": 1}, {"a": 2}]
    assert rows(document, ["[]"], {"a": "a", "n": "$.length(@)"}) == [{"a": 1, "n": 2}, {"a": 2, "n": 2}]
    assert rows(document, ["@"], {"a": "a"}) == [{"a": 1}, {"a": 2}]


def test_top_level_map() -> None:
    """A document that is a map keyed by name is walked as one when its keys are asked for."""
    document = {"a": {"v": 1}, "b": {"v": 2}}
    assert rows(document, ["@"], {"k": "@key", "v": "v"}) == [{"k": "a", "v": 1}, {"k": "b", "v": 2}]


# --- Equal to JMESPath ------------------------------------------------------------------------------------------------

LANGUAGE = (
    *("release", "at.time", "nothing", "no.such.path", "regions[0].name", "regions[-1].name", "regions[*].name"),
    *("regions[].hosts", "matrix[]", "matrix[0]", "regions[?name=='eu'].hosts", "keys(byRegion)", "values(byRegion)"),
    *("byRegion.*.hosts", "length(regions)", "sum(matrix[0])", "max_by(regions, &name).name", "sort(matrix[0])"),
    *("join(',', regions[].name)", "regions[].{n: name, h: hosts}", "[release, total]", "to_string(total)", "type(@)"),
    *("not_null(nothing, total)", "total > `3` && release", "!nothing", "`5`", '`"5"`', "'raw'", '"with-dash"."a b"'),
    *("regions | [0].name", "@", "scalars[?@ != null]", "merge(at, {x: total})", "to_number(release)"),
    *("reverse(scalars)", "true", "null"),
)


@pytest.mark.parametrize("text", LANGUAGE)
def test_jmespath(text: str) -> None:
    """An expression without a prefix is JMESPath, quick ways for simple ones included."""
    expected = jmespath.search(text, FLEET)
    assert rows(FLEET, ["@"], {"v": text}) == ([{"v": expected}] if expected is not None else [{}])


@pytest.mark.parametrize("text", [text for text in LANGUAGE if text[0] not in "`'"])
def test_jmespath_step(text: str) -> None:
    """A step of `records` is JMESPath: a list's entries are the records, anything else is one record."""
    expected = jmespath.search(text, FLEET)
    as_records = expected if isinstance(expected, list) else [] if expected is None else [expected]
    assert [record for group in records([parse_step(text)], []).walk(FLEET) for record in group.records] == as_records


NAMES = st.sampled_from(["a", "b", "c_1", "true", "null"])
LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab1", max_size=2)
DOCUMENTS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=25
)
ENDINGS = st.sampled_from(["", "[]", "[*]", "[0]", ".*", "[?a]", " | @", "[].a", "[:2]"])
PATHS = st.builds(lambda names, ending: ".".join(names) + ending, st.lists(NAMES, min_size=1, max_size=3), ENDINGS)


@pytest.mark.slow  # hundreds of examples
@settings(max_examples=300)
@given(DOCUMENTS, st.lists(DOCUMENTS, max_size=4), PATHS)
def test_quick_ways_are_jmespath(document: Any, siblings: list[Any], path: str) -> None:
    """Whatever the document, a path finds what the jmespath library finds, alone and in a column."""
    listed = {"l": [document, *siblings]}
    assert parse(path).one(document) == jmespath.search(path, document)
    assert [row.get("v") for row in rows(listed, ["l"], {"v": path})] == [
        jmespath.search(path, record) for record in listed["l"]
    ]


@pytest.mark.slow  # hundreds of examples
@settings(max_examples=300)
@given(DOCUMENTS, st.sampled_from(["@", "[]", "[*]"]) | PATHS)
def test_quick_steps_are_jmespath(document: Any, path: str) -> None:
    """Whatever the document, a step walks what the jmespath library finds, dropped nulls included."""
    found = jmespath.search(path, document)
    expected = found if isinstance(found, list) else [] if found is None else [found]
    walked = [record for group in records([parse_step(path)], []).walk(document) for record in group.records]
    assert json.dumps(walked) == json.dumps(expected)


# --- One bad record ---------------------------------------------------------------------------------------------------

ONE_BAD = [  # (expression, good records, the record that breaks it)
    ("length(a)", [{"a": "xy"}, {"a": [1, 2]}], {"a": 5}),
    ("sum(a)", [{"a": [1, 1]}, {"a": [2]}], {"a": ["x"]}),
    ("abs(a)", [{"a": -2}, {"a": 2}], {"a": "x"}),
    ("max_by(a, &v).v", [{"a": [{"v": 2}]}, {"a": [{"v": 1}, {"v": 2}]}], {"a": [{"v": 1}, {"v": "x"}]}),
    ("sort(a)[0]", [{"a": [2]}, {"a": [3, 2]}], {"a": [1, "x"]}),
    ("ceil(a)", [{"a": 1.5}, {"a": 2}], {"a": float("inf")}),
    ("a.b", [{"a": {"b": 1}}, {"a": {"b": 2}}], {"a": [{"b": 1}]}),
    ("a", [{"a": 1}, {"a": 2}], 5),
    ("a", [{"a": 1}, {"a": 2}], [{"a": 3}]),
]


@pytest.mark.parametrize(("text", "good", "bad"), ONE_BAD, ids=[f"{text} of {bad}" for text, _, bad in ONE_BAD])
def test_one_bad_record(text: str, good: list[Any], bad: Any) -> None:
    """A record that a function cannot be applied to gives a Failure, one that has no such path None; the others keep
    their values."""
    (group,) = records([parse_step("@")], []).walk([good[0], bad, good[1]])
    column = parse(text).column(group)
    assert type(column[1]) is (Failure if "(" in text else NoneType)
    assert [column[0], column[2]] == [jmespath.search(text, record) for record in good]


# --- Functions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["merge(@, @, @)", "not_null(a, b, c, d)", "map(&a, @)"])
def test_right_calls(name: str) -> None:
    """Any number of arguments where a function takes any. The refused: testdata/config/bad/expressions-by-kind.yaml."""
    assert parse(name).scope is Scope.RECORD


# --- Constants --------------------------------------------------------------------------------------------------------

CONSTANTS = [("1", 1), ("0", 0), ("-1", -1), ("1.10", 1.1), (".5", 0.5), ("1e3", 1000.0), ("''", ""), ("'1'", "1")]


@pytest.mark.parametrize(("text", "value"), CONSTANTS, ids=[text for text, _ in CONSTANTS])
def test_constants(text: str, value: object) -> None:
    """A number is itself, a text in single quotes too."""
    assert (parse(text).scope, parse(text).constant) == (Scope.CONSTANT, value)


@pytest.mark.parametrize(
    ("text", "label"), [("1.10", "1.10"), (" 012 ", "012"), ("1e3", "1e3"), ("'1.10'", "1.10"), ("-0", "-0")]
)
def test_constant_label(text: str, label: str) -> None:
    """A constant label is the text that was written, not a number printed anew."""
    assert parse(text).as_text().constant == label


def test_as_text_leaves_paths_alone() -> None:
    """Only constants are texts; a path still finds what the document has."""
    assert parse("a.b").as_text().one({"a": {"b": 1.5}}) == 1.5


# --- Texts that are no expressions ------------------------------------------------------------------------------------

ODD_KEYS = [  # (what people write, what they mean)
    ("µs", '"µs"'),
    ("Température °C", '"Température °C"'),
    ("CPU %", '"CPU %"'),
    ("with'quote", '"with\'quote"'),
    ("xs:element", '"xs:element"'),
    ("@type", '"@type"'),
    ("#text", '"#text"'),
    ("a.b.c d[1]", 'a.b."c d"[1]'),
    ("items[?some-key=='x'].v", "items[?\"some-key\"=='x'].v"),
    ("max_by(items, &some-key)", 'max_by(items, &"some-key")'),
    ("$.some-key", '$."some-key"'),
    ("^.some-key", '^."some-key"'),
]


@pytest.mark.parametrize(("text", "right"), ODD_KEYS, ids=[text for text, _ in ODD_KEYS])
def test_the_message_about_an_odd_key_shows_its_double_quotes(text: str, right: str) -> None:
    """As an expression and inside YAML's single quotes; what is shown is an expression indeed."""
    with pytest.raises(InvalidExpression) as raised:
        parse(text)
    assert "needs double quotes" in str(raised.value)
    assert f" {right} " in str(raised.value)
    in_yaml = str(raised.value).partition("(in YAML: ")[2].partition(")")[0]
    if in_yaml.count("(") == in_yaml.count(")"):
        assert yaml.safe_load(in_yaml) == right
    parse(right)


@pytest.mark.parametrize("text", ["(" * 5_000 + "a" + ")" * 5_000, "[" * 3_000, "!" * 5_000 + "a"])
def test_a_deep_expression_is_a_mistake(text: str) -> None:
    with pytest.raises(InvalidExpression, match="nested too deeply"):
        parse(text)
