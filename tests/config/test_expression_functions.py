"""The functions of expressions, from their specification; hostile and random documents; what they cost, by counting."""

from __future__ import annotations

import json
from typing import Any

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_remote_write.config.expression import InvalidExpression, parse, parse_step, records
from lambda_remote_write.config.expression_context import (
    BudgetExceeded,
    Document,
    Evaluation,
    ExpressionFailed,
    Failure,
    Position,
)
from lambda_remote_write.config.expression_trace import Kind
from tests.rig.tables import table

NOW_MS = 1_716_479_900_250


def found(text: str, document: Any, visits: int = 1_000_000) -> Any:
    """What an expression finds in a document."""
    answer = Document(document, evaluation=Evaluation(NOW_MS, json.loads, None, visits))
    return parse(text).one(document, Position(answer, (document,)))


LISTS = {"t": [1, 2, 3], "v": ["a", "b"], "n": 7, "o": {"x": 1}, "e": [], "z": None}
TEXT = "average|-|min|-|max|-|mean|-|median"

# (id, expression, document, what it gives)
CALLS: list[tuple[str, str, Any, Any]] = [
    ("columns", "columns({t: t, v: v})", LISTS, [{"t": 1, "v": "a"}, {"t": 2, "v": "b"}, {"t": 3, "v": None}]),
    ("a scalar repeats", "columns({v: v, n: n})", LISTS, [{"v": "a", "n": 7}, {"v": "b", "n": 7}]),
    ("an object repeats", "columns({v: v, o: o})[0]", LISTS, {"v": "a", "o": {"x": 1}}),
    ("a null repeats", "columns({v: v, z: z})[1]", LISTS, {"v": "b", "z": None}),
    ("no list at all", "columns({n: n, o: o})", LISTS, [{"n": 7, "o": {"x": 1}}]),
    ("an empty list", "columns({e: e, n: n})", LISTS, []),
    ("columns of nothing", "columns({z: z, y: nothing})", LISTS, None),
    ("columns of null", "columns(z)", LISTS, None),
    ("columns of a map", "columns(@)", {"a": [1], "b": [2]}, [{"a": 1, "b": 2}]),
    ("rows", "rows(c, r)", {"c": ["a", "b"], "r": [[1, 2], [3, 4]]}, [{"a": 1, "b": 2}, {"a": 3, "b": 4}]),
    ("objects with names", "rows(c, r)", {"c": [{"name": "a", "type": "long"}], "r": [[1]]}, [{"a": 1}]),
    ("a short row", "rows(c, r)", {"c": ["a", "b"], "r": [[1], [1, 2]]}, [{"a": 1, "b": None}, {"a": 1, "b": 2}]),
    ("a long row", "rows(c, r)", {"c": ["a"], "r": [[1, 2, 3], [4]]}, [{"a": 1}, {"a": 4}]),
    ("a header", "rows([0], [1:])", [["a"], [1], [2]], [{"a": 1}, {"a": 2}]),
    ("the last row", "rows([0], [-1:])", [["a"], [1], [2]], [{"a": 2}]),
    ("no rows", "rows(c, r)", {"c": ["a"], "r": []}, []),
    ("rows of null", "rows(c, r)", {"c": ["a"]}, None),
    ("items", "items(@)", {"a": 1, "b": None}, [{"key": "a", "value": 1}, {"key": "b", "value": None}]),
    ("items of null", "items(x)", {}, None),
    ("from_json", "from_json(a).b[0]", {"a": '{"b": [1.5]}'}, 1.5),
    ("from_json of a scalar", "from_json(a)", {"a": " 5 "}, 5),
    ("from_json of null", "from_json(a)", {}, None),
    ("from_json twice", "from_json(from_json(a)).b", {"a": json.dumps(json.dumps({"b": 1}))}, 1),
    ("lookup", "lookup(@, 'id', `2`).n", [{"id": 1, "n": "x"}, {"id": 2, "n": "y"}, {"id": 2, "n": "z"}], "y"),
    ("lookup of nothing there", "lookup(@, 'id', `3`)", [{"id": 1}], None),
    ("lookup of null", "lookup(@, 'id', nothing)", [{"id": None}], None),
    ("lookup of 1 is not true", "lookup(@, 'id', `1`).n", [{"id": True, "n": 1}, {"id": 1.0, "n": 2}], 2),
    ("lookup of a list", "lookup(@, 'id', `[1]`).n", [5, {"id": [1], "n": 2}], 2),
    ("lookup in null", "lookup(nothing, 'id', `1`)", {}, None),
    ("split into characters", "split('all chars', '')", {}, list("all chars")),
    ("split at its only character", "split('/', '/')", {}, ["", ""]),
    ("split", f"split('{TEXT}', '|-|')", {}, ["average", "min", "max", "mean", "median"]),
    ("split thrice", f"split('{TEXT}', '|-|', `3`)", {}, ["average", "min", "max", "mean|-|median"]),
    ("split once", f"split('{TEXT}', '|-|', `1`)", {}, ["average", "min|-|max|-|mean|-|median"]),
    ("split never", f"split('{TEXT}', '|-|', `0`)", {}, [TEXT]),
    ("split at dashes", f"split('{TEXT}', '-')", {}, ["average|", "|min|", "|max|", "|mean|", "|median"]),
    ("split into some characters", "split('abcd', '', `2`)", {}, ["a", "b", "cd"]),
    ("split of null", "split(a, ',')", {}, None),
    ("time", "time(@)", "2024-05-23T15:58:17Z", 1_716_479_897),
    ("a part of a second", "time(@)", "2024-05-23T15:58:17.25+00:00", 1_716_479_897.25),
    ("time with a format", "time(@, '%d.%m.%Y %H:%M')", "23.05.2024 15:58", 1_716_479_880),
    ("time in a zone", "time(@, '%Y-%m-%d %H:%M', 'Asia/Seoul')", "2024-05-24 00:58", 1_716_479_880),
    ("time without an offset", "time(@, 'rfc3339', 'Asia/Seoul')", "2024-05-24T00:58:00", 1_716_479_880),
    ("time from a number", "time(@, 'unix_ms')", 1_716_479_897_500, 1_716_479_897.5),
    ("time of null", "time(a)", {}, None),
    ("a format from the document", "time(t, f)", {"t": "1", "f": "unix"}, 1),
    ("now", "now()", {}, 1_716_479_900.25),
    ("now is the same", "now() == now()", {}, True),
    ("divide", "divide(a, b)", {"a": 1, "b": 4}, 0.25),
    ("divide by 0", "divide(a, b)", {"a": 1, "b": 0}, None),
    ("divide by 0.0", "divide(a, b)", {"a": 1, "b": 0.0}, None),
    ("divide null", "divide(a, b)", {"b": 4}, None),
    ("divide by null", "divide(a, b)", {"a": 4}, None),
    ("1 is not true", "a == `true`", {"a": 1}, False),
    ("0 is not false", "a != `false`", {"a": 0}, True),
    ("1 is 1.0", "a == `1.0`", {"a": 1}, True),
    ("null in a function of JMESPath", "length(a) || `5`", {}, 5),
    ("null in a list of numbers", "sum(a)", {"a": [1, None]}, None),
]  # fmt: skip


