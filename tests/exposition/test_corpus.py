"""Every page of the corpus: read again it says the same, and so it does in any pieces. What a page comes to is held
against a real Prometheus in tests/scrape/test_differential.py."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.rig.exposition import Target, cold, cut
from tests.rig.scrape import PAGES, page_file

FILES = sorted(path for path in PAGES.glob("*/*") if path.is_file())
BREAK_PROMETHEUS = ("native-spans-too-long", "native-spans-too-short")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name} {path.stem}")
def test_the_same_again_and_in_pieces(path: Path) -> None:
    page, format_name, chance = page_file(path).body, path.parent.name, random.Random(path.name)
    if format_name == "openmetrics" and not page:
        return  # an empty page is no page of any format
    read, target = cold(format_name, page), Target(format_name)
    for _ in range(3):
        pieces = cut(page, [chance.randrange(len(page) + 1) for _ in range(chance.randrange(6))])
        assert target.read(*pieces) == read
    single = [page[at : at + 1] for at in range(len(page))]
    assert cold(format_name, *single) == read


@pytest.mark.parametrize("name", BREAK_PROMETHEUS)
def test_pages_that_end_a_real_prometheus_are_refused(name: str) -> None:
    (path,) = PAGES.glob(f"protobuf/{name}.*")
    assert "its spans need" in cold("protobuf", page_file(path).body).error
