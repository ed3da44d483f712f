"""A page says the same whichever way its lines are read: compared with the last page, looked up, by the fast
path, or by the grammar. Here the grammar alone, with a cache of its own, is the measure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambda_remote_write.exposition.line_parser import LineReader, ParseOptions
from lambda_remote_write.exposition.page import BadPage, CacheEntry
from lambda_remote_write.model.samples import RefusedSeries
from tests.rig.exposition import Read, Target, pieces

OPTIONS = ParseOptions(exemplars=True)
Pages = Sequence[bytes]


class Choosy(Target):
    """Some series are refused, some make the page a bad one."""

    def resolve(self, labels: dict[str, str]) -> CacheEntry:
        series = super().resolve(labels)
        if "refused" in labels["__name__"]:
            return RefusedSeries("reason", "words")
        if "wrong" in labels["__name__"]:
            raise BadPage("a wrong one")
        return series


def _not_known(reader: LineReader, head: bytes) -> None:
    """In place of a look at a line's form."""


def _not_taken(reader: LineReader, *lines: object) -> bool:
    """In place of taking many lines at once."""
    return False


@contextmanager
def the_grammar_alone() -> Iterator[None]:
    with (
        mock.patch.object(LineReader, "_fast_path", _not_known),
        mock.patch.object(LineReader, "_take_all", _not_taken),
        mock.patch.object(LineReader, "_take_same", _not_taken),
        mock.patch.object(LineReader, "_take_stamped", _not_taken),
    ):
        yield


class Both:
    """One target, read in all ways and by the grammar alone."""

    def __init__(self, format_name: str, parse_options: ParseOptions = OPTIONS) -> None:
        self.target, self._measure = (Choosy(format_name, parse_options, drops="drop") for _ in range(2))

    def read(self, page: bytes, size: int = 65_536) -> Read:
        """What both say of the page, the families included where it was taken."""
        found = self.target.read(*pieces(page, size))
        with the_grammar_alone():
            expected = self._measure.read(*pieces(page, size))
        assert found == expected
        if not found.is_bad:
            assert self.target.families() == self._measure.families()
        return found


