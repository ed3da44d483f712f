"""Files of the job's own records: whatever shape they are written in, the receiver holds what is written there."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cramjam
import pytest

from tests.rig import backfill as rigs
from tests.rig.backfill import DAY, MINUTE, NOW_MS, Points, Rig, counts
from tests.rig.command_line import pusher

START_MS = NOW_MS - 30 * DAY
# What splits a file into records must not fall for any of these.
AWKWARD = [
    '], [{"at": 1}',
    'a "quoted" \\ one',
    "{[",
    "}]",
    "comma, comma",
    "tab\tand\nline",
    "\\",
    '\\"',
    "한국어 🦊",
    "",
    "[]",
]


def told(records: Iterable[Mapping[str, Any]]) -> Points:
    """What records say."""
    found: Points = {}
    for one in records:
        series = rigs.series_text(
            {"__name__": "requests", "host": one["host"]} if one.get("host") else {"__name__": "requests"}
        )
        found.setdefault(series, []).append((int(one["at"]) * 1000, float(one["value"])))
    return {series: sorted(points) for series, points in sorted(found.items())}


def awkward_records() -> list[dict[str, Any]]:
    found = rigs.records(24, start_ms=START_MS, hosts=("a", "b"))
    for index, one in enumerate(found):
        note = AWKWARD[index % len(AWKWARD)]
        one |= {"note": note, "more": {note or "x": [[], {}, [{"deep": note}]]}}
    return found


RECORDS = awkward_records()
LINES = [json.dumps(one, ensure_ascii=index % 2 == 0) for index, one in enumerate(RECORDS)]
HALVES = [RECORDS[:20], RECORDS[20:]]

SHAPES: dict[str, tuple[str, str]] = {
    "array-compact": ("a.json", json.dumps(RECORDS, separators=(",", ":"))),
    "array-pretty": ("a.json", json.dumps(RECORDS, indent=4, ensure_ascii=False)),
    "array-with-byte-order-mark": ("a.json", "\ufeff" + json.dumps(RECORDS)),
    "array-and-white-space-around": ("a.json", "\r\n\t " + json.dumps(RECORDS, indent=1) + "\n \n"),
    "ndjson": ("a.ndjson", "\n".join(LINES) + "\n"),
    "ndjson-without-a-last-line-end": ("a.ndjson", "\n".join(LINES)),
    "ndjson-with-crlf": ("a.ndjson", "\r\n".join(LINES) + "\r\n"),
    "ndjson-with-empty-lines": ("a.ndjson", "\n\n" + "\n \n\n".join(LINES) + "\n\n\n"),
    "ndjson-with-byte-order-mark": ("a.ndjson", "\ufeff" + "\n".join(LINES)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_way_to_write_records_as_json_is_read(rig: Rig, shape: str) -> None:
    """Brackets, quotes and line ends in texts do not confuse where a record ends."""
    name, text = SHAPES[shape]
    answer = rig.read(name, text)
    assert rig.held == told(RECORDS)
    assert (answer["done"], answer["stopped"], answer["skipped"]) == (True, "", {})
    assert (answer["records"], answer["samples"]) == (len(RECORDS), len(RECORDS))


def test_the_series_of_a_file_are_those_of_the_job(rig: Rig) -> None:
    """Labels job and instance, the job's own, its relabelling and its metrics are as in a push of the same job."""
    job = rig.job(
        rig.metric(labels={"host": "host", "note": "note"}, scale=2, value_map={"OK": 1}),
        rig.metric("other", value="at", labels={"host": "host"}),
        labels={"team": "x"},
        metric_relabel_configs=[{"source_labels": ["host"], "regex": "b", "action": "drop"}],
    )
    rows = [{"at": 1_759_000_000, "host": host, "value": "OK", "note": "n"} for host in "ab"]
    rig.read("a.json", json.dumps(rows), job)
    instance = rig.api.url.removeprefix("http://")
    labels = {"host": "a", "instance": instance, "job": "j", "team": "x"}
    assert rig.stored == {
        rigs.series_text(labels | {"__name__": "other"}): [(1_759_000_000_000, 1_759_000_000.0)],
        rigs.series_text(labels | {"__name__": "requests", "note": "n"}): [(1_759_000_000_000, 2.0)],
    }