@table("text, document, expected", CALLS)
def test_what_a_function_gives(text: str, document: Any, expected: Any) -> None:
    assert found(text, document) == expected
    assert type(found(text, document)) is type(expected)


DEEP: Any = "[" * 100_000
# (id, expression, document, words of the message)
FAILING: list[tuple[str, str, Any, list[str]]] = [
    ("columns of a list", "columns(@)", [1], ["columns expects an object", "a list, [1]"]),
    ("rows without a list", "rows(c, r)", {"c": ["a"], "r": {}}, ["rows expects a list", "an object"]),
    ("names that are none", "rows(c, r)", {"c": [1], "r": [[1]]}, ["names", "a number, 1"]),
    ("an object without a name", "rows(c, r)", {"c": [{"id": 1}], "r": []}, ["names", '{"id": 1}']),
    ("a row that is no list", "rows(c, r)", {"c": ["a"], "r": [5]}, ["a list", "a number, 5"]),
    ("items of a list", "items(@)", [1], ["items expects an object"]),
    ("no JSON", "from_json(@)", "{temp", ["from_json expects JSON", '"{temp"']),
    ("JSON that is none already", "from_json(@)", {"a": 1}, ["from_json expects a text", '{"a": 1}']),
    ("JSON that is too deep", "from_json(@)", DEEP, ["from_json", "[[[["]),
    ("an empty text", "from_json(@)", "", ["from_json expects JSON"]),
    ("lookup in an object", "lookup(@, 'id', `1`)", {}, ["lookup expects a list"]),
    ("lookup by a number", "lookup(@, `1`, `1`)", [], ["lookup expects a text", "a number, 1"]),
    ("split of a number", "split(@, ',')", 5, ["split expects a text", "a number, 5"]),
    ("split less than never", "split(@, ',', `-1`)", "a", ["split", "-1"]),
    ("split half", "split(@, ',', `0.5`)", "a", ["split", "0.5"]),
    ("no time", "time(@)", "noon", ["time expects a time", "'noon'"]),
    ("no offset", "time(@)", "2024-05-24T00:58:00", ["third argument of time"]),
    ("an unknown format", "time(t, f)", {"t": "1", "f": "iso"}, ["'iso'", "rfc3339"]),
    ("an unknown zone", "time(t, 'rfc3339', f)", {"t": "1", "f": "Mars/X"}, ["Mars/X"]),
    ("divide texts", "divide(a, b)", {"a": "1", "b": 2}, ["divide expects a number", '"1"', "to_number"]),
    ("divide what is too large", "divide(a, b)", {"a": 10**400, "b": 3}, ["divide"]),
    ("sizes of different types", "a > b", {"a": "x", "b": 1}, ['a text, "x"', "a number, 1", "compared"]),
    ("a number in a text", "contains(a, b)", {"a": "x", "b": 1}, ["contains", "a number, 1"]),
    ("sorted by texts and numbers", "sort_by(@, &a)", [{"a": 1}, {"a": "x"}], ["sort_by expects a number", '"x"']),
    ("sorted by objects", "sort_by(@, &a)", [{"a": {}}], ["sort_by expects", "a text"]),
    ("an infinite number", "ceil(@)", float("inf"), ["ceil"]),
]  # fmt: skip


