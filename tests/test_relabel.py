"""Relabelling against its specification: Prometheus's relabel.go and its test vectors, Go's regexp.Expand."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_remote_write.relabel import Action, InvalidRule, Verdict, explain, relabel, rule, target_labels_onto

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
    ("upstream-group-twice", ABC, replace(regex="f(.*)", replacement="ch${1}-ch${1}"), {"d": "choo-choo"}),
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
    ("upstream-drop", {"a": "foo", "b": "bar"}, only("drop", source_labels=["a"], regex=".*o.*"), None),
    ("upstream-inner-group", {"a": "abc"}, replace(regex=".*(b).*"), {"d": "b"}),
    ("upstream-drop-no-match", {"a": "foo"}, only("drop", source_labels=["a"], regex="no-match"), {}),
    ("upstream-drop-is-anchored", {"a": "foo"}, only("drop", source_labels=["a"], regex="f|o"), {}),
    ("upstream-keep-no-match", {"a": "foo"}, only("keep", source_labels=["a"], regex="no-match"), None),
    ("upstream-keep", {"a": "foo"}, only("keep", source_labels=["a"], regex="f.*"), {}),
    ("upstream-replace-no-match", {"a": "boo"}, replace(regex="f", replacement="bar"), {}),
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
    ("upstream-labelkeep", {"a": "foo", "b1": "x", "b2": "y"}, only("labelkeep", regex="(b.*)"), {"a": ""}),
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
    ("keep-with-an-empty-regex", {"b": "x"}, only("keep", source_labels=["a"], regex=""), {}),
    ("keepequal-both-missing", {}, only("keepequal", source_labels=["a"], target_label="b"), {}),
    ("dropequal-both-missing", {}, only("dropequal", source_labels=["a"], target_label="b"), None),
    # the regex
    ("anchored-in-front", {"a": "boo"}, replace(regex="oo", replacement="x"), {}),
    ("anchored-behind", {"a": "boo"}, replace(regex="bo", replacement="x"), {}),
    ("alternatives-are-anchored", {"a": "boo"}, replace(regex="b|oo", replacement="x"), {}),
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
    ("named-group-by-number", {"a": "foo"}, replace(regex="f(?P<rest>.*)"), {"d": "oo"}),
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
    (
        "hashmod-of-an-address",
        {"a": "10.0.1.5:9100"},
        only("hashmod", source_labels=["a"], target_label="d", modulus=4),
        {"d": "1"},
    ),
    (
        "hashmod-of-two-labels",
        {"a": "i-0abc", "b": "eu-west-1a"},
        only("hashmod", source_labels=["a", "b"], target_label="d", modulus=8),
        {"d": "5"},
    ),
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
    ("labelmap-walks-a-snapshot", {"a": "1"}, only("labelmap", regex="(a+)", replacement="a$1"), {"aa": "1"}),
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
    (
        "labelkeep-takes-the-metric-name-too",
        {"__name__": "up", "b": "2"},
        only("labelkeep", regex="b"),
        {"__name__": ""},
    ),
    ("action-in-capitals", {"a": "foo"}, only("DROP", source_labels=["a"]), None),
    ("action-in-mixed-case", {"a": "foo"}, only("LabelDrop", regex="a"), {"a": ""}),
]


@pytest.mark.parametrize(("labels", "rules", "changes"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_relabel(labels: Mapping[str, str], rules: list[Given], changes: Mapping[str, str] | None) -> None:
    """A rule list changes exactly the labels named, or drops them all."""
    expected = None if changes is None else {name: value for name, value in {**labels, **changes}.items() if value}
    assert relabel(labels, [rule(**keys) for keys in rules]) == expected


@pytest.mark.parametrize(
    ("text", "lower", "upper"),
    [
        pytest.param("ß", "ß", "ß", id="sharp-s-has-no-capital"),
        pytest.param("ẞ", "ß", "ẞ", id="capital-sharp-s"),
        pytest.param("İ", "i", "İ", id="dotted-capital-i"),
        pytest.param("ı", "ı", "I", id="dotless-i"),
        pytest.param("ΑΣ", "ασ", "ΑΣ", id="no-final-sigma"),
        pytest.param("ς", "ς", "Σ", id="final-sigma"),
        pytest.param("ﬁ", "ﬁ", "ﬁ", id="ligature"),
        pytest.param("ŉ", "ŉ", "ŉ", id="n-with-apostrophe"),
        pytest.param("ᾳ", "ᾳ", "ᾼ", id="iota-subscript"),
        pytest.param("ᾈ", "ᾀ", "ᾈ", id="capital-with-iota"),
        pytest.param("ǅ", "ǆ", "Ǆ", id="title-case-letter"),
        pytest.param("Éé1", "éé1", "ÉÉ1", id="accents"),
        pytest.param("𐐀", "𐐨", "𐐀", id="beyond-the-first-plane"),
    ],
)
def test_letter_case_maps_each_code_point_to_one(text: str, lower: str, upper: str) -> None:
    """Go's ToLower and ToUpper use Unicode's simple case mapping."""
    rules = [
        rule(action="lowercase", source_labels=["a"], target_label="low"),
        rule(action="uppercase", source_labels=["a"], target_label="up"),
    ]
    assert relabel({"a": text}, rules) == {"a": text, "low": lower, "up": upper}


ACTIONS = "replace, keep, drop, keepequal, dropequal, hashmod, lowercase, uppercase, labelmap, labeldrop, labelkeep"
KEYS = "action, source_labels, separator, regex, modulus, target_label, replacement"

# what a rule may not be: (id, keys, the (key, value) of each problem, words that its message must have)
REFUSED: list[tuple[str, Given, list[tuple[str, str]], str]] = [
    ("replace-without-target", {}, [("target_label", "")], "replace needs a label name"),
    ("hashmod-without-target", {"action": "hashmod", "modulus": 2}, [("target_label", "")], "hashmod needs"),
    ("lowercase-without-target", {"action": "lowercase"}, [("target_label", "")], "lowercase needs"),
    ("uppercase-without-target", {"action": "uppercase"}, [("target_label", "")], "uppercase needs"),
    ("keepequal-without-target", {"action": "keepequal"}, [("target_label", "")], "keepequal needs"),
    ("dropequal-without-target", {"action": "dropequal"}, [("target_label", "")], "dropequal needs"),
    ("target-starts-with-a-digit", {"target_label": "9a"}, [("target_label", "9a")], "[a-zA-Z_]"),
    ("target-with-a-minus", {"target_label": "a-b"}, [("target_label", "a-b")], "[a-zA-Z_]"),
    ("target-with-a-newline", {"target_label": "a\n"}, [("target_label", "a\n")], "[a-zA-Z_]"),
    ("target-template-digit", {"target_label": "0${3}"}, [("target_label", "0${3}")], "${1}"),
    ("target-template-minus", {"target_label": "-${3}"}, [("target_label", "-${3}")], "${1}"),
    ("target-template-open", {"target_label": "foo${"}, [("target_label", "foo${")], "${1}"),
    ("target-template-empty", {"target_label": "${}"}, [("target_label", "${}")], "${1}"),
    ("target-template-lone-dollar", {"target_label": "$"}, [("target_label", "$")], "${1}"),
    ("target-template-two-dollars", {"target_label": "a$$b"}, [("target_label", "a$$b")], "${1}"),
    (
        "lowercase-takes-no-template",
        {"action": "lowercase", "target_label": "${3}"},
        [("target_label", "${3}")],
        "[a-z",
    ),
    ("uppercase-takes-no-template", {"action": "uppercase", "target_label": "$1"}, [("target_label", "$1")], "[a-z"),
    (
        "hashmod-takes-no-template",
        {"action": "hashmod", "modulus": 1, "target_label": "$1"},
        [("target_label", "$1")],
        "[a-z",
    ),
    ("keepequal-takes-no-template", {"action": "keepequal", "target_label": "$1"}, [("target_label", "$1")], "[a-z"),
    ("dropequal-takes-no-template", {"action": "dropequal", "target_label": "$1"}, [("target_label", "$1")], "[a-z"),
    (
        "hashmod-without-modulus",
        {"action": "hashmod", "target_label": "d"},
        [("modulus", "")],
        "from 1 to 18446744073709551615",
    ),
    ("hashmod-modulus-zero", {"action": "hashmod", "target_label": "d", "modulus": 0}, [("modulus", "0")], "from 1 to"),
    (
        "modulus-negative",
        {"action": "hashmod", "target_label": "d", "modulus": -1},
        [("modulus", "-1")],
        "whole number",
    ),
    (
        "modulus-beyond-uint64",
        {"action": "hashmod", "target_label": "d", "modulus": 2**64},
        [("modulus", str(2**64))],
        "whole number",
    ),
    ("modulus-text", {"action": "hashmod", "target_label": "d", "modulus": "8"}, [("modulus", "8")], "whole number"),
    (
        "modulus-bool",
        {"action": "hashmod", "target_label": "d", "modulus": True},
        [("modulus", "True")],
        "whole number",
    ),
    (
        "lowercase-replacement",
        {"action": "lowercase", "target_label": "d", "replacement": "x"},
        [("replacement", "x")],
        "cannot be set for lowercase",
    ),
    (
        "uppercase-replacement",
        {"action": "uppercase", "target_label": "d", "replacement": ""},
        [("replacement", "")],
        "cannot be set for uppercase",
    ),
    ("labelmap-replacement-no-name", {"action": "labelmap", "replacement": "a-$1"}, [("replacement", "a-$1")], "${1}"),
    ("labelmap-replacement-empty", {"action": "labelmap", "replacement": ""}, [("replacement", "")], "${1}"),
    (
        "keepequal-regex",
        {"action": "keepequal", "target_label": "d", "regex": "x"},
        [("regex", "x")],
        "only source_labels and target_label",
    ),
    (
        "keepequal-default-regex-written-out",
        {"action": "keepequal", "target_label": "d", "regex": "(.*)"},
        [("regex", "(.*)")],
        "only",
    ),
    (
        "keepequal-separator",
        {"action": "keepequal", "target_label": "d", "separator": ","},
        [("separator", ",")],
        "only",
    ),
    ("keepequal-modulus", {"action": "keepequal", "target_label": "d", "modulus": 3}, [("modulus", "3")], "only"),
    (
        "keepequal-replacement",
        {"action": "keepequal", "target_label": "d", "replacement": "x"},
        [("replacement", "x")],
        "only",
    ),
    ("dropequal-regex", {"action": "dropequal", "target_label": "d", "regex": "x"}, [("regex", "x")], "only"),
    (
        "labeldrop-source-labels",
        {"action": "labeldrop", "source_labels": ["a"]},
        [("source_labels", "a")],
        "takes only regex",
    ),
    (
        "labeldrop-empty-source-labels",
        {"action": "labeldrop", "source_labels": []},
        [("source_labels", "")],
        "takes only regex",
    ),
    (
        "labeldrop-target-label",
        {"action": "labeldrop", "target_label": "a"},
        [("target_label", "a")],
        "takes only regex",
    ),
    ("labeldrop-modulus", {"action": "labeldrop", "modulus": 2}, [("modulus", "2")], "takes only regex"),
    ("labelkeep-separator", {"action": "labelkeep", "separator": ""}, [("separator", "")], "takes only regex"),
    ("labelkeep-replacement", {"action": "labelkeep", "replacement": "x"}, [("replacement", "x")], "takes only regex"),
    ("unknown-action", {"action": "relace"}, [("action", "relace")], f"allowed are {ACTIONS}"),
    ("empty-action", {"action": ""}, [("action", "")], "unknown action"),
    ("unknown-key", {"target_label": "d", "sourcelabels": "a"}, [("sourcelabels", "a")], f"a rule has {KEYS}"),
    (
        "source-label-no-name",
        {"action": "drop", "source_labels": ["a", "b-c", "9"]},
        [("source_labels", "b-c, 9")],
        "label name",
    ),
    ("source-labels-not-a-list", {"action": "drop", "source_labels": "a"}, [("source_labels", "a")], "list"),
    ("source-label-not-text", {"action": "drop", "source_labels": [1]}, [("source_labels", "1")], "label name"),
    ("separator-not-text", {"action": "drop", "separator": 1}, [("separator", "1")], "text"),
    ("replacement-not-utf-8", {"target_label": "d", "replacement": "\ud800"}, [("replacement", "\ud800")], "UTF-8"),
    ("regex-not-utf-8", {"target_label": "d", "regex": "\ud800"}, [("regex", "\ud800")], "UTF-8"),
    ("regex-not-text", {"action": "drop", "regex": 5}, [("regex", "5")], "text"),
    ("regex-look-ahead", {"action": "drop", "regex": "(?=a)"}, [("regex", "(?=a)")], "RE2.*no look-around"),
    (
        "regex-negative-look-ahead",
        {"action": "drop", "regex": "(?!a).*"},
        [("regex", "(?!a).*")],
        "RE2.*no look-around",
    ),
    ("regex-look-behind", {"action": "drop", "regex": "(?<=a)b"}, [("regex", "(?<=a)b")], "RE2.*no look-around"),
    ("regex-back-reference", {"action": "drop", "regex": r"(a)\1"}, [("regex", r"(a)\1")], "RE2.*no back-references"),
    (
        "regex-named-back-reference",
        {"action": "drop", "regex": "(?P<a>.)(?P=a)"},
        [("regex", "(?P<a>.)(?P=a)")],
        "RE2.*back-ref",
    ),
    ("regex-atomic-group", {"action": "drop", "regex": "(?>a)"}, [("regex", "(?>a)")], "RE2.*atomic"),
    (
        "regex-open-bracket",
        {"action": "drop", "regex": "a(b"},
        [("regex", "a(b")],
        r"RE2 expression \(missing \): a\(b\)",
    ),
    ("regex-leaves-the-anchors", {"action": "drop", "regex": "a)|(?:b"}, [("regex", "a)|(?:b")], "RE2"),
    ("regex-open-quote", {"action": "drop", "regex": r"\Qa"}, [("regex", r"\Qa")], "RE2"),
    ("regex-single-byte", {"action": "drop", "regex": r"a\C"}, [("regex", r"a\C")], "one byte"),
    (
        "regex-group-name-twice",
        {"action": "drop", "regex": "(?P<n>a)|(?<n>b)"},
        [("regex", "(?P<n>a)|(?<n>b)")],
        "twice",
    ),
    ("regex-group-name-beyond-ascii", {"action": "drop", "regex": "(?P<é>a)"}, [("regex", "(?P<é>a)")], "group name"),
    (
        "several-problems",
        {"target_label": "9", "source_labels": ["-"], "regex": "("},
        [("source_labels", "-"), ("regex", "("), ("target_label", "9")],
        "",
    ),
    ("several-problems-of-hashmod", {"action": "hashmod"}, [("target_label", ""), ("modulus", "")], ""),
    (
        "several-keys-too-many",
        {"action": "labelkeep", "target_label": "a", "separator": "x"},
        [("target_label", "a"), ("separator", "x")],
        "",
    ),
    ("bad-action-and-bad-regex", {"action": "x", "regex": "("}, [("action", "x"), ("regex", "(")], ""),
]


@pytest.mark.parametrize(("keys", "problems", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refuses(keys: Given, problems: list[tuple[str, str]], words: str) -> None:
    """Every mistake of a rule is told with its key, its value and what is allowed. The names that legacy validation
    refuses are among them."""
    with pytest.raises(InvalidRule) as refused:
        rule("legacy", **keys)
    told = refused.value.problems
    assert sorted((key, value) for key, value, _ in told) == sorted(problems)
    pattern = words if "RE2" in words else re.escape(words)
    assert re.search(pattern, told[0][2], re.DOTALL)
    assert all(text in str(refused.value) for _, _, text in told)


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param({"target_label": "label${1}"}, id="template-behind"),
        pytest.param({"target_label": "${1}label"}, id="template-in-front"),
        pytest.param({"target_label": "asd$2asd"}, id="template-in-the-middle"),
        pytest.param({"target_label": "foo${bar}foo"}, id="template-by-name"),
        pytest.param({"target_label": "d", "replacement": "${"}, id="replacement-is-any-text"),
        pytest.param({"action": "lowercase", "target_label": "d", "replacement": "$1"}, id="case-default-replacement"),
        pytest.param({"action": "lowercase", "target_label": "d", "regex": "x", "modulus": 3}, id="case-other-keys"),
        pytest.param({"action": "keepequal", "target_label": "d", "separator": ";", "modulus": 0}, id="equal-defaults"),
        pytest.param({"action": "labeldrop", "target_label": "", "replacement": "$1"}, id="labeldrop-defaults"),
        pytest.param({"action": "keep", "target_label": "-", "modulus": 3, "replacement": ""}, id="keep-ignores-keys"),
        pytest.param({"action": "labelmap", "source_labels": ["a"], "target_label": "-"}, id="labelmap-ignores-keys"),
        pytest.param({"action": "drop", "regex": r"[\]]\\C\QC\C\E[(?P<n>](?P<n>a)"}, id="no-false-alarm-in-the-regex"),
        pytest.param({"action": "hashmod", "target_label": "d", "modulus": 2**64 - 1}, id="greatest-modulus"),
    ],
)
def test_accepts(keys: Given) -> None:
    """What Prometheus lets pass passes."""
    assert rule(**keys).action == keys.get("action", "replace")


def test_a_refused_regex_writes_nothing_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidRule, match="RE2"):
        rule(action="drop", regex="(?=x)")
    assert capfd.readouterr() == ("", "")


def test_rule_is_a_readable_value() -> None:
    """Equal keys make equal rules; the representation shows only what differs from the defaults."""
    one = rule(action="Drop", source_labels=["a"], regex="b.*")
    assert one == rule(action="drop", source_labels=("a",), regex="b.*")
    assert one != rule(action="drop", source_labels=("a",), regex="b")
    assert len({one, rule(action="drop", source_labels=["a"], regex="b.*")}) == 1
    assert repr(one) == "Rule(action='drop', source_labels=('a',), regex='b.*')"
    every = rule(action="hashmod", separator="/", modulus=3, target_label="d", replacement="x")
    assert repr(every) == "Rule(action='hashmod', separator='/', modulus=3, target_label='d', replacement='x')"
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.modulus = 1  # type: ignore[misc]


def test_explain_names_the_rule_that_dropped() -> None:
    rules = [rule(target_label="x", replacement="1"), *[rule(action="drop", source_labels=["x"], regex="1")] * 2]
    assert explain({"a": "b"}, rules) == Verdict(None, 1)
    assert explain({"a": "b"}, rules[:1]) == Verdict({"a": "b", "x": "1"}, None)


@pytest.mark.parametrize("broken", ["\ud800", "x\udcffy", "\udfff\n"])
def test_text_that_is_not_utf_8_is_carried_through(broken: str) -> None:
    """A lone surrogate neither fails a rule nor changes on the way."""
    rules = [
        rule(source_labels=["a"], target_label="copy", regex="(.*)()"),
        rule(action="hashmod", source_labels=["a"], target_label="hash", modulus=7),
        rule(action="uppercase", source_labels=["a"], target_label="up"),
        rule(action="keep", source_labels=["a"], regex="(?:.|x)+"),
        rule(action="labeldrop", regex="a"),
    ]
    got = relabel({"a": broken, broken: "odd name"}, rules)
    assert got is not None
    assert (got["copy"], got["up"]) == (broken, broken.upper())
    assert "a" not in got


# target labels on a sample (scrape.go mutateSampleLabels): (id, sample, target, honour, expected)
ONTO: list[tuple[str, Mapping[str, str], Mapping[str, str], bool, Mapping[str, str]]] = [
    ("no-clash", {"a": "1"}, {"b": "2"}, False, {"a": "1", "b": "2"}),
    ("target-wins", {"job": "s"}, {"job": "t"}, False, {"job": "t", "exported_job": "s"}),
    ("same-value-is-exported-too", {"job": "t"}, {"job": "t"}, False, {"job": "t", "exported_job": "t"}),
    (
        "exported-is-taken-by-the-sample",
        {"a": "1", "exported_a": "2"},
        {"a": "3"},
        False,
        {"a": "3", "exported_a": "2", "exported_exported_a": "1"},
    ),
    (
        "exported-is-taken-by-the-target",
        {"a": "1"},
        {"a": "3", "exported_a": "4"},
        False,
        {"a": "3", "exported_a": "4", "exported_exported_a": "1"},
    ),
    (
        "shorter-names-first",
        {"a": "1", "exported_a": "2"},
        {"a": "3", "exported_a": "4"},
        False,
        {"a": "3", "exported_a": "4", "exported_exported_a": "1", "exported_exported_exported_a": "2"},
    ),
    ("empty-sample-label-is-absent", {"a": ""}, {"a": "3"}, False, {"a": "3"}),
    ("empty-target-label-removes", {"a": "1"}, {"a": ""}, False, {"exported_a": "1"}),
    (
        "meta-labels-stay-inside",
        {"__name__": "up"},
        {"__name__": "x", "__tmp": "y", "_z": "1"},
        False,
        {"__name__": "up", "_z": "1"},
    ),
    ("honoured", {"job": "s", "a": "1"}, {"job": "t", "b": "2"}, True, {"job": "s", "a": "1", "b": "2"}),
    ("honoured-empty-keeps-the-target-out", {"job": ""}, {"job": "t"}, True, {}),
    ("honoured-meta-labels-stay-inside", {"a": "1"}, {"__address__": "x"}, True, {"a": "1"}),
]


@pytest.mark.parametrize(
    ("sample", "target", "honor_labels", "expected"), [row[1:] for row in ONTO], ids=[row[0] for row in ONTO]
)
def test_target_labels_onto(
    sample: Mapping[str, str], target: Mapping[str, str], honor_labels: bool, expected: Mapping[str, str]
) -> None:
    """One side's labels win, and none of the sample's is lost when the target's do."""
    before = dict(sample), dict(target)
    assert target_labels_onto(sample, target, honor_labels) == expected
    assert (sample, target) == before


