"""The page of refusals is the one that its table gives, and has an anchor for each entry."""

from __future__ import annotations

import re
from pathlib import Path

from generate.refusals import entries, page
from lambda_remote_write.remote_write import refusals
from tests.rig.runbooks import REFUSALS
from tests.rig.yaml_files import read_yaml

TABLE = read_yaml(Path(refusals.__file__).with_name("refusals.yaml"))["refusals"]


def test_the_page_is_the_printed_one() -> None:
    assert REFUSALS.read_text() == page()


def test_every_entry_of_the_table_has_an_anchor_of_its_own() -> None:
    anchors = re.findall(r"^## (.*)$", REFUSALS.read_text(), re.M)
    assert len(anchors) == len(set(anchors)) == len(TABLE)
    assert [one["reason"] for one in TABLE] == [re.sub(r"-\d$", "", anchor) for anchor in anchors]


def test_every_text_of_the_table_leads_to_its_entry() -> None:
    rows = dict(re.findall(r"^\| `(.*)` \| [\d, ]+ \| \[.*\]\(#(.*)\) \|$", REFUSALS.read_text(), re.M))
    texts = [(text, one.get("statuses", [400, 422])) for one in TABLE for text in one["texts"]]
    assert list(rows) == [text for text, _ in texts]
    for entry in entries():
        assert {rows[text] for text in entry.texts} == {entry.anchor}


def test_nothing_is_left_to_fill_in() -> None:
    assert re.findall(r"\{(?:workspace|region|resource|skew|policy|raise[^}]*|widen)\}", REFUSALS.read_text()) == []