DOCUMENTS: dict[str, tuple[str, str, str]] = {
    "a-whole-document": ("a.json", json.dumps({"data": {"items": RECORDS}, "n": 1}), "data.items"),
    "a-whole-document-over-lines": ("a.json", json.dumps({"data": {"items": RECORDS}}, indent=2), "data.items"),
    "a-document-a-line": ("a.ndjson", "\n".join(json.dumps({"items": half}) for half in HALVES), "items"),
    "one-line": ("a.ndjson", json.dumps({"items": RECORDS}), "items"),
}


@pytest.mark.parametrize("shape", DOCUMENTS)
def test_documents_are_walked_as_the_job_walks_an_answer(rig: Rig, shape: str) -> None:
    """The job's `records` finds them in the file as in the API's answer."""
    name, text, path = DOCUMENTS[shape]
    answer = rig.read(name, text, rig.job(rig.metric(records=path)))
    assert rig.held == told(RECORDS)
    assert answer["done"]
    assert answer["skipped"] == {}


def test_a_whole_document_is_seen_by_its_records(rig: Rig) -> None:
    """`$.`, `^.` and `@key` see in a file what they see in an answer."""
    document = {
        "release": "2.14",
        "regions": [{"name": "kr", "hosts": {"a": {"at": 1_759_000_000, "v": 1}, "b": {"at": 1_759_000_060, "v": 2}}}],
    }
    metric = {
        "name": "requests", "records": ["regions[]", "hosts"], "value": "v",
        "labels": {"region": "^.name", "host": "@key", "release": "$.release"},
        "timestamp": {"path": "at", "format": "unix"},
    }  # fmt: skip
    rig.read("a.json", json.dumps(document), rig.job(metric))
    assert rig.held == {
        'requests{host="a",region="kr",release="2.14"}': [(1_759_000_000_000, 1.0)],
        'requests{host="b",region="kr",release="2.14"}': [(1_759_000_060_000, 2.0)],
    }


# --- CSV ---------------------------------------------------------------------------------------------------------


def as_csv(header: Sequence[str], rows: Iterable[Sequence[Any]], **style: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text, **style)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


HOSTS = [
    "a",
    "with, comma",
    'with "quotes"',
    "over\ntwo lines",
    "한국어",
    "  spaces ",
    "'",
    "a;b\tc",
    "007",
    "1e3",
]
ROWS = [(1_759_000_000 + 60 * index, host, index / 4) for index, host in enumerate(HOSTS)]
ROWS_AS_RECORDS = [{"at": at, "host": host, "value": value} for at, host, value in ROWS]
HEADER = ("at", "host", "value")

TABLES: dict[str, str] = {
    "quoted-where-needed": as_csv(HEADER, ROWS),
    "all-quoted": as_csv(HEADER, ROWS, quoting=csv.QUOTE_ALL),
    "line-feeds": as_csv(HEADER, ROWS, lineterminator="\n"),
    "without-a-last-line-end": as_csv(HEADER, ROWS).rstrip("\r\n"),
    "byte-order-mark": "\ufeff" + as_csv(HEADER, ROWS),
    "byte-order-mark-and-quoted-header": "\ufeff" + as_csv(HEADER, ROWS, quoting=csv.QUOTE_ALL),
    "a-header-of-two-lines": as_csv(("x\ny", *HEADER), [("1", *row) for row in ROWS]),
    "another-order-and-columns-that-no-key-names": as_csv(
        ("x", "value", "y", "host", "at"), [("1", value, '"', host, at) for at, host, value in ROWS]
    ),
}  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_a_csv_is_read_by_its_header(rig: Rig, table: str) -> None:
    """Cells are what the csv module reads, and a label keeps a number as it is written."""
    reader = csv.DictReader(io.StringIO(TABLES[table].removeprefix("\ufeff"), newline=""))
    assert told(reader) == told(ROWS_AS_RECORDS), "the test's own table"
    answer = rig.read("a.csv", TABLES[table])
    assert rig.held == told(ROWS_AS_RECORDS)
    assert (answer["records"], answer["skipped"]) == (len(ROWS), {})


