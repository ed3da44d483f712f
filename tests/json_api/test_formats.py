"""Bodies that are not plain JSON: NDJSON, CSV, XML and text, by Content-Type or `format`; prefixes; charsets."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
import xmltodict
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.config.charset import codec_of
from lambda_remote_write.config.schema import BodyFormat, CsvOptions
from lambda_remote_write.http.body_kind import advice
from lambda_remote_write.json_api.csv_records import MAX_CELLS
from lambda_remote_write.json_api.decode import NotJson, decode_body
from lambda_remote_write.json_api.xml_document import MAX_DEPTH, BadXml, document
from lambda_remote_write.model.reason_counts import ReasonCounts
from sandbox.server import Answer
from tests.rig.json_source import NOW_MS, Rig, error, example, skipped
from tests.rig.tables import table

METRIC = '{name: m, records: "[]", value: v, labels: {n: n}}'
SEMICOLON = CsvOptions(delimiter=";")


def read(content: str | bytes, content_type: str = "", **keys: Any) -> Any:
    body = content.encode() if isinstance(content, str) else content
    return decode_body(body, content_type, BodyFormat(**keys))


def served(rig: Rig, content: str | bytes, content_type: str) -> None:
    body = content.encode() if isinstance(content, str) else content
    rig.api.serve("/doc", Answer(200, {"Content-Type": content_type} if content_type else {}, body))


# --- What a body is read as -------------------------------------------------------------------------------------------

A = [{"a": 1}, {"a": 2}]
BY_TYPE: list[tuple[str, str, str, Any]] = [
    *((kind, '{"a":1}\n{"a":2}\n', kind, A) for kind in (
        "application/x-ndjson", "application/x-ndjson; charset=utf-8", "Application/JSONL", "application/json-lines",
        "application/stream+json",
    )),
    ("one line of NDJSON is a list too", '{"a":1}', "application/x-ndjson", [{"a": 1}]),
    ("JSON text sequences", '\x1e{"a":1}\n\x1e{"a":\n2}\n', "application/json-seq", A),
    ("pretty JSON that calls itself NDJSON", "[\n1,\n2\n]", "application/x-ndjson", [1, 2]),
    ("text/csv", "a,b\n1,x\n", "text/csv", [{"a": "1", "b": "x"}]),
    ("tabs", "a\tb, c\n1\tx;y\n", "text/tab-separated-values", [{"a": "1", "b, c": "x;y"}]),
    ("a kind of CSV", "a,b\n1,x\n", "application/vnd.sdmx.data+csv;version=1.0.0", [{"a": "1", "b": "x"}]),
    ("application/xml", "<a><b>1</b></a>", "application/xml", {"a": {"b": "1"}}),
    ("text/xml", "<a/>", "text/xml;charset=UTF-8", {"a": None}),
    ("a kind of XML", "<rss version='2.0'/>", "application/rss+xml", {"rss": {"@version": "2.0"}}),
    ("text/plain", " 0.52 0.58 0.59 2/813 4711\n", "text/plain; charset=utf-8", "0.52 0.58 0.59 2/813 4711"),
    ("a number in text/plain", "21.5\n", "text/plain", 21.5),
    ("JSON in text/plain", '{"a":1}', "text/plain", {"a": 1}),
    ("JSON in text/csv", ' [{"a":1}]', "text/csv", [{"a": 1}]),
    ("JSON in application/xml", '\n{"a":1}', "application/xml", {"a": 1}),
    ("no type", '{"a":1}', "", {"a": 1}),
]  # fmt: skip


@table("content, content_type, expected", BY_TYPE)
def test_the_content_type_decides(content: str, content_type: str, expected: Any) -> None:
    assert read(content, content_type) == expected


STATED: list[tuple[str, str, str, dict[str, Any], Any]] = [
    ("ndjson", '{"a":1}\n{"a":2}', "application/json", {"format": "ndjson"}, A),
    ("csv", "a;b\n1;2\n", "text/plain", {"format": "csv"}, [{"a": "1", "b": "2"}]),
    ("xml", "<a>1</a>", "text/html", {"format": "xml"}, {"a": "1"}),
    ("text", "21.5\n", "application/json", {"format": "text"}, "21.5"),
    ("text of JSON", '{"a": 1}', "application/json", {"format": "text"}, '{"a": 1}'),
    ("text of HTML", "<html>5 C</html>", "text/html", {"format": "text"}, "<html>5 C</html>"),
    ("json", '{"a":1}', "application/x-ndjson", {"format": "json"}, {"a": 1}),
]


@table("content, content_type, keys, expected", STATED)
def test_a_stated_format_decides(content: str, content_type: str, keys: dict[str, Any], expected: Any) -> None:
    assert read(content, content_type, **keys) == expected


HTML = "<!DOCTYPE html><html><body>Sign in</body></html>"
OTHERS: list[tuple[str, str, str, dict[str, Any], list[str]]] = [
    *((f"HTML as {kind}", HTML, kind, {}, ["looks like HTML", "login"]) for kind in (
        "text/csv", "application/xml", "application/xhtml+xml", "text/plain", "application/x-ndjson", "text/html",
    )),
    *((f"HTML as {name}", HTML, "text/html", {"format": name}, ["looks like HTML", "login"]) for name in (
        "json", "ndjson", "csv", "xml",
    )),
    ("XHTML as XML", "<html><body>Sign in</body></html>", "application/xml", {}, ["looks like HTML", "login"]),
    ("XML of a script", '<?xml version="1.0"?><a>1</a>', "text/html", {}, ["this is XML", "write format: xml"]),
    ("XHTML of a script", '<?xml version="1.0"?>\n<!-- x --> <html/>', "text/html", {}, ["looks like HTML"]),
    ("XML as csv", "<a><b>1</b></a>", "application/xml", {"format": "csv"}, ["not CSV", "format: xml"]),
    ("JSON as csv", '{"a": 1}', "", {"format": "csv"}, ["not CSV, but JSON", "format: json"]),
    ("JSON as xml", '[{"a": 1}]', "", {"format": "xml"}, ["not XML, but JSON", "format: json"]),
    ("JSON as ndjson", '[\n{"a": 1}\n]', "", {"format": "ndjson"}, ["not NDJSON, but one JSON", "format: json"]),
    ("CSV as json", "a,b\n1,2\n", "text/csv", {"format": "json"}, ["not JSON", "this is CSV", "format: csv"]),
    ("CSV as xml", "a,b\n1,2\n", "text/csv", {"format": "xml"}, ["XML", "this is CSV", "format: csv"]),
    ("NDJSON as json", '{"a":1}\n{"a":2}', "", {"format": "json"}, ["this is NDJSON", "format: ndjson"]),
    ("a sentence as csv", "Service unavailable", "text/csv", {}, ["one line without a delimiter"]),
    ("a sentence as ndjson", "Service unavailable", "", {"format": "ndjson"}, ["line 1 is not JSON", "format: text"]),
    ("a sentence as JSON", "Service unavailable", "", {}, ["not JSON", "plain text", "format: text"]),
    ("an event stream in text/plain", 'data: {"a":1}\n\n', "text/plain", {}, ["event stream"]),
    *((f"nothing as {kind}", "", kind, {}, ["it is empty"]) for kind in (
        "application/json", "text/csv", "application/xml", "text/plain",
    )),
    *((f"a blank as {name}", " \n", "", {"format": name}, ["white space"]) for name in ("json", "csv", "xml", "text")),
]  # fmt: skip


@table("content, content_type, keys, words", OTHERS)
def test_another_format_is_named(content: str, content_type: str, keys: dict[str, Any], words: list[str]) -> None:
    """What the body looks like, and what to write."""
    with pytest.raises(NotJson) as raised:
        read(content, content_type, **keys)
    message = str(raised.value)
    assert [word for word in words if word not in message] == []
    assert message.isprintable()
    assert len(message) < 400


def test_a_text_that_is_a_table_is_named_where_its_metrics_fail(rig: Rig) -> None:
    """HAProxy calls its CSV text/plain."""
    served(rig, "# pxname,svname,scur\nweb,FRONTEND,5\n", "text/plain")
    found = error(rig.push(rig.job('{name: m, records: "[]", value: scur, labels: {n: pxname}}')))
    assert "read as one text, as its Content-Type says; this is CSV; write format: csv" in found


def test_a_text_of_json_is_not_explained_so(rig: Rig) -> None:
    served(rig, '"a;b"', "application/json")
    assert "read as one text" not in error(rig.push(rig.job(METRIC)))


def test_a_job_says_what_it_wants(rig: Rig) -> None:
    """A server that has several forms gives that of the job's `format`."""
    served(rig, "n,v\na,1\n", "text/csv")
    rig.push(rig.job(METRIC, keys="format: csv"), rig.job(METRIC, name="unsaid"))
    asked = [request.headers["Accept"] for request in rig.api.requests]
    assert sorted(asked) == ["application/json", "text/csv, */*;q=0.5"]


