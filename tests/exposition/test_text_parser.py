"""The Prometheus text format, line by line: what its grammar takes, what that means, and what it refuses.

Expectations come from promlex.l and promparse.go; tests/scrape/test_differential.py holds the same against a real one.
"""

from __future__ import annotations

import time

import pytest

from tests.rig.exposition import Target, cold, cut, shown
from tests.rig.tables import table

TAKEN: list[tuple[str, str, list[str]]] = [
    ("name and value", "a 1\n", ["a{} 1.0"]),
    ("no line end", "a 1", ["a{} 1.0"]),
    ("labels", 'a{x="1",y="2"} 3\n', ["a{x='1',y='2'} 3.0"]),
    ("labels are sorted", 'a{y="2",x="1"} 3\n', ["a{x='1',y='2'} 3.0"]),
    ("comma at the end", 'a{x="1",} 1\n', ["a{x='1'} 1.0"]),
    ("no comma", 'a{x="1"y="2" z="3"} 1\n', ["a{x='1',y='2',z='3'} 1.0"]),
    ("no labels in braces", "a{} 1\n", ["a{} 1.0"]),
    ("an empty value is an absent label", 'a{x=""} 1\n', ["a{} 1.0"]),
    ("space everywhere", ' \ta {\tx = "1" , y="2" , } \t 3 \t 4 \n', [" \ta{x='1',y='2'} 3.0 @4"]),
    ("no space at all", 'a{x="1"}1\n', ["a{x='1'} 1.0"]),
    ("white space before a name is part of it", " a 1\n", [" a{} 1.0"]),
    ("white space before braces is not", '  {"a"} 1\n', ["a{} 1.0"]),
    ("escapes", r'a{x="\\ \" \n \t"} 1' + "\n", [r"""a{x='\\ " \n \\t'} 1.0"""]),
    ("a line break in a value", 'a{x="1\n2"} 1\n', ["a{x='1\\n2'} 1.0"]),
    ("what looks like lines in a value", 'a{x="\nb 2\n# TYPE c d\n"} 1\n', ["a{x='\\nb 2\\n# TYPE c d\\n'} 1.0"]),
    ("a NUL byte in a value", 'a{x="1\0002"} 1\n', ["a{x='1\\x002'} 1.0"]),
    ("a carriage return in a value", 'a{x="1\r"} 1\n', ["a{x='1\\r'} 1.0"]),
    ("twice and empty is absent", 'a{x="1",x="",y="2"} 1\n', ["a{y='2'} 1.0"]),
    ("a quoted name", '{"a.b"} 1\n', ["a.b{} 1.0"]),
    ("a quoted name and labels", '{"a.b","c.d"="1",e="2"} 1\n', ["a.b{c.d='1',e='2'} 1.0"]),
    ("a quoted name last", '{e="2","a.b"} 1\n', ["a.b{e='2'} 1.0"]),
    ("escapes in a quoted name", r'{"a\"\\\n"} 1' + "\n", ['a"\\\n{} 1.0']),
    ("a quoted label of a plain name", 'a{"b.c"="1"} 1\n', ["a{b.c='1'} 1.0"]),
    ("colons", "a:b 1\n:c 2\n", ["a:b{} 1.0", ":c{} 2.0"]),
    ("a timestamp", "a 1 1500\n", ["a{} 1.0 @1500"]),
    ("the largest timestamp", "a 1 9223372036854775807\n", ["a{} 1.0 @9223372036854775807"]),
    ("timestamp zero", "a 1 0\n", ["a{} 1.0 @0"]),
    ("timestamps come last", "a 1 5\nb 2\n", ["b{} 2.0", "a{} 1.0 @5"]),
    ("the same twice", "a 1\na 2\n", ["a{} 1.0", "a{} 2.0"]),
    ("comments and empty lines", "\n# x\n#y\n \t\n##\na 1\n#", ["a{} 1.0"]),
    ("an indented comment", " \t# TYPE a counter\na 1\n", ["a{} 1.0"]),
    ("HELP without text", "# HELP a\n# HELP b \na 1\n", ["a{} 1.0"]),
    ("HELP of a quoted name", '# HELP "a.b" x\na 1\n', ["a{} 1.0"]),
    ("words that are no HELP and TYPE", "# TYPEx a b\n# help a\n# TYPE\n#TYPE a b\na 1\n", ["a{} 1.0"]),
    ("le", '# TYPE h histogram\nh_bucket{le="1"} 1\n', ["h_bucket{le='1.0'} 1.0"]),
    ("le of millions", '# TYPE h histogram\nh_bucket{le="1000000"} 1\n', ["h_bucket{le='1e+06'} 1.0"]),
    ("le that is infinite", '# TYPE h histogram\nh_bucket{le="+inf"} 1\n', ["h_bucket{le='+Inf'} 1.0"]),
    ("le in hexadecimal", '# TYPE h histogram\nh_bucket{le="0x1p-2"} 1\n', ["h_bucket{le='0.25'} 1.0"]),
    ("le that is none", '# TYPE h histogram\nh_bucket{le="many"} 1\n', ["h_bucket{le='many'} 1.0"]),
    ("le of a gauge", '# TYPE h gauge\nh_bucket{le="1"} 1\n', ["h_bucket{le='1'} 1.0"]),
    ("le before the type", 'h_bucket{le="1"} 1\n# TYPE h histogram\n', ["h_bucket{le='1'} 1.0"]),
    ("le of the family before", '# TYPE x histogram\nh_bucket{le="1"} 1\n', ["h_bucket{le='1.0'} 1.0"]),
    ("quantile", '# TYPE s summary\ns{quantile="0.10"} 1\n', ["s{quantile='0.1'} 1.0"]),
    ("nothing", "", []),
    ("a NUL byte ends the page", "a 1\n\0 b {\nc {\n", ["a{} 1.0"]),
    ("a NUL byte in a comment without space too", "a 1\n#x\0\nc {\n", ["a{} 1.0"]),
    ("a NUL byte in another comment does not", "# x\0\na 1\n", ["a{} 1.0"]),
    ("a NUL byte in a help text neither", "# HELP a x\0\na 1\n", ["a{} 1.0"]),
]

