"""The OpenMetrics text format, line by line: what its grammar takes, what that means, and what it refuses.

Expectations come from openmetricslex.l and openmetricsparse.go; tests/scrape/test_differential.py holds the same
against a real Prometheus.
"""

from __future__ import annotations

import pytest

from lambda_remote_write.exposition.line_parser import ParseOptions
from lambda_remote_write.exposition.page import NO_TIME
from tests.rig.exposition import Target, cold, shown
from tests.rig.tables import table

TAKEN: list[tuple[str, str, list[str]]] = [
    ("name and value", "a 1\n", ["a{} 1.0"]),
    ("labels", 'a{x="1",y="2"} 3\n', ["a{x='1',y='2'} 3.0"]),
    ("comma at the end", 'a{x="1",} 1\n', ["a{x='1'} 1.0"]),
    ("no labels in braces", "a{} 1\n", ["a{} 1.0"]),
    ("escapes", r'a{x="\\ \" \n \t"} 1' + "\n", [r"""a{x='\\ " \n \\t'} 1.0"""]),
    ("a quoted name", '{"a.b",x="1"} 1\n', ["a.b{x='1'} 1.0"]),
    ("a quoted label", 'a{"b.c"="1"} 1\n', ["a{b.c='1'} 1.0"]),
    ("seconds", "a 1 1\n", ["a{} 1.0 @1000"]),
    ("milliseconds", "a 1 1.5\nb 1 1.0015\n", ["a{} 1.0 @1500", "b{} 1.0 @1001"]),
    ("negative seconds", "a 1 -1.5\n", ["a{} 1.0 @-1500"]),
    ("an exponent", "a 1 1.5e9\n", ["a{} 1.0 @1500000000000"]),
    (
        "types",
        "".join(f"# TYPE {word} {word}\n" for word in ("counter", "gauge", "info", "stateset")) + "a 1\n",
        ["a{} 1.0"],
    ),
    ("a unit", "# UNIT a_s s\na_s 1\n", ["a_s{} 1.0"]),
    ("an empty unit", "# UNIT a \na 1\n", ["a{} 1.0"]),
    ("an empty help", "# HELP a \na 1\n", ["a{} 1.0"]),
    ("created", "# TYPE a counter\na_total 1\na_created 5\n", ["a_total{} 1.0", "a_created{} 5.0"]),
    ("le", '# TYPE h histogram\nh_bucket{le="1"} 1\n', ["h_bucket{le='1.0'} 1.0"]),
    ("le of a gauge histogram", '# TYPE h gaugehistogram\nh_bucket{le="1"} 1\n', ["h_bucket{le='1'} 1.0"]),
    ("a NUL byte in a value", 'a{x="1\0002"} 1\n', ["a{x='1\\x002'} 1.0"]),
    ("nothing", "", []),
]

EXEMPLARS: list[tuple[str, str, tuple[tuple[tuple[str, str], ...], float, int | None]]] = [
    ("plain", 'a_total 1 # {x="1"} 2', ((("x", "1"),), 2.0, None)),
    ("no labels", "a_total 1 # {} 2", ((), 2.0, None)),
    ("its own time", 'a_total 1 # {x="1"} 2 3.5', ((("x", "1"),), 2.0, 3500)),
    ("after a timestamp", 'a_total 1 9 # {x="1"} 2 3.5', ((("x", "1"),), 2.0, 3500)),
    ("a comma at the end", 'a_total 1 # {x="1",} 2', ((("x", "1"),), 2.0, None)),
    ("labels are sorted", 'a_total 1 # {y="2",x="1"} 2', ((("x", "1"), ("y", "2")), 2.0, None)),
    ("escapes stay", 'a_total 1 # {x="\\"\\n"} 2', ((("x", '\\"\\n'),), 2.0, None)),
    ("a quoted label", 'a_total 1 # {"x.y"="1"} 2', ((("x.y", "1"),), 2.0, None)),
    ("on a gauge", 'a 1 # {x="1"} NaN', ((("x", "1"),), float("nan"), None)),
]

