"""Label sets, rules, and the labels after them, from Prometheus's relabel.go, its test vectors and Go's regexp.Expand.
tests/test_relabel.py gives them to `relabel`, tests/test_relabel_prometheus.py to a real Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Given = dict[str, Any]
ABC = {"a": "foo", "b": "bar", "c": "baz"}
PORTS = {"__tmp_port": "1234", "__port1": "1234", "__port2": "5678"}
SD_TAGS = {"__meta_sd_tags": "path:/secret,job:some-job,label:foo=bar"}
HOST = {"a": "web-1.example:9100"}


def from_tags(regex: str, target_label: str, replacement: str) -> Given:
    return {
        "source_labels": ["__meta_sd_tags"],
        "regex": regex,
        "target_label": target_label,
        "replacement": replacement,
    }


def replace(**given: Any) -> list[Given]:
    return [{"source_labels": ["a"], "target_label": "d", **given}]


def only(action: str, **given: Any) -> list[Given]:
    return [{"action": action, **given}]


# (id, labels, rules, the labels that are new, changed or gone ("") afterwards; None: dropped)
CASES: list[tuple[str, Mapping[str, str], list[Given], Mapping[str, str] | None]] = [
    # Prometheus's own vectors
    (
        "upstream-second-rule-sees-the-first",
        ABC,
        [
            {"source_labels": ["a", "b"], "regex": "f(.*);(.*)r", "target_label": "a", "replacement": "b${1}${2}m"},
            {"source_labels": ["c", "a"], "regex": "(b).*b(.*)ba(.*)", "target_label": "d", "replacement": "$1$2$2$3"},
        ],
        {"a": "boobam", "d": "boooom"},
    ),
    (
        "upstream-nothing-after-a-drop",
        {"a": "foo"},
        [*only("drop", source_labels=["a"], regex=".*o.*"), *replace(regex="f(.*)", replacement="ch$1-ch$1")],
        None,
    ),
    ("upstream-drop-is-anchored", {"a": "foo"}, only("drop", source_labels=["a"], regex="f|o"), {}),
    ("upstream-keep-no-match", {"a": "foo"}, only("keep", source_labels=["a"], regex="no-match"), None),
    ("upstream-hashmod", ABC, only("hashmod", source_labels=["c"], target_label="d", modulus=1000), {"d": "976"}),
    (
        "upstream-hashmod-newline",
        {"a": "foo\nbar"},
        only("hashmod", source_labels=["a"], target_label="b", modulus=1000),
        {"b": "734"},
    ),
    (
        "upstream-labelmap-prefix",
        {"a": "foo", "b1": "bar", "b2": "baz"},
        only("labelmap", regex="(b.*)", replacement="bar_${1}"),
        {"bar_b1": "bar", "bar_b2": "baz"},
    ),
    (
        "upstream-labelmap-meta",
        {"a": "foo", "__meta_my_bar": "aaa", "__meta_my_baz": "bbb", "__meta_other": "ccc"},
        only("labelmap", regex="__meta_(my.*)", replacement="${1}"),
        {"my_bar": "aaa", "my_baz": "bbb"},
    ),
    (
        "upstream-target-label-from-a-group",
        {"a": "some-name-value"},
        replace(regex="some-([^-]+)-([^,]+)", target_label="${1}", replacement="${2}"),
        {"name": "value"},
    ),
    (
        "upstream-unknown-group-in-replacement",
        {"a": "some-name-value"},
        replace(regex="some-([^-]+)-([^,]+)", target_label="${1}", replacement="${3}"),
        {},
    ),
    (
        "upstream-unknown-group-in-target-label",
        {"a": "some-name-0"},
        replace(regex="some-([^-]+)-([^,]+)", target_label="${3}", replacement="${1}"),
        {},
    ),
    (
        "upstream-several-facts-in-one-tag",
        SD_TAGS,
        [
            from_tags("(?:.+,|^)path:(/[^,]+).*", "__metrics_path__", "${1}"),
            from_tags("(?:.+,|^)job:([^,]+).*", "job", "${1}"),
            from_tags("(?:.+,|^)label:([^=]+)=([^,]+).*", "${1}", "${2}"),
        ],
        {"__metrics_path__": "/secret", "job": "some-job", "foo": "bar"},
    ),
    (
        "upstream-dropped-label-set-again",
        {"__port_name": "foo", "__port": "9091"},
        [
            *only("labeldrop", regex="^__port_name$"),
            {"source_labels": ["__port"], "regex": "(.+)", "replacement": "metrics", "target_label": "__port_name"},
            *only("keep", source_labels=["__port_name"], regex="^metrics$"),
        ],
        {"__port_name": "metrics"},
    ),
    ("upstream-labeldrop", {"a": "foo", "b1": "x", "b2": "y"}, only("labeldrop", regex="(b.*)"), {"b1": "", "b2": ""}),
    (
        "upstream-both-cases",
        {"foo": "bAr123Foo"},
        [
            *only("uppercase", source_labels=["foo"], target_label="up"),
            *only("lowercase", source_labels=["foo"], target_label="low"),
        ],
        {"up": "BAR123FOO", "low": "bar123foo"},
    ),
    ("upstream-keepequal", PORTS, only("keepequal", source_labels=["__tmp_port"], target_label="__port1"), {}),
    (
        "upstream-keepequal-differs",
        PORTS,
        only("keepequal", source_labels=["__tmp_port"], target_label="__port2"),
        None,
    ),
    ("upstream-dropequal", PORTS, only("dropequal", source_labels=["__tmp_port"], target_label="__port1"), None),
    ("upstream-dropequal-differs", PORTS, only("dropequal", source_labels=["__tmp_port"], target_label="__port2"), {}),
    (
        "empty-replacement-group-deletes",
        {"a": "foo", "f": "baz"},
        replace(regex="(f).*", target_label="$1", replacement="$2"),
        {"f": ""},
    ),
    # the value that a rule looks at
    ("default-rule-copies", {"a": "foo"}, replace(), {"d": "foo"}),
    ("missing-source-label-is-empty", {"b": "x"}, replace(source_labels=["a", "b"]), {"d": ";x"}),
    ("own-separator", {"a": "x", "b": "y"}, replace(source_labels=["a", "b"], separator="/"), {"d": "x/y"}),
    ("empty-separator", {"a": "x", "b": "y"}, replace(source_labels=["a", "b"], separator=""), {"d": "xy"}),
    ("same-source-label-twice", {"a": "x"}, replace(source_labels=["a", "a"]), {"d": "x;x"}),
    ("no-source-labels", {}, [{"target_label": "env", "replacement": "prod"}], {"env": "prod"}),
    ("no-source-labels-empty-replacement", {"d": "x"}, [{"target_label": "d", "replacement": ""}], {"d": ""}),
    ("copying-a-missing-label-deletes", {"d": "x"}, replace(), {"d": ""}),
    ("empty-regex-matches-nothing-but-empty", {"a": "foo"}, replace(regex="", replacement="x"), {}),
    ("empty-regex-matches-empty", {}, replace(regex="", replacement="x"), {"d": "x"}),
    ("empty-input-label-is-absent", {"a": "", "b": "x"}, [], {"a": ""}),
    ("keep-on-a-missing-label", {"b": "x"}, only("keep", source_labels=["a"], regex=".+"), None),
    ("keepequal-both-missing", {}, only("keepequal", source_labels=["a"], target_label="b"), {}),
    ("dropequal-both-missing", {}, only("dropequal", source_labels=["a"], target_label="b"), None),
    # the regex
    ("anchored-in-front", {"a": "boo"}, replace(regex="oo", replacement="x"), {}),
    ("anchored-behind", {"a": "boo"}, replace(regex="bo", replacement="x"), {}),
    ("dot-matches-newline", {"a": "x\ny"}, replace(regex="x.y", replacement="z"), {"d": "z"}),
    ("dollar-does-not-match-before-a-newline", {"a": "x\n"}, replace(regex="x$", replacement="z"), {}),
    ("host-and-port", HOST, replace(regex=r"([^:]+)(?::\d+)?"), {"d": "web-1.example"}),
    ("digits-are-ascii", {"a": "٣"}, replace(regex=r"\d", replacement="z"), {}),
    ("unicode-class", {"a": "é"}, replace(regex=r"(\pL)", replacement="<$1>"), {"d": "<é>"}),
    ("ungreedy-flag", {"a": "aab"}, replace(regex="(?U)(a+)(a*b)", replacement="$1|$2"), {"d": "a|ab"}),
    ("groups-beyond-ascii", {"a": "é=ü€"}, replace(regex="(.)=(.)(.)", replacement="$3$2$1"), {"d": "€üé"}),
    # references
    ("longest-name", {"a": "foo"}, replace(regex="f(.*)", replacement="[$1x]"), {"d": "[]"}),
    ("braces-end-the-name", {"a": "foo"}, replace(regex="f(.*)", replacement="[${1}x]"), {"d": "[oox]"}),
    ("name-takes-unicode-letters", {"a": "foo"}, replace(replacement="[$1é]"), {"d": "[]"}),
    ("name-leaves-a-superscript", {"a": "foo"}, replace(replacement="[$1²]"), {"d": "[foo²]"}),
    ("named-group", {"a": "foo"}, replace(regex="f(?P<rest>.*)", replacement="$rest.${rest}"), {"d": "oo.oo"}),
    ("named-group-without-p", {"a": "foo"}, replace(regex="f(?<rest>.*)", replacement="$rest"), {"d": "oo"}),
    ("whole-match", {"a": "foo"}, replace(regex="f(.*)", replacement="<$0>"), {"d": "<foo>"}),
    ("ten-groups", {"a": "abcdefghij"}, replace(regex="(.)" * 10, replacement="$10$1"), {"d": "ja"}),
    ("leading-zero-is-a-name", {"a": "foo"}, replace(replacement="[$01]"), {"d": "[]"}),
    (
        "ten-digits-are-a-name",
        {"a": "x"},
        replace(regex="(?P<1234567890>x)", replacement="[$1234567890]"),
        {"d": "[x]"},
    ),
    ("number-beyond-any-group", {"a": "foo"}, replace(replacement="[$99999999999999999999]"), {"d": "[]"}),
    ("group-that-took-no-part", {"a": "b"}, replace(regex="(a)?(b)", replacement="[$1$2]"), {"d": "[b]"}),
    ("two-dollars", {"a": "foo"}, replace(replacement="$$1 $$$1"), {"d": "$1 $foo"}),
    ("dollar-at-the-end", {"a": "foo"}, replace(replacement="$1$"), {"d": "foo$"}),
    ("dollar-before-a-blank", {"a": "foo"}, replace(replacement="$ $1"), {"d": "$ foo"}),
    ("brace-not-closed", {"a": "foo"}, replace(replacement="${1 $1"), {"d": "${1 foo"}),
    ("braces-with-nothing", {"a": "foo"}, replace(replacement="${}$1"), {"d": "${}foo"}),
    ("braces-with-a-minus", {"a": "foo"}, replace(replacement="${a-b}"), {"d": "${a-b}"}),
    ("backslash-is-no-reference", {"a": "foo"}, replace(replacement=r"\1"), {"d": r"\1"}),
    ("expanded-target-of-any-text", {"a": "9.x y"}, replace(target_label="$1", replacement="z"), {"9.x y": "z"}),
    ("empty-expanded-target", {"a": "x"}, replace(target_label="$2", replacement="z"), {}),
    ("target-of-any-text", {"a.b": "x"}, replace(source_labels=["a.b"], target_label="ž $1"), {"ž x": "x"}),
    ("target-label-around-a-group", {"a": "x"}, replace(target_label="_${1}_", replacement="z"), {"_x_": "z"}),
    # the other actions
    # md5("") = d41d8cd98f00b204 e9800998ecf8427e
    (
        "hashmod-takes-the-last-eight-bytes",
        {},
        only("hashmod", source_labels=["a"], target_label="d", modulus=2**64 - 1),
        {"d": str(0xE9800998ECF8427E)},
    ),
    ("hashmod-of-one", {"a": "x"}, only("hashmod", source_labels=["a"], target_label="d", modulus=1), {"d": "0"}),
    ("lowercase-of-nothing-deletes", {"d": "x"}, only("lowercase", source_labels=["a"], target_label="d"), {"d": ""}),
    (
        "uppercase-joins",
        {"a": "x", "b": "y"},
        only("uppercase", source_labels=["a", "b"], target_label="d"),
        {"d": "X;Y"},
    ),
    (
        "case-ignores-the-regex",
        {"a": "x"},
        only("uppercase", source_labels=["a"], target_label="d", regex="q"),
        {"d": "X"},
    ),
    ("labelmap-default-keeps-all", {"a": "x"}, only("labelmap"), {}),
    (
        "labelmap-does-not-chase-its-copies",
        {"a": "1", "aa": "2"},
        only("labelmap", regex="(a+)", replacement="a${1}"),
        {"aa": "1", "aaa": "2"},
    ),
    ("labelmap-last-name-wins", {"b": "2", "a": "1"}, only("labelmap", regex="a|b", replacement="x"), {"x": "2"}),
    (
        "labelmap-labels-set-before-come-last",
        {"b": "2", "a": "1"},
        [{"target_label": "a", "replacement": "3"}, *only("labelmap", regex="a|b", replacement="x")],
        {"a": "3", "x": "3"},
    ),
    (
        "labelmap-a-label-set-again-stays-in-place",
        {},
        [
            {"target_label": "a", "replacement": "1"},
            {"target_label": "b", "replacement": "2"},
            {"target_label": "a", "replacement": "3"},
            *only("labelmap", regex="a|b", replacement="x"),
        ],
        {"a": "3", "b": "2", "x": "2"},
    ),
    ("labelmap-to-any-text", {"m_9.": "1"}, only("labelmap", regex="m_(.*)", replacement="ž $1"), {"ž 9.": "1"}),
    ("labelmap-skips-the-empty-name", {"m_": "1"}, only("labelmap", regex="m_(.*)"), {}),
    ("labeldrop-is-anchored", {"ab": "1", "b": "2"}, only("labeldrop", regex="b"), {"b": ""}),
    ("labeldrop-default-drops-all", {"a": "1", "b": "2"}, only("labeldrop"), {"a": "", "b": ""}),
    ("labelkeep", {"a": "foo", "b1": "x"}, only("labelkeep", regex="__.*|job|b.*"), {"a": ""}),
    (
        "labelkeep-takes-the-metric-name-too",
        {"__name__": "up", "b": "2"},
        only("labelkeep", regex="b"),
        {"__name__": ""},
    ),
    ("action-in-capitals", {"a": "foo"}, only("DROP", source_labels=["a"]), None),
]