@table("text, document, details", FAILING)
def test_a_function_says_what_it_expects_and_what_it_found(text: str, document: Any, details: list[str]) -> None:
    with pytest.raises(ExpressionFailed) as raised:
        found(text, document)
    message = str(raised.value)
    assert message.startswith(f"{text}: ")
    assert [word for word in details if word not in message] == []
    assert len(message) < 400


# --- Columns ----------------------------------------------------------------------------------------------------------


def test_records_in_columns_are_no_objects_until_they_must_be() -> None:
    """A plain name reads the list of the document itself."""
    document = {"t": [1, 2], "v": [{"x": 3}, {"x": 4}]}
    (group,) = records([parse_step("columns(@)")], []).walk(document)
    assert parse("t").column(group) is document["t"]
    assert parse("v.x").column(group) == [3, 4]
    assert parse("nothing").column(group) == [None, None]
    assert parse("sum([t, v.x])").column(group) == [4, 6]
    assert (list(group.records), group.records[1], group.records[:1]) == (
        [{"t": 1, "v": {"x": 3}}, {"t": 2, "v": {"x": 4}}], {"t": 2, "v": {"x": 4}}, [{"t": 1, "v": {"x": 3}}]
    )  # fmt: skip


def test_a_lookup_finds_the_first_of_equal_elements_however_often() -> None:
    document = {"e": [{"id": 1, "n": "first"}, {"id": 1, "n": "second"}], "v": [{"w": 1}] * 4}
    (group,) = records([parse_step("v")], []).walk(document)
    assert parse("lookup($.e, 'id', w).n").column(group) == ["first"] * 4


# --- Cost, by counting ------------------------------------------------------------------------------------------------

THOUSAND = {"a": [{"id": index, "n": [1] * 10} for index in range(1_000)]}
# (id, expression, at most so many visits)
COSTS: list[tuple[str, str, int]] = [
    ("a projection", "a[].id", 4_000),
    ("a projection of all", "a[*].id", 1_000),
    ("a filter", "a[?id == `1`]", 3_000),
    ("a projection in a projection", "a[].n[]", 25_000),
    ("a function of a list", "sum(a[].id)", 5_000),
    ("a deep comparison", "a == a", 20_000),
]


@table("text, most", COSTS)
def test_every_element_counts_and_no_more(text: str, most: int) -> None:
    found(text, THOUSAND, most)
    with pytest.raises(BudgetExceeded, match="elements"):
        found(text, THOUSAND, 999)


def cost(count: int, value: str) -> int:
    """Visits of an expression over so many records and as many areas."""
    areas = [{"id": index, "name": str(index)} for index in range(count)]
    document = Document({"areas": areas, "hosts": [{"area": index} for index in range(count)]})
    (group,) = records([parse_step("hosts")], [expression := parse(value)]).walk(document)
    before = document.evaluation.left_visits
    assert len([one for one in expression.column(group) if one is not None]) == count
    return before - document.evaluation.left_visits


@pytest.mark.parametrize(
    "value",
    [
        "lookup($.areas, 'id', area).name",
        "lookup($.areas[], 'id', area).name",
        "lookup(^.areas[?id >= `0`], 'id', area).name",
        "divide(area, sum($.areas[].id))",
        "length($.areas)",
        "time('2024-05-23T15:58:17Z')",
    ],
)
def test_what_is_the_same_for_all_records_is_looked_at_once(value: str) -> None:
    """Twice the records cost twice as much, and not four times."""
    assert cost(2_000, value) < 2.5 * cost(1_000, value)


# --- Random expressions over random documents -------------------------------------------------------------------------

