"""What a backfill says to input that is wrong, and that what it acknowledges is what the receiver has."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.backfill import invoke
from tests.rig import backfill as rigs
from tests.rig.backfill import DAY, HOUR, MINUTE, NOW_MS, Points, Rig, assert_says, counts, everything
from tests.rig.json_source import example

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

START_MS = NOW_MS - 3 * DAY
RANGE = {"query": {"from": "{start}", "to": "{end}"}, "format": "unix", "window": "1h"}
NOW, YEAR = NOW_MS // 1000, 31_557_600


@pytest.fixture
def amp_rig(tmp_path: Path) -> Iterator[Rig]:
    with rigs.made(tmp_path, amp=True) as made:
        yield made


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
    return json.dumps({"at": START_MS // 1000 + index, "host": host, "value": index, **keys})


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
    "start-is-a-list": ({"job": "j", "start": [1]}, ["start"]),
    "start-is-true": ({"job": "j", "start": True}, ["start"]),
    "end-is-an-object": ({"job": "j", "start": NOW - 60, "end": {}}, ["end"]),
    "job-is-a-number": ({"job": 5, "start": NOW - 60}, ["job", "text"]),
    "step-is-no-duration": ({"job": "j", "start": NOW - 60, "step": "often"}, ["step", "often", "duration"]),
    "window-is-no-duration": ({"job": "j", "start": NOW - 60, "window": "0s"}, ["window"]),
    "force-is-a-text": ({"job": "j", "start": NOW - 60, "force": "yes"}, ["force", "true"]),
    "dry-run-is-a-number": ({"job": "j", "start": NOW - 60, "dry_run": 1}, ["dry_run", "true"]),
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
    "resume-is-garbage": ({"job": "j", "resume": "b1.xyz"}, ["resume"]),
    "resume-is-a-number": ({"job": "j", "resume": 5}, ["resume"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REQUESTS)
def test_a_wrong_request_is_refused_before_any_other_is_sent(rig: Rig, case: str) -> None:
    """The message says which key, what stands there, and what is allowed."""
    event, words = REQUESTS[case]
    jobs = [rig.job(backfill=RANGE), rig.job(job_name="requests-api")]
    scraped = [{"job_name": "nodes", "static_configs": [{"targets": ["127.0.0.1:1"]}]}]
    assert_says(refusal(rig, event, *jobs, scrape_configs=scraped), *words)


def test_all_mistakes_are_reported_at_once(rig: Rig) -> None:
    """One message names them all, so that one correction suffices."""
    detail = refusal(rig, {"job": "nobody", "start": "soon", "windoww": "1h", "step": "x"}, rig.job(backfill=RANGE))
    assert_says(detail, "nobody", "soon", "windoww", "step")


def test_ten_years_in_windows_of_an_hour_are_refused(rig: Rig) -> None:
    """The message has the number of windows and the way out."""
    event = {"job": "j", "start": NOW - 10 * YEAR, "end": NOW, "window": "1h"}
    detail = refusal(rig, event, rig.job(backfill=RANGE), endpoint={"max_age": "20y"})
    assert_says(detail, "87660", "window")


@pytest.mark.parametrize("days", [30, 800, 3_652])
def test_what_is_too_old_for_amp_is_not_even_fetched(amp_rig: Rig, days: int) -> None:
    """It is one span in the answer, and the API is asked for the last hour only."""
    amp_rig.serve([])
    event = {"job": "j", "start": NOW - days * 86_400, "end": NOW, "window": "1h"}
    answer = amp_rig.backfill(event, amp_rig.job(backfill=RANGE))
    asked = [int(request.params["from"]) for request in amp_rig.api.requests]
    assert asked
    assert min(asked) >= NOW - 7_200
    assert len(asked) <= 3
    assert answer["done"]
    began = datetime.fromtimestamp(NOW - days * 86_400, UTC).strftime("%Y-%m-%dT%H:%M")
    spans = [row for row in answer["preflight"] if began in json.dumps(row)]
    assert len(spans) == 1
    assert_says(json.dumps(spans[0]), began, "2025-10-09T0")


def test_a_range_that_amp_takes_nothing_of_is_not_fetched(amp_rig: Rig) -> None:
    """A range that is too old as a whole is said to be so, at once."""
    amp_rig.serve([])
    event = {"job": "j", "start": NOW - 30 * 86_400, "end": NOW - 86_400}
    answer = amp_rig.backfill(event, amp_rig.job(backfill=RANGE))
    assert amp_rig.api.requests == []
    assert amp_rig.receiver.accepted == 0
    assert_says(json.dumps(answer), "too_old")


# --- Order and time zones ------------------------------------------------------------------------------------------


def recent(*minutes: int) -> str:
    rows = [{"at": NOW - 60 * ago, "host": "a", "value": ago} for ago in minutes]
    return "\n".join(map(json.dumps, rows)) + "\n"


def test_files_in_the_wrong_order_are_checked_for_amp(amp_rig: Rig) -> None:
    """What lies behind what has gone, beyond the out-of-order window, is impossible and is not sent."""
    paths = [amp_rig.file("new.ndjson", recent(12, 11, 10)), amp_rig.file("old.ndjson", recent(22, 21, 20))]
    answer = amp_rig.backfill({"job": "j", "from": paths}, amp_rig.job())
    (one,) = answer["endpoints"]
    assert amp_rig.held == {'requests{host="a"}': [(NOW_MS - ago * MINUTE, float(ago)) for ago in (12, 11, 10)]}
    assert one["classes"] == {"accepted": 3, "window": 0, "impossible": 3}
    assert sum(counts(one["dropped"]).values()) == 3
    assert not one["rejected"]
    assert amp_rig.receiver.refused == 0
    assert set(counts(one["reasons"])) <= {"behind_window", "out_of_order"}
    assert_acknowledged(amp_rig, answer)


def test_an_unsorted_file_is_sorted_as_far_as_it_is_read_at_once(amp_rig: Rig) -> None:
    """Whatever the order in the file, AMP refuses nothing that is sent, and each sample has its fate in the answer."""
    order = [40, 10, 30, 20, 50, 15, 45]
    answer = amp_rig.backfill({"job": "j", "from": amp_rig.file("a.ndjson", recent(*order))}, amp_rig.job())
    (one,) = answer["endpoints"]
    assert one["collected"] == len(order)
    assert amp_rig.receiver.refused == 0
    assert_acknowledged(amp_rig, answer)
    assert one["classes"]["impossible"] == len(order) - amp_rig.receiver.accepted


@pytest.mark.parametrize("names", [("new", "old"), ("old", "new", "old-again"), ("old", "both")])
def test_other_receivers_get_files_in_any_order(rig: Rig, names: tuple[str, ...]) -> None:
    """A receiver that takes samples out of order gets all of unsorted and overlapping files."""
    contents = {
        "old": [line(index) for index in (2, 0, 1)],
        "old-again": [line(index) for index in (2, 0, 1)],
        "new": [line(index) for index in (9, 7, 8)],
        "both": [line(index) for index in (9, 1, 8, 0, 7, 2)],
    }
    paths = [rig.file(f"{name}.ndjson", "\n".join(contents[name])) for name in names]
    answer = rig.backfill({"job": "j", "from": paths}, rig.job())
    assert rig.held == points(0, 1, 2, 7, 8, 9)
    assert answer["done"]
    assert answer["records"] == sum(len(contents[name]) for name in names)


def test_files_that_overlap_are_no_refusals_for_amp(amp_rig: Rig) -> None:
    """The same samples a second time are equal to what is there, or lie behind: AMP has each once."""
    paths = [amp_rig.file("a.ndjson", recent(14, 13, 12)), amp_rig.file("b.ndjson", recent(13, 12, 11, 10))]
    answer = amp_rig.backfill({"job": "j", "from": paths}, amp_rig.job())
    assert amp_rig.held == {'requests{host="a"}': [(NOW_MS - ago * MINUTE, float(ago)) for ago in (14, 13, 12, 11, 10)]}
    assert amp_rig.receiver.refused == 0
    assert answer["done"]


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
    """It is counted with what would help; the others arrive, and with a zone in the config all do."""
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
    """What a server has unpacked on the way keeps its name: it is read whole, or refused with words."""
    answer = rig.backfill({"job": "j", "from": rig.file(f"a.ndjson.{ending}", line(0))}, rig.job())
    assert_acknowledged(rig, answer)
    if answer["done"]:
        assert rig.held == points(0)
    else:
        assert_says(answer["stopped"], f"a.ndjson.{ending}")


def test_a_repaired_file_is_continued_or_refused_as_another(rig: Rig) -> None:
    """After the whole file has come, `resume` brings the rest or says that the file has changed."""
    whole = PACKED["gz"]()
    path = rig.file("a.ndjson.gz", whole[: len(whole) * 2 // 3])
    answer = rig.backfill({"job": "j", "from": path}, rig.job())
    rig.file("a.ndjson.gz", whole)
    try:
        again = rig.backfill({"job": "j", "from": path, "resume": answer["resume"]}, rig.job())
        detail = again["stopped"]
    except invoke.BadRequest as refused:
        again, detail = {"done": False}, str(refused)
    if again["done"]:
        assert rig.held == points(*range(60_000))
    else:
        assert_says(detail, "a.ndjson.gz", "changed")


CUT_ARRAY = f"[{','.join(line(index) for index in range(5))}"
STOPPING: dict[str, tuple[str, str | bytes, list[str]]] = {
    "csv-without-a-header": ("a.csv", "1759000000,a,1\n1759000060,a,2\n", ["a.csv", "line 1", "column", "at"]),
    "csv-without-the-time": ("a.csv", "host,value\na,1\n", ["a.csv", "at", "host", "value"]),
    "csv-with-a-column-twice": ("a.csv", "at,host,value,at\n1,a,1,1\n", ["a.csv", "'at'"]),
    "json-cut": ("a.json", CUT_ARRAY, ["a.json", "cut"]),
    "json-cut-in-a-record": ("a.json", CUT_ARRAY[:-8], ["a.json"]),
    "json-that-is-ndjson": ("a.json", "\n".join(line(index) for index in range(4)), ["a.json", "JSON"]),
    "json-that-is-csv": ("a.json", "at,host,value\n1,a,2\n", ["a.json", "JSON"]),
    "json-with-garbage-behind": ("a.json", CUT_ARRAY + "] garbage", ["a.json"]),
    "openmetrics-without-an-end": ("a.om", "a 1 1759000000\na 2 1759000060\n", ["a.om", "# EOF"]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "reason", "words"),
    [
        (b'1759000060,"b,2', "row_length", ["a.csv", "2 cells"]),
        ("1759000060,é,2".encode("latin-1"), "bad_line", ["a.csv, line 3", "UTF-8"]),
        (b'1759000060,5" disk,2,', "row_length", ["a.csv, line 3", "4 cells"]),
        (b'1759000060,"' + b"b" * 200_000 + b'",2', "bad_line", ["a.csv", "field"]),
    ],
    ids=["an-open-quote", "another-encoding", "a-stray-quote", "a-huge-cell"],
)
def test_a_row_that_cannot_be_read_is_skipped_alone(rig: Rig, broken: bytes, reason: str, words: list[str]) -> None:
    """The rows before it arrive, and so do those behind it, unless it swallows them by a quotation mark."""
    behind = b"" if reason == "row_length" and b'"b' in broken else b"1759000120,c,3\n"
    content = b"at,host,value\n1759000000,a,1\n" + broken + b"\n" + behind
    answer = rig.backfill({"job": "j", "from": rig.file("a.csv", content)}, rig.job())
    assert answer["done"], answer["stopped"]
    assert answer["skipped"][reason]["count"] == 1
    for word in words:
        assert word in example(answer["skipped"][reason])
    assert rig.receiver.accepted == 1 + bool(behind)


@pytest.mark.parametrize("case", STOPPING)
def test_a_file_that_cannot_be_trusted_stops_the_backfill(rig: Rig, case: str) -> None:
    """The message says which file, where in it, and what was expected there."""
    name, content, words = STOPPING[case]
    answer = rig.backfill({"job": "j", "from": rig.file(name, content)}, rig.job())
    assert not answer["done"]
    assert_says(answer["stopped"], *words)
    assert_acknowledged(rig, answer)


def test_a_stopped_file_does_not_take_those_before_it_along(rig: Rig) -> None:
    """What the files before had is there, and the message is about the one that is bad."""
    paths = [rig.file("a.ndjson", line(0)), rig.file("b.json", "nothing of the kind")]
    answer = rig.backfill({"job": "j", "from": [paths[0]]}, rig.job())
    assert answer["done"]
    paths = [rig.file("1.csv", "at,host,value\n1759654800,a,1\n"), rig.file("2.csv", "no,header\n1,2\n")]
    answer = rig.backfill({"job": "j", "from": paths}, rig.job())
    assert not answer["done"]
    assert_says(answer["stopped"], "2.csv")
    assert answer["samples"] == 1
    assert rig.receiver.accepted == 2


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
    """It is counted with file and line; all the others arrive, and no two lines are read as one."""
    lines, expected, first, count = BROKEN_LINES[case]
    answer = rig.backfill({"job": "j", "from": rig.file("a.ndjson", "\n".join(lines) + "\n")}, rig.job())
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
    answer = rig.backfill({"job": "j", "from": rig.file("a.ndjson", b"\n".join(lines))}, rig.job())
    assert rig.held == points(*range(60_000))
    assert sum(counts(answer["skipped"]).values()) == 1
    assert_says(example(next(iter(answer["skipped"].values()))), "a.ndjson", "line 50001")


NO_RECORDS: dict[str, str] = {
    "numbers": "[1, 2]",
    "nulls": "[null, null]",
    "texts": '["a", "b"]',
    "records-of-something-else": '[{"x": 1}, {"y": 2}]',
}


@pytest.mark.parametrize("case", NO_RECORDS)
def test_what_is_no_record_is_counted(rig: Rig, case: str) -> None:
    """Each one is counted, nothing is sent, and the first is described."""
    answer = rig.backfill({"job": "j", "from": rig.file("a.json", NO_RECORDS[case])}, rig.job())
    assert rig.receiver.requests == []
    assert sum(counts(answer["skipped"]).values()) == 2
    assert everything(answer).strip()


def test_rows_of_the_wrong_length_are_counted_by_line(rig: Rig) -> None:
    """A row too short or too long is not guessed at; a quoted line break before it does not change its number."""
    start = START_MS // 1000
    text = (
        "at,host,value,note\n"
        f'{start},a,0,"two\nlines"\n'
        f"{start + 1},a,1\n"
        f"{start + 2},a,2,n,too long\n"
        f"{start + 3},a,3,n\n"
        "\n"
        f"{start + 4},a,4,\n"
    )
    answer = rig.backfill({"job": "j", "from": rig.file("a.csv", text)}, rig.job())
    assert rig.held == points(0, 3, 4)
    assert counts(answer["skipped"]) == {"row_length": 2}
    assert_says(example(answer["skipped"]["row_length"]), "a.csv", "line 4", "3", "4")
    assert answer["done"]


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
    "html": "<html>",
    "a-comma-for-a-point": "a 1,5 1759000000",
}


@pytest.mark.parametrize("form", ["openmetrics", "prometheus"])
@pytest.mark.parametrize("case", BAD_TEXT_LINES)
def test_a_broken_line_of_a_text_costs_itself_alone(rig: Rig, case: str, form: str) -> None:
    """It is counted with file and line, and its neighbours arrive."""
    unit = 1 if form == "openmetrics" else 1000
    lines = [f"good 1 {1_759_000_000 * unit}", BAD_TEXT_LINES[case], f"good 2 {1_759_000_060 * unit}"]
    page = "\n".join([*lines, *["# EOF"] * (unit == 1), ""])
    answer = rig.backfill({"from": rig.file("page", page), "format": form})
    assert rig.stored == {"good": [(1_759_000_000_000, 1.0), (1_759_000_060_000, 2.0)]}
    assert counts(answer["skipped"]) == {"bad_line": 1}
    assert_says(example(answer["skipped"]["bad_line"]), "page", "line 2")
    assert answer["done"]


# --- Files that change, or are not there ---------------------------------------------------------------------------


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\n" + line(70_000).encode())


def overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(many().replace(b'"host": "a"', b'"host": "b"'))


def cut(path: Path) -> None:
    os.truncate(path, len(many()) * 9 // 10)


def removed(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(many().replace(b'"host": "a"', b'"host": "b"'))
    other.replace(path)


def once(change: Callable[[], None], at: int = 2) -> Callable[[Any], None]:
    """Makes the change when so many parts are done."""
    calls = itertools.count(1)

    def tell(_: Any) -> None:
        if next(calls) == at:
            change()

    return tell


CHANGES: dict[str, Callable[[Path], None]] = {
    "appended": appended, "overwritten": overwritten, "cut": cut, "removed": removed, "replaced": replaced
}  # fmt: skip


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


def test_a_changed_file_is_not_gone_on_with(rig: Rig) -> None:
    """`resume` looks at whether the file is still the one that it began with."""
    path = Path(rig.file("a.ndjson", many()))
    answer = rig.backfill({"job": "j", "from": str(path)}, rig.job(), tell=once(lambda: appended(path)))
    event = {"job": "j", "from": str(path), "resume": answer["resume"]}
    try:
        detail = rig.backfill(event, rig.job())["stopped"]
    except invoke.BadRequest as refused:
        detail = str(refused)
    assert_says(detail, "a.ndjson", "changed")


def test_an_object_that_changes_while_it_is_read_stops(tmp_path: Path) -> None:
    """An object is one version from its beginning to its end."""
    with rigs.made_with_bucket(tmp_path) as (rig, bucket):
        bucket.put("a.ndjson", many())
        other = many().replace(b'"host": "a"', b'"host": "b"')
        event = {"job": "j", "from": "s3://spool/a.ndjson"}
        answer = rig.backfill(event, rig.job(), tell=once(lambda: bucket.put("a.ndjson", other), at=1))
        assert list(rig.held) == ['requests{host="a"}'], "nothing of the other object"
        if not answer["done"]:
            assert_says(answer["stopped"], "a.ndjson", "changed")
        assert_acknowledged(rig, answer)


ABSENT: dict[str, tuple[str, list[str]]] = {
    "file": ("none.json", ["none.json", "no such file"]),
    "folder": ("no/such/folder/none.json", ["none.json"]),
    "glob": ("none-*.json", ["none-*.json", "no"]),
    "a-folder-itself": ("folder.json", ["folder.json"]),
}


@pytest.mark.parametrize("case", ABSENT)
def test_a_missing_file_is_named(rig: Rig, case: str) -> None:
    """The message has the path, and nothing of the others is sent before."""
    (rig.folder / "folder.json").mkdir()
    name, words = ABSENT[case]
    good = rig.file("good.json", f"[{line(0)}]")
    event = {"job": "j", "from": [good, str(rig.folder / name)]}
    try:
        answer = rig.backfill(event, rig.job())
        assert not answer["done"]
        assert_acknowledged(rig, answer)
        detail = answer["stopped"]
    except invoke.BadRequest as refused:
        detail = str(refused)
    assert_says(detail, *words)


def test_a_missing_object_is_named(tmp_path: Path) -> None:
    """The message names the object."""
    with rigs.made_with_bucket(tmp_path) as (rig, _):
        try:
            answer = rig.backfill({"job": "j", "from": "s3://spool/none.json"}, rig.job())
            assert not answer["done"]
            detail = answer["stopped"]
        except invoke.BadRequest as refused:
            detail = str(refused)
        assert_says(detail, "s3://spool/none.json")


@pytest.mark.parametrize("name", ["a.json", "a.ndjson", "a.csv", "a.prom", "a.json.gz", "a.csv.zst", "a.om"])
def test_an_empty_file_is_named(rig: Rig, name: str) -> None:
    """Nothing is sent, and the answer says of which file nothing came."""
    answer = rig.backfill({"job": "j", "from": rig.file(name, "")}, rig.job())
    assert rig.receiver.requests == []
    assert answer["samples"] == 0
    assert_says(everything(answer), name.partition(".")[0] + ".")


@pytest.mark.parametrize("path", ["a.json", "/etc/hostname", "*.json", "../a.json", "file:///a.json"])
def test_a_lambda_reads_no_local_file(rig: Rig, path: str) -> None:
    """There are no files of its caller there: s3:// is what is allowed."""
    detail = refusal(rig, {"job": "j", "from": path, "format": "json"}, rig.job(), is_local=False)
    assert_says(detail, "from", path, "s3://")


