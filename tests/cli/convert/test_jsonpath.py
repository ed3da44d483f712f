"""JSONPath -> JMESPath, by what it finds: every expectation is worked out by hand from the Kubernetes dialect."""

from __future__ import annotations

from typing import Any

import pytest

from lambda_remote_write.config import expression
from lambda_remote_write_cli.convert.jsonpath import Untranslatable, label_expression, single_path, value_expression

DOCUMENT: dict[str, Any] = {
    "counter": 1234,
    "zero": 0,
    "on": True,
    "text": "95",
    "location": "mars",
    "build": {"major": 1, "minor": 10, "odd-name": 5, "a.b": 6, "1st": 7, "with space": 8, "it's": 9},
    "nested": {"a": {"b": 11}},
    "values": [
        {"id": "id-A", "count": 1, "state": "ACTIVE", "deep": {"n": 4}, "tags": ["x", "y"], "ok": True, "say": "a'b"},
        {"id": "id-B", "count": 2, "state": "INACTIVE", "deep": {"n": 5}, "tags": ["z"], "ok": False},
        {"id": "id-C", "count": 3, "state": "ACTIVE", "deep": {"n": 6}, "tags": [], "ok": True, "limit": 3},
    ],
    "matrix": [[1, 2], [3, 4]],
    "hosts": {"web": {"load": 0.5, "disks": [{"free": 1}, {"free": 2}]}, "db": {"load": 2, "disks": [{"free": 3}]}},
    "list": [10, 20, 30, 40],
}
LIST_DOCUMENT = [{"noun": "deer", "population": 456}, {"noun": "lion", "population": 123}]


def evaluated(text: str, document: Any = DOCUMENT) -> Any:
    return expression.parse(text).one(document) if text else None


def value_of(text: str, document: Any = DOCUMENT) -> Any:
    found = expression.parse(text)
    return found.constant if found.scope is expression.Scope.CONSTANT else found.one(document)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("{.counter}", 1234),
        ("{$.counter}", 1234),
        ("{.build.minor}", 10),
        ("{.missing}", None),
        ("{.build.odd-name}", 5),
        ("{['counter']}", 1234),
        ("{.['counter']}", 1234),
        ("{.build.a\\.b}", 6),
        ("{.build['a\\.b']}", 6),
        ("{.build['a.b']}", 6),
        ("{['nested.a.b']}", 11),
        ("{.build.1st}", 7),
        ("{.build['with space']}", 8),
        ('{.build["it\'s"]}', 9),
        ("{.values[0].count}", 1),
        ("{.values[-1].count}", 3),
        ("{.list[1:2]}", 20),
        ("{.list[3::2]}", 40),
        ('{.values[?(@.state == "INACTIVE")].count}', 2),
        ("{.values[?(@.count == 2)].count}", 2),
        ("{.values[?(@.count > 2)].id}", "id-C"),
        ('{.values[?(@.state != "ACTIVE")].id}', "id-B"),
        ("{.values[?(@.limit != 4)].id}", "id-C"),
        ("{.values[?(@.limit)].id}", "id-C"),
        ("{.values[?(@.ok == false)].id}", "id-B"),
        ("{.values[?(@.deep.n == 6)].count}", 3),
        ("{.values[?(@.count == @.limit)].count}", 3),
        ('{.values[?(@.tags[0] == "z")].count}', 2),
        ('{.values[?(@.say == "a\'b")].count}', 1),
        ("{.values[?(2 == @.count)].id}", "id-B"),
        ("{.list[?(@ > 30)]}", 40),
        ("{.hosts.*.missing}", None),
        ("{.build['major','missing']}", 1),
        ("{.build.major}.{.build.minor}", "1.10"),
        ("{.build.missing}.{.build.minor}", None),
        ("1", 1),
        ("-1.5e3", -1500.0),
        (" 7 ", 7),
        ("true", 1),
        ("{1}", 1),
        ("{'8'}", 8),
        ("NaN", "NaN"),
    ],
)
def test_value(path: str, value: Any) -> None:
    """A value is what the path finds; of several the first, and nothing where it finds nothing."""
    found = value_of(value_expression(path))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.location}", "mars"),
        ("planet-{ .location }-{.build.major}", "planet-mars-1"),
        ("planet-{.missing}", None),
        ("{.values[*].id}", "id-A id-B id-C"),
        ("{.values[?(@.count > 9)].id}", ""),
        ("all: {.values[*].id}.", "all: id-A id-B id-C."),
        ("{.values[*].tags[*]}", "x y z"),
        ("{.hosts.*.disks[*].free}", "1 2 3"),
        ("{.build['major','minor']}", "1 10"),
        ('{.location}{"\\t"}{.build.major}', "mars\t1"),
        ("{.missing[*].x}", None),
    ],
)
def test_label(template: str, text: str | None) -> None:
    """A label is the printed template; several results have a blank between them."""
    assert evaluated(label_expression(template)) == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("beta", "beta"),
        (" two words ", " two words "),
        ("it's", "it's"),
        ('a`b"c\\d', 'a`b"c\\d'),
        ("it's `q` \\", "it's `q` \\"),
        ("{'quoted'}", "quoted"),
        ("$.a", "$.a"),
    ],
)
def test_label_of_text(template: str, text: str) -> None:
    """Text without a path is a constant, whatever it looks like."""
    assert value_of(label_expression(template)) == text


