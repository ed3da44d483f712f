"""Where an OpenMetrics file may end: every reader here agrees with promtool, and nothing is lost in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambda_remote_write.exposition.line_parser import ParseOptions
from lambda_remote_write.exposition.openmetrics_parser import OpenMetricsReader
from lambda_remote_write.exposition.page import BadPage, ScrapeCache
from lambda_remote_write.model.samples import Series
from tests.rig import backfill as rigs
from tests.rig.backfill import Rig
from tests.rig.blocks import create_blocks
from tests.rig.needs import Peer
from tests.rig.operator import NOW, Operator, operator

__all__ = ["operator"]

LINE = f"a 1 {NOW - 60}\n"
ENDS = {
    "the end": (f"{LINE}# EOF\n", True),
    "the end without its line end": (f"{LINE}# EOF", True),
    "none": (LINE, False),
    "none, and no line end": (f"{LINE}b 2 {NOW - 60}", False),
    "a sample behind it": (f"{LINE}# EOF\nb 2 {NOW - 60}\n", False),
    "a comment behind it": (f"{LINE}# EOF\n# TYPE b gauge\n", False),
    "a second end": (f"{LINE}# EOF\n# EOF\n", False),
    "an empty line behind it": (f"{LINE}# EOF\n\n", False),
    "a space behind it": (f"{LINE}# EOF \n", False),
    "a space before it": (f"{LINE} # EOF\n", False),
    "carriage returns": (f"{LINE}# EOF\n".replace("\n", "\r\n"), False),
    "a carriage return at the end": (f"{LINE}# EOF\r\n", False),
    "an empty line within": (f"{LINE}\nb 2 {NOW - 60}\n# EOF\n", False),
    "a byte order mark": (f"\ufeff{LINE}# EOF\n", False),
    "a byte order mark before the end": (f"{LINE}\ufeff# EOF\n", False),
    "a word behind it": (f"{LINE}# EOFX\n", False),
}
EACH = pytest.mark.parametrize(("text", "is_good"), ENDS.values(), ids=ENDS)


@EACH
def test_promtool_decides(tmp_path: Path, text: str, is_good: bool, peer: Peer) -> None:
    peer("promtool")
    (tmp_path / "a.om").write_bytes(text.encode())
    done = create_blocks(tmp_path / "a.om", tmp_path / "blocks")
    assert (done.returncode == 0) is is_good, done.stderr


@EACH
def test_pushed_samples_agree(operator: Operator, text: str, is_good: bool) -> None:
    if is_good:
        assert operator(format="openmetrics", text=text)["endpoints"][0]["accepted"] == 1
    else:
        operator.refusal(format="openmetrics", text=text)


@EACH
def test_files_agree(rig: Rig, text: str, is_good: bool) -> None:
    """A line after the end is skipped and counts; a file that may be cut off stops the backfill."""
    answer = rig.read("a.om", text)
    assert (not answer["skipped"] and answer["done"]) is is_good, answer


@EACH
def test_pages_agree(text: str, is_good: bool) -> None:
    reader = OpenMetricsReader(ScrapeCache(), lambda labels: Series(repr(labels).encode()), ParseOptions())
    try:
        reader.feed(text.encode())
        reader.close()
    except BadPage:
        assert not is_good
    else:
        assert is_good


def test_every_line_behind_the_end_is_counted(rig: Rig) -> None:
    """Three lines, the last one without its end."""
    answer = rig.read("a.om", f"{LINE}# EOF\nb 2 {NOW}\n# TYPE c gauge\nc 3 {NOW}")
    assert rigs.counts(answer["skipped"]) == {"after_eof": 3}
    rigs.assert_says(rigs.everything(answer), "a.om", "line 3", "# EOF")