def test_an_empty_cell_is_a_missing_field(rig: Rig) -> None:
    """An empty label is absent, an empty value is skipped and counts, as in a record without the field."""
    rows = [(1_759_000_000, "", 1), (1_759_000_060, "a", ""), (1_759_000_120, "a", 3)]
    answer = rig.read("a.csv", as_csv(HEADER, rows))
    assert rig.held == {"requests": [(1_759_000_000_000, 1.0)], 'requests{host="a"}': [(1_759_000_120_000, 3.0)]}
    assert sum(counts(answer["skipped"]).values()) == 1
    assert answer["samples"] == 2


NUMBERS = ["0", "-0.5", "1e-3", "1E+20", "123456789012345678", "3.0000000000000004", ".5", "5.", "NaN", "+Inf", "-Inf"]


def test_numbers_of_a_csv_keep_every_digit(rig: Rig) -> None:
    """A cell is read as the float that Python reads."""
    rows = [(1_759_000_000 + index, f"h{index:02}", text) for index, text in enumerate(NUMBERS)]
    rig.read("a.csv", as_csv(HEADER, rows))
    values = {series: points[0][1] for series, points in rig.held.items()}
    assert list(map(repr, values.values())) == [repr(float(text)) for text in NUMBERS]


# --- Compressed --------------------------------------------------------------------------------------------------


def gz_of_members(content: bytes) -> bytes:
    """Cut anywhere, as when logs are appended to each other."""
    cuts = [0, 1, len(content) // 3, len(content) // 2, len(content)]
    return b"".join(gzip.compress(content[a:b]) for a, b in itertools.pairwise(cuts))


def gz_with_a_name(content: bytes) -> bytes:
    found = io.BytesIO()
    with gzip.GzipFile("name.json", "wb", fileobj=found) as file:
        file.write(content)
    return found.getvalue()


def zst(content: bytes) -> bytes:
    return bytes(cramjam.zstd.compress(content))


COMPRESSED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gz": (".gz", gzip.compress),
    "gz-of-members": (".gz", gz_of_members),
    "gz-with-a-name": (".gz", gz_with_a_name),
    "zst": (".zst", zst),
    "zst-of-frames": (".zst", lambda content: zst(content[:999]) + zst(content[999:])),
}
CONTENTS: dict[str, tuple[str, str]] = {
    "json": (".json", SHAPES["array-pretty"][1]),
    "ndjson": (".ndjson", SHAPES["ndjson"][1]),
    "csv": (".csv", as_csv(HEADER, [(one["at"], one["host"], one["value"]) for one in RECORDS])),
    "text": (".prom", "".join('requests{{host="{host}"}} {value} {at}000\n'.format(**one) for one in RECORDS)),
}


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("how", COMPRESSED)
def test_compressed_files_say_the_same(rig: Rig, kind: str, how: str) -> None:
    """Members and frames after the first belong to the file."""
    ending, text = CONTENTS[kind]
    more, compress = COMPRESSED[how]
    answer = rig.read(f"a{ending}{more}", compress(text.encode()))
    assert rig.held == told(RECORDS)
    assert answer["done"]


def test_the_format_can_be_given(rig: Rig) -> None:
    """A name that says nothing is no problem when `format` says it."""
    path = rig.file("dump", gzip.compress(SHAPES["ndjson"][1].encode()))
    plain = rig.file("plain", SHAPES["ndjson"][1])
    answer = rig.backfill({"job": "j", "from": plain, "format": "ndjson"}, rig.job())
    assert answer["done"]
    assert rig.held == told(RECORDS)
    with pytest.raises(rigs.invoke.BadRequest) as refused:
        rig.backfill({"job": "j", "from": path}, rig.job())
    rigs.assert_says(str(refused.value), "format", "name", "ndjson", "csv", "openmetrics")


# --- Places ------------------------------------------------------------------------------------------------------


