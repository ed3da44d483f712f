"""Whatever an API answers, the run ends with `up 0` or a counted skip, a message to act on, other jobs whole."""

from __future__ import annotations

import gzip
import json
import struct
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.http.body_kind import described
from lambda_remote_write.model.samples import STALE
from sandbox.server import Answer, Fault
from tests.rig.json_source import NOW_MS, Rig, dropped, error, skipped
from tests.rig.tables import table

METRIC = '{name: m, records: "[]", value: v, labels: {n: n}}'
HTML = b"<!DOCTYPE html><html><body>Sign in</body></html>"
JSON = {"Content-Type": "application/json"}


def text(status: int, body: bytes, content_type: str = "application/json") -> Answer:
    return Answer(status, {"Content-Type": content_type}, body)


DOWN: list[tuple[str, Answer | Fault, str]] = [
    ("500", text(500, b"oops"), "answered 500"),
    ("503 with a JSON body", Answer.json([{"v": 1}], 503), "answered 503"),
    ("404", text(404, b"{}"), "answered 404"),
    ("429", text(429, b""), "scrape_interval"),
    ("HTML that claims to be JSON", text(200, HTML), "looks like HTML"),
    ("truncated JSON", text(200, b'[{"v": 1}, {"v": '), "line 1 column"),
    ("two documents", text(200, b'[{"v":1}]\n[{"v":2}]'), "line 2 column 1"),
    ("trailing comma", text(200, b'[{"v":1},]'), "not JSON"),
    ("empty body", text(200, b""), "0 bytes"),
    ("204", Answer(204), "0 bytes"),
    ("spaces", text(200, b"  \n "), "not JSON"),
    ("100,000 brackets", text(200, b"[" * 100_000), "nested too deeply"),
    ("100,000 closed brackets", text(200, b"[" * 100_000 + b"]" * 100_000), "nested too deeply"),
    ("100,000 objects", text(200, b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "nested too deeply"),
    ("invalid UTF-8", text(200, b'[{"v":1,"n":"\xff"}]'), "not UTF-8: byte 13 is 0xff"),
    ("UTF-16 announced as UTF-16, but is not", text(200, b'[{"v":1}] ', "application/json; charset=utf-16"), "not"),
    ("an unknown charset", text(200, b'[{"v":1}]', "application/json; charset=klingon"), "klingon"),
    ("reset before the headers", Fault.reset(), "broke while waiting for the answer"),
    ("garbage", Fault.garbage(), "127.0.0.1"),
    ("a status line without end", Fault.garbage(b"HTTP/1.1 200 " + b"x" * 100_000), "not a valid HTTP answer"),
    ("a thousand headers", Fault.garbage(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n"), "127.0.0.1"),
    (
        "chunks that are none",
        Fault.garbage(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        "127.0.0.1",
    ),
    ("a length that is none", Fault.garbage(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), "bad Content-Length -5"),
]


@table("answer, detail", DOWN)
def test_an_answer_that_is_of_no_use(rig: Rig, answer: Answer | Fault, detail: str) -> None:
    rig.api.serve("/doc", Answer(200, JSON, b'[{"v":1}]' * 20, fault=answer) if isinstance(answer, Fault) else answer)
    rig.serve('[{"v":5}]', "/good")
    bad = rig.job(METRIC, keys="scrape_timeout: 2s, labels: {team: a}")
    report = rig.push(bad, rig.job(METRIC, name="good", path="/good"))
    assert detail in error(report)
    assert len(error(report)) < 400
    assert [job["up"] for job in report["jobs"]] == [0, 1]
    assert rig.value("up", job="j", team="a") == 0
    assert rig.lines() == [f"m 5 @{NOW_MS}"]
    assert rig.receiver.refused == 0


READABLE = [
    ("byte order mark", b'\xef\xbb\xbf[{"v":1,"n":"\xc3\xbc"}]', "application/json"),
    ("UTF-16 with charset", '[{"v":1,"n":"ü"}]'.encode("utf-16"), "application/json; charset=utf-16"),
    ("UTF-16LE in quotes", '[{"v":1,"n":"ü"}]'.encode("utf-16-le"), 'application/json; charset="UTF-16LE"'),
    ("Latin-1 with charset", '[{"v":1,"n":"ü"}]'.encode("latin-1"), "text/plain;Charset=ISO-8859-1"),
    ("UTF-16 with a byte order mark", '[{"v":1,"n":"ü"}]'.encode("utf-16"), "application/json"),
    ("UTF-16LE unsaid", '[{"v":1,"n":"ü"}]'.encode("utf-16-le"), ""),
    ("UTF-16BE unsaid", '[{"v":1,"n":"ü"}]'.encode("utf-16-be"), "application/json"),
    ("UTF-32 with a byte order mark", '[{"v":1,"n":"ü"}]'.encode("utf-32"), ""),
    ("UTF-32BE unsaid", '[{"v":1,"n":"ü"}]'.encode("utf-32-be"), "application/json"),
    ("JSON that calls itself HTML", '[{"v":1,"n":"ü"}]'.encode("cp1252"), "text/html; charset=windows-1252"),
    ("JSON that calls itself CSV", '[{"v":1,"n":"ü"}]'.encode(), "text/csv"),
    ("JSON that calls itself XML", '[{"v":1,"n":"ü"}]'.encode(), "application/xml"),
    ("UTF-8 with charset", '[{"v":1,"n":"ü"}]'.encode(), "application/json;charset=UTF8"),
    ("escaped", b'[{"v":1,"n":"\\u00fc"}]', "application/json"),
    ("no content type", '[{"v":1,"n":"ü"}]'.encode(), ""),
    ("spaces around", '\r\n [ {"v" : 1 , "n" : "ü" } ]\n\n'.encode(), "application/json"),
    ("duplicate keys, the last counts", '[{"v":9,"v":1,"n":"x","n":"ü"}]'.encode(), "application/json"),
]


@table("content, kind", READABLE)
def test_unusual_json_is_read(rig: Rig, content: bytes, kind: str) -> None:
    rig.api.serve("/doc", Answer(200, {"Content-Type": kind} if kind else {}, content))
    report = rig.push(rig.job(METRIC))
    assert error(report) == ""
    assert rig.lines() == [f'm{{n="ü"}} 1 @{NOW_MS}']


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_53_mb_of_json_are_stopped_by_the_default_limit(rig: Rig, encoding: str) -> None:
    content = b'[{"v":1,"n":"' + b"x" * 53_000_000 + b'"}]'
    if encoding:
        content = gzip.compress(content, 1)
    rig.api.serve("/doc", Answer(200, {"Content-Encoding": encoding} if encoding else {}, content))
    started = time.monotonic()
    report = rig.push(rig.job(METRIC))
    assert "body_size_limit" in error(report)
    assert str(50 << 20) in error(report)
    assert time.monotonic() - started < 20


def test_one_bad_record_is_skipped_alone(rig: Rig) -> None:
    """One of each kind, between good ones; every bad one is counted once and the first of each kind is shown."""
    now = NOW_MS // 1000
    good = [{"n": f"g{index}", "v": index, "t": now - index} for index in range(5)]
    bad = [
        {"n": "a", "v": "x", "t": now},
        {"n": "b", "v": None, "t": now},
        {"n": "c", "t": now},
        {"n": "d", "v": 1},
        {"n": "e", "v": 1, "t": "x"},
        {"n": ["f"], "v": 1, "t": now},
        {"n": "g", "v": 1, "t": now + 10_000},
        {"n": "h", "v": 1, "t": now - 10_000},
        {"n": "\ud800", "v": 1, "t": now},
        7,
        "x",
    ]
    mixed = [record for pair in zip(good, bad[:5], strict=True) for record in pair] + bad[5:]
    rig.serve(json.dumps(mixed))
    metric = '{name: m, records: "[]", value: v, labels: {n: n}, timestamp: {path: t, format: unix}}'
    report = rig.push(rig.job(metric))
    assert error(report) == ""
    assert rig.lines() == [f'm{{n="g{index}"}} {index} @{(now - index) * 1000}' for index in range(5)]
    assert skipped(report) == {
        "not_a_number": 1,
        "value_missing": 4,
        "timestamp_missing": 1,
        "timestamp_invalid": 1,
        "label_not_scalar": 1,
    }
    assert dropped(report) == {"too_far_in_future": 1, "too_old": 1, "invalid_label_value": 1}
    assert all(entry["examples"] for entry in report["jobs"][0]["skipped"].values())


def test_an_api_that_recovers_is_up_again(rig: Rig) -> None:
    rig.serve('[{"v":1}]')
    app = rig.app(rig.job(METRIC))
    # On a kept connection the first reset is taken for a dead one, and the request goes out again.
    rig.api.script(None, Fault.status(500), Fault.reset(), Fault.reset(), Fault.garbage(), None)
    ups = []
    for _ in range(5):
        app.handle({}, None)
        ups.append(rig.value("up"))
        rig.clock.ms += 60_000
    assert ups == [1, 0, 0, 0, 1]
    (points,) = rig.receiver.series("m").values()
    assert [struct.pack("<d", value) for _, value in points] == [struct.pack("<d", value) for value in (1, STALE, 1)]


UMLAUT = '{"v":7,"n":"Zürich"}'
RAW = zlib.compressobj(wbits=-15)
KINDS: list[tuple[str, bytes, str, list[str]]] = [
    ("raw deflate", RAW.compress(UMLAUT.encode()) + RAW.flush(), "", ["this is deflate", "no Content-Type"]),
    ("zip", b"PK\x03\x04rest", "application/zip", ["a zip file"]),
    ("Latin-1", UMLAUT.encode("latin-1"), "", ["not UTF-8: byte", "charset: windows-1252", "Z\\xfcrich"]),
    ("bytes", bytes(range(256)), "application/octet-stream", ["binary data", "\\x00\\x01"]),
    ("XML", b'<?xml version="1.0"?><a><b>1</b></a>', "application/json", ["this is XML", "format: xml", "<?xml"]),
    ("XML without a head", b"<entries><entry/></entries>", "", ["this is XML"]),
    ("XHTML", b'<?xml version="1.0"?><!DOCTYPE html><html/>', "text/html", ["looks like HTML"]),
    ("HTML behind a comment", b"<!-- x --><!doctype HTML><p>", "", ["looks like HTML"]),
    ("NDJSON", b'{"id":"c1"}\n{"id":"c2"}\n', "application/json", ["this is NDJSON", "format: ndjson", "line 2"]),
    ("JSON one after the other", b'{"a":1} {"a":2}', "", ["NDJSON"]),
    ("numbers on lines", b"1\n2\n", "", ["NDJSON"]),
    ("CSV", b"name,scur,smax\nweb,5,10\n", "text/html", ["this is CSV", "format: csv", "name,scur,smax\\nweb"]),
    ("CSV unannounced", b"name;scur\nweb;5\n", "text/plain", ["this is CSV", "format: csv"]),
    ("text", b"temperature: 21.5 C\n", "text/plain", ["plain text", '"temperature: 21.5 C']),
    ("a page of metrics", b"# HELP up x\n# TYPE up gauge\nup 1\n", "text/plain", ["metrics", "scrape_configs"]),
    ("an event stream", b'data: {"a":1}\n\n', "text/event-stream", ["event stream"]),
    ("Angular's prefix", b')]}\'\n{"a":1}', "application/json", ["JSON behind a prefix", 'strip_prefix: ")]}\'"']),
    ("a loop", b"while(1);[1]", "", ["JSON behind a prefix", "while(1);"]),
    ("another loop", b"for (;;); {}", "", ["JSON behind a prefix", "for (;;);"]),
    ("JSONP", b'callback({"a":1});', "text/javascript", ["behind a prefix", "strip_prefix: 'callback('", "JSONP"]),
    ("a variable", b'var data = {"a":1};', "", ["JSON behind a prefix", "var data ="]),
    ("broken off", b'[{"v": 1}, {"v": ', "", ["JSON that breaks off"]),
    ("a mistake", b"[{'v':1}]", "", ["double quotes", "[{'v':1}]"]),
    ("control characters", b"a\x1b[31m\r\nb", "text/\x7fplain", ["\\x1b[31m\\r\\nb"]),
    ("long", b"x" * 1000, "text/plain" + "y" * 500, ["plain text", "…"]),
    ("empty", b"", "text/plain", ["it is empty", "text/plain"]),
    ("blank", b" \n ", "", ["white space"]),
]  # fmt: skip


@table("body, content_type, detail", KINDS)
def test_a_body_that_is_no_json_is_named(rig: Rig, body: bytes, content_type: str, detail: list[str]) -> None:
    """The message has the Content-Type, what the body is, and how it begins, on one printable line."""
    rig.api.serve("/doc", Answer(200, {"Content-Type": content_type} if content_type else {}, body))
    found = error(rig.push(rig.job(METRIC)))
    assert [word for word in detail if word not in found] == []
    assert found.isprintable()
    assert len(found) < 400


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode), st.sampled_from(["", "text/csv", "text/html"]))
def test_any_body_is_described(body: bytes, content_type: str) -> None:
    detail = described(body, content_type)
    assert detail.isprintable()
    assert len(detail) < 400
