"""Relabelling against its specification: Prometheus's relabel.go and its test vectors, Go's regexp.Expand."""

from __future__ import annotations

import dataclasses
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_remote_write.relabel import Action, InvalidRule, Verdict, explain, relabel, rule, target_labels_onto
from tests.rig.relabelling import CASES, ONTO, Given


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_relabel(case: Given) -> None:
    """A rule list changes exactly the labels named, or drops them all."""
    expected = None
    if case["changes"] != "dropped":
        expected = {name: value for name, value in (case["labels"] | case["changes"]).items() if value}
    assert relabel(case["labels"], [rule(**keys) for keys in case["rules"]]) == expected


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


@pytest.mark.parametrize("case", ONTO.values(), ids=ONTO)
def test_target_labels_onto(case: Given) -> None:
    """One side's labels win, and none of the sample's is lost when the target's do."""
    before = deepcopy(case)
    found = target_labels_onto(case["sample"], case["target"], case.get("honor_labels", False))
    assert found == case["expected"]
    assert case == before


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
def test_never_an_empty_name_or_value(labels: dict[str, str], drawn: list[Given]) -> None:
    """A name may be any other text: Prometheus checks neither what labelmap makes nor, in UTF-8, what replace does."""
    before = dict(labels)
    got = relabel(labels, [rule(**each) for each in drawn])
    assert labels == before
    for name, value in (got or {}).items():
        assert name
        assert value


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