def test_files_of_a_bucket_are_read(tmp_path: Path) -> None:
    """s3:// is read as a path is, compressed or not, several of them and beside local files; each file's own name says
    what it is."""
    parts = [RECORDS[:10], RECORDS[10:30], RECORDS[30:]]
    with rigs.made_with_bucket(tmp_path) as (rig, bucket):
        bucket.put("dumps/1.json", json.dumps(parts[0]).encode())
        bucket.put("dumps/two words+한.ndjson.gz", gzip.compress("\n".join(map(json.dumps, parts[1])).encode()))
        rows = [(one["at"], one["host"], one["value"]) for one in parts[2]]
        local = rig.file("3.csv.zst", zst(as_csv(HEADER, rows).encode()))
        sources = ["s3://spool/dumps/1.json", "s3://spool/dumps/two words+한.ndjson.gz", local]
        answer = rig.backfill({"job": "j", "from": sources}, rig.job())
        assert rig.held == told(RECORDS)
        assert answer["done"]


def test_a_glob_finds_all_that_match(rig: Rig) -> None:
    """Files of a glob are read in the order of their names, so that times rise as they do in the names."""
    for day in (3, 1, 2):
        rows = rigs.records(5, start_ms=START_MS + day * DAY)
        rig.file(f"logs/day-{day}.ndjson", "\n".join(map(json.dumps, rows)))
    rig.file("logs/other.txt", "not asked for")
    answer = rig.backfill({"job": "j", "from": f"{rig.folder}/logs/day-*.ndjson"}, rig.job())
    assert answer["records"] == 15
    (points,) = rig.held.values()
    assert len(points) == 15
    arrived = [ms for points in rig.receiver.samples.values() for ms, _ in points]
    assert arrived == sorted(arrived)


# --- A part of it ------------------------------------------------------------------------------------------------