def text(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def openmetrics(*lines: str) -> bytes:
    return text(*lines, "# EOF")


MAKERS = {"text": text, "openmetrics": openmetrics}


# --- Lines one by one ------------------------------------------------------------------------------------------------

VALUES = (
    "0", "-0", "-0.0", "-0e5", "+0", "1", "+1", ".5", "-.5", "1.", "1e5", "1E+5", "1e-5", "01", "00", "NaN", "nan",
    "NAN",
    "+NaN", "-nan", "Inf", "+Inf", "-Inf", "inf", "Infinity", "+infinity", "infinit", "0x1p-2", "0X1", "1_000",
    "1,2", "1,",
    ",", "1e999", "-1e999", "1e-999", "9007199254740993", "123456789012345678901234567890", "2.2250738585072011e-308",
    "1" * 400, "0." + "0" * 400 + "1", "", "-", "+", ".", "e5", "1e", "1f", "1d", "true", "null", "[1]", '"1"', "1]",
    "é",
    "٣", "1\r", "1\t", "\t1", "1\v", "1\f", "1\0", "\0", "1\x85", "1\u2028", "1 ", " 1", "1 5", "1 +5", "1 -5", "1 1e3",
    "1 1.5", "1 NaN", "1  5", "1 5 ", "1\t5", "1 5 5", "1 #", "1 # {} 1", '1 # {a="b"} 1 2', '1 5 # {a="b"} 1', "1 # x",
)  # fmt: skip
IDENTITIES = (
    "a", "a:b", "_a", "a{}", "a{ }", "a {}", "a{,}", 'a{x="1"}', 'a{x="1",}', 'a{x="1",,}', 'a{,x="1"}', 'a{x="1", }',
    'a{x="1",y="2"}', 'a{x="1" ,y="2"}', 'a{x="1", y="2"}', 'a{x="1"y="2"}', 'a{x="1";y="2"}', 'a{x = "1"}',
    'a {x="1"}',
    'a{x=""}', 'a{x="",y=""}', 'a{x="1",x="1"}', 'a{x="1",x="2"}', 'a{x="",x="1"}', 'a{x="1",x=""}', 'a{__name__="b"}',
    'a{__name__=""}', 'a{__name__="a"}', '{"a"}', '{"a",x="1"}', '{x="1","a"}', 'a{"b"}', '{x="1"}', '{__name__="a"}',
    'a{"x"="1"}', 'a{"x y"="1"}', 'a{x="1"', 'a{x="1}', 'a{x=1}', "a{x}", 'a{="1"}', 'a{1x="1"}', 'a{x:y="1"}',
    'a{é="1"}',
    "1a", "é", "a-b", "a.b", "", " a", "\ta", "a ", "a\t", "a\0", "\0a", 'a{x="\0"}', 'a{x="a\0b",y="1"}', 'a{x="\r"}',
    'a{x="\t"}', 'a{x="a b"}', 'a{x="a  b"}', 'a{x=" "}', 'a{x="}"}', 'a{x="} 1"}', 'a{x="1} 2",y="{"}', 'a{x="#"}',
    'a{x="# EOF"}', 'a{x=","}', 'a{x="="}', r'a{x="\""}', r'a{x="\\"}', r'a{x="\n"}', r'a{x="\x"}', r'a{x="\"}',
    'a{x="é☃"}',
    'a{x="\x85\u2028"}', 'a{x="\ufeff"}', 'a{x="1"}}', 'a{{x="1"}', 'a{x="1"}{y="2"}', 'a{x="1"} 2', "drop",
    'drop{x="1"}',
    "refused", 'refused{le="1"}', "wrong", 'wrong{le="1"}', 'h{le="1"}', 'h{le="1",le="1"}', 'h{le="1",quantile="1"}',
)  # fmt: skip
BOUNDS = (
    "1", "1.0", "+1", "01", "1e0", "1e5", "1e6", "123456.7", "0.0001", "0.00001", ".5", "1.", "-0", "-0.0", "+Inf",
    "inf",
    "-inf", "Infinity", "NaN", "nan", "+NaN", "1_0", "1__0", "_1", "0x1p-2", "0x1P+3", "0x_1p0", "0x1", "1e999",
    "1e-999",
    "", " 1", "1 ", "1\r", "x", "é", "٣", "1,5", r"1\n", "1}",
)  # fmt: skip


@pytest.mark.parametrize("format_name", MAKERS)
@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([f"{identity} {value}" for identity in ("a", 'a{x="1"}') for value in VALUES], id="values"),
        pytest.param([f"{identity} 1" for identity in IDENTITIES], id="identities"),
        pytest.param([f"{identity}\t1" for identity in IDENTITIES], id="identities before a tab"),
        pytest.param([f'h_bucket{{le="{bound}"}} 1' for bound in BOUNDS], id="le"),
        pytest.param([f's{{quantile="{bound}",x="1"}} 1' for bound in BOUNDS], id="quantile"),
    ],
)
def test_a_line_is_read_as_by_the_grammar(format_name: str, lines: Iterable[str]) -> None:
    """By itself and among others, under each TYPE; for the first time, again, changed, and after another page."""
    make = MAKERS[format_name]
    for line in lines:
        for kind in ("histogram", "summary", "gauge"):
            both = Both(format_name)
            pages = [
                make(f"# TYPE h {kind}", "before 1", line, "after 2"),
                make(f"# TYPE h {kind}", "before 2", line, "after 2"),
                make(line),
                make("before 1", line, line, "new 3"),
            ]
            for page in pages:
                both.read(page)


@pytest.mark.parametrize("format_name", MAKERS)
@pytest.mark.parametrize("place", [0, 1, 9, 12, 15, 16], ids=str)
@pytest.mark.parametrize("byte", [b"\xff", b"\x80", b"\xc3", b"\xed\xa0\x80", b"\0", b"\r"], ids=repr)
def test_a_byte_that_does_not_belong_there(format_name: str, place: int, byte: bytes) -> None:
    """In a name, a value, a number, a comment: new, and where the line was known."""
    good = b'a{x="12345"} 1\na_sum 2\n'
    bad = good[:place] + byte + good[place:]
    end = b"# EOF\n" if format_name == "openmetrics" else b""
    for pages in ([bad, bad], [good, bad, good], [b"# HELP a " + byte + b"\n" + good, good]):
        both = Both(format_name)
        for page in pages:
            both.read(page + end)


# --- TYPE, le and quantile -------------------------------------------------------------------------------------------

HISTOGRAM, SUMMARY, GAUGE = "# TYPE h histogram", "# TYPE s summary", "# TYPE g gauge"


