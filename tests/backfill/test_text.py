"""Files in the OpenMetrics and the Prometheus text format: series, values and times arrive as they stand there."""

from __future__ import annotations

import gzip
import math
import random
from pathlib import Path

import cramjam
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as prometheus_families

from lambda_remote_write.exposition.line_parser import ParseOptions
from lambda_remote_write.exposition.openmetrics_parser import OpenMetricsReader
from lambda_remote_write.exposition.page import BadPage, ScrapeCache
from lambda_remote_write.model.samples import Series
from tests.rig import backfill as rigs
from tests.rig.backfill import DAY, NAME, NOW_MS, Points, Rig, counts, series_text
from tests.rig.blocks import create_blocks
from tests.rig.needs import Peer
from tests.rig.operator import NOW, Operator, operator

__all__ = ["operator"]

START_MS = NOW_MS - 30 * DAY


def read_by_the_client(page: str, form: str) -> Points:
    """The samples of a page as the official client library reads it."""
    found: Points = {}
    for family in (openmetrics_families if form == "openmetrics" else prometheus_families)(page):
        for sample in family.samples:
            assert sample.timestamp is not None
            series = series_text({NAME: sample.name, **sample.labels})
            seconds = float(sample.timestamp)
            found.setdefault(series, []).append((round(seconds * 1000), float(sample.value)))
    return {series: sorted(points) for series, points in sorted(found.items())}


# --- OpenMetrics -------------------------------------------------------------------------------------------------

OPENMETRICS = r"""# TYPE requests counter
# HELP requests All of them, "quoted" and with a \\ and a \n in it.
requests_total{path="/a b",code="200"} 17 1759000000
requests_total{path="/a b",code="200"} 18 1759000060
requests_total{path="/a b",code="200"} 19.5 1759000120.250
requests_total{path="x{y=\"z\"} 1 # no",code="500"} 1 1759000000.001 # {trace_id="a b",span="\"}"} 0.5 1758999999.9
requests_created{path="/a b",code="200"} 1758000000.5 1759000120.250
# TYPE temperature_celsius gauge
# UNIT temperature_celsius celsius
temperature_celsius -3.5e-2 1759000000
temperature_celsius{room="line\nbreak"} +Inf 1759000000
temperature_celsius{room="back\\slash, comma"} -Inf 1759000000
temperature_celsius{room="한국어 🦊"} 4 1759000000
# TYPE build info
build_info{version="1.2",job="theirs",instance="x:1"} 1 1759000000
# TYPE state stateset
state{state="on"} 1 1759000000
state{state="off"} 0 1759000000
# TYPE older unknown
older 3 1600000000
# EOF
"""
OPENMETRICS_HELD: Points = {
    'build_info{instance="x:1",job="theirs",version="1.2"}': [(1_759_000_000_000, 1.0)],
    "older": [(1_600_000_000_000, 3.0)],
    'requests_created{code="200",path="/a b"}': [(1_759_000_120_250, 1758000000.5)],
    'requests_total{code="200",path="/a b"}': [
        (1_759_000_000_000, 17.0), (1_759_000_060_000, 18.0), (1_759_000_120_250, 19.5),
    ],
    'requests_total{code="500",path="x{y=\\"z\\"} 1 # no"}': [(1_759_000_000_001, 1.0)],
    'state{state="off"}': [(1_759_000_000_000, 0.0)],
    'state{state="on"}': [(1_759_000_000_000, 1.0)],
    "temperature_celsius": [(1_759_000_000_000, -0.035)],
    'temperature_celsius{room="back\\\\slash, comma"}': [(1_759_000_000_000, -math.inf)],
    'temperature_celsius{room="line\\nbreak"}': [(1_759_000_000_000, math.inf)],
    'temperature_celsius{room="한국어 🦊"}': [(1_759_000_000_000, 4.0)],
}  # fmt: skip


def test_openmetrics_arrives_as_it_stands(rig: Rig) -> None:
    """Seconds become milliseconds; labels, `job` and `instance` among them, are the file's and only the file's."""
    answer = rig.read("a.om", OPENMETRICS, endpoint="here")
    assert rig.stored == OPENMETRICS_HELD
    # The library does not read a label value with " # " in it before an exemplar.
    easy = "".join(line for line in OPENMETRICS.splitlines(keepends=True) if "# no" not in line)
    read = read_by_the_client(easy, "openmetrics")
    assert read == {series: points for series, points in rig.stored.items() if "# no" not in series}
    assert (answer["done"], answer["samples"], answer["skipped"]) == (True, 13, {})