# properties

NAMES = st.sampled_from(["a", "b", "c", "ab", "__name__", "exported_a", "exported_exported_a", "m_9", "m_x"])
VALUES = st.text(alphabet=st.sampled_from("ab;9\néßΣ$-\ud800"), max_size=4)
LABELS = st.dictionaries(NAMES, VALUES, max_size=5)
REGEXES = st.sampled_from(["(.*)", "", "a", "a.*", "(.)(.*)", "(a|b)+", "m_(.*)", "[^a]*", "(?P<x>.)?.*", "(?i)A"])
REPLACEMENTS = st.text(alphabet=st.sampled_from("$12{}xa_é "), max_size=6)
MODULI = st.integers(1, 2**64 - 1)


@st.composite
def rules(draw: st.DrawFn) -> Given:
    action = draw(st.sampled_from(list(Action)))
    drawn: Given = {"action": str(action)}
    if action not in (Action.KEEPEQUAL, Action.DROPEQUAL):
        drawn["regex"] = draw(REGEXES)
    if action not in (Action.LABELDROP, Action.LABELKEEP):
        drawn["source_labels"] = draw(st.lists(NAMES, max_size=2))
        drawn["target_label"] = draw(NAMES)
    if action is Action.REPLACE:
        drawn["target_label"] = draw(st.sampled_from(["a", "b", "$1", "${2}", "x_$1", "${x}"]))
        drawn["replacement"] = draw(REPLACEMENTS)
    if action is Action.LABELMAP:
        drawn["replacement"] = draw(st.sampled_from(["$1", "${1}_y", "x_$1", "z", "$2"]))
    if action is Action.HASHMOD:
        drawn["modulus"] = draw(MODULI)
    return drawn