def labels_of(read: Read) -> list[dict[str, str]]:
    assert not read.is_bad
    return [dict(labels) for labels, _, _ in read.samples]


@pytest.mark.parametrize("format_name", MAKERS)
@pytest.mark.parametrize("piece", [1, 20, 65_536], ids=str)
@pytest.mark.parametrize(
    ("lines", "bounds"),
    [
        pytest.param([HISTOGRAM, 'x{le="1"} 1', GAUGE, 'x{le="1"} 2'], ["1.0", "1.0"], id="first a number"),
        pytest.param([GAUGE, 'x{le="1"} 1', HISTOGRAM, 'x{le="1"} 2'], ["1", "1"], id="first a text"),
        pytest.param([GAUGE, 'x{le="1"} 1', HISTOGRAM, 'x{le="1",} 2'], ["1", "1.0"], id="written otherwise"),
        pytest.param([SUMMARY, 'x{le="1"} 1', HISTOGRAM, 'x{le="1"} 2'], ["1", "1"], id="of another type"),
        pytest.param([HISTOGRAM, 'x{le="0x1p-2"} 1', 'y{le="1_0"} 1'], ["0.25", "10.0"], id="as Go writes numbers"),
        pytest.param([HISTOGRAM, "# HELP g x", 'x{le="1"} 1'], ["1.0"], id="HELP of another family between"),
        pytest.param(['x{le="1"} 1', HISTOGRAM, 'y{le="1"} 1', GAUGE, 'z{le="1"} 1'], ["1", "1.0", "1"], id="in turn"),
        pytest.param([HISTOGRAM, "drop 1", 'x{le="1"} 1', GAUGE, 'drop{le="1"} 2'], ["1.0"], id="dropped ones between"),
    ],
)
def test_a_bound_is_what_its_first_line_makes_of_it(
    format_name: str, piece: int, lines: list[str], bounds: list[str]
) -> None:
    """Prometheus keeps a series by the bytes of its identity (scrape/scrape.go, scrapeCache)."""
    both = Both(format_name)
    page = MAKERS[format_name](*lines)
    for _ in range(3):
        assert [labels["le"] for labels in labels_of(both.read(page, piece))] == bounds


def test_an_identity_that_was_gone_for_a_page_is_new() -> None:
    """Under another TYPE line it stands for another series then (scrape/scrape.go, iterDone)."""
    both = Both("text")
    assert labels_of(both.read(text("a 1", HISTOGRAM, 'x{le="1"} 1')))[-1]["le"] == "1.0"
    both.read(text("a 1"))
    assert labels_of(both.read(text("a 1", GAUGE, 'x{le="1"} 1')))[-1]["le"] == "1"


# --- Comments that contradict each other -----------------------------------------------------------------------------


def test_a_comment_that_a_refused_page_contradicted_is_news_again() -> None:
    """The page after the refused one is like the one before, and says of its family what that said."""
    both = Both("text")
    page = text("# HELP a x", "# TYPE a gauge", "a 1")
    both.read(page)
    assert both.read(text("# HELP a y", "# TYPE a counter", "a 1", "broken")).is_bad
    both.read(page)
    assert both.target.families() == {"a": ("gauge", "x", "")}


@pytest.mark.parametrize("format_name", MAKERS)
@pytest.mark.parametrize("last", ["x", "y"])
def test_the_last_of_two_comments_on_a_family_counts(format_name: str, last: str) -> None:
    both, make = Both(format_name), MAKERS[format_name]
    both.read(make("# HELP a x", "a 1", "# HELP a y", "b 1"))
    lines = ["# HELP a x", "a 1", "# HELP a y", "b 1"] if last == "y" else ["# HELP a x", "a 1", "b 1"]
    both.read(make(*lines), 12)
    assert both.target.families()["a"][1] == last


@pytest.mark.parametrize("format_name", MAKERS)
def test_a_type_that_the_page_contradicts_later_counts_up_to_there(format_name: str) -> None:
    """Also where the line that says so was compared with the last page, and the bucket behind it is new."""
    both, make = Both(format_name), MAKERS[format_name]
    first, second = [SUMMARY, "s 1", HISTOGRAM, "x 1"], ["# TYPE h gauge", "y 1"]
    both.read(make(*first, *second))
    read = both.read(make(*first, 'h_bucket{le="1"} 5', *second), len(text(*first)))
    assert labels_of(read)[2]["le"] == "1.0"


