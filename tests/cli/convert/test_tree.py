"""Reading and writing a tree: texts, quoting, order and comments stay what they were."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from lambda_remote_write_cli.convert.render import render
from lambda_remote_write_cli.convert.tree import Entry, List, Map, Scalar, read

TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=20)
STYLES = st.sampled_from(["", "'", '"', "|", ">"])


def same(text: str) -> str:
    return render(read(dedent(text).lstrip("\n"), "f.yaml"))


@pytest.mark.parametrize(
    "text",
    [
        "a: 1.10\nb: 012\nc: yes\nd: 22:22\ne: ~\nf:\n",
        "a: '1.10'\nb: \"x\\ty\"\nc: ''\nd: \"\"\n",
        "a: foo-${1}\nb: (.*);(.*)\nc: '#no'\nd: x#y\ne: 'a: b'\n",
        "a: [x, 'y', \"z\"]\nb: {c: d, 'e': [f]}\nc: []\nd: {}\n",
        "a:\n  - b: 1\n    c: 2\n  - d: 3\n  -   - e\n      - f\n",
        "a: |\n  first\n    second\n\n  third\nb: |-\n  x\n  y\nd: 1\n",
        "# one\n\n# two\na: 1  # three\n\n# four\n# five\nb:  # six\n  # seven\n  - x  # eight\n\n  # nine\n  - y\n",
        "a:\n  b: 1\n  # the end of a\n\n# above c\nc: 1\n# the end of all\n",
        "a:\n  - b: 1\n    # in the item\n  # in the list\nc: 1\n",
        "a:\n  - b:\n      - 1\n      # in the inner list\n    c: 2\n",
        "a: {b: 1}  # beside a flow\n\nc: [1, 2]\n",
        '"quoted key": 1\n\'tag:x\': 2\n"yes": 3\n',
        "a: 'it''s'\nb: \"it's\"\nc: it's\n",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_written_our_way_stays(text: str) -> None:
    expected = "\n".join(text.splitlines())
    found = "\n".join(line for line in same(text).splitlines())
    assert [line for line in found.split("\n") if line] == [line for line in expected.split("\n") if line]


def test_a_block_of_another_indentation_is_set_to_ours() -> None:
    written = """
        a:
        - b:   1
          c:
             d: x
        # about e
        e: >-
            folded
            text
        """
    assert same(written) == "a:\n  - b: 1\n    c:\n      d: x\n\n# about e\ne: folded text\n"


def test_a_flow_that_does_not_fit_becomes_a_block() -> None:
    items = ", ".join(f"item-{index:04}" for index in range(20))
    assert same(f"a: [{items}]\n").splitlines()[1] == "  - item-0000"


def test_what_readers_differ_about_is_quoted() -> None:
    tree = Map([Entry("a", List([Entry("", Scalar("b?"))], flow=True)), Entry("c", Scalar("d\te"))])
    assert render(tree) == "a: ['b?']\n\nc: \"d\\te\"\n"


def test_a_comment_inside_a_flow_is_kept() -> None:
    assert "# about b" in same("a: {b: 1, # about b\n  c: 2}\nd: 1\n")
    assert "# alone" in same("a: [\n  1,\n  # alone\n  2]\nd: 1\n")


def test_a_comment_beside_the_last_line_of_a_value_is_kept() -> None:
    assert same("a: 'x\n  y'  # one\nb: [1,\n  2]  # two\n") == "a: 'x y'  # one\n\nb: [1, 2]  # two\n"


def test_of_several_blank_lines_one_stays() -> None:
    assert same("a:\n  b: 1\n  # c\n\n\n\n  # d\n  e: 1\n") == "a:\n  b: 1\n  # c\n\n  # d\n  e: 1\n"


def test_a_comment_beside_a_dash_speaks_of_the_item() -> None:
    assert same("a:\n  - # about the item\n    b: 1\n") == "a:\n  # about the item\n  - b: 1\n"


def test_aliases_and_merges_are_written_out() -> None:
    written = "a: &a {x: 1, y: 2}\nb: *a\nc:\n  <<: *a\n  y: 3\nd:\n  <<: [*a, {z: 4}]\n"
    tree = yaml.load(same(written), yaml.BaseLoader)
    assert tree == {
        "a": {"x": "1", "y": "2"},
        "b": {"x": "1", "y": "2"},
        "c": {"y": "3", "x": "1"},
        "d": {"x": "1", "y": "2", "z": "4"},
    }


def test_what_comes_after_the_first_document_need_not_be_yaml() -> None:
    assert same("a: 1  # one\n---\n@ no YAML\n") == "a: 1  # one\n"


def test_where_things_stand() -> None:
    tree = read("a:\n  - b: 1\n  -\n    c: {d: 2}\n", "f.yaml")
    items = tree.items("a")
    assert [(item.line, item.path) for item in items] == [(2, "a[0]"), (4, "a[1]")]
    assert isinstance(items[1].value, Map)
    assert [(pair.line, pair.path) for pair in items[1].value.map("c").pairs()] == [(4, "a[1].c.d")]


@given(key=TEXTS, text=TEXTS, key_style=STYLES, style=STYLES, in_flow=st.booleans())
@example(key="a", text=":0", key_style="", style="", in_flow=True)
def test_every_text_reads_as_itself(key: str, text: str, key_style: str, style: str, in_flow: bool) -> None:
    """In every style that it was written with, as key, value and item, in blocks and flows."""
    style = style or ("'" if not text else "")
    key_style = "'" if not key or key_style in ("|", ">") else key_style
    value = Scalar(text, style)
    inner = Map([Entry(key, value, key_style=key_style)], flow=in_flow)
    top = Map([Entry("m", inner), Entry("l", List([Entry("", value), Entry("", inner)], flow=in_flow))])
    assert yaml.load(render(top), yaml.BaseLoader) == {"m": {key: text}, "l": [text, {key: text}]}


TREES = st.recursive(
    TEXTS,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(TEXTS, children, max_size=3),
    max_leaves=12,
)


@given(tree=st.dictionaries(TEXTS, TREES, min_size=1, max_size=4), flow=st.sampled_from([None, False, True]))
def test_a_tree_keeps_its_texts(tree: dict[str, Any], flow: bool | None) -> None:
    """Whatever PyYAML writes is read and written with the same content, and the second time with the same text."""
    written = yaml.dump(tree, default_flow_style=flow, allow_unicode=True)
    once = render(read(written, "f.yaml"))
    assert yaml.load(once, yaml.CBaseLoader) == yaml.load(written, yaml.CBaseLoader)
    assert render(read(once, "f.yaml")) == once