@settings(max_examples=300)
@given(LABELS, st.lists(rules(), max_size=5))
def test_never_an_empty_value_nor_a_bad_name(labels: dict[str, str], drawn: list[Given]) -> None:
    before = dict(labels)
    got = relabel(labels, [rule(**each) for each in drawn])
    assert labels == before
    for name, value in (got or {}).items():
        assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name)
        assert value


@given(LABELS, st.lists(rules(), max_size=4))
def test_rules_one_by_one_are_rules_together(labels: dict[str, str], drawn: list[Given]) -> None:
    """Without `labelmap`, which remembers what was set when, each rule sees only the labels."""
    compiled = [rule(**each) for each in drawn if each["action"] != "labelmap"]
    step: dict[str, str] | None = dict(labels)
    dropped_by = None
    for index, each in enumerate(compiled):
        step = relabel(step or {}, [each])
        if step is None:
            dropped_by = index
            break
    expected = None if step is None else {name: value for name, value in step.items() if value}
    assert explain(labels, compiled) == Verdict(expected, dropped_by)


@given(LABELS)
def test_no_rules_change_nothing(labels: dict[str, str]) -> None:
    got = relabel(labels, [])
    assert got == {name: value for name, value in labels.items() if value}
    assert got is not labels


@given(LABELS, REGEXES)
def test_labeldrop_and_labelkeep_share_the_labels_out(labels: dict[str, str], regex: str) -> None:
    dropped = relabel(labels, [rule(action="labeldrop", regex=regex)]) or {}
    kept = relabel(labels, [rule(action="labelkeep", regex=regex)]) or {}
    assert not dropped.keys() & kept.keys()
    assert {**dropped, **kept} == relabel(labels, [])


