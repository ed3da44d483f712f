"""A warm environment reads a page as a cold one does, however the page has changed since it was read last.

But for what hangs on a TYPE line: as in Prometheus, a series that stays on the page is what its first line made of it,
so that the pages here have canonical `le` values, and no start times are read.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambda_remote_write.exposition.line_parser import ParseOptions
from tests.rig.exposition import Target, cold, pieces

LINES = {
    "text": (
        "# HELP a_total what it counts", "# TYPE a_total counter", "# a comment", "", "a_total 1", "a_total 5e3",
        'a_total{x="1"} 0', 'a_total{x="1"} NaN', 'a_total{x="2"} +Inf', 'a_total{x="2"} 7 1000', "drop_me 3",
        "drop_me zero", "# TYPE h histogram", "# TYPE h gauge", 'h_bucket{le="1.0"} 4', 'h_bucket{le="+Inf"} 4',
        'b{x="with space"} 2', 'b{x="with space"} 2 5', 'b { x = "1" , } 2', "b\t3", "c 1_0", "c 1e999", "c", "c 1 ",
        "c  1", "# HELP a_total something else", 'd{x="open', 'd{x="two', 'lines"} 3', "a_total 9 # {} 1", "\0", "e -0",
    ),
    "openmetrics": (
        "# HELP a what it counts", "# TYPE a counter", "# UNIT a_s s", "a_total 1", "a_total 5e3",
        'a_total{x="1"} 0 # {trace_id="t"} 1 2', 'a_total{x="1"} NaN', 'a_total{x="2"} 7 1.5', "drop_me 3",
        'a_created{x="1"} 12.5', "# TYPE h histogram", 'h_bucket{le="1.0"} 4', 'h_bucket{le="1.0"} 4 # {a="b"} 0.5',
        'b{x="with space"} 2', "c  1", "c 1 ", "c\t1", "# EOF", "# TYPE a gauge", "c 1_0", "", "d 0x10", "e -0",
    ),
}  # fmt: skip


def page(format_name: str, lines: list[str], ends: bool) -> bytes:
    tail = ["# EOF"] if format_name == "openmetrics" and ends else []
    return "\n".join([*lines, *tail, *([""] if ends else [])]).encode()


@pytest.mark.slow
@pytest.mark.parametrize("format_name", LINES, ids=str)
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_warm_reads_as_cold(format_name: str, data: st.DataObject) -> None:
    """Any pages one after the other, in any pieces: the cache changes neither a sample nor a refusal."""
    parse_options = ParseOptions(exemplars=True)
    lines, target = st.sampled_from(LINES[format_name]), Target(format_name, parse_options, drops="drop")
    current = data.draw(st.lists(lines, max_size=12))
    for _ in range(data.draw(st.integers(2, 4))):
        content = page(format_name, current, data.draw(st.booleans()))
        size = data.draw(st.sampled_from([3, 17, 65_536]))
        assert target.read(*pieces(content, size)) == Target(format_name, parse_options, drops="drop").read(content)
        if data.draw(st.booleans()):  # mostly the same page again, with one line changed, gone or new
            at = data.draw(st.integers(0, len(current)))
            current = [*current[:at], *data.draw(st.lists(lines, max_size=1)), *current[at + 1 :]]


def big(size: int, run: int, changed: int = -1) -> bytes:
    """A page of several pieces; one line of it differs."""
    lines = []
    for index in range(size):
        if index % 10 == 0:
            lines += [f"# HELP m{index // 10} help", f"# TYPE m{index // 10} gauge"]
        value = run * index if index % 3 else 0
        lines.append(f'm{index // 10}{{path="/some/path/{index}",n="{"new" if index == changed else "old"}"}} {value}')
    return "\n".join([*lines, ""]).encode()


def test_a_changed_line_costs_its_surroundings_only() -> None:
    """After a line that is new the comparison finds its place again, and the samples are those of a cold reading."""
    target = Target("text")
    target.read(*pieces(big(2_000, 1), 26_000))
    looked_up = 0
    for run in range(2, 8):
        content = big(2_000, run, changed=random.Random(run).randrange(2_000))
        before = target.cache.previous_page
        assert target.read(*pieces(content, 26_000)) == cold("text", content)
        kept = sum(map(lambda new, old: new is old, target.cache.previous_page.heads, before.heads))
        looked_up += len(before) - kept
    assert looked_up < 6 * 2_400 * 0.5, "most lines are compared, not looked up"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda lines: lines[:50] + lines[75:], id="lines gone"),
        pytest.param(lambda lines: [*lines[:50], "extra 1", "extra2 2", *lines[50:]], id="lines inserted"),
        pytest.param(lambda lines: lines[75:] + lines[:75], id="turned around"),
        pytest.param(lambda lines: lines[::-1], id="backwards"),
        pytest.param(lambda lines: lines[:25], id="cut off at a line"),
        pytest.param(lambda lines: [], id="empty"),
        pytest.param(lambda lines: lines + lines, id="twice"),
    ],
)  # fmt: skip
def test_a_page_that_changes_shape_and_back(change: object) -> None:
    """Whatever happened in between, the old page is read as before."""
    lines = big(500, 1).decode().split("\n")[:-1]
    other = "\n".join([*change(lines), ""]).encode()  # type: ignore[operator]
    target = Target("text")
    for content in (big(500, 1), other, big(500, 2), other, other, big(500, 3), big(500, 4)):
        assert target.read(*pieces(content, 1_751)) == cold("text", content)


def test_a_page_with_the_same_lines_is_not_looked_up_at_all() -> None:
    """The second time every line is where it was: the recorded page stays the same object."""
    target = Target("text")
    target.read(big(1_000, 1))
    page = target.cache.previous_page
    assert len(page) == 1_200
    target.read(big(1_000, 2))
    assert target.cache.previous_page is page


def test_a_page_that_cannot_be_recorded_is_parsed_once_all_the_same() -> None:
    """One timestamp makes a page that cannot be compared; its other lines are looked up then, not resolved again."""
    content = b"stamped 1 1700000000000\n" + big(1_000, 1)
    target = Target("text")
    first = target.read(content)
    assert target.resolved == 1_001
    assert target.read(content) == first
    assert target.resolved == 1_001