REFUSED: list[tuple[str, str | bytes, int]] = [
    ("no value", "a\n", 1),
    ("no value after labels", "a{}\n", 1),
    ("two timestamps", "a 1 2 3\n", 1),
    ("a negative timestamp", "a 1 -2\n", 1),
    ("a fraction of a timestamp", "a 1 2.5\n", 1),
    ("a timestamp above int64", "a 1 9223372036854775808\n", 1),
    ("an endless timestamp", "a 1 " + "9" * 5000 + "\n", 1),
    ("a word for a value", "a 1\nb one\n", 2),
    ("a digit first", "1a 1\n", 1),
    ("a dash", "a-b 1\n", 1),
    ("carriage returns", "a 1\r\n", 1),
    ("a second name in braces", 'a{"b"} 1\n', 1),
    ("no name", '{x="1"} 1\n', 1),
    ("two quoted names", '{"a","b"} 1\n', 1),
    ("a plain name in braces", "{a,} 1\n", 1),
    ("an empty name", '{""} 1\n', 1),
    ("an empty name and a label twice", '{"",x="",x="1"} 1\n', 1),
    ("a label without a name", 'a{""="1"} 1\n', 1),
    ("a label without quotes", "a{x=1} 1\n", 1),
    ("a label in single quotes", "a{x='1'} 1\n", 1),
    ("a label with a colon", 'a{x:y="1"} 1\n', 1),
    ("a label that begins with a digit", 'a{1x="1"} 1\n', 1),
    ("a comma first", 'a{,x="1"} 1\n', 1),
    ("two commas", 'a{x="1",,} 1\n', 1),
    ("a label twice", 'a{x="1",x="2"} 1\n', 1),
    ("the name as a label", 'a{__name__="b"} 1\n', 1),
    ("no closing brace", 'b 1\na{x="1" 1\n', 2),
    ("no closing quote", 'b 1\na{x="1} 1\n', 2),
    ("a line break behind a backslash", 'a{x="1\\\n2"} 1\n', 1),
    ("an exemplar", 'a_total 1 # {x="1"} 1\n', 1),
    ("an unknown type", "a 1\n# TYPE a info\n", 2),
    ("no type", "# TYPE a\n", 1),
    ("a type with a space after it", "# TYPE a counter \n", 1),
    ("two spaces before a type", "# TYPE a  counter\n", 1),
    ("TYPE of no name", "# TYPE 1 counter\n", 1),
    ("HELP of no name", "# HELP 1\n", 1),
    ("a NUL byte in a type", "# TYPE a counter\0\n", 1),
    ("a NUL byte behind a value", "a 1\0\n", 1),
    ("a byte order mark", "\ufeffa 1\n", 1),
    ("a value that is no UTF-8", b'a 1\nb{x="\xff"} 1\n', 2),
    ("a name that is no UTF-8", b'{"a\xff"} 1\n', 1),
    ("half of a surrogate pair", b'a{x="\xed\xa0\x80"} 1\n', 1),
    ("a help text that is no UTF-8", b"# HELP a \xff\n", 1),
]


