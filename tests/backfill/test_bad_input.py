"""What a backfill says to input that is wrong, and that what it acknowledges is what the receiver has."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.backfill import invoke
from tests.rig import backfill as rigs
from tests.rig.backfill import DAY, HOUR, MINUTE, NOW_MS, Points, Rig, assert_says, counts, everything, example

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

START_MS = NOW_MS - 3 * DAY
RANGE = {"query": {"from": "{start}", "to": "{end}"}, "format": "unix", "window": "1h"}
NOW, YEAR = NOW_MS // 1000, 31_557_600


def refusal(rig: Rig, event: Mapping[str, Any], *jobs: Mapping[str, Any], **keys: Any) -> str:
    """The message of a request that is refused before anything is read or sent."""
    with pytest.raises(invoke.BadRequest) as refused:
        rig.backfill(event, *jobs, **keys)
    assert rig.api.requests == []
    assert rig.receiver.requests == []
    return str(refused.value)


def assert_acknowledged(rig: Rig, answer: Mapping[str, Any]) -> None:
    """The samples that the answer calls accepted are in the receiver, and no others."""
    (one,) = answer["endpoints"]
    assert one["accepted"] == rig.receiver.accepted
    assert one["accepted"] == sum(map(len, rig.receiver.samples.values()))


def line(index: int, host: str = "a", **keys: Any) -> str:
    return json.dumps({"at": START_MS // 1000 + index, "host": host, "value": index} | keys)


def points(*indices: int) -> Points:
    return {'requests{host="a"}': [(START_MS + 1_000 * index, float(index)) for index in indices]} if indices else {}


# --- What is asked for ---------------------------------------------------------------------------------------------

REQUESTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "start-after-end": ({"job": "j", "start": NOW - 60, "end": NOW - 120}, ["start", "after", "end"]),
    "start-in-the-future": ({"job": "j", "start": NOW + 3600, "end": NOW + 7200}, ["start", "future"]),
    "end-in-the-future": ({"job": "j", "start": NOW - 600, "end": NOW + 3600}, ["end", "future"]),
    "no-start": ({"job": "j"}, ["start", "required"]),
    "nothing": ({}, ["job"]),
    "start-is-no-time": ({"job": "j", "start": "yesterday"}, ["start", "yesterday", "RFC 3339"]),
    "start-has-no-zone": ({"job": "j", "start": "2025-10-08T00:00:00"}, ["start", "2025-10-08T00:00:00", "offset"]),
    "start-in-milliseconds": ({"job": "j", "start": NOW_MS - HOUR, "end": NOW_MS}, ["start", "seconds"]),
    "start-is-true": ({"job": "j", "start": True}, ["start"]),
    "end-is-an-object": ({"job": "j", "start": NOW - 60, "end": {}}, ["end"]),
    "job-is-a-number": ({"job": 5, "start": NOW - 60}, ["job", "text"]),
    "step-is-no-duration": ({"job": "j", "start": NOW - 60, "step": "often"}, ["step", "often", "duration"]),
    "window-is-no-duration": ({"job": "j", "start": NOW - 60, "window": "0s"}, ["window"]),
    "force-is-a-text": ({"job": "j", "start": NOW - 60, "force": "yes"}, ["force", "true"]),
    "force-and-export": ({"job": "j", "from": "a.json", "force": True, "export": "x.om"}, ["export: force"]),
    "from-is-a-number": ({"job": "j", "from": 7}, ["from"]),
    "from-is-an-empty-list": ({"job": "j", "from": []}, ["from"]),
    "from-has-a-number": ({"job": "j", "from": ["a.json", 7]}, ["from"]),
    "format-is-unknown": ({"job": "j", "from": "a.json", "format": "xml"}, ["format", "xml", "ndjson", "csv"]),
    "columns-are-a-list": ({"job": "j", "from": "a.csv", "columns": ["at"]}, ["columns"]),
    "columns-have-a-number": ({"job": "j", "from": "a.csv", "columns": {"at": 1}}, ["columns"]),
    "endpoint-is-unknown": ({"job": "j", "start": NOW - 60, "endpoint": "hear"}, ["endpoint", "hear", "here"]),
    "key-is-unknown": ({"job": "j", "start": NOW - 60, "strat": 1}, ["strat", "did you mean", "start"]),
    "key-is-like-no-other": ({"job": "j", "start": NOW - 60, "xyzzy": 1}, ["xyzzy", "job", "start", "window"]),
    "job-is-unknown": ({"job": "requests-ap", "start": NOW - 60}, ["requests-ap", "did you mean", "requests-api"]),
    "job-without-backfill": ({"job": "requests-api", "start": NOW - 60}, ["requests-api", "backfill"]),
    "scrape-job": ({"job": "nodes", "start": NOW - 60}, ["nodes", "scrape"]),
    "scrape-job-and-a-file": ({"job": "nodes", "from": "a.json"}, ["nodes", "json_configs"]),
    "targets": ({"job": "devices", "start": NOW - 60}, ["devices: finds its targets", "one address", "with url"]),
    "targets-and-a-file": ({"job": "devices", "from": "a.csv"}, ["devices: finds its targets", "csv", "openmetrics"]),
    "windows-without-number": ({"job": "j", "start": NOW - 9 * YEAR, "window": "1h"}, ["start", "78894", "window"]),
    "resume-is-garbage": ({"job": "j", "resume": "b1.xyz"}, ["resume"]),
    "resume-is-a-number": ({"job": "j", "resume": 5}, ["resume"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REQUESTS)
def test_a_wrong_request_is_refused_before_any_other_is_sent(rig: Rig, case: str) -> None:
    """The message says which key, what stands there, and what is allowed."""
    event, words = REQUESTS[case]
    devices = rig.job(job_name="devices", url=None, static_configs=[{"targets": ["127.0.0.1:1"]}])
    jobs = [rig.job(backfill=RANGE), rig.job(job_name="requests-api"), devices]
    scraped = [{"job_name": "nodes", "static_configs": [{"targets": ["127.0.0.1:1"]}]}]
    assert_says(refusal(rig, event, *jobs, scrape_configs=scraped), *words)


def test_all_mistakes_are_reported_at_once(rig: Rig) -> None:
    """One message names them all, so that one correction suffices."""
    detail = refusal(rig, {"job": "nobody", "start": "soon", "windoww": "1h", "step": "x"}, rig.job(backfill=RANGE))
    assert_says(detail, "nobody", "soon", "windoww", "step")


@pytest.mark.parametrize(("days", "days_at_end"), [(30, 0), (3_652, 0), (30, 1)])
def test_what_is_too_old_for_amp_is_not_even_fetched(amp_rig: Rig, days: int, days_at_end: int) -> None:
    """It is one span in the answer, and the API is asked for the last hour only, or not at all."""
    amp_rig.serve([])
    event = {"job": "j", "start": NOW - days * 86_400, "end": NOW - days_at_end * 86_400, "window": "1h"}
    answer = amp_rig.backfill(event, amp_rig.job(backfill=RANGE))
    asked = [int(request.params["from"]) for request in amp_rig.api.requests]
    assert answer["done"]
    assert asked == ([] if days_at_end else [NOW - 3_585])  # fifteen seconds of the hour are for the way
    began = datetime.fromtimestamp(NOW - days * 86_400, UTC).strftime("%Y-%m-%dT%H:%M")
    (span,) = (row for row in answer["preflight"] if began in json.dumps(row))
    assert_says(json.dumps(span), began, "2025-10-08T0" if days_at_end else "2025-10-09T0", "too_old")


# --- Order and time zones ------------------------------------------------------------------------------------------


def recent(*minutes: int) -> str:
    rows = [{"at": NOW - 60 * ago, "host": "a", "value": ago} for ago in minutes]
    return "\n".join(map(json.dumps, rows)) + "\n"


ORDERS: dict[str, tuple[list[list[int]], list[int]]] = {  # minutes ago, by file, and what AMP has of them
    "the-newer-file-first": ([[12, 11, 10], [22, 21, 20]], [12, 11, 10]),
    "files-that-overlap": ([[14, 13, 12], [13, 12, 11, 10]], [14, 13, 12, 11, 10]),
    "an-unsorted-file": ([[40, 10, 30, 20, 50, 15, 45]], [50, 45, 40, 30, 20, 15, 10]),
}


@pytest.mark.parametrize("case", ORDERS)
def test_files_in_any_order_are_checked_for_amp(amp_rig: Rig, case: str) -> None:
    """A file is sorted as far as it is read at once. What lies behind what has gone, beyond the out-of-order window, is
    impossible and is not sent: AMP refuses nothing, and has each sample once."""
    files, expected = ORDERS[case]
    paths = [amp_rig.file(f"{number}.ndjson", recent(*minutes)) for number, minutes in enumerate(files)]
    answer = amp_rig.backfill({"job": "j", "from": paths}, amp_rig.job())
    (one,) = answer["endpoints"]
    impossible = sum(map(len, files)) - len(expected)
    assert answer["done"]
    assert amp_rig.held == {'requests{host="a"}': [(NOW_MS - ago * MINUTE, float(ago)) for ago in expected]}
    assert one["classes"] == {"accepted": len(expected), "window": 0, "impossible": impossible}
    assert (sum(counts(one["dropped"]).values()), one["rejected"], amp_rig.receiver.refused) == (impossible, {}, 0)
    assert set(counts(one["reasons"])) <= {"behind_window", "out_of_order"}
    assert_acknowledged(amp_rig, answer)


ZONES = {
    "2025-10-06T09:00:00Z": START_MS,
    "2025-10-06T18:00:00+09:00": START_MS,
    "2025-10-06T03:30:00-05:30": START_MS,
    "2025-10-06T09:00:00.25+00:00": START_MS + 250,
    "2025-10-06 11:00:00+02:00": START_MS,
}


def timed(rig: Rig, **keys: str) -> dict[str, Any]:
    return rig.job(rig.metric(timestamp={"path": "at", "format": "rfc3339", **keys}))


def test_every_time_zone_is_converted(rig: Rig) -> None:
    """Each time of a file is its own."""
    rows = [{"at": text, "host": f"h{index}", "value": index} for index, text in enumerate(ZONES)]
    rig.backfill({"job": "j", "from": rig.file("a.json", json.dumps(rows))}, timed(rig))
    expected = [[(ms, float(index))] for index, ms in enumerate(ZONES.values())]
    assert list(rig.held.values()) == expected


def test_a_time_without_a_zone_is_skipped_and_reported(rig: Rig) -> None:
    """It is counts with what would help; the others arrive, and with a zone in the config all do."""
    texts = ["2025-10-06T09:00:00Z", "2025-10-06T09:00:01", "2025-10-06T09:00:02", "2025-10-06T09:00:03Z"]
    rows = [{"at": text, "host": "a", "value": index} for index, text in enumerate(texts)]
    path = rig.file("a.ndjson", "\n".join(map(json.dumps, rows)))
    answer = rig.backfill({"job": "j", "from": path}, timed(rig))
    assert rig.held == points(0, 3)
    ((reason, skipped),) = answer["skipped"].items()
    assert (reason, skipped["count"]) == ("timestamp_invalid", 2)
    assert_says(example(skipped), "2025-10-06T09:00:01", "timezone")
    assert_acknowledged(rig, answer)
    rig.backfill({"job": "j", "from": path}, timed(rig, timezone="UTC"))
    assert rig.held == points(0, 1, 2, 3)


# --- Damaged files -------------------------------------------------------------------------------------------------


@cache
def many() -> bytes:
    """Lines of which no two compress to the same."""
    chance = random.Random(5)
    return "\n".join(line(index, note=chance.randbytes(60).hex()) for index in range(60_000)).encode()


def zst(content: bytes) -> bytes:
    """A frame with a checksum, without which damage looks like content."""
    return zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: 1})


def flipped(content: bytes, share: float) -> bytes:
    at = int(len(content) * share)
    return content[:at] + bytes(byte ^ 0xFF for byte in content[at : at + 40]) + content[at + 40 :]


PACKED = {"gz": cache(lambda: gzip.compress(many(), 1)), "zst": cache(lambda: zst(many()))}
DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gz-cut": ("gz", lambda content: content[: len(content) * 2 // 3]),
    "gz-cut-in-its-sum": ("gz", lambda content: content[:-4]),
    "gz-cut-in-its-head": ("gz", lambda content: content[:6]),
    "gz-damaged": ("gz", lambda content: flipped(content, 0.7)),
    "gz-damaged-sum": ("gz", lambda content: content[:-8] + b"\0\0\0\0" + content[-4:]),
    "gz-and-garbage-behind": ("gz", lambda content: content + b"garbage that is no member"),
    "zst-cut": ("zst", lambda content: content[: len(content) * 2 // 3]),
    "zst-damaged": ("zst", lambda content: flipped(content, 0.7)),
    "zst-and-garbage-behind": ("zst", lambda content: content + b"garbage that is no frame"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_file_stops_the_backfill(rig: Rig, case: str) -> None:
    """The message names the file and its damage; what was acknowledged before is there, as it was written."""
    ending, damage = DAMAGES[case]
    path = rig.file(f"a.ndjson.{ending}", damage(PACKED[ending]()))
    answer = rig.backfill({"job": "j", "from": path}, rig.job())
    assert not answer["done"]
    assert_says(answer["stopped"], "a.ndjson", {"gz": "gzip", "zst": "zstd"}[ending])
    assert_acknowledged(rig, answer)
    intact = points(*range(60_000))['requests{host="a"}']
    sent = rig.held.get('requests{host="a"}', [])
    sure = 36_000 if case == "zst-damaged" else len(sent)  # the sum is at the frame's end
    assert sent[:sure] == intact[: len(sent[:sure])], "the beginning of what was written"


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_a_file_that_is_not_compressed_as_it_is_named(rig: Rig, ending: str) -> None:
    """What a server has unpacked on the way keeps its name: it is read whole."""
    assert rig.read(f"a.ndjson.{ending}", line(0))["done"]
    assert rig.held == points(0)


CUT_ARRAY = f"[{','.join(line(index) for index in range(5))}"
STOPPING: dict[str, tuple[str, str | bytes, list[str]]] = {
    "csv-without-a-header": ("a.csv", "1759000000,a,1\n1759000060,a,2\n", ["a.csv", "line 1", "column", "at"]),
    "csv-without-the-time": ("a.csv", "host,value\na,1\n", ["a.csv", "at", "host", "value"]),
    "csv-with-a-column-twice": ("a.csv", "at,host,value,at\n1,a,1,1\n", ["a.csv", "'at'"]),
    "csv-without-a-label": ("a.csv", "at,value\n1759000000,1\n", ["a.csv", "line 1", "no column 'host'"]),
    "csv-without-a-mapped-column": (
        "a.csv", "at,value,node\n1759000000,1,a\n", ["a.csv", "line 1", "no column 'nod'", "'node'"]
    ),
    "csv-with-semicolons": ("a.csv", "at;value;host\n1759000000;1;a\n", ["a.csv", "separated by commas"]),
    "json-cut": ("a.json", CUT_ARRAY, ["a.json", "cut"]),
    "json-cut-in-a-record": ("a.json", CUT_ARRAY[:-8], ["a.json"]),
    "json-that-is-ndjson": ("a.json", "\n".join(line(index) for index in range(4)), ["a.json", "JSON"]),
    "json-that-is-csv": ("a.json", "at,host,value\n1,a,2\n", ["a.json", "JSON"]),
    "json-with-garbage-behind": ("a.json", CUT_ARRAY + "] garbage", ["a.json"]),
    "openmetrics-without-an-end": ("a.om", "a 1 1759000000\na 2 1759000060\n", ["a.om", "# EOF"]),
}  # fmt: skip


ROWS = {  # rows after a first good one; why one is skipped, what is said of it, and how many others arrive
    "an-open-quote": (b'1759000060,"b,2', "row_length", ["2 cells"], 0),
    "another-encoding": ("1759000060,é,2\n1759000120,c,3\n".encode("latin-1"), "bad_line", ["line 3", "UTF-8"], 1),
    "a-stray-quote": (b'1759000060,5" disk,2,\n1759000120,c,3\n', "row_length", ["line 3", "4 cells"], 1),
    "a-huge-cell": (b'1759000060,"%b",2\n1759000120,c,3\n' % (b"b" * 200_000), "bad_line", ["field"], 1),
    "a-short-one-after-lines-in-quotes": (
        b'1759000060,"b\nb",2\n1759000120,c\n\n1759000180,d,4\n', "row_length", ["line 5", "2 cells", "has 3"], 2
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ROWS)
def test_a_row_that_cannot_be_read_is_skipped_alone(rig: Rig, case: str) -> None:
    """It is counted by line and not guessed at. The rows before it arrive, and so do those behind it, unless its
    quotation mark swallows them."""
    rows, reason, words, others = ROWS[case]
    answer = rig.read("a.csv", b"at,host,value\n1759000000,a,1\n" + rows)
    assert answer["done"], answer["stopped"]
    assert counts(answer["skipped"]) == {reason: 1}
    assert_says(example(answer["skipped"][reason]), "a.csv", *words)
    assert rig.receiver.accepted == 1 + others


@pytest.mark.parametrize("case", STOPPING)
def test_a_file_that_cannot_be_trusted_stops_the_backfill(rig: Rig, case: str) -> None:
    """The message says which file, where in it, and what was expected there. Without a label's column the series of
    several hosts would be one."""
    name, content, words = STOPPING[case]
    answer = rig.read(name, content, rig.job(), **({"columns": {"nod": "host"}} if "mapped" in case else {}))
    assert not answer["done"]
    assert_says(answer["stopped"], *words)
    assert_acknowledged(rig, answer)


def test_a_stopped_file_does_not_take_those_before_it_along(rig: Rig) -> None:
    """What the files before had is there, and the message is about the one that is bad."""
    paths = [rig.file("1.csv", "at,host,value\n1759654800,a,1\n"), rig.file("2.csv", "no,header\n1,2\n")]
    answer = rig.backfill({"job": "j", "from": paths}, rig.job())
    assert_says(answer["stopped"], "2.csv")
    assert (answer["done"], answer["samples"], rig.receiver.accepted) == (False, 1, 1)


# --- Lines that are broken -----------------------------------------------------------------------------------------

BROKEN_LINES: dict[str, tuple[list[str], list[int], int, int]] = {  # lines, what arrives, first bad line, how many
    "no-json": ([line(0), "not json at all", line(2)], [0, 2], 2, 1),
    "first-and-last": (["{", line(1), "}"], [1], 1, 2),
    "joined-it-would-be-valid": ([line(0), '{"at": 1759000000, "host": "a",', '"value": 5}', line(3)], [0, 3], 2, 2),
    "joined-in-a-text": ([line(0), '{"at": 1759000000, "host": "a', 'b", "value": 5}', line(3)], [0, 3], 2, 2),
    "joined-by-an-array": (["[" + line(0) + ",", line(1), line(2) + "]"], [1], 1, 2),
    "two-in-a-line": ([line(0), line(1) + line(2), line(3)], [0, 3], 2, 1),
    "two-with-a-comma": ([line(0), line(1) + "," + line(2), line(3)], [0, 3], 2, 1),
    "a-comma-at-the-end": ([line(0), line(1) + ",", line(2)], [0, 2], 2, 1),
    "half-of-the-last": ([line(0), line(1), line(2)[:20]], [0, 1], 3, 1),
    "a-null-byte": ([line(0), "\0", line(2)], [0, 2], 2, 1),
}


@pytest.mark.parametrize("case", BROKEN_LINES)
def test_a_broken_line_costs_itself_alone(rig: Rig, case: str) -> None:
    """It is counts with file and line; all the others arrive, and no two lines are read as one."""
    lines, expected, first, count = BROKEN_LINES[case]
    answer = rig.read("a.ndjson", "\n".join(lines) + "\n")
    assert rig.held == points(*expected)
    assert counts(answer["skipped"]) == {"not_json": count}
    assert_says(example(answer["skipped"]["not_json"]), "a.ndjson", f"line {first}")
    assert answer["done"]
    assert_acknowledged(rig, answer)


@pytest.mark.slow
def test_lines_are_counted_through_a_large_file(rig: Rig) -> None:
    """The number of a broken line is that of an editor, however far behind."""
    lines = many().split(b"\n")
    lines[50_000:50_001] = [b"\xff\xfe broken", b"", lines[50_000]]
    answer = rig.read("a.ndjson", b"\n".join(lines))
    assert rig.held == points(*range(60_000))
    assert sum(counts(answer["skipped"]).values()) == 1
    assert_says(example(next(iter(answer["skipped"].values()))), "a.ndjson", "line 50001")


NO_RECORDS: dict[str, str] = {
    "numbers": "[1, 2]",
    "nulls": "[null, null]",
    "records-of-something-else": '[{"x": 1}, {"y": 2}]',
}


@pytest.mark.parametrize("case", NO_RECORDS)
def test_what_is_no_record_is_counted(rig: Rig, case: str) -> None:
    """Each one is counts, nothing is sent, and the first is described."""
    answer = rig.read("a.json", NO_RECORDS[case])
    assert rig.receiver.requests == []
    assert sum(counts(answer["skipped"]).values()) == 2
    assert everything(answer).strip()


BAD_TEXT_LINES = {
    "an-open-quote": 'a{b="c} 1 1759000000',
    "an-open-brace": 'a{b="c" 1 1759000000',
    "no-value": "a",
    "no-number": "a much 1759000000",
    "no-time": "a 1 soon",
    "too-much": "a 1 1759000000 1759000000 5",
    "no-name": '{b="c"} 1 1759000000',
    "a-label-without-a-value": "a{b} 1 1759000000",
    "an-unknown-escape": 'a{b="\\x"} 1 x',
    "json": '{"at": 1759000000}',
}


@pytest.mark.parametrize("form", ["openmetrics", "prometheus"])
@pytest.mark.parametrize("case", BAD_TEXT_LINES)
def test_a_broken_line_of_a_text_costs_itself_alone(rig: Rig, case: str, form: str) -> None:
    """It is counts with file and line, and its neighbours arrive."""
    unit = 1 if form == "openmetrics" else 1000
    lines = [f"good 1 {1_759_000_000 * unit}", BAD_TEXT_LINES[case], f"good 2 {1_759_000_060 * unit}"]
    page = "\n".join([*lines, *["# EOF"] * (unit == 1), ""])
    answer = rig.backfill({"from": rig.file("page", page), "format": form})
    assert rig.stored == {"good": [(1_759_000_000_000, 1.0), (1_759_000_060_000, 2.0)]}
    assert counts(answer["skipped"]) == {"bad_line": 1}
    assert_says(example(answer["skipped"]["bad_line"]), "page", "line 2")
    assert answer["done"]


# --- Files that change, or are not there ---------------------------------------------------------------------------


def other() -> bytes:
    return many().replace(b'"host": "a"', b'"host": "b"')


def replaced(path: Path) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(other())
    new.replace(path)


def once(change: Callable[[], None], at: int = 2) -> Callable[[Any], None]:
    """Makes the change when so many parts are done."""
    calls = itertools.count(1)

    def tell(_: Any) -> None:
        if next(calls) == at:
            change()

    return tell


CHANGES: dict[str, Callable[[Path], object]] = {
    "appended": lambda path: path.write_bytes(many() + b"\n" + line(70_000).encode()),
    "overwritten": lambda path: path.write_bytes(other()),
    "cut": lambda path: os.truncate(path, len(many()) * 9 // 10),
    "removed": Path.unlink,
    "replaced": replaced,
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CHANGES)
def test_a_file_that_changes_while_it_is_read_stops(rig: Rig, case: str) -> None:
    """Which version was read is open then: the message says so, and what was sent is acknowledged."""
    path = Path(rig.file("a.ndjson", many()))
    answer = rig.backfill({"job": "j", "from": str(path)}, rig.job(), tell=once(lambda: CHANGES[case](path)))
    assert_acknowledged(rig, answer)
    sent = rig.held
    assert list(sent) == ['requests{host="a"}'], "nothing of the other file"
    (found,) = sent.values()
    assert found == points(*range(len(found)))['requests{host="a"}']
    if answer["done"]:
        assert case in ("removed", "replaced"), "who has opened a file keeps it"
        assert len(found) == 60_000
    else:
        assert_says(answer["stopped"], "a.ndjson", "changed" if case != "removed" else "")
        assert 0 < len(found) < 60_000


def test_an_object_that_changes_while_it_is_read_stops(tmp_path: Path) -> None:
    """An object is one version from its beginning to its end."""
    with rigs.made_with_bucket(tmp_path) as (rig, bucket):
        bucket.put("a.ndjson", many())
        event = {"job": "j", "from": "s3://spool/a.ndjson"}
        answer = rig.backfill(event, rig.job(), tell=once(lambda: bucket.put("a.ndjson", other()), at=1))
        assert list(rig.held) == ['requests{host="a"}'], "nothing of the other object"
        assert_says(answer["stopped"], "a.ndjson", "changed")
        assert_acknowledged(rig, answer)


PLACES: dict[str, tuple[str, bool, list[str]]] = {  # what is named, whether by a shell, what is said
    "no-file": ("{folder}/none.json", True, ["none.json", "no such file"]),
    "no-folder": ("{folder}/no/such/folder/none.json", True, ["none.json"]),
    "no-match": ("{folder}/none-*.json", True, ["none-*.json", "no"]),
    "a-folder": ("{folder}/folder.json", True, ["folder.json", "directory"]),
    "no-object": ("s3://spool/none.json", True, ["s3://spool/none.json"]),
    "another-scheme": ("https://x/a.json", True, ["https://x/a.json"]),
    "no-bucket": ("s3://", True, ["s3://BUCKET/KEY"]),
    "no-key": ("s3://bucket", True, ["s3://bucket", "s3://BUCKET/KEY"]),
    "nothing": ("", True, ["path"]),
    "a-file-in-a-function": ("a.json", False, ["a.json", "s3://"]),
    "a-path-in-a-function": ("/etc/hostname", False, ["/etc/hostname", "s3://"]),
    "a-pattern-in-a-function": ("*.json", False, ["*.json", "s3://"]),
    "a-url-in-a-function": ("file:///a.json", False, ["file:///a.json", "s3://"]),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_place_that_has_no_file_is_refused(tmp_path: Path, case: str) -> None:
    """The message has what was asked for, and nothing of the others is sent before. A function has no files of its
    caller."""
    place, is_local, words = PLACES[case]
    (tmp_path / "folder.json").mkdir()
    with rigs.made_with_bucket(tmp_path) as (rig, _):
        good = [rig.file("good.json", f"[{line(0)}]")] if is_local else []
        event = {"job": "j", "from": [*good, place.format(folder=tmp_path)], "format": "json"}
        assert_says(refusal(rig, event, rig.job(), is_local=is_local), "from", *words)


@pytest.mark.parametrize("name", ["a.json", "a.ndjson", "a.csv", "a.prom", "a.json.gz", "a.csv.zst", "a.om"])
def test_an_empty_file_is_named(rig: Rig, name: str) -> None:
    """Nothing is sent, and the answer says of which file nothing came."""
    answer = rig.read(name, "")
    assert rig.receiver.requests == []
    assert answer["samples"] == 0
    assert_says(everything(answer), name.partition(".")[0] + ".")


# --- Numbers that are none -----------------------------------------------------------------------------------------


BAD_RECORDS: dict[str, tuple[dict[int, dict[str, Any]], list[int], list[str]]] = {
    # what other records than usual have, which of four arrive, and what is said of the others
    "values-and-times-that-are-none": (
        {1: {"value": "much"}, 2: {"at": "soon"}}, [0, 3], ["much", "soon", "a.ndjson", "line 1", "record 1"],
    ),
    "milliseconds-instead-of-seconds": ({n: {"at": START_MS + n} for n in range(3)}, [3], ["unit"]),
    "a-time-to-come": ({0: {"at": NOW + 86_400}}, [1, 2, 3], ["ahead of the clock"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_RECORDS)
def test_values_and_times_that_are_none_are_counted(rig: Rig, case: str) -> None:
    """Each bad record is counted under its reason, with the place of the first one, and the good ones arrive."""
    changes, expected, words = BAD_RECORDS[case]
    answer = rig.read("a.ndjson", "\n".join(line(index, **changes.get(index, {})) for index in range(4)))
    (one,) = answer["endpoints"]
    assert rig.held == points(*expected)
    assert sum((counts(answer["skipped"]) | counts(one["dropped"])).values()) == 4 - len(expected)
    assert_says(json.dumps(answer), *words)