FIRST, LAST = START_MS + 5 * MINUTE, START_MS + 9 * MINUTE
ENDS: dict[str, tuple[dict[str, int], Callable[[int], bool]]] = {
    "both": ({"start": FIRST // 1000, "end": LAST // 1000}, lambda ms: FIRST <= ms <= LAST),
    "start": ({"start": FIRST // 1000}, lambda ms: ms >= FIRST),
    "end": ({"end": LAST // 1000}, lambda ms: ms <= LAST),
}


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("kind", CONTENTS)
def test_start_and_end_choose_samples_of_a_file(rig: Rig, kind: str, ends: str) -> None:
    """Both ends are included, and what lies outside is counts."""
    ending, text = CONTENTS[kind]
    event, is_inside = ENDS[ends]
    answer = rig.read(f"a{ending}", text, **event)
    inside = [one for one in RECORDS if is_inside(one["at"] * 1000)]
    assert rig.held == told(inside)
    assert counts(answer["skipped"]) == {"outside_range": len(RECORDS) - len(inside)}
    assert answer["done"]


# --- Large -------------------------------------------------------------------------------------------------------

LARGE_RECORDS = 5_500


def large_records() -> Iterator[dict[str, Any]]:
    """Records of very different lengths, with letters of one to four bytes."""
    chance = random.Random(7)
    for index in range(LARGE_RECORDS):
        length = 60_000 if index % 1_500 == 17 else chance.randrange(0, 1_200)
        yield {
            "at": (START_MS + index // 8 * MINUTE) // 1000, "host": f"h{index % 8}", "value": chance.random(),
            "note": "".join(chance.choices("aé한🦊\\\"{}[],\n ", k=length)),
        }  # fmt: skip


def large_array(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    yield "["
    for index, one in enumerate(rows):
        yield ("" if index == 0 else ",\n") + json.dumps(one, ensure_ascii=False)
    yield "]"


def large_csv(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    fields = ["note", "at", "host", "value"]
    text = io.StringIO()
    writer = csv.DictWriter(text, fields)
    writer.writeheader()
    for one in rows:
        writer.writerow(one)
        yield text.getvalue()
        text.seek(0)
        text.truncate()


LARGE: dict[str, tuple[str, Callable[[Iterator[dict[str, Any]]], Iterator[str]]]] = {
    "csv": ("a.csv", large_csv),
    "csv.zst": ("a.csv.zst", large_csv),
    "json.gz": ("a.json.gz", large_array),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LARGE)
def test_a_file_of_many_blocks_arrives_to_the_last_bit(rig: Rig, kind: str) -> None:
    """No border between two blocks costs, doubles or changes a record."""
    name, write = LARGE[kind]
    content = "".join(write(large_records())).encode()
    assert len(content) > 4_500_000  # a block has two million bytes
    if name.endswith(".gz"):
        content = gzip.compress(content, 1)
    if name.endswith(".zst"):
        content = zst(content)
    answer = rig.read(name, content)
    assert answer["skipped"] == {}
    assert (answer["records"], answer["samples"]) == (LARGE_RECORDS, LARGE_RECORDS)
    assert rig.held == told(large_records())
    assert rig.receiver.accepted == LARGE_RECORDS, "each once"


# What stands between the border of a block and the next record, three blocks long.
BORDERS: dict[str, Any] = {
    "objects-in-a-list": [{"a": 1}, {"a": 2}] * 60,
    "lists-in-a-list": [[1], [2]] * 120,
    "the-end-of-an-object-in-a-text": "},{" * 300,
    "the-end-of-an-object-and-a-line-in-a-text": "},\n{" * 300,
    "the-end-of-the-list-in-a-text": "}]" * 400,
    "quotes": '"' * 801,
    "backslashes": "\\" * 801,
    "backslashes-and-quotes": '\\"' * 801,
    "letters-of-three-bytes": "한" * 601,
    "letters-of-four-bytes": "🦊" * 601,
    "spaces": " " * 1_601,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["json", "json-pretty", "ndjson"])
@pytest.mark.parametrize("what", BORDERS)
def test_no_border_of_a_block_is_taken_for_the_end_of_a_record(rig: Rig, what: str, kind: str) -> None:
    """Whatever a record holds where a block ends, it is read whole."""
    note = BORDERS[what]
    text = json.dumps(note, ensure_ascii=False)
    rows = [
        {"at": one["at"], "note": note, "host": "a", "value": one["value"]}
        for one in rigs.records(6_500_000 // len(text.encode()), start_ms=START_MS, step_ms=1_000)
    ]
    lines = [json.dumps(one, ensure_ascii=False) for one in rows]
    written = {
        "json": f"[{','.join(lines)}]",
        "json-pretty": "[\n  " + ",\n  ".join(lines) + "\n]\n",
        "ndjson": "\n".join(lines),
    }[kind]
    answer = rig.read(f"a.{kind.split('-')[0]}", written)
    assert answer["stopped"] == ""
    assert rig.held == told(rows)


def test_a_record_of_several_blocks_is_read_whole(rig: Rig) -> None:
    """One record of nine megabytes costs neither itself nor its neighbours."""
    rows = rigs.records(3, start_ms=START_MS)
    rows[1]["note"] = "x[{" * 3_000_000
    for name, text in (("a.json", json.dumps(rows)), ("b.ndjson", "\n".join(map(json.dumps, rows)))):
        rig.read(name, text)
        assert rig.held == told(rows)


# --- From a shell ------------------------------------------------------------------------------------------------


def test_a_csv_goes_from_a_shell(rig: Rig) -> None:
    """The command line says the same as an event, and its status is 0 when all of it is there. A header that is named
    differently, with spaces or letters of any script, is mapped; the others stay."""
    rig.file("a.csv", as_csv(("Zeit (UTC)", "host", "값"), ROWS))
    rig.file("pusher.yaml", rig.text(rig.job()))
    arguments = ("--job", "j", "--from", "a.csv", "--columns", "Zeit (UTC)=at,값=value", "--json")
    done = pusher("backfill", "pusher.yaml", *arguments, cwd=rig.folder, XDG_STATE_HOME=str(rig.folder / "state"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["samples"] == len(ROWS)
    assert rig.held == told(ROWS_AS_RECORDS)