@table("page, expected", TAKEN)
def test_taken(page: str, expected: list[str]) -> None:
    read = cold("text", page.encode())
    assert (shown(read), read.error) == (expected, "")


@table("page, line", REFUSED)
def test_refused_with_its_line(page: str | bytes, line: int) -> None:
    """By itself, and before and behind good lines."""
    bad, good = page.encode() if isinstance(page, str) else page, b"good 1\n" * 50
    error = cold("text", bad).error
    assert error.startswith((f"line {line}: ", "a "))
    assert cold("text", good + bad).is_bad
    if not bad.startswith(b"b 1\n") and bad.endswith(b"\n") and "quote" not in error:
        assert cold("text", bad + good).is_bad


HOSTILE = [
    ("no end", b'a{x="' + b"y" * 2_000_000),
    ("no end, many lines", b'a{x="' + b"y\n" * 1_000_000),
    ("no end, empty lines", b'a{x="' + b"\n" * 1_000_000),
    ("an end that comes too late", b'a{x="' + b"\n" * 1_100_000 + b'"} 1\n'),
    ("escaped quotes", b'a{x="' + b'\\"\n' * 400_000),
    ("one text after the other", b'a{x="' + b'",y="\n' * 200_000),
    ("many labels", b"a{" + b"".join(b'x%d="\n",' % number for number in range(100_000)) + b"} 1\n"),
]


@pytest.mark.slow
@table("page", HOSTILE)
def test_quoted_texts_without_end_are_not_read_for_ever(page: bytes) -> None:
    """A page over several lines costs about as much as one in a single line, also when it comes in pieces."""
    started = time.process_time()
    assert cold("text", page).is_bad
    assert cold("text", *cut(page, range(0, len(page), 65_536))).is_bad
    assert time.process_time() - started < 8


@pytest.mark.parametrize("lines", [1, 50, 1_000])
def test_long_texts_over_several_lines_are_read(lines: int) -> None:
    value = "\n".join(["some text"] * lines)
    page = f'before 1\na{{x="{value}",y="{value}"}} 2\nafter 3\n'.encode()
    expected = ["before{} 1.0", f"a{{x={value!r},y={value!r}}} 2.0", "after{} 3.0"]
    assert shown(cold("text", page)) == expected
    assert shown(cold("text", *cut(page, range(0, len(page), 100)))) == expected


def test_metadata() -> None:
    target = Target("text")
    target.read(
        b'# HELP a back\\\\slash line\\nbreak quo\\"te \\x\n# TYPE a counter\n# TYPE b untyped\n# HELP c  two \n'
        b'# TYPE "d.e" gauge\n# HELP b One.\n# HELP b Another.\n# TYPE a gauge\n'
    )
    assert [(one.name, one.type, one.help, one.unit) for one in target.cache.metadata()] == [
        ("a", "gauge", 'back\\slash line\nbreak quo\\"te \\x', ""),
        ("b", "unknown", "Another.", ""),
        ("c", "unknown", " two ", ""),
        ("d.e", "gauge", "", ""),
    ]