# --- Pages of any lines ----------------------------------------------------------------------------------------------

COMMENTS = {
    "text": (HISTOGRAM, SUMMARY, GAUGE, "# HELP h x", "# HELP g y\\n", "", "#", "# c", "# d", " # c", "#\t\t", "\t"),
    "openmetrics": (HISTOGRAM, SUMMARY, GAUGE, "# HELP h x", "# HELP g y\\n", "# UNIT a_s s"),
}
SOUND = ("a", "a{}", 'a{x="1"}', 'a{x="1",}', 'a{x=""}', 'a{x="a b"}', r'a{x="\""}', 'b{x="}"}', "drop", 'drop{le="1"}')
BOUND = (
    'h{le="1"}', 'h{le="1.0"}', 'h{le="1",}', 'h{le="+inf",x="1"}', 'h{quantile="1"}', 'h{quantile=".5",le="1e3"}',
    'h{le="x"}', 'h{le=""}',
)  # fmt: skip
ODD = (
    'a{x="1",x="1"}', 'a{__name__="b"}', '{"a"}', 'a{x="1" , y="2"}', "a ", 'a{x="', "refused", 'refused{le="1"}',
    "wrong",
    'a{x="\0"}', 'a{x="\r"}',
)  # fmt: skip
NUMBERS = (
    "0", "1", "2", "3", "1.5", "1e5", "NaN", "+Inf", "-0", "+1", ".5", "1.", "7 5", "7 5", "0x1p-2", "1_000", "1,2",
)  # fmt: skip
SAMPLES = st.tuples(
    st.sampled_from(SOUND * 4 + BOUND * 3 + ODD), st.sampled_from([" "] * 20 + ["  ", "\t"]), st.sampled_from(NUMBERS)
).map("".join)
EXTRA = {"text": ('"} 5', "\0", "a"), "openmetrics": ('a 1 # {x="1"} 2', "# EOF", "a")}


@pytest.mark.slow  # so many pages take seconds
@pytest.mark.parametrize("format_name", MAKERS)
@settings(max_examples=250, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_pages_of_any_lines_are_read_as_by_the_grammar(format_name: str, data: st.DataObject) -> None:
    """One after the other, in any pieces: lines with other values, moved, repeated, gone and new."""
    line = st.one_of(SAMPLES, SAMPLES, SAMPLES, st.sampled_from(COMMENTS[format_name] * 3 + EXTRA[format_name]))
    parse_options = ParseOptions(exemplars=data.draw(st.booleans()), honor_timestamps=data.draw(st.booleans()))
    both, lines = Both(format_name, parse_options), data.draw(st.lists(line, max_size=8))
    for _ in range(data.draw(st.integers(2, 4))):
        page = MAKERS[format_name](*lines)
        if data.draw(st.integers(0, 9)) == 0:
            page = page[:-1]
        both.read(page, data.draw(st.sampled_from([1, 3, 17, 40, 65_536, 65_536])))
        lines = changed(data, lines, line)


def changed(data: st.DataObject, lines: list[str], line: st.SearchStrategy[str]) -> list[str]:
    """The next page: mostly like the last one."""
    how = data.draw(st.sampled_from(["values", "values", "one line", "one line", "turned", "twice"]))
    if how == "values":
        return [one if one[:1] in ("", "#") else f"{one.rpartition(' ')[0]} {len(one) % 7}" for one in lines]
    if how == "one line":
        at = data.draw(st.integers(0, len(lines)))
        return [*lines[:at], *data.draw(st.lists(line, max_size=2)), *lines[at + data.draw(st.integers(0, 1)) :]]
    return lines + lines if how == "twice" else lines[::-1]


# --- What the cache is for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param("odd 1", id="none"),
        pytest.param("odd 1 1000", id="a timestamp"),
        pytest.param("odd  1", id="two spaces"),
        pytest.param("refused 1", id="a refused series"),
    ],
)
def test_labels_are_resolved_once(odd: str) -> None:
    """Every raw identity is parsed and relabelled once, also on a page that cannot be compared line by line."""
    target = Choosy("text", OPTIONS)
    page = text("a 1", *(f'a{{x="{number}"}} {number}' for number in range(100)))
    for _ in range(3):
        before = target.resolved
        target.read(page)
    assert target.resolved - before <= 1, "but for the refused one, nothing is new"