PROMETHEUS = (
    "# just a comment\n"
    "#TYPE is none without the space\n"
    '# HELP requests_total Text with \\\\ and \\n and "quotes"\n'
    "# TYPE requests_total counter\n"
    'requests_total{path="/a b",code="200"} 17 1759000000000\n'
    'requests_total{path="/a b",code="200",} 18 1759000060001\n'
    'requests_total { path = "x{y=\\"z\\"} 1" , code = "500" }   1   1759000000000  \n'
    "\n"
    "\t\n"
    'tabs\t{a="b\tc"}\t2\t1759000000000\n'
    'escapes{a="line\\nbreak \\\\ \\"q\\""} 1e3 1759000000000\n'
    "no_labels{} 3 1759000000000\n"
    "inf +Inf 1759000000000\n"
    "minus -Inf 1759000000000\n"
)
PROMETHEUS_HELD: Points = {
    'escapes{a="line\\nbreak \\\\ \\"q\\""}': [(1_759_000_000_000, 1000.0)],
    "inf": [(1_759_000_000_000, math.inf)],
    "minus": [(1_759_000_000_000, -math.inf)],
    "no_labels": [(1_759_000_000_000, 3.0)],
    'requests_total{code="200",path="/a b"}': [(1_759_000_000_000, 17.0), (1_759_000_060_001, 18.0)],
    'requests_total{code="500",path="x{y=\\"z\\"} 1"}': [(1_759_000_000_000, 1.0)],
    'tabs{a="b\\tc"}': [(1_759_000_000_000, 2.0)],
}


def test_the_prometheus_text_format_arrives_as_it_stands(rig: Rig) -> None:
    """Milliseconds stay what they are, white space is free, comments and empty lines are nothing."""
    answer = rig.read("a.prom", PROMETHEUS)
    assert rig.stored == PROMETHEUS_HELD
    assert (answer["done"], answer["samples"], answer["skipped"]) == (True, 8, {})


def test_the_labels_of_the_config_do_not_touch_a_text(rig: Rig) -> None:
    """Neither the job nor its address is named in series that name their own, or none."""
    job = rig.job(labels={"team": "x"})
    rig.backfill({"from": rig.file("a.prom", "up 1 1759000000000\n"), "job": "j"}, job)
    rig.backfill({"from": rig.file("b.prom", "down 1 1759000000000\n")}, job)
    assert rig.stored == {"down": [(1_759_000_000_000, 1.0)], "up": [(1_759_000_000_000, 1.0)]}


# --- Normalised by TYPE ------------------------------------------------------------------------------------------

BOUNDS = {"1": "1.0", "0.5": "0.5", "1e3": "1000.0", "1.0": "1.0", "+Inf": "+Inf", "-5": "-5.0", "1e-9": "1e-09"}


@pytest.mark.parametrize("form", ["openmetrics", "prometheus"])
def test_bounds_are_written_as_prometheus_writes_them(rig: Rig, form: str) -> None:
    """`le` of a histogram and `quantile` of a summary become floats, in buckets and quantiles only; without a TYPE
    they are labels as others."""
    stamp = "1759000000" if form == "openmetrics" else "1759000000000"
    lines, held = ["# TYPE h histogram"], {}
    for index, (written, meant) in enumerate(BOUNDS.items()):
        metric = "h" if written != "1.0" else "again"
        lines += [f"# TYPE {metric} histogram"] if metric != "h" else []
        lines += [f'{metric}_bucket{{le="{written}",n="{index}"}} {index} {stamp}']
        held[f'{metric}_bucket{{le="{meant}",n="{index}"}}'] = float(index)
    lines += ["# TYPE s summary", f's{{quantile="1"}} 3 {stamp}', f's{{quantile="0.99"}} 4 {stamp}', f"s_sum 5 {stamp}"]
    lines += ["# TYPE g gauge", f'g{{le="1",quantile="1"}} 6 {stamp}', f'untyped_bucket{{le="1"}} 7 {stamp}']
    held |= {'s{quantile="1.0"}': 3.0, 's{quantile="0.99"}': 4.0, "s_sum": 5.0}
    held |= {'g{le="1",quantile="1"}': 6.0, 'untyped_bucket{le="1"}': 7.0}
    lines += ["# EOF"] if form == "openmetrics" else []
    answer = rig.read("page", "\n".join(lines) + "\n", format=form)
    assert answer["skipped"] == {}
    assert rig.stored == {series: [(1_759_000_000_000, value)] for series, value in sorted(held.items())}