def test_empty_label_is_left_out() -> None:
    assert label_expression("") == ""


@pytest.mark.parametrize(
    ("path", "groups", "records"),
    [
        ("{.values[*]}", ("values[*]",), DOCUMENT["values"]),
        ('{.values[?(@.state == "ACTIVE")]}', ("values[?state == 'ACTIVE']",), DOCUMENT["values"][::2]),
        ("{.build}", ("build",), [DOCUMENT["build"]]),
        ("{.hosts.*}", ("hosts.* || hosts[*]",), list(DOCUMENT["hosts"].values())),
        ("{.values.*}", ("values.* || values[*]",), DOCUMENT["values"]),
        (
            "{.hosts.*.disks[*]}",
            ("hosts.* || hosts[*]", "disks[*]"),
            [{"free": 1}, {"free": 2}, {"free": 3}],
        ),
        ("{$}", ("@",), [DOCUMENT]),
    ],
)
def test_records(path: str, groups: tuple[str, ...], records: list[Any]) -> None:
    """An object's path becomes the steps of `records`; they find the same objects."""
    assert single_path(path, "path").groups == groups
    walked = expression.records([expression.parse_step(group) for group in groups], [])
    assert [record for group in walked.walk(DOCUMENT) for record in group.records] == records


def test_records_of_a_list_at_the_top() -> None:
    assert single_path("{ [*] }", "path").groups == ("[*]",)
    walked = expression.records([expression.parse_step("[*]")], [])
    assert [record for group in walked.walk(LIST_DOCUMENT) for record in group.records] == LIST_DOCUMENT


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("{..count}", "the recursive descent .."),
        ("{range .values[*]}{.count}{end}", "{range}"),
        ("{counter}", "begins with a dot"),
        (".counter", "a path stands in braces"),
        ("{.a", "a brace that is never closed"),
        ("{.a[0}", "a bracket that is never closed"),
        ("{.a[x]}", "[x]"),
        ("{.a[::-1]}", "a slice whose step is not positive"),
        ("{.a[?(@.b == 1]}", "a filter that is never closed"),
        ("{.a[?@.b == 1]}", "[?@.b == 1]"),
        ('{.a[?(@.b > "x")]}', "by their order"),
        ("{.a[?(@.b =~ 'x')]}", "the filter"),
        ("{.a[?(@.b == 1 && @.c == 2)]}", "compares once"),
        ("{.a[?(@.b[*] == 1)]}", "one value"),
    ],
)
def test_untranslatable(path: str, detail: str) -> None:
    """What has no counterpart is named, never guessed."""
    with pytest.raises(Untranslatable) as raised:
        value_expression(path)
    assert detail in str(raised.value)


def test_records_are_one_path() -> None:
    for text in ("", "text", "{.a}{.b}", "x{.a}"):
        with pytest.raises(Untranslatable, match="one path in braces"):
            single_path(text, "path")


@pytest.mark.parametrize(
    ("template", "document", "text"),
    [
        ("{.floor}", {"floor": None}, "null"),
        ("{.floor}", {}, None),
        ("{.floor}", {"floor": ""}, None),
        ("{.floor}", {"floor": True}, "true"),
        ("{.floor}", {"floor": [1, "a", None]}, '[1,"a",null]'),
        ("{.floor}", {"floor": {"a": 1}}, '{"a":1}'),
        ("{.a.b}", {"a": {"b": None}}, "null"),
        ("{.a.b}", {"a": None}, None),
        ("{['odd-name']}", {"odd-name": None}, "null"),
        ('{["it\'s"]}', {"it's": None}, "null"),
        ("eu-{.zone}", {"zone": None}, "eu-null"),
        ("eu-{.zone}", {}, None),
        ("{.a[0]}", {"a": [None]}, "null"),
        ("{.a[]}", {"a": [{"c": 1}, 2]}, '{"c":1}'),
        ("{.a[-2]}", {"a": [None, 1]}, "null"),
        ("{.a[*]}", {"a": [None, 1, {"c": 1}]}, 'null 1 {"c":1}'),
    ],
)
def test_exact_labels(template: str, document: Any, text: str | None) -> None:
    """What json_exporter 0.7.0 printed of these documents; where it gave an empty label, none."""
    assert (evaluated(label_expression(template, exact=True), document) or None) == text


def test_an_empty_index_is_the_first() -> None:
    """A slice from 0 without an end is one value in that dialect."""
    assert value_expression("{.a[]}") == "a[0]"


@pytest.mark.parametrize(
    ("path", "compares", "only_here"),
    [
        ("{.a[?(@.n > 5)]}", True, True),
        ("{.a[?(5 < @.n)]}", True, True),
        ("{.a[?(@.n==-5)].b}", True, True),
        ("{.a[?(@.n > 5.0)]}", True, False),
        ('{.a[?(@.n == "5")]}', True, False),
        ("{.a[?(@.ok == true)]}", True, False),
        ("{.a[?(@.n)]}", False, False),
        ("{.a[5]}", False, False),
    ],
)
def test_filters_that_json_exporter_fails_at(path: str, compares: bool, only_here: bool) -> None:
    """Version 0.7.0 finds nothing when it compares a JSON number with an integer ("incompatible types")."""
    found = single_path(path, "path")
    assert (found.compares, found.only_here) == (compares, only_here)
