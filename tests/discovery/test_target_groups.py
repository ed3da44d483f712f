"""The JSON and YAML in which targets are listed, read strictly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lambda_remote_write.discovery.target_groups import DiscoveryError, TargetGroup, at, parse_json, parse_yaml
from tests.rig.tables import table

Parse = Callable[..., Any]
META = {"__meta_url": "u"}

JSON = b'[{"targets": ["a:1", "b:2"], "labels": {"x": "1", "__meta_y": "z"}}, {"targets": ["c"]}]'
YAML = b"- targets: ['a:1', 'b:2']\n  labels: {x: 1, __meta_y: z}\n- targets: [c]\n"


def group(number: int, *addresses: str, **labels: str) -> TargetGroup:
    return TargetGroup(f"place:{number}", tuple({"__address__": one} for one in addresses), {**labels, **META})


TWO = (group(0, "a:1", "b:2", x="1", __meta_y="z"), group(1, "c"))
ANY_NAMES = {"svc.name": "x", "ž": "y"}
GOOD = [
    ("JSON", parse_json, JSON, TWO),
    ("YAML", parse_yaml, YAML, TWO),
    ("JSON as YAML", parse_yaml, JSON, TWO),
    ("no group in JSON", parse_json, b"[]", ()),
    ("null in JSON", parse_json, b"null", ()),
    ("no group in YAML", parse_yaml, b"[]", ()),
    ("empty YAML", parse_yaml, b"", ()),
    ("a comment in YAML", parse_yaml, b"# none\n", ()),
    ("null in YAML", parse_yaml, b"~", ()),
    ("empty groups in JSON", parse_json, b'[{"labels": null, "targets": null}, {}]', (group(0), group(1))),
    ("empty groups in YAML", parse_yaml, b"- {labels: , targets: }\n- {}\n", (group(0), group(1))),
    ("any label names in JSON", parse_json, '[{"targets": ["a:1"], "labels": {"svc.name": "x", "ž": "y"}}]'.encode(),
     (group(0, "a:1", **ANY_NAMES),)),
    ("any label names in YAML", parse_yaml, "- {targets: ['a:1'], labels: {svc.name: x, ž: y}}".encode(),
     (group(0, "a:1", **ANY_NAMES),)),
    ("nulls among JSON", parse_json, b'[{"targets": [null, "a:1"], "labels": {"x": null}}]',
     (group(0, "", "a:1", x=""),)),
    ("nulls among YAML", parse_yaml, b"- {targets: [null, 'a:1'], labels: {x: }}\n", (group(0, "", "a:1"),)),
]  # fmt: skip


@table("parse, content, expected", GOOD)
def test_groups(parse: Parse, content: bytes, expected: tuple[TargetGroup, ...]) -> None:
    """Targets become addresses, and every group gets where it comes from. Labels are text, with any text in UTF-8 as
    name (Prometheus 3, model.LabelName.IsValid); null is the empty text, as Go reads it into a string."""
    assert parse(content, "place", META) == expected


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