@pytest.mark.parametrize("pair", [("keep", "drop"), ("keepequal", "dropequal")], ids=["regex", "equal"])
@given(labels=LABELS, regex=REGEXES, source_labels=st.lists(NAMES, max_size=2), target_label=NAMES)
def test_one_of_keep_and_drop_drops(
    pair: tuple[str, str], labels: dict[str, str], regex: str, source_labels: list[str], target_label: str
) -> None:
    other: Given = {"regex": regex} if pair[0] == "keep" else {"target_label": target_label}
    verdicts = [relabel(labels, [rule(action=action, source_labels=source_labels, **other)]) for action in pair]
    assert sum(verdict is None for verdict in verdicts) == 1
    assert relabel(labels, []) in verdicts


@given(VALUES, MODULI)
def test_hashmod_stays_below_the_modulus(value: str, modulus: int) -> None:
    got = relabel({"a": value}, [rule(action="hashmod", source_labels=["a"], target_label="d", modulus=modulus)])
    assert got is not None
    assert 0 <= int(got["d"]) < modulus


@given(st.text())
def test_escaped_dollars_come_out_as_written(text: str) -> None:
    got = relabel({}, [rule(target_label="d", replacement=text.replace("$", "$$"))])
    assert got == ({"d": text} if text else {})


@given(LABELS, LABELS)
def test_no_sample_value_is_lost_beneath_target_labels(sample: dict[str, str], target: dict[str, str]) -> None:
    """The values that come out are those of the sample and of the target's visible labels, none missing."""
    got = target_labels_onto(sample, target, honor_labels=False)
    visible = {name: value for name, value in target.items() if not name.startswith("__")}
    assert sorted(got.values()) == sorted(value for value in [*sample.values(), *visible.values()] if value)
    assert all(got.get(name, "") == value for name, value in visible.items() if value)


@given(LABELS, LABELS)
def test_honoured_labels_are_all_kept(sample: dict[str, str], target: dict[str, str]) -> None:
    got = target_labels_onto(sample, target, honor_labels=True)
    assert all(got.get(name, "") == value for name, value in sample.items())
    assert got.keys() <= sample.keys() | target.keys()