KEYS = st.sampled_from(["a", "b", "c"])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from(["", "x", "1", "a"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=20,
)


def combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Expressions of JMESPath made from smaller ones."""
    one = st.sampled_from(["length", "keys", "values", "sort", "sum", "max", "abs", "to_string", "type", "reverse"])
    by = st.sampled_from(["sort_by", "max_by", "min_by"])
    operator = st.sampled_from(["||", "&&", "==", "!=", "<", ">="])
    return st.one_of(
        st.builds("{}.{}".format, inner, KEYS),
        st.builds("{}[{}]".format, inner, st.sampled_from(["", "0", "-1", "*", "1:", "::-1"])),
        st.builds("{}[?{}]".format, inner, inner),
        st.builds("{}[].{}".format, inner, KEYS),
        st.builds("{}.*".format, inner),
        st.builds("({} {} {})".format, inner, operator, inner),
        st.builds("!{}".format, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{a: {}, b: {}}}".format, inner, inner),
        st.builds("({} | {})".format, inner, inner),
        st.builds("{}({})".format, one, inner),
        st.builds("{}({}, &{})".format, by, inner, inner),
        st.builds("contains({}, {})".format, inner, inner),
        st.builds("map(&{}, {})".format, inner, inner),
    )


PLAIN = st.recursive(st.one_of(KEYS, st.sampled_from(["@", "`1`", "'x'", "`[1, 2]`"])), combined, max_leaves=5)


@pytest.mark.slow  # hundreds of examples
@settings(max_examples=600, deadline=None)
@given(PLAIN, DOCUMENTS)
def test_an_expression_of_jmespath_finds_what_jmespath_finds(text: str, document: Any) -> None:
    """Where jmespath itself raises nothing."""
    try:
        expected = jmespath.search(text, document)
    except jmespath.exceptions.ParseError:
        with pytest.raises(InvalidExpression):
            parse(text)
        return
    except (jmespath.exceptions.JMESPathError, TypeError, ValueError, ArithmeticError, AttributeError):
        return
    if "_Expression" not in repr(expected):
        assert repr(found(text, document)) == repr(expected)


def with_own(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """The same with words and functions of this project."""
    return combined(inner) | st.one_of(
        st.builds("columns({})".format, inner),
        st.builds("columns({{a: {}, b: {}}})".format, inner, inner),
        st.builds("rows({}, {})".format, inner, inner),
        st.builds("items({})".format, inner),
        st.builds("from_json(to_string({}))".format, inner),
        st.builds("from_json({})".format, inner),
        st.builds("lookup({}, {}, {})".format, inner, st.sampled_from(["'a'", "b"]), inner),
        st.builds("split({}, {})".format, inner, inner),
        st.builds("time({})".format, inner),
        st.builds("divide({}, {})".format, inner, inner),
    )


WORDS = st.sampled_from(
    ["$", "$.a", "^", "^.b", "@key", "@index", "@status", "@header.a", "now()", "@", "a", "b", "`1`"]
)
ANY = st.recursive(WORDS, with_own, max_leaves=6)


@pytest.mark.slow  # hundreds of examples
@settings(max_examples=600, deadline=None)
@given(ANY, ANY, DOCUMENTS, st.integers(0, 300))
def test_no_expression_and_no_document_crashes(text: str, step: str, document: Any, visits: int) -> None:
    """Values, failures in words, or the end of the budget; and a trace of each."""
    answer = Document({"l": document}, 200, {}, Evaluation(NOW_MS, json.loads, 500, visits))
    try:
        expression, steps = parse(text), [parse_step("l"), parse_step(step)]
        walked = records(steps, [expression])
    except InvalidExpression:
        return
    try:
        for group in walked.walk(answer):
            column = expression.column(group)
            assert len(column) == len(group.records)
            assert all(one.message for one in (*column, *group.failures) if type(one) is Failure)
            for index, record in enumerate(group.records):
                assert expression.trace(record, group.position(index)).kind in Kind
    except BudgetExceeded:
        pass
    absence = walked.absence([answer])
    assert absence is None or absence.is_absence


@pytest.mark.slow  # hundreds of examples
@settings(max_examples=300, deadline=None)
@given(st.lists(st.fixed_dictionaries({"id": DOCUMENTS}), max_size=6), DOCUMENTS)
def test_a_lookup_is_the_first_of_a_filter(elements: list[Any], value: Any) -> None:
    """However often it is asked for, and indexed or not."""
    if value is None:
        return
    document = {"e": elements, "v": [{"w": value}] * 3}
    expected = next((one for one in elements if jmespath.search("a == b", {"a": one["id"], "b": value})), None)
    answer = Document(document)
    (group,) = records([parse_step("v")], []).walk(answer)
    assert parse("lookup($.e, 'id', w)").column(group) == [expected] * 3