# --- NDJSON -----------------------------------------------------------------------------------------------------------

SEVERAL = [
    ("on one line", '{"v":1} {"v":2}[3]', [{"v": 1}, {"v": 2}, [3]]),
    ("over several lines", '{\n"v":1\n}\n{\n"v":2\n}\n', [{"v": 1}, {"v": 2}]),
    ("one object over several lines", '{\n"v":1\n}\n', [{"v": 1}]),
    ("one list on one line", "[1,2]\n", [[1, 2]]),
]


@table("content, expected", SEVERAL)
def test_documents_may_follow_each_other_in_any_way(content: str, expected: Any) -> None:
    """As `jq` and `kubectl get -w -o json` write them."""
    assert read(content, format="ndjson") == expected


LINES = [
    ("a last newline", '{"v":1}\n{"v":2}\n'),
    ("no last newline", '{"v":1}\n{"v":2}'),
    ("carriage returns", '{"v":1}\r\n{"v":2}\r\n'),
    ("blank lines", '\n{"v":1}\n\n  \n{"v":2}\n\n'),
    ("a byte order mark", '\ufeff{"v":1}\n{"v":2}'),
    ("blanks around", '  {"v":1} \n\t{"v":2}\t'),
]


@table("content", LINES)
def test_ndjson_is_a_list_of_its_lines(content: str) -> None:
    assert read(content, "application/x-ndjson") == [{"v": 1}, {"v": 2}]


def test_ndjson_without_a_line_is_an_empty_list() -> None:
    """A query that finds nothing has an empty body."""
    assert read("", "application/x-ndjson") == []
    assert read("\n", format="ndjson") == []


def test_numbers_in_lines_are_those_of_json() -> None:
    """NaN, long integers, and digits that a label keeps, also when another line is bad."""
    assert str(read('{"v": NaN}\n{"v": 1}', format="ndjson")) == "[{'v': nan}, {'v': 1}]"
    exact = decode_body(b'{"v":1.10}\nbad\n{"v":1e3}', "", BodyFormat("ndjson"), exact=True)
    assert [record["v"].text for record in exact] == ["1.10", "1e3"]


@pytest.mark.parametrize("timestamp", ["", ", timestamp: {path: t, format: unix}"], ids=["now", "stamped"])
def test_one_bad_line_is_counted_and_leaves_the_others(rig: Rig, timestamp: str) -> None:
    now = NOW_MS // 1000
    bad = f'{{"n":"a","v":1,"t":{now}}}\n{{"n":"b","v":\n{{"n":"c","v":3,"t":{now}}}'
    served(rig, bad, "application/x-ndjson")
    report = rig.push(rig.job(f"{METRIC[:-1]}{timestamp}}}"))
    job = report["jobs"][0]
    assert (error(report), job["records"], job["mapped"], skipped(report)) == ("", 3, 2, {"not_json": 1})
    assert example(job["skipped"]["not_json"]).startswith("line 2 is not JSON: Expecting value, column 14")
    assert [line.split(" @")[0] for line in rig.lines()] == ['m{n="a"} 1', 'm{n="c"} 3']


