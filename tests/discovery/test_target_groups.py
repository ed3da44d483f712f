"""The JSON and YAML in which targets are listed, read strictly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lambda_remote_write.discovery.target_groups import DiscoveryError, TargetGroup, at, parse_json, parse_yaml

Parse = Callable[..., Any]
META = {"__meta_url": "u"}

JSON = b'[{"targets": ["a:1", "b:2"], "labels": {"x": "1", "__meta_y": "z"}}, {"targets": ["c"]}]'
LISTS = {
    "json": (parse_json, JSON),
    "yaml": (parse_yaml, b"- targets: ['a:1', 'b:2']\n  labels: {x: 1, __meta_y: z}\n- targets: [c]\n"),
    "json-as-yaml": (parse_yaml, JSON),
}


@pytest.mark.parametrize(("parse", "content"), LISTS.values(), ids=LISTS)
def test_groups(parse: Parse, content: bytes) -> None:
    """Targets become addresses, labels stay text, and every group gets where it comes from."""
    assert parse(content, "place", META) == (
        TargetGroup("place:0", ({"__address__": "a:1"}, {"__address__": "b:2"}), {"x": "1", "__meta_y": "z", **META}),
        TargetGroup("place:1", ({"__address__": "c"},), META),
    )


EMPTY = {
    "json-list": (parse_json, b"[]"), "json-null": (parse_json, b"null"), "yaml-list": (parse_yaml, b"[]"),
    "yaml-empty": (parse_yaml, b""), "yaml-comment": (parse_yaml, b"# none\n"), "yaml-null": (parse_yaml, b"~"),
}  # fmt: skip


@pytest.mark.parametrize(("parse", "content"), EMPTY.values(), ids=EMPTY)
def test_no_groups(parse: Parse, content: bytes) -> None:
    """An empty list is a list."""
    assert parse(content, "place", META) == ()


HALVES = {
    "json": (parse_json, b'[{"labels": null, "targets": null}, {}]'),
    "yaml": (parse_yaml, b"- {labels: , targets: }\n- {}\n"),
}


@pytest.mark.parametrize(("parse", "content"), HALVES.values(), ids=HALVES)
def test_groups_without_targets(parse: Parse, content: bytes) -> None:
    """A group may be empty."""
    assert [group.targets for group in parse(content, "place", META)] == [(), ()]


UTF8_NAMES = {
    "json": (parse_json, '[{"targets": ["a:1"], "labels": {"svc.name": "x", "ž": "y"}}]'.encode()),
    "yaml": (parse_yaml, "- {targets: ['a:1'], labels: {svc.name: x, ž: y}}".encode()),
}


@pytest.mark.parametrize(("parse", "content"), UTF8_NAMES.values(), ids=UTF8_NAMES)
def test_label_names_are_any_text(parse: Parse, content: bytes) -> None:
    """As in Prometheus 3, a label name is any text in UTF-8 (model.LabelName.IsValid)."""
    (group,) = parse(content, "place", META)
    assert (group.labels, group.error) == ({"svc.name": "x", "ž": "y", **META}, "")


NO_NAMES = {
    "json": (parse_json, b'[{"targets": ["a:1"], "labels": {"": "x"}}, {"targets": ["b:1"], "labels": {"x": "1"}}]'),
    "yaml": (parse_yaml, b"- {targets: ['a:1'], labels: {'': x}}\n- {targets: ['b:1'], labels: {x: 1}}\n"),
    "yaml-null-key": (parse_yaml, b"- {targets: ['a:1'], labels: {~: x}}\n- {targets: ['b:1'], labels: {x: 1}}\n"),
}


@pytest.mark.parametrize(("parse", "content"), NO_NAMES.values(), ids=NO_NAMES)
def test_a_label_that_is_not_allowed_costs_its_own_group_only(parse: Parse, content: bytes) -> None:
    """The other groups stay, and the error names the targets that are not scraped."""
    bad, good = parse(content, "place", META)
    assert bad.targets == ()
    assert bad.error.startswith("place: '' of group 0 is not a label name")
    assert bad.error.endswith("not scraped: 'a:1'")
    assert good == TargetGroup("place:1", ({"__address__": "b:1"},), {"x": "1", **META})


NULLS = {
    "json": (parse_json, b'[{"targets": [null, "a:1"], "labels": {"x": null}}]'),
    "yaml": (parse_yaml, b"- {targets: [null, 'a:1'], labels: {x: }}\n"),
}


@pytest.mark.parametrize(("parse", "content"), NULLS.values(), ids=NULLS)
def test_null_is_the_empty_text(parse: Parse, content: bytes) -> None:
    """As Go reads a null into a string; the target without an address is then no target, the other one is."""
    (group,) = parse(content, "place", META)
    assert [target["__address__"] for target in group.targets] == ["", "a:1"]
    assert not group.labels.get("x")


BAD = {
    "json-cut": (parse_json, b'[{"targets"', "truncated"),
    "json-map": (parse_json, b'{"targets": []}', "Expected `array | null`, got `object`"),
    "json-null-group": (parse_json, b"[null]", "Expected `object`, got `null` - at `$[0]`"),
    "json-number": (parse_json, b'[{"targets": [1]}]', "Expected `str | null`, got `int` - at `$[0].targets[0]`"),
    "json-label-number": (
        parse_json,
        b'[{"labels": {"a": 1}}]',
        "Expected `str | null`, got `int` - at `$[0].labels[...]`",
    ),
    "json-unknown": (parse_json, b'[{"target": []}]', "unknown field `target` - at `$[0]`"),
    "json-latin-1": (parse_json, b'[{"targets": ["\xfc"]}]', "place: "),
    "yaml-map": (parse_yaml, b"targets: [a]", "a list of maps with targets and labels is expected, not a map"),
    "yaml-null-group": (parse_yaml, b"- ~", "place:1: [0]: a map is expected here, not a single value"),
    "yaml-text": (parse_yaml, b"- targets: a", "place:1: [0].targets: a list is expected here, not a single value"),
    "yaml-deep": (parse_yaml, b"- labels:\n    a: [b]", "place:2: [0].labels.a: a single value is expected here"),
    "yaml-unknown": (parse_yaml, b"- target: [a]", 'place:1: [0].target: unknown key; did you mean "targets"?'),
    "yaml-twice": (parse_yaml, b"- targets: [a]\n  targets: [b]", "place:2: [0].targets: the key stands twice"),
    "yaml-not": (parse_yaml, b"- targets: [a", "not YAML: "),
    "yaml-latin-1": (parse_yaml, b"- targets: [\xfc]", "place: not UTF-8 text"),
    "yaml-many": (parse_yaml, b"- a: 1\n- b: 1\n- c: 1", "(and 2 more)"),
}


@pytest.mark.parametrize(("parse", "content", "detail"), BAD.values(), ids=BAD)
def test_bad_lists(parse: Parse, content: bytes, detail: str) -> None:
    """Nothing of a bad list is taken; the error names the place and what is wrong with it."""
    with pytest.raises(DiscoveryError) as raised:
        parse(content, "place", META)
    assert str(raised.value).startswith("place:")
    assert detail in str(raised.value)


@pytest.mark.parametrize(("host", "expected"), [("10.0.0.1", "10.0.0.1:80"), ("::1", "[::1]:80"), ("h", "h:80")])
def test_address(host: str, expected: str) -> None:
    """An IPv6 address stands in brackets."""
    assert at(host, 80) == expected