@pytest.mark.parametrize("path", ["ftp://x/a.json", "https://x/a.json", "s3://", "s3://bucket", ""])
def test_a_place_that_is_none_is_refused(rig: Rig, path: str) -> None:
    """The message has what was asked for."""
    try:
        detail = rig.backfill({"job": "j", "from": path, "format": "json"}, rig.job())["stopped"]
    except invoke.BadRequest as refused:
        detail = str(refused)
    assert detail
    assert_says(detail, path)


# --- Numbers that are none -----------------------------------------------------------------------------------------


def test_values_and_times_that_are_none_are_counted(rig: Rig) -> None:
    """Each bad record is counted under its reason, and the good ones arrive."""
    rows: list[dict[str, Any]] = [json.loads(line(0)), json.loads(line(1)), json.loads(line(2)), json.loads(line(3))]
    rows[1]["value"], rows[2]["at"] = "much", "soon"
    answer = rig.backfill({"job": "j", "from": rig.file("a.json", json.dumps(rows))}, rig.job())
    assert rig.held == points(0, 3)
    assert sum(counts(answer["skipped"]).values()) == 2
    assert_says(everything(answer), "much", "soon")


def test_a_time_in_the_wrong_unit_is_reported(rig: Rig) -> None:
    """Milliseconds where the config says seconds are skipped with a question, and none is sent as the year 57000."""
    rows = [{"at": START_MS + index, "host": "a", "value": index} for index in range(3)]
    answer = rig.backfill({"job": "j", "from": rig.file("a.json", json.dumps(rows))}, rig.job())
    assert rig.held == {}
    assert sum(counts(answer["skipped"]).values()) == 3
    assert_says(everything(answer), "unit")


def test_a_future_time_is_not_taken(rig: Rig) -> None:
    """A sample from beyond now is not sent as if it were of the past without a word."""
    rows = [{"at": NOW + 86_400, "host": "a", "value": 1}, json.loads(line(1))]
    answer = rig.backfill({"job": "j", "from": rig.file("a.json", json.dumps(rows))}, rig.job())
    (one,) = answer["endpoints"]
    assert rig.held == points(1)
    assert counts(one["dropped"]) or counts(one["rejected"]) or counts(answer["skipped"])
