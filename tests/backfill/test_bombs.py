"""Files that are small and unpack to anything: time is looked at block by block, and memory has bounds."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.rig import backfill as rigs
from tests.rig.backfill import DAY, NOW_MS, Rig

pytestmark = pytest.mark.slow

STAMP = (NOW_MS - DAY) // 1000


def packed(unit: bytes, count: int, head: bytes = b"", tail: bytes = b"") -> bytes:
    """`head`, `unit` a million times over and over, `tail`; as gzip."""
    some, deflate = unit * 1_000_000, zlib.compressobj(6, zlib.DEFLATED, 31)
    return b"".join([*map(deflate.compress, [head, *[some] * count, tail]), deflate.flush()])


@pytest.mark.parametrize("name", ["a.om.gz", "a.prom.gz", "a.ndjson.gz", "a.csv.gz"])
def test_a_file_that_unpacks_to_nothing_but_lines_stops_when_the_time_is_up(rig: Rig, name: str) -> None:
    """All of its own bytes are read with the first block, and that is not the end of it."""
    path = rig.file(name, packed(b"\n", 100, head=b"at,host,value\n" if "csv" in name else b"", tail=b"# EOF\n"))
    answer = rig.backfill({"job": "j", "from": path}, rig.job(), seconds=1.5)
    assert (answer["done"], answer["stopped"]) == (False, "")
    assert answer["resume"]
    assert answer["parts"] < 20


def test_what_was_read_by_then_is_not_read_again(rig: Rig) -> None:
    path = rig.file("a.om.gz", packed(b"\n", 5, head=f"a 1 {STAMP}\n".encode(), tail=f"b 2 {STAMP}\n# EOF\n".encode()))
    first = rig.backfill({"from": path}, seconds=1.5)
    assert not first["done"]
    answer = rig.backfill({"resume": first["resume"]})
    assert answer["done"]
    assert rigs.counts(answer["skipped"]) == {"bad_line": 5_000_000}
    assert list(rig.stored) == ["a", "b"]


@pytest.mark.parametrize("unit", [b"#\n", b"a\n", b"\n"], ids=["comments", "names", "empty lines"])
def test_a_part_has_no_more_lines_than_are_soon_looked_at(rig: Rig, unit: bytes) -> None:
    """Time is looked at between parts, and a line that cannot be read takes as long as a hundred bytes that can."""
    body = unit * 500_000
    path = rig.file("a.om.gz", gzip.compress(body + f"a 1 {STAMP}\n# EOF\n".encode()))
    answer = rig.backfill({"from": path})
    assert (answer["done"], rigs.counts(answer["skipped"])) == (True, {"bad_line": 500_000})
    assert [row["where"].rpartition(", ")[2] for row in answer["preflight"]] == [
        "lines 1 to 200000", "lines 200001 to 400000", "lines 400001 to 500002",
    ]  # fmt: skip
    assert list(rig.stored) == ["a"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("a.json", partial(packed, b"[", 30), "lists and objects", id="nested lists"),
        pytest.param("a.json", partial(gzip.compress, b"[" * 500_000), "does not end with ]", id="fewer nested lists"),
        pytest.param(
            "a.json", partial(gzip.compress, b"[" * 50_000 + b"]" * 50_000), "nested too deeply", id="closed ones"
        ),
        pytest.param("a.json", partial(packed, b'{"a":', 11), "at most 50000000 bytes", id="nested objects"),
        pytest.param("a.json", partial(packed, b"[],", 15, b'{"a":[', b"[]]}"), "lists and objects", id="many lists"),
        pytest.param("a.json", partial(packed, b"1,", 20, b"[[", b"1]]"), "5000000 values", id="many numbers"),
        pytest.param("a.json", partial(packed, b"1", 60, b"[[", b"]]"), "50000000 bytes", id="a long number"),
        pytest.param("a.json", partial(packed, b" ", 60), "50000000 bytes", id="white space"),
        pytest.param("a.ndjson", partial(packed, b"1", 20), "16777216 bytes", id="a line without an end"),
        pytest.param("a.om", partial(packed, b"a", 20), "16777216 bytes", id="a line of text without an end"),
        pytest.param("a.csv", partial(packed, b"\n", 4, b'"at'), "header", id="a header without an end"),
    ],
)
def test_a_bomb_is_no_file(rig: Rig, name: str, content: Callable[[], bytes], words: str) -> None:
    """It is refused as soon as it is too much, whatever the rest unpacks to."""
    answer = rig.backfill({"job": "j", "from": rig.file(f"{name}.gz", content())}, rig.job(), seconds=600)
    rigs.assert_says(answer["stopped"], name, words)
    assert answer["samples"] == 0


def test_a_quotation_mark_that_is_never_closed_is_looked_for_once(rig: Rig) -> None:
    """Sixteen million lines behind it are no way to keep a machine busy."""
    rows = f"at,host,value\n{STAMP},a,1\n".encode()
    answer = rig.backfill(
        {"job": "j", "from": rig.file("a.csv.gz", packed(b"\n", 16, rows + b'"'))}, rig.job(), seconds=600
    )
    assert answer["samples"] == 1
    assert answer["skipped"]["bad_line"]["count"] == 1


def test_many_members_are_read_to_the_last(rig: Rig) -> None:
    """Each empty one makes the rest be looked at again; the one behind them counts."""
    content = gzip.compress(b"", 1) * 20_000 + gzip.compress(f"a 1 {STAMP}\n# EOF\n".encode())
    answer = rig.read("a.om.gz", content)
    assert (answer["done"], answer["samples"]) == (True, 1)


def test_a_bomb_takes_little_memory(tmp_path: Path) -> None:
    """Of the operator function's 512 MB; the interpreter and what it has imported are in the figure."""
    (tmp_path / "a.json.gz").write_bytes(packed(b"[],", 15, b'{"a":[', b"[]]}"))
    code = f"""
from pathlib import Path
from tests.rig import backfill as rigs
with rigs.made(Path({str(tmp_path)!r})) as rig:
    rig.backfill({{"job": "j", "from": {str(tmp_path / "a.json.gz")!r}}}, rig.job(), seconds=600)
print(int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024)
"""  # not ru_maxrss, which a process inherits from the one that started it
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300,
        env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert int(done.stdout) < 350
