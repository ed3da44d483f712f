"""Samples as text: what promtool makes blocks of, and what people read."""

from __future__ import annotations

import math
import re
import subprocess
from pathlib import Path

import pytest

from lambda_remote_write.exposition.writer import Exported, exposition, number, openmetrics, series_text
from lambda_remote_write.model.samples import STALE, Histogram, Samples
from tests.rig import made
from tests.rig.needs import Peer

T = 1_700_000_000_123


def exported(*points: made.Point) -> Exported:
    found = Exported()
    found.add(made.samples_of(list(points)))
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(1.0, "1.0", id="whole"),
        pytest.param(0.1, "0.1", id="fraction"),
        pytest.param(-0.0, "-0.0", id="minus zero"),
        pytest.param(1e300, "1e+300", id="large"),
        pytest.param(5e-324, "5e-324", id="smallest"),
        pytest.param(math.nan, "NaN", id="not a number"),
        pytest.param(math.inf, "+Inf", id="infinite"),
        pytest.param(-math.inf, "-Inf", id="minus infinite"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        pytest.param({"__name__": "m"}, "m", id="no labels"),
        pytest.param({"__name__": "m", "a": "b", "c": "d"}, 'm{a="b",c="d"}', id="labels"),
        pytest.param({"__name__": "m", "a": 'x"y\\z\nw'}, 'm{a="x\\"y\\\\z\\nw"}', id="escapes"),
        pytest.param(
            {"__name__": "http.requests", "k8s.pod": "x"}, '{"http.requests","k8s.pod"="x"}', id="UTF-8 names"
        ),
    ],
)
def test_series(labels: dict[str, str], text: str) -> None:
    assert series_text(labels) == text


def test_metrics_stand_together_and_times_are_in_order() -> None:
    found = exported(
        ({"__name__": "b"}, 1.0, T), ({"__name__": "a", "x": "2"}, 3.0, T + 1), ({"__name__": "a", "x": "1"}, 5.0, T),
        ({"__name__": "b"}, 2.0, T - 1000),
    )  # fmt: skip
    assert list(openmetrics(found)) == [
        'a{x="1"} 5.0 1700000000.123\n', 'a{x="2"} 3.0 1700000000.124\n', "b 2.0 1699999999.123\n",
        "b 1.0 1700000000.123\n", "# EOF\n",
    ]  # fmt: skip
    assert next(iter(exposition(found))) == f'a{{x="1"}} 5.0 {T}\n'


@pytest.mark.parametrize(("ms", "text"), [(0, "0.000"), (7, "0.007"), (-1, "-0.001"), (-1500, "-1.500")])
def test_times_are_exact(ms: int, text: str) -> None:
    assert next(iter(openmetrics(exported(({"__name__": "m"}, 1.0, ms))))) == f"m 1.0 {text}\n"


def test_of_two_samples_of_one_time_the_first_counts() -> None:
    found = exported(({"__name__": "m"}, 1.0, T))
    found.add(made.samples_of([({"__name__": "m"}, 2.0, T)]))
    assert (found.samples, next(iter(openmetrics(found)))) == (1, "m 1.0 1700000000.123\n")


def test_what_the_text_has_no_place_for_is_counted() -> None:
    found = exported(({"__name__": "m"}, STALE, T), ({"__name__": "m"}, math.nan, T + 1))
    samples = Samples()
    samples.add(made.cache().intern({"__name__": "h"}), Histogram(1, 1.0, 0, 0.0, 1), T)
    found.add(samples)
    assert dict(found.left_out.counts) == {"stale_marker": 1, "native_histogram": 1}
    assert list(openmetrics(found)) == ["m NaN 1700000000.124\n", "# EOF\n"]


def dump(blocks: Path, sandbox: Path) -> str:
    (blocks / "wal").mkdir(exist_ok=True)  # promtool wants one
    command = ["promtool", "tsdb", "dump", f"--sandbox-dir-root={sandbox}", str(blocks)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_promtool_makes_blocks_of_it(tmp_path: Path, peer: Peer) -> None:
    peer("promtool")
    points: list[made.Point] = [
        ({"__name__": "requests_total", "path": 'a"b\\c\nd', "zone": "ü"}, float(n), T + n * 60_000) for n in range(5)
    ]
    points += [({"__name__": "up"}, 1.0, T), ({"__name__": "tiny"}, 5e-324, T), ({"__name__": "huge"}, -1e308, T)]
    file, blocks = tmp_path / "x.om", tmp_path / "blocks"
    file.write_text("".join(openmetrics(exported(*points))), encoding="utf-8")
    made_blocks = subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(file), str(blocks)],
        capture_output=True,
        text=True,
    )
    assert made_blocks.returncode == 0, made_blocks.stdout + made_blocks.stderr
    dumped = dump(blocks, tmp_path)
    found = sorted((float(value), int(at)) for value, at in re.findall(r"\} (\S+) (\d+)$", dumped, re.M))
    assert found == sorted((value, at) for _, value, at in points)
    assert 'path="a\\"b\\\\c\\nd"' in dumped