def test_a_type_counts_from_where_it_stands(rig: Rig) -> None:
    """The same words before and behind a TYPE are two series, as the reader of a page has it."""
    bucket = 'h_bucket{le="1"}'
    page = f"{bucket} 1 1759000000000\n# TYPE h histogram\n{bucket} 2 1759000060000\n"
    rig.read("a.prom", page + "# TYPE h gauge\n" + f"{bucket} 3 1759000120000\n")
    assert rig.stored == {
        'h_bucket{le="1"}': [(1_759_000_000_000, 1.0), (1_759_000_120_000, 3.0)],
        'h_bucket{le="1.0"}': [(1_759_000_060_000, 2.0)],
    }


# --- Times -------------------------------------------------------------------------------------------------------

STAMPS = {
    "1759000000": 1_759_000_000_000,
    "1759000000.123": 1_759_000_000_123,
    "1759000000.999": 1_759_000_000_999,
    "1.759e9": 1_759_000_000_000,
    "1759000001.0010": 1_759_000_001_001,
}


@pytest.mark.parametrize("written", STAMPS)
def test_seconds_become_the_nearest_millisecond(rig: Rig, written: str) -> None:
    """Fractions that a float does not hold exactly cost no millisecond."""
    rig.read("a.om", f"a 1 {written}\n# EOF\n")
    assert rig.stored == {"a": [(STAMPS[written], 1.0)]}


@pytest.mark.parametrize("form", ["openmetrics", "prometheus"])
def test_a_line_without_a_time_is_skipped_and_counted(rig: Rig, form: str) -> None:
    """A sample of the past needs a time; the others go."""
    stamp = "1759000000" if form == "openmetrics" else "1759000000000"
    page = f"a 1\nb 2 {stamp}\nc 3\n" + ("# EOF\n" if form == "openmetrics" else "")
    answer = rig.read("page", page, format=form)
    assert rig.stored == {"b": [(1_759_000_000_000, 2.0)]}
    assert counts(answer["skipped"]) == {"timestamp_missing": 2}
    rigs.assert_says(rigs.example(answer["skipped"]["timestamp_missing"]), "page", "1", "timestamp")


# In each a value and a time that one reader or another may take for a number.
ODD_NUMBERS = {
    "prometheus": [
        ("1", "-1000"), ("1", "0"), ("1", "01759000000000"), ("1", "+1759000000000"), ("1", "1759000000000.0"),
        ("1", "1.759e12"), ("1", "1_759_000_000_000"), ("1", "99999999999999999999"), ("1", "NaN"),
        ("0x10", "1759000000000"), ("1_000", "1759000000000"), ("+5", "1759000000000"), ("Inf", "1759000000000"),
        ("infinity", "1759000000000"), ("nan", "1759000000000"), ("-NaN", "1759000000000"), ("1.", "1759000000000"),
        (".5", "1759000000000"), ("1e400", "1759000000000"), ("1d", "1759000000000"), ("٣", "1759000000000"),
        ("1e", "1759000000000"), ("true", "1759000000000"), ("007", "1759000000000"), ("-0", "1759000000000"),
    ],
    "openmetrics": [
        ("1", "-1"), ("1", "0"), ("1", "1.759e9"), ("1", "01759000000"), ("1", "+1759000000"), ("1", "NaN"),
        ("1", "Inf"), ("1", "1_759_000_000"), ("1", "1e400"), ("1", "99999999999999999999"), ("1", "0x68D83400"),
        ("1", "1759000000."),
        ("0x10", "1759000000"), ("1_000", "1759000000"), ("+5", "1759000000"), ("Inf", "1759000000"),
        ("infinity", "1759000000"), ("nan", "1759000000"), ("1e400", "1759000000"), ("٣", "1759000000"),
    ],
}  # fmt: skip
ODD = [(form, value, stamp) for form, pairs in ODD_NUMBERS.items() for value, stamp in pairs]