REFUSED: list[tuple[str, str | bytes]] = [
    ("no end", "a 1\n"),
    ("an end in another case", "a 1\n# eof\n"),
    ("something behind the end", "a 1\n# EOF\nb 1\n"),
    ("a line behind the end", "a 1\n# EOF\n\n"),
    ("two ends", "a 1\n# EOF\n# EOF\n"),
    ("two ends and no line end", "a 1\n# EOF\n# EOF"),
    ("half a line", "a 1\nb"),
    ("a sample without its line end", "# EOF\nb 1"),
    *(
        (what, f"{line}\n# EOF\n")
        for what, line in [
            ("an empty line", ""),
            ("a free comment", "# x"),
            ("a comment without space", "#TYPE a gauge"),
            ("two spaces in a comment", "#  TYPE a gauge"),
            ("HELP without text", "# HELP a"),
            ("TYPE without text", "# TYPE a"),
            ("untyped", "# TYPE a untyped"),
            ("a unit that the name lacks", "# UNIT a s"),
            ("a unit without underscore", "# UNIT as s"),
            ("a unit alone", "# UNIT s s"),
            ("space first", " a 1"),
            ("a tab", "a\t1"),
            ("two spaces", "a  1"),
            ("space in braces", 'a{ x="1"} 1'),
            ("space before braces", 'a {x="1"} 1'),
            ("no space behind braces", 'a{x="1"}1'),
            ("space at the end", "a 1 "),
            ("no comma", 'a{x="1"y="2"} 1'),
            ("a comma first", 'a{,x="1"} 1'),
            ("a label twice", 'a{x="1",x="2"} 1'),
            ("no name", '{x="1"} 1'),
            ("a timestamp that is no number", "a 1 x"),
            ("a timestamp of NaN", "a 1 NaN"),
            ("an infinite timestamp", "a 1 -Inf"),
            ("a carriage return", "a 1\r"),
            ("a line break in a value", 'a{x="1\n2"} 1'),
            ("underscores in a number", "a 1_0"),
            ("an exemplar without value", 'a 1 # {x="1"}'),
            ("an exemplar without labels", "a 1 # 2"),
            ("an exemplar's bad value", 'a 1 # {x="1"} x'),
            ("an exemplar's bad time", 'a 1 # {x="1"} 1 x'),
            ("an exemplar at no time", 'a 1 # {x="1"} 1 NaN'),
            ("an exemplar without a comma", 'a 1 # {x="1"y="2"} 1'),
            ("an exemplar without quotes", "a 1 # {x=1} 1"),
            ("an exemplar with a name", 'a 1 # {"x"} 1'),
            ("an exemplar's brace stays open", 'a 1 # {x="1" 1'),
            ("two exemplars", 'a 1 # {x="1"} 1 # {x="1"} 1'),
            ("too much behind an exemplar", 'a 1 # {x="1"} 1 2 3'),
        ]
    ),
    ("a value that is no UTF-8", b'a{x="\xff"} 1\n# EOF\n'),
    ("a help text that is no UTF-8", b"# HELP a \xff\n# EOF\n"),
]


@table("page, expected", TAKEN)
@pytest.mark.parametrize("end", ["# EOF\n", "# EOF"], ids=["line", "last"])
def test_taken(page: str, expected: list[str], end: str) -> None:
    read = cold("openmetrics", f"{page}{end}".encode())
    assert (shown(read), read.error) == (expected, "")


@table("line, expected", EXEMPLARS)
def test_exemplars(line: str, expected: tuple[tuple[tuple[str, str], ...], float, int | None]) -> None:
    read = cold("openmetrics", f"{line}\n# EOF\n".encode())
    labels, value, stamp = expected
    ((_, one),) = read.exemplars
    assert (one.labels, repr(one.value), one.timestamp_ms) == (labels, repr(value), NO_TIME if stamp is None else stamp)
    assert read.scraped == 1


@table("page", REFUSED)
def test_refused(page: str | bytes) -> None:
    assert cold("openmetrics", page.encode() if isinstance(page, str) else page).is_bad


@pytest.mark.parametrize("place", ["before", "after"])
def test_created_says_when_a_counter_began(place: str) -> None:
    sample, created = 'a_total{x="1"} 5', 'a_created{x="1"} 1600000000.5'
    lines = [sample, created] if place == "after" else [created, sample]
    target = Target("openmetrics", ParseOptions(starts=True))
    page = "\n".join(["# TYPE a counter", *lines, "# EOF\n"]).encode()
    for _ in range(2):
        assert target.read(page).starts_ms == {((("__name__", "a_total"), ("x", "1")), 1_600_000_000_500)}


def test_metadata() -> None:
    target = Target("openmetrics")
    target.read(b'# TYPE a_s counter\n# UNIT a_s s\n# HELP a_s quo\\"te \\n \\\\\n# TYPE "b.c" info\n# EOF\n')
    assert [(one.name, one.type, one.help, one.unit) for one in target.cache.metadata()] == [
        ("a_s", "counter", 'quo"te \n \\', "s"),
        ("b.c", "info", "", ""),
    ]