def test_a_bad_line_is_counted_once_when_the_answer_is_decoded_twice(rig: Rig) -> None:
    """A label that prints a fraction needs its digits."""
    served(rig, '{"v":1,"n":1.10}\n{\n', "application/x-ndjson")
    assert skipped(rig.push(rig.job(METRIC))) == {"not_json": 1}
    assert rig.lines() == [f'm{{n="1.10"}} 1 @{NOW_MS}']


def test_only_bad_lines_are_an_error(rig: Rig) -> None:
    served(rig, "{]\n}\n", "application/x-ndjson")
    found = error(rig.push(rig.job(METRIC)))
    assert "the body is not NDJSON: line 1 is not JSON: Expecting property name enclosed in double quotes" in found


def test_a_line_that_is_nested_too_deeply_is_a_bad_one() -> None:
    skipped = ReasonCounts()
    deep = b"[" * 100_000
    found = decode_body(b'{"v":1}\n' + deep, "application/x-ndjson", BodyFormat(), skipped)
    assert (found, dict(skipped.counts)) == ([{"v": 1}], {"not_json": 1})
    assert "nested too deeply" in skipped.first_examples["not_json"]


def test_pages_of_lines(rig: Rig) -> None:
    """Pagination walks over lines as over a list; bad ones of every page are counted."""
    pages = {"page=1": '{"v":1,"n":"a"}\n{\n', "page=2": '{"v":2,"n":"b"}\nx', "page=3": ""}
    rig.serve_pages(pages)
    report = rig.push(rig.job(METRIC, keys="format: ndjson, pagination: {style: page}"))
    assert (error(report), skipped(report)) == ("", {"not_json": 2})
    assert [line.split(" @")[0] for line in rig.lines()] == ['m{n="a"} 1', 'm{n="b"} 2']


def test_fail_if_looks_into_lines(rig: Rig) -> None:
    served(rig, '{"error":"no such query"}\n', "application/x-ndjson")
    keys = 'fail_if: "[?error]", fail_message: "[0].error"'
    assert "no such query" in error(rig.push(rig.job(METRIC, keys=keys)))


# --- CSV --------------------------------------------------------------------------------------------------------------