@pytest.mark.parametrize(("form", "value", "stamp"), ODD)
def test_the_fate_of_a_line_does_not_depend_on_its_neighbours(
    tmp_path: Path, form: str, value: str, stamp: str
) -> None:
    """Lines that are read many at once and lines that are read one by one mean the same."""
    unit = 1 if form == "openmetrics" else 1000
    fates = []
    for number, neighbour in enumerate(("plain", 'plain{a="with a space"}')):
        page = f"{neighbour} 1 {1_759_000_000 * unit}\nodd {value} {stamp}\n" + "# EOF\n" * (unit == 1)
        folder = tmp_path / str(number)
        folder.mkdir()
        with rigs.made(folder) as rig:
            answer = rig.backfill({"from": rig.file("page", page), "format": form}, endpoint={"max_age": "100y"})
            (one,) = answer["endpoints"]
            odd = repr(rig.stored.get("odd"))
            fates.append((odd, counts(answer["skipped"]), counts(one["dropped"]), counts(one["rejected"])))
    assert fates[0] == fates[1]


def test_times_of_1970_are_asked_about(rig: Rig) -> None:
    """Seconds in a format that has milliseconds."""
    answer = rig.read("a.prom", "a 1 1760000000\n")
    assert answer["done"]
    rigs.assert_says(" ".join(answer["warnings"]), "unit of their times")


# --- Where an OpenMetrics file may end: every reader agrees with promtool, and nothing is lost in silence -------------

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


def test_a_last_line_without_its_end_is_not_sent(rig: Rig) -> None:
    """Its time may have been cut: 175900000 is a time, too."""
    path = rig.file("a.om", "a 1 1759000000\na 2 175900006")
    first = rig.backfill({"from": path})
    again = rig.backfill({"from": path, "resume": True})
    for answer in (first, again):
        rigs.assert_says(answer["stopped"], "a.om", "# EOF")
        rigs.assert_says(rigs.example(answer["skipped"]["bad_line"]), "line 2", "cut off")
    assert rig.stored == {"a": [(1_759_000_000_000, 1.0)]}


# --- Places, names and sizes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".om", ".openmetrics", ".om.gz", ".om.zst", ".prom", ".prom.gz", ".prom.zst"])
def test_the_name_tells_the_format(rig: Rig, ending: str) -> None:
    """Whether times are seconds or milliseconds is known by the file's name, compressed or not."""
    page = "a 1 1759000000\n# EOF\n" if ".prom" not in ending else "a 1 1759000000000\n"
    content = page.encode()
    if ending.endswith("gz"):
        content = gzip.compress(content[:5]) + gzip.compress(content[5:])
    if ending.endswith("zst"):
        content = bytes(cramjam.zstd.compress(content))
    rig.read(f"page{ending}", content)
    assert rig.stored == {"a": [(1_759_000_000_000, 1.0)]}


def test_several_texts_each_have_an_end(rig: Rig) -> None:
    """`# EOF` ends a file and not those that follow, in the order of a glob."""
    for day in range(3):
        rig.file(f"{day}.om", f"a {day} {1_759_000_000 + day * 86_400}\n# EOF\n")
    answer = rig.backfill({"from": str(rig.folder / "*.om")})
    assert rig.stored == {"a": [((1_759_000_000 + day * 86_400) * 1000, float(day)) for day in range(3)]}
    assert answer["done"]


def quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def large_page(form: str) -> str:
    """Families with many series, as a dump has them: a series' samples together, labels of all kinds and lengths."""
    chance = random.Random(11)
    unit, lines = 1 if form == "openmetrics" else 1000, []
    for family in range(9):
        lines.append(f"# TYPE metric_{family} gauge")
        for series in range(50):
            note = "".join(chance.choices('ab {}",=#\\\n한🦊', k=chance.randrange(200, 1_200)))
            labels = f'{{n="{series}",note="{quoted(note)}"}}'
            lines += [
                f"metric_{family}{labels} {chance.uniform(-1e9, 1e9)!r} {(1_759_000_000 + 60 * at) * unit}"
                for at in range(12)
            ]
    return "\n".join([*lines, *["# EOF"] * (unit == 1), ""])


@pytest.mark.slow
@pytest.mark.parametrize("form", ["openmetrics", "prometheus"])
@pytest.mark.parametrize("more", ["", ".gz"])
def test_a_text_of_many_blocks_arrives_to_the_last_bit(rig: Rig, form: str, more: str) -> None:
    """No border between two blocks costs, doubles or changes a sample; the client library reads the same."""
    page = large_page(form)
    content = page.encode()
    assert len(content) > 4_500_000  # a block has two million bytes
    path = rig.file(f"page{more}", gzip.compress(content, 1) if more else content)
    event = {"from": path, "format": form}
    answer = rig.backfill(event)
    assert answer["skipped"] == {}
    assert answer["samples"] == rig.receiver.accepted == 9 * 50 * 12
    assert rig.stored == read_by_the_client(page, form)