CSV: list[tuple[str, str, CsvOptions, Any]] = [
    ("a header", "a,b\n1,2\n3,4\n", CsvOptions(), [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
    ("carriage returns", "a,b\r\n1,2\r\n", CsvOptions(), [{"a": "1", "b": "2"}]),
    ("no last newline", "a,b\n1,2", CsvOptions(), [{"a": "1", "b": "2"}]),
    ("a byte order mark", "\ufeffa,b\n1,2\n", CsvOptions(), [{"a": "1", "b": "2"}]),
    ("names", "1,2\n", CsvOptions(("a", "b")), [{"a": "1", "b": "2"}]),
    ("names, and no rows", "", CsvOptions(("a", "b")), []),
    ("a header, and no rows", "a,b\n", CsvOptions(), []),
    ("semicolons", "a;b\n1,5;2\n", CsvOptions(), [{"a": "1,5", "b": "2"}]),
    ("delimiters in quotes", '"a;b;c",d\n1,2\n', CsvOptions(), [{"a;b;c": "1", "d": "2"}]),
    ("semicolons stated", "a,x;b\n1;2\n", SEMICOLON, [{"a,x": "1", "b": "2"}]),
    ("semicolons with names", "1,5;2,5\n", CsvOptions(("a", "b")), [{"a": "1,5", "b": "2,5"}]),
    ("semicolons with names, and a comma in one number", "x;1,5\ny;2,5\n", CsvOptions(("a", "b")),
     [{"a": "x", "b": "1,5"}, {"a": "y", "b": "2,5"}]),
    ("semicolons, and a comma in a name", "a;b, kWh\n1;2,5\n", CsvOptions(), [{"a": "1", "b, kWh": "2,5"}]),
    ("tabs", "a\tb\n1\t2\n", CsvOptions(), [{"a": "1", "b": "2"}]),
    ("bars", "a|b\n1|2\n", CsvOptions(), [{"a": "1", "b": "2"}]),
    ("another delimiter", "a:b\n1:2\n", CsvOptions(delimiter=":"), [{"a": "1", "b": "2"}]),
    ("comments", "# made at noon\na,b\n#x\n1,2\n # end\n", CsvOptions(comment="#"), [{"a": "1", "b": "2"}]),
    ("a comment inside of quotes", 'a,b\n"x\n# y",2\n', CsvOptions(comment="#"), [{"a": "x\n# y", "b": "2"}]),
    ("quotes", 'a,b\n"x, y","say ""hi"""\n', CsvOptions(), [{"a": "x, y", "b": 'say "hi"'}]),
    ("quotes over lines", 'a,b\n"x\ny",2\nz,3\n', CsvOptions(), [{"a": "x\ny", "b": "2"}, {"a": "z", "b": "3"}]),
    ("an empty cell is null", 'a,b,c\n1,,""\n', CsvOptions(), [{"a": "1", "b": None, "c": None}]),
    ("a short row", "a,b,c\n1,2\n", CsvOptions(), [{"a": "1", "b": "2", "c": None}]),
    ("blank lines", "\na,b\n\n1,2\n\n", CsvOptions(), [{"a": "1", "b": "2"}]),
    ("blanks behind a delimiter", 'a, b\n1, "x, y"\n', CsvOptions(), [{"a": "1", "b": "x, y"}]),
    ("blanks before a delimiter", 'a ,b\t,c\n1  ,"x, y", 3 \n', CsvOptions(),
     [{"a": "1", "b": "x, y", "c": "3"}]),
    ("lines of names and values", "a = 1\nb c =  2\nd =\n", CsvOptions(("key", "value"), delimiter="="),
     [{"key": "a", "value": "1"}, {"key": "b c", "value": "2"}, {"key": "d", "value": None}]),
    ("HAProxy's", "# pxname,svname,\nweb,a,\n", CsvOptions(), [{"pxname": "web", "svname": "a"}]),
    ("one column", "a\n1\n", CsvOptions(), [{"a": "1"}]),
    ("Excel's first line", "sep=^\r\na,x^b\r\n1,5^2\r\n", CsvOptions(), [{"a,x": "1,5", "b": "2"}]),
    ("the same with names", "\ufeffsep=;\n1;2\n", CsvOptions(("a", "b")), [{"a": "1", "b": "2"}]),
    ("a column of this name", "sep=,b\n1,2\n", CsvOptions(), [{"sep=": "1", "b": "2"}]),
    ("columns that blanks align", "  a    b\n 10  2.5\n  3    -  \n", CsvOptions(delimiter=" "),
     [{"a": "10", "b": "2.5"}, {"a": "3", "b": "-"}]),
]  # fmt: skip


@table("content, options, expected", CSV)
def test_csv_is_a_list_of_records(content: str, options: CsvOptions, expected: Any) -> None:
    """RFC 4180, and what else is called CSV."""
    assert read(content, "text/csv", format="csv", csv=options) == expected


BAD_CSV = [
    ("an open quote", 'a,b\n1,2\n"x,3\n4,5\n', "the row at line 3 opens a quote that is never closed"),
    ("an open quote in the header", '"a,b\n1,2\n', "the row at line 1 opens a quote that is never closed"),
    ("something behind a quote", 'a,b\n"x"y,2\n', "the row at line 2 has something behind a closing quote"),
    ("two columns of one name", "a,b,a\n1,2,3\n", "its header row has 'a' more than once"),
    ("five of them", "a,b,c,d,e,a,b,c,d,e\n", "its header row has 'a', 'b', 'c' and 2 more more than once"),
    ("a header of nothing", ",,\n1,2,3\n", "it has no header row"),
    (
        "a cell that does not end",
        "a,b\n1," + "x" * 140_000,
        "the row at line 2: field larger than field limit (131072)",
    ),
]


@table("content, detail", BAD_CSV)
def test_csv_that_is_none(rig: Rig, content: str, detail: str) -> None:
    served(rig, content, "text/csv")
    found = error(rig.push(rig.job(METRIC)))
    assert f"the body is not CSV: {detail}" in found
    assert len(found) < 400


@pytest.mark.slow  # two million cells
def test_a_table_has_a_bounded_number_of_cells() -> None:
    """A cell of one character takes about fifty times as much memory as it takes in the body."""
    most = "a;b;c;d\n" + "1;2;3;4\n" * (MAX_CELLS // 4)
    assert len(read(most, "text/csv")) == MAX_CELLS // 4
    with pytest.raises(NotJson, match=f"it has more than {MAX_CELLS:,} cells; ask for less at once"):
        read(f"{most}1\n", "text/csv")


BAD_LINES = [
    ("lines, and a good one", "application/x-ndjson", "[1]\n" + "x\n" * 20_000, "line 2 is not JSON", "not_json"),
    ("rows, and a good one", "text/csv", "a\nb\n" + "1,2\n" * 20_000, "row at line 3 has 2 cells", "row_length"),
    ("lines", "application/x-ndjson", "x\n" * 20_000, "line 1 is not JSON", ""),
    ("rows", "text/csv", "a\n" + "1,2\n" * 20_000, "row at line 2 has 2 cells", ""),
]


@table("content_type, content, detail, reason", BAD_LINES)
def test_thousands_of_bad_lines_take_no_more_memory_than_one(
    content_type: str, content: str, detail: str, reason: str
) -> None:
    skipped_lines, said = ReasonCounts(), ""
    tracemalloc.start()
    try:
        decode_body(content.encode(), content_type, BodyFormat(), skipped_lines)
    except NotJson as error:
        said = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert detail in (skipped_lines.first_examples.get(reason, "") or said)
    assert (dict(skipped_lines.counts), peak < 20 * len(content)) == ({reason: 20_000} if reason else {}, True)


def test_a_row_that_is_too_long_is_counted_and_leaves_the_others(rig: Rig) -> None:
    served(rig, "n,v\na,1\nb,2,x\nc,3,\nd,4\n", "text/csv")
    report = rig.push(rig.job(METRIC))
    job = report["jobs"][0]
    assert (error(report), job["records"], job["mapped"], skipped(report)) == ("", 4, 3, {"row_length": 1})
    assert example(job["skipped"]["row_length"]) == "row at line 3 has 3 cells, and the header has 2"
    assert [line.split(" @")[0] for line in rig.lines()] == ['m{n="a"} 1', 'm{n="c"} 3', 'm{n="d"} 4']


def test_rows_that_are_all_too_long_are_an_error(rig: Rig) -> None:
    served(rig, "n,v\na,1,x\nb,2,y\n", "text/csv")
    detail = "every row of the CSV has too many cells: row at line 2 has 3 cells, and the header has 2"
    assert detail in error(rig.push(rig.job(METRIC)))


def test_cells_are_texts(rig: Rig) -> None:
    """A number is read from a text as in JSON; a label keeps it as it is written; null follows on_missing."""
    served(rig, "n,v\n1.10,1e3\n007,\n", "text/csv")
    report = rig.push(rig.job(METRIC))
    assert (error(report), skipped(report)) == ("", {"value_missing": 1})
    assert rig.lines() == [f'm{{n="1.10"}} 1000 @{NOW_MS}']


# --- XML, as xmltodict has it -----------------------------------------------------------------------------------------

XML = [
    ("one element", "<a/>"),
    ("text", "<a> 1 </a>"),
    ("attributes", '<a b="1" c=""/>'),
    ("text beside attributes", '<a b="1">x</a>'),
    ("elements", "<a><b>1</b><c/></a>"),
    ("repeated elements", "<a><b>1</b><b/><b x='1'>2</b></a>"),
    ("elements repeated with others between", "<a><b>1</b><c>2</c><b>3</b></a>"),
    ("mixed content", "<a>x<b>1</b> y <b/>z</a>"),
    ("namespaces", '<s:a xmlns:s="urn:s" xmlns="urn:d"><s:b s:c="1"/><d/></s:a>'),
    ("CDATA", "<a><![CDATA[ <1> & ]]>2</a>"),
    ("comments and instructions", "<?xml version='1.0'?><!-- x --><a><?php 1 ?><!-- y -->1</a><!-- z -->"),
    ("entities of XML itself", "<a b='&lt;&#65;'>&amp;&quot;&#x20AC;</a>"),
    ("white space", "<a>\n  <b>\n    1\n  </b>\n  </a>"),
    ("an attribute and an element of one name", "<a b='1'><b>2</b></a>"),
    ("umlauts", "<ä ö='ü'>ß</ä>"),
    ("names as in HTML", "<p:body xmlns:p='urn:p'><head/></p:body>"),
    ("a root as in HTML", "<body><p>1</p></body>"),
    ("deep", "<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH),
    ("nvidia-smi -x", '<?xml version="1.0" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">\n<a>1</a>'),
    ("a property list", '<!-- > -->\n<!DOCTYPE plist PUBLIC\n"-//Apple//DTD 1.0//EN" "http://a/b.dtd" ><plist/>'),
    ("a document type alone", "<!DOCTYPE a><a>&amp;</a>"),
]


@table("content", XML)
def test_xml_is_what_xmltodict_makes_of_it(content: str) -> None:
    assert read(content, "application/xml") == xmltodict.parse(content)


NAMES = st.sampled_from(["a", "b", "c:d", "e-f"])
TEXTS = st.sampled_from(["", " ", "1", " x ", "&amp;", "<![CDATA[<]]>"])
ATTRIBUTES = st.dictionaries(NAMES, st.sampled_from(["", "1", " x"]), max_size=2)


def element(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda name, attributes, parts: (
            f"<{name}{''.join(f' {key}={text!r}' for key, text in attributes.items())}>{''.join(parts)}</{name}>"
        ),
        NAMES,
        ATTRIBUTES,
        st.lists(inner | TEXTS, max_size=4),
    )


@given(st.recursive(element(TEXTS), element, max_leaves=12))
def test_any_xml_is_what_xmltodict_makes_of_it(content: str) -> None:
    assert document(content.encode()) == xmltodict.parse(content)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BAD_XML = [
    ("billion laughs", f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><a>&l9;</a>', "it has a DTD (<!DOCTYPE … [ … ]>)"),
    ("an external entity", '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "it has a DTD"),
    ("a parameter entity", '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1/a.dtd"> %x;]><a/>', "it has a DTD"),
    ("declarations behind a DTD", '<!DOCTYPE a SYSTEM "a.dtd" [<!ENTITY x "1">]><a>&x;</a>', "it has a DTD"),
    ("an entity of a DTD elsewhere", '<!DOCTYPE a SYSTEM "a.dtd">\n<a>1&x;</a>', "undefined entity, line 2 column 5"),
    ("the same in an attribute", '<!DOCTYPE a SYSTEM "a.dtd">\n<a b="1&x;"/>', "undefined entity, line 2 column 1"),
    ("two document types", "<!DOCTYPE a><!DOCTYPE a [<!ENTITY x '1'>]><a>&x;</a>", "it has a DTD"),
    ("a document type without a name", "<!DOCTYPE><a/>", ""),
    ("a hundred thousand comments before none", "<!---->" * 100_000, "no element found"),
    ("an entity that is not declared", "<a>&nbsp;</a>", "undefined entity, line 1 column 4; only those of XML itself"),
    ("too deep", "<a>" * (MAX_DEPTH + 1) + "</a>" * (MAX_DEPTH + 1), "its elements are nested deeper than 200 levels"),
    ("a million levels", "<a>" * 1_000_000, "its elements are nested deeper than 200 levels, line 1 column 601"),
    ("a tag that is not closed", "<a>\n <b>1</a>", "mismatched tag, line 2 column 8"),
    ("cut off", "<a><b>1</b>", "no element found, line 1 column 12; it ends before its last element does"),
    ("cut off in a tag", "<a><b", "unclosed token, line 1 column 4; it ends before its last element does"),
    ("cut off in CDATA", "<a><![CDATA[1", "unclosed CDATA section, line 1 column 14; it ends before its last element"),
    ("two documents", "<a/><b/>", "junk after document element, line 1 column 5"),
    ("an attribute twice", '<a b="1" b="2"/>', "duplicate attribute, line 1 column 10"),
]  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [b"<b/>" * 1_000_000, b"<b c='' d='' e='' f='' g='' h='' i='' j=''/>" * 115_000],
    ids=["elements", "attributes"],
)
def test_xml_has_a_bounded_number_of_elements_and_attributes(content: bytes) -> None:
    with pytest.raises(BadXml, match="more than 1,000,000 elements and attributes; ask for less at once"):
        document(b"<a>" + content + b"</a>")


@table("content, detail", BAD_XML)
def test_xml_that_is_refused(rig: Rig, content: str, detail: str) -> None:
    served(rig, content, "application/xml")
    rig.serve('[{"v":5}]', "/good")
    tracemalloc.start()
    try:
        report = rig.push(rig.job(METRIC), rig.job(METRIC, name="good", path="/good"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert f"the body is not usable XML: {detail}" in error(report)
    assert (len(error(report)) < 400, peak < 50_000_000) == (True, True)
    assert rig.lines() == [f"m 5 @{NOW_MS}"]


def test_attributes_and_prefixes_need_double_quotes(rig: Rig) -> None:
    """A bare @name, as @key and @index, is a word of ours."""
    content = '<s:Body xmlns:s="urn:s"><s:var key="ups.load" index="7">21</s:var></s:Body>'
    served(rig, content, "application/soap+xml")
    metric = """{name: m, records: '"s:Body"."s:var"', value: '"#text"', labels: {n: '"@key"', i: '"@index"'}}"""
    report = rig.push(rig.job(metric))
    assert (error(report), report["warnings"]) == ("", [])
    assert rig.lines() == [f'm{{i="7",n="ups.load"}} 21 @{NOW_MS}']


def test_a_text_beside_attributes_is_said_where_it_stands(rig: Rig) -> None:
    served(rig, '<temp unit="C">21</temp>', "text/xml")
    assert error(rig.push(rig.job("{name: m, value: temp}"))).endswith("""; its text is '"#text"' in it""")


@pytest.mark.parametrize(("items", "expected"), [(1, [0]), (2, [0, 1])])
def test_one_element_and_several_are_walked_alike(rig: Rig, items: int, expected: list[int]) -> None:
    """A step without [] takes an object and a list: the place of the only one is 0."""
    listed = "".join(f"<item><v>{index}</v><n>{index}</n><w><x>1</x></w></item>" for index in range(items))
    served(rig, f"<list>{listed}</list>", "text/xml")
    labels = "{n: n, i: '@index'}"
    inner = "{name: o, records: [list.item, w], value: x, labels: {i: '^@index', j: '@index'}}"
    assert error(rig.push(rig.job(f"{{name: m, records: list.item, value: v, labels: {labels}}}, {inner}"))) == ""
    of_items = [f'm{{i="{value}",n="{value}"}} {value} @{NOW_MS}' for value in expected]
    assert rig.lines() == [*of_items, *(f'o{{i="{value}",j="0"}} 1 @{NOW_MS}' for value in expected)]


# --- Prefixes ---------------------------------------------------------------------------------------------------------

PREFIXED: list[tuple[str, str, str, Any]] = [
    ("Gerrit", ")]}'\n[1]", ")]}'", [1]),
    ("Angular", ")]}',\n[1]", ")]}',", [1]),
    ("Angular, by Gerrit's prefix", ")]}',\n[1]", ")]}'", [1]),
    ("a loop", "while(1);[1]", "while(1);", [1]),
    ("another loop", "for(;;); [1]", "for(;;);", [1]),
    ("a byte order mark before it", "\ufefffor (;;);[1]", "for (;;);", [1]),
    ("white space before it", "\n for(;;);[1]", "for(;;);", [1]),
    ("JSONP", 'callback({"a": ")"});\n', "callback(", {"a": ")"}),
    ("JSONP without a semicolon", "cb.x([1])", "cb.x(", [1]),
    ("JSONP with a comment", "/**/ cb([1]) ;", "/**/ cb(", [1]),
    ("JSONP behind a check", "/**/ typeof cb === 'function' && cb([1]);", "/**/ typeof cb === 'function' && cb(", [1]),
    ("inside of a comment", '/*-secure-\n{"a": 1}*/\n', "/*-secure-", {"a": 1}),
    ("behind a comment", '/* made at noon */ {"a": 1}', "/* made at noon */", {"a": 1}),
    ("a variable", 'var data = {"a": 1};\n', "var data =", {"a": 1}),
    ("no prefix today", ' {"a": 1}', ")]}'", {"a": 1}),
    ("an umlaut", "größe=[1]", "größe=", [1]),
]


@table("content, prefix, expected", PREFIXED)
def test_a_prefix_is_stripped(content: str, prefix: str, expected: Any) -> None:
    assert read(content, "text/javascript", strip_prefix=prefix) == expected


ADVISED = [
    "/**/cb([1]);",
    "/**/ typeof cb === 'function' && cb([1]);",
    "/**/ [1]",
    "/* made at noon */ [1]",
    "/*-secure-\n[1]*/",
    "/*[1]*/",
    ")]}',\n[1]",
    "while(1);[1]",
    'cb.x["y"] ( [1] )',
    "window.data = [1];",
    "/*O_o*/\ncb.x([1]);",
    "// API callback\ncb([1]);",
    "/* 0 */\r\nvar data = [1];",
    "cb && cb([1]);",
    "/**/ typeof cb === 'function' && cb[\"y\"]([1]);",
    "// made at noon\n[1]",
]


@pytest.mark.parametrize("content", ADVISED)
def test_the_prefix_that_an_error_shows_reads_the_body(content: str) -> None:
    key = advice(content.encode(), "text/javascript").removeprefix("; write ")
    prefix = yaml.safe_load(key)["strip_prefix"]
    assert read(content, "text/javascript", strip_prefix=prefix) == [1]


def test_a_prefix_stands_before_other_formats_too() -> None:
    assert read("sep=;\na;b\n1;2\n", "text/csv", strip_prefix="sep=;") == [{"a": "1", "b": "2"}]


BAD_PREFIXES = [
    ("another", "while(1);[1]", ")]}'", ["does not begin with strip_prefix", "strip_prefix: 'while(1);'"]),
    ("a page", HTML, ")]}'", ["does not begin with strip_prefix", "looks like HTML"]),
    ("JSONP that is cut off", 'cb({"a": 1}', "cb(", ["does not end with the ) of strip_prefix 'cb('"]),
    ("no JSON behind it", ")]}'\n", ")]}'", ["not JSON: Expecting value"]),
]


@table("content, prefix, words", BAD_PREFIXES)
def test_a_prefix_that_is_not_there(content: str, prefix: str, words: list[str]) -> None:
    with pytest.raises(NotJson) as raised:
        read(content, "application/json", strip_prefix=prefix)
    assert [word for word in words if word not in str(raised.value)] == []
    assert f"write strip_prefix: '{prefix}'" not in str(raised.value)


# --- Charsets ---------------------------------------------------------------------------------------------------------

ZURICH = '{"n": "Zürich"}'
CHARSETS: list[tuple[str, bytes, str, str]] = [
    ("the key", ZURICH.encode("cp1252"), "application/json", "windows-1252"),
    ("the key over what is declared", ZURICH.encode("cp1252"), "application/json; charset=utf-8", "windows-1252"),
    ("the key over a mark of another charset", ZURICH.encode("utf-16"), "", "utf-16"),
    ("UTF-8 with a mark, and the key", ZURICH.encode("utf-8-sig"), "", "utf-8"),
    ("declared", ZURICH.encode("shift_jis", "replace").replace(b"?", b"\xc3\xbc"), "application/json", ""),
    ("declared latin-1", ZURICH.encode("latin-1"), "application/json; charset=ISO-8859-1", ""),
    ("declared ASCII", ZURICH.encode(), "application/json; charset=us-ascii", ""),
    ("UTF-16 with a mark", ZURICH.encode("utf-16"), "application/json", ""),
    ("UTF-16LE", ZURICH.encode("utf-16-le"), "application/json", ""),
    ("UTF-16BE", ZURICH.encode("utf-16-be"), "application/json", ""),
    ("UTF-32 with a mark", ZURICH.encode("utf-32"), "application/json", ""),
    ("UTF-32LE", ZURICH.encode("utf-32-le"), "application/json", ""),
    ("declared UTF-16, without a mark", ZURICH.encode("utf-16-be"), "application/json; charset=utf-16", ""),
    ("the same in Windows's order", ZURICH.encode("utf-16-le"), "application/json; charset=utf-16", ""),
    ("declared UTF-32, without a mark", ZURICH.encode("utf-32-be"), "application/json; charset=utf-32", ""),
    ("the key, without a mark", ZURICH.encode("utf-16-be"), "", "utf-16"),
    ("MySQL's name", ZURICH.encode(), "application/json; charset=utf8mb4", ""),
    ("UTF-8 with a mark", ZURICH.encode("utf-8-sig"), "application/json", ""),
    ("UTF-8", ZURICH.encode(), "", ""),
    ("zeros at the end", ZURICH.encode() + b"\0\0", "application/json", ""),
    ("zeros at the end of a text in another charset", ZURICH.encode("latin-1") + b"\n\0", "", "latin-1"),
]


EURO = '{"n": "5 €"}'
LATIN = [
    ("declared", EURO.encode("cp1252"), "application/json; charset=ISO-8859-1", "", {"n": "5 €"}),
    ("by the key", EURO.encode("cp1252"), "", "latin1", {"n": "5 €"}),
    ("declared in XML", b'<?xml version="1.0" encoding="iso-8859-1"?><n>\x96</n>', "text/xml", "", {"n": "–"}),
    ("neither", b'{"n": "\x80\x81\xfc"}', "application/json; charset=ISO-8859-1", "", {"n": "\x80\x81ü"}),
    ("in another charset", b'{"n": "\x80\xa4"}', "application/json; charset=iso-8859-15", "", {"n": "\x80€"}),
]


@table("content, content_type, charset, expected", LATIN)
def test_latin1_with_control_characters_is_windows_1252(
    content: bytes, content_type: str, charset: str, expected: Any
) -> None:
    """WHATWG Encoding, 4.2."""
    assert read(content, content_type, charset=charset and codec_of(charset)) == expected


WIDER = [
    ("Shift_JIS", "①", "cp932"),
    ("windows-31j", "東①", "cp932"),
    ("Windows-31J", "~", "cp932"),
    ("gb2312", "镕", "gb18030"),
    ("gbk", "𠮷", "gb18030"),
    ("euc-kr", "똠", "cp949"),
    ("windows-949", "똠", "cp949"),
    ("big5", "㗎", "big5hkscs"),
    ("windows-874", "€", "cp874"),
]


@pytest.mark.parametrize(("label", "text", "codec"), WIDER)
def test_a_charset_is_the_wider_one_that_servers_mean_by_its_name(label: str, text: str, codec: str) -> None:
    """WHATWG Encoding, 4.2: the labels of gb18030, Big5, EUC-KR, Shift_JIS and windows-874."""
    content = f'{{"n": "{text}"}}'.encode(codec)
    assert read(content, f"application/json; charset={label}") == {"n": text}
    assert read(content, "application/json", charset=label) == {"n": text}


@table("content, content_type, charset", CHARSETS)
def test_charsets(content: bytes, content_type: str, charset: str) -> None:
    """The key, the Content-Type, a byte order mark, zeros as in UTF-16, UTF-8, in this order."""
    assert read(content, content_type, charset=charset) == {"n": "Zürich"}


OF_FORMATS: list[tuple[str, bytes, str, Any]] = [
    ("NDJSON in UTF-16", '{"n":"ü"}\n'.encode("utf-16"), "application/x-ndjson", [{"n": "ü"}]),
    ("CSV in latin-1", "n\nü\n".encode("latin-1"), "text/csv; charset=iso-8859-1", [{"n": "ü"}]),
    ("CSV in UTF-16, as Excel has it", "n\tv\nü\t1\n".encode("utf-16"), "text/csv", [{"n": "ü", "v": "1"}]),
    ("XML that says latin-1", '<?xml version="1.0" encoding="ISO-8859-1"?><a>ü</a>'.encode("latin-1"), "text/xml",
     {"a": "ü"}),
    ("XML whose header says otherwise", '<?xml version="1.0" encoding="ISO-8859-1"?><a>ü</a>'.encode(),
     "text/xml; charset=utf-8", {"a": "ü"}),
    ("XML that says UTF-16", '<?xml version="1.0" encoding="utf-16"?><a>ü</a>'.encode(), "text/xml", {"a": "ü"}),
    ("XML in UTF-16", '<?xml version="1.0" encoding="UTF-16"?><a>ü</a>'.encode("utf-16"), "text/xml", {"a": "ü"}),
    ("text in latin-1", "21 °C".encode("latin-1"), "text/plain; charset=latin1", "21 °C"),
]  # fmt: skip


@table("content, content_type, expected", OF_FORMATS)
def test_charsets_of_other_formats(content: bytes, content_type: str, expected: Any) -> None:
    assert read(content, content_type) == expected


LIES: list[tuple[str, bytes, str, str, list[str]]] = [
    ("unsaid", ZURICH.encode("latin-1"), "", "", ["not UTF-8: byte 8 is 0xfc", "charset: windows-1252"]),
    ("says UTF-8", ZURICH.encode("latin-1"), "application/json; charset=utf-8", "", ["not UTF-8", "charset: windows"]),
    ("says UTF-8, is UTF-16", ZURICH.encode("utf-16"), "text/csv; charset=utf-8", "", ["UTF-16", "charset: utf-16"]),
    ("says ASCII", ZURICH.encode("latin-1"), "application/json; charset=ascii", "", ["as its Content-Type says"]),
    (
        "says UTF-16",
        b'{"n": 1}x',
        "application/json; charset=utf-16",
        "",
        ["not utf-16 text, as its Content-Type says"],
    ),
    ("the key says UTF-16", b'{"n": 1}x', "", "utf-16", ["not utf-16 text, as the key charset says"]),
    (
        "says UTF-16, is UTF-8's mark alone",
        b"\xef\xbb\xbf",
        "x/y; charset=utf-16",
        "",
        ["nothing but a byte order mark"],
    ),
    ("a mark says UTF-16", b"\xff\xfex", "", "", ["not utf-16 text, as its byte order mark says"]),
    ("XML says ASCII", b"<?xml version='1.0' encoding='us-ascii'?><a>\xfc</a>", "text/xml", "", ["XML declaration"]),
    ("says hex", b"7b7d", "application/json; charset=hex", "", ["hex", "no charset that is known"]),
    ("says punycode", b"{}-", "application/json; charset=punycode", "", ["punycode", "no charset that is known"]),
    ("says what is none", b"{}", "application/json; charset=../../etc/passwd", "", [".. text"]),
    ("says what is unknown, is UTF-8", "n\nü".encode(), "text/csv; charset=x-y", "", ["x-y", "write charset: utf-8"]),
    ("says GB2312, is UTF-8", '{"n": "北京"}'.encode(), "text/csv; charset=gb2312", "", ["write charset: utf-8"]),
    ("half a character in UTF-7", b'{"n": "+2AA-"}', "application/json; charset=utf-7", "", ["utf-7"]),
]


@table("content, content_type, charset, words", LIES)
def test_a_charset_that_lies(content: bytes, content_type: str, charset: str, words: list[str]) -> None:
    with pytest.raises(NotJson) as raised:
        read(content, content_type, charset=charset)
    assert [word for word in words if word not in str(raised.value)] == []
    assert str(raised.value).isprintable()


def test_the_key_counts_for_records_that_are_read_by_column(rig: Rig) -> None:
    """A list of objects of which one field is used is not decoded whole, where it is plain JSON."""
    rig.serve('[{"v":1,"n":"ü"}]')
    metric = "{name: m, value: v, labels: {n: n}}"
    assert error(rig.push(rig.job(metric, keys="charset: latin1"))) == ""
    assert rig.lines() == [f'm{{n="Ã¼"}} 1 @{NOW_MS}']
    assert "finds nothing" in error(rig.push(rig.job(metric, keys="format: text")))


def sentence(content: bytes, content_type: str, **keys: Any) -> str:
    """What the error says, "" when there is none."""
    try:
        read(content, content_type, **keys)
    except NotJson as error:
        return str(error)
    return ""


MARKS_AND_WHITE_SPACE = [b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf \n", b"\n\xef\xbb\xbf", b"\x00"]


@given(
    st.tuples(
        st.sampled_from(MARKS_AND_WHITE_SPACE), st.binary(max_size=120) | st.text(max_size=60).map(str.encode)
    ).map(b"".join),
    st.sampled_from(["", "text/csv", "text/xml", "text/plain", "application/x-ndjson", "x/y;charset=utf-16"]),
    st.sampled_from(["", "json", "ndjson", "csv", "xml", "text"]),
    st.sampled_from(["", "cb("]),
)  # fmt: skip
def test_any_body_is_a_document_or_a_sentence(content: bytes, content_type: str, name: str, prefix: str) -> None:
    assert sentence(content, content_type, format=name, strip_prefix=prefix).isprintable()


# --- Lists of targets -------------------------------------------------------------------------------------------------


def test_a_json_job_over_every_format_reads_its_targets(rig: Rig) -> None:
    """`json_sd_configs` reads bodies with the same keys."""
    host = rig.api.url.removeprefix("http://")
    served(rig, '{"v": 5}', "application/json")
    lists = {
        "csv": (f"ziel;n\n{host};ü\n".encode("latin-1"), "format: csv, charset: latin1"),
        "nd": (f'{{"ziel": "{host}", "n": "ü"}}\n{{\n'.encode(), "format: ndjson"),
        "js": (f'cb([{{"ziel": "{host}", "n": "ü"}}])'.encode(), 'strip_prefix: "cb("'),
    }
    jobs = []
    for name, (content, keys) in lists.items():
        rig.api.serve(f"/{name}", Answer(200, {"Content-Type": "text/plain"}, content))
        sd = f"[{{url: '{rig.api.url}/{name}', target: ziel, labels: {{n: n}}, {keys}}}]"
        relabel = "[{source_labels: [__meta_json_n], target_label: n}]"
        metrics = f"[{{name: {name}, value: v}}]"
        jobs.append(
            f"{{job_name: {name}, metrics_path: /doc, json_sd_configs: {sd}, relabel_configs: {relabel}, "
            f"metrics: {metrics}}}"
        )
    report = rig.push(*jobs)
    assert [line.split(" @")[0] for line in rig.lines()] == [f'{name}{{n="ü"}} 5' for name in ("csv", "js", "nd")]
    assert "1 × not_json, left out of the list: line 2 is not JSON" in json.dumps(report, ensure_ascii=False)
