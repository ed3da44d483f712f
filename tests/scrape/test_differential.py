"""What a real Prometheus makes of a page, this product makes of it too: every series, value, time, marker and counter,
scrape after scrape, in both of its ways (`run` and the function's push)."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import pickle
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sandbox import prometheus
from sandbox.server import Answer, Fault
from tests.rig import recorded
from tests.rig import scrape as rig
from tests.rig.needs import Peer
from tests.rig.scrape import OPENMETRICS, PAGES, TEXT, Page, Received, Scrapes, Sink, Site, page_file, text

ROUNDS = 3  # scrapes that are compared of a page that stays the same
SOON_SECONDS = 300  # from now to the times in pages: later than all scrapes, and less than ten minutes away
WAYS = ("run", "push")
PROCESSES = ("prometheus", "run")


@dataclass(frozen=True, slots=True)
class Case:
    """A job with one target. `keys` are its config, but for its name and target."""

    name: str
    pages: Sequence[Page]
    keys: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""  # the job's name, its path, and the label `case` of its target

    @property
    def rounds(self) -> int:
        return max(ROUNDS, len(self.pages) + (len(self.pages) > 1))


CRASHING = ("native-spans-too-long", "native-spans-too-short")  # a real Prometheus 3.5.3 panics and ends
FILES = sorted(path for path in PAGES.glob("*/*") if path.is_file())
AB, A, BAD = "a 1\nb 2\n", "a 3\n", "a 1\nb 2\nc {\nd 4\n"


def case(name: str, pages: Page | str | Sequence[Page | str], **keys: Any) -> Case:
    listed = [pages] if isinstance(pages, str | Answer | Fault) else list(pages)
    return Case(name, [text(page) if isinstance(page, str) else page for page in listed], keys)


def file_case(name: str, path: str, soon: int, **keys: Any) -> Case:
    return Case(name, [page_file(PAGES / path, soon)], keys)


def status(code: int, body: str = "a 1\n", **headers: str) -> Answer:
    return Answer(code, {"Content-Type": TEXT, **headers}, body.encode())


def served_as(content_type: str | None, body: str = "a 1\n") -> Answer:
    return Answer(200, {} if content_type is None else {"Content-Type": content_type}, body.encode())


CONTENT_TYPES: list[tuple[str, str | None, str]] = [
    ("blank", None, "a 1\n"),
    ("empty", "", "a 1\n"),
    ("json", "application/json", "a 1\n"),
    ("broken", "text/plain; version", "a 1\n"),
    ("no slash", "plain", "a 1\n"),
    ("upper case", "TEXT/PLAIN", "a 1\n"),
    ("only the type", "text/plain", "a 1\n"),
    ("other version", "text/plain; version=9", "a 1\n"),
    ("quoted parameter", 'text/plain; charset="utf-8"', "a 1\n"),
    ("parameter twice", "text/plain; version=0.0.4; version=0.0.4", "a 1\n"),
    ("semicolon at the end", "text/plain;", "a 1\n"),
    ("html", "text/html; charset=utf-8", "<html>\n"),
    ("openmetrics by name only", "application/openmetrics-text", "a 1\n# EOF\n"),
    ("openmetrics without end", OPENMETRICS, "a 1\n"),
    ("openmetrics 2.0", "application/openmetrics-text; version=2.0.0", "a 1\n"),  # the fallback reads it as text
    ("text that says protobuf", rig.PROTOBUF, "a 1\n"),
]
LEGACY = {"metric_name_validation_scheme": "legacy", "metric_name_escaping_scheme": "underscores"}
LIMITED = 'm{x="12345",yy="1"} 1\nn 2\n'
LABELS = ["job", "instance", "case", "__name__", "x", "yy"]


def cases(soon: int) -> list[Case]:
    """All of them, with this time in seconds in their pages. Only the pages depend on it."""
    return [replace(one, id=f"c{number}") for number, one in enumerate(_cases(soon))]


def _cases(soon: int) -> Iterator[Case]:
    for path in FILES:
        if path.stem in CRASHING:
            continue
        yield Case(f"{path.parent.name} {path.stem}", [page_file(path, soon)])
    for name in ("text/target-labels.txt", "text/empty-label-values.txt", "protobuf/target-labels.textproto"):
        yield file_case(f"honor_labels {name}", name, soon, honor_labels=True)
    for name in ("text/timestamps.txt", "text/duplicates-stamped.txt", "openmetrics/timestamps.txt"):
        yield file_case(f"honor_timestamps false {name}", name, soon, honor_timestamps=False)
    yield from odd_pages()
    yield from conversions()
    yield from content_types()
    yield from answers()
    yield from limits()
    yield from relabelling()
    yield from sequences(soon)


def odd_pages() -> Iterator[Case]:
    """Where a page breaks decides what of it counts."""
    twice = 'z{x="1",y="2"} 1\nz{y="2",x="1"} 2\n'
    for name, body in (("once", twice), ("thrice", twice + 'z{x="1",y="2",} 3\n'), ("and again", twice + twice)):
        yield case(f"labels in another order {name}", body)
    yield case("labels in another order on a bad page", [f"{twice}b {{\n", twice, A])
    yield case("labels in another order in OpenMetrics", text(f"{twice}# EOF\n", OPENMETRICS))
    for name, line in OPENMETRICS_LINES.items():
        yield case(f"openmetrics {name}", text(f"b 1\n{line}\nc 2\n# EOF\n".encode("latin-1"), OPENMETRICS))
        yield case(f"openmetrics {name}, cut off", text(f"b 1\n{line}".encode("latin-1"), OPENMETRICS))
    for name, line in TEXT_LINES.items():
        yield case(f"text {name}", text(f"b 1\n{line}\nc 2\n".encode("latin-1")))
    yield case(
        "openmetrics space at the end, dropped",
        text("b 1\na 1 \n# EOF\n", OPENMETRICS),
        metric_relabel_configs=[drop("a")],
    )


OPENMETRICS_LINES = {
    "space at the end": "a 1 ",
    "two spaces at the end": "a 1  ",
    "two spaces before a timestamp": "a 1  2",
    "two spaces before an exemplar": "a 1  # {} 1",
    "space after a timestamp": "a 1 2 ",
    "three words": "a 1 2 3",
    "no exemplar after its sign": "a 1 # x",
    "NUL after the value": "a 1\0",
    "NUL after a space": "a 1 \0",
    "space before the value": "a  1",
    "bad value": "a x",
    "bad timestamp": "a 1 x",
    "no value": "a",
    "label twice": 'a{x="1",x="2"} 1',
    "name that is no UTF-8": '{"a\xff"} 1',
    "label that is no UTF-8": 'a{"a\xff"="1"} 1',
    "value that is no UTF-8": 'a{x="\xff"} 1',
    "two that are no UTF-8": '{"a\xff",x="\xff"} 1',
    "misnamed without a value": '{"a\xff"}',
}
TEXT_LINES = {name: line for name, line in OPENMETRICS_LINES.items() if "NUL" not in name}


def conversions() -> Iterator[Case]:
    """Classic histograms that become native ones; what is not one, or does not add up."""
    for name, lines in HISTOGRAM_LINES.items():
        yield case(f"convert {name}", f"# TYPE h histogram\n{lines}a 1\n", convert_classic_histograms_to_nhcb=True)
        yield case(
            f"convert {name}, some of the classic ones dropped",
            f"# TYPE h histogram\n{lines}a 1\n",
            convert_classic_histograms_to_nhcb=True,
            always_scrape_classic_histograms=True,
            metric_relabel_configs=[drop("h_sum|h_count")],
        )
    for name, kind in (("protobuf", "HISTOGRAM"), ("protobuf gauge histogram", "GAUGE_HISTOGRAM")):
        buckets = "sample_count: 2 sample_sum: 3 bucket { cumulative_count: 1 upper_bound: 1 }"
        made = rig.delimited(f'name: "h" type: {kind} metric {{ histogram {{ {buckets} }} }}')
        yield case(f"convert {name}", text(made, rig.PROTOBUF), convert_classic_histograms_to_nhcb=True)
    falling = "sample_count: 2 bucket { cumulative_count: 5 upper_bound: 1 }"
    page = f'name: "h" type: HISTOGRAM metric {{ histogram {{ {falling} }} }}\n---\nname: "z" metric {{ gauge {{ }} }}'
    broken = text(rig.delimited(page), rig.PROTOBUF)
    yield case("convert protobuf buckets that fall", broken, convert_classic_histograms_to_nhcb=True)
    zeros = "zero_threshold: 0.5 positive_span { length: 2 } positive_count: 0 positive_count: 0"
    floats = rig.delimited(f'name: "h" type: HISTOGRAM metric {{ histogram {{ {zeros} }} }}')
    yield case("floats that are all zero", text(floats, rig.PROTOBUF))


HISTOGRAM_LINES = {
    "only a sum": "h_sum 3\n",
    "only a count": "h_count 3\n",
    "only a bucket": 'h_bucket{le="1"} 3\n',
    "a sum and a count": "h_sum 3\nh_count 2\n",
    "a count that differs": 'h_bucket{le="+Inf"} 3\nh_sum 3\nh_count 2\n',
    "buckets that fall": 'h_bucket{le="1"} 3\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n',
    "a negative bucket": 'h_bucket{le="1"} -3\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n',
    "counts beyond all integers": 'h_bucket{le="1"} 1e20\nh_bucket{le="+Inf"} 1e20\nh_sum 3\nh_count 1e20\n',
    "floats": 'h_bucket{le="1"} 1.5\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n',
}


def content_types() -> Iterator[Case]:
    for name, content_type, body in CONTENT_TYPES:
        yield case(f"content type {name}", served_as(content_type, body))
        fallback = "OpenMetricsText1.0.0" if "EOF" in body else "PrometheusText0.0.4"
        yield case(
            f"content type {name} with fallback", served_as(content_type, body), fallback_scrape_protocol=fallback
        )
    yield case("empty page of no type", Answer(200, {}, b""))


def answers() -> Iterator[Case]:
    packed = gzip.compress(AB.encode())
    zipped = {"Content-Type": TEXT, "Content-Encoding": "gzip"}
    yield case("gzip", Answer(200, zipped, packed))
    yield case("gzip cut off", Answer(200, zipped, packed[:-9]))
    yield case("gzip with a wrong sum", Answer(200, zipped, packed[:-8] + bytes(8)))
    yield case("gzip that is none", Answer(200, zipped, AB.encode()))
    yield case("gzip of several members", Answer(200, zipped, packed + gzip.compress(b"c 3\n")))
    yield from heads(packed)
    yield case("chunked", Answer(200, {"Content-Type": TEXT}, AB.encode(), chunked=True))
    yield case("connection breaks off", Fault(instead=text(AB * 100), sent=0.5, ending="close"))
    yield case("no HTTP", Fault.garbage())
    for code in (204, 206, 301, 302, 304, 401, 404, 429, 500, 503):
        yield case(f"status {code}", status(code))
    yield case("redirect", [status(302, Location="/chunked"), text(A)])
    yield case("redirect not followed", status(302, Location="/chunked"), follow_redirects=False)
    yield case("long lines", "".join(f'a{{x="{str(n) * 300_000}"}} {n}\n' for n in range(3)))


def raw(head: str, body: bytes = AB.encode(), status: str = "200 OK") -> Fault:
    """An answer with these lines in its head, as they are."""
    return Fault.garbage(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body)


def heads(packed: bytes) -> Iterator[Case]:
    kind, other, zipped = f"Content-Type: {TEXT}\r\n", "Content-Type: text/html\r\n", "Content-Encoding: gzip\r\n"
    yield case("the type twice", raw(kind + kind))
    yield case("two types", raw(kind + other))
    yield case("two types, the wrong one first", raw(other + kind))
    yield case("gzip, then identity", raw(f"{kind}{zipped}Content-Encoding: identity\r\n", packed))
    yield case("identity, then gzip", raw(f"{kind}Content-Encoding: identity\r\n{zipped}"))
    yield case("gzip of nothing", raw(kind + zipped, b""))
    yield case("gzip of an empty page", raw(kind + zipped, gzip.compress(b"")))
    yield case("gzip with something behind it", raw(kind + zipped, packed + b"x"))
    for encoding in ("utf-8", "br", "identity", "GZIP", "x-gzip", "deflate", "gzip, gzip", ""):
        yield case(f"page as it is, encoding '{encoding}'", raw(f"{kind}Content-Encoding: {encoding}\r\n"))
    for encoding in ("GZIP", "x-gzip", "gzip, identity"):
        yield case(f"packed page, encoding '{encoding}'", raw(f"{kind}Content-Encoding: {encoding}\r\n", packed))
    for interim in ("100 Continue", "102 Processing", "103 Early Hints", "199 Odd", "101 Switching Protocols"):
        before = f"HTTP/1.1 {interim}\r\n{other}\r\n".encode()
        yield case(f"first {interim}", Fault.garbage(before + (raw(kind).raw or b"")))
    yield case("the same length twice", raw(f"{kind}Content-Length: {len(AB)}\r\n"))
    yield case("two lengths", raw(f"{kind}Content-Length: 4\r\n"))
    yield case("two places to go", [raw("Location: /chunked\r\nLocation: /nowhere\r\n", b"", "302 Found"), text(A)])
    yield case("a scheme in capitals", AB, scheme="HTTP")
    for scheme in ("ftp", ""):
        yield case(f"scheme '{scheme}'", AB, scheme=scheme)


def limits() -> Iterator[Case]:
    size = len(AB)
    for limit in (size - 1, size, size + 1):
        yield case(f"body_size_limit {limit - size:+}", AB, body_size_limit=f"{limit}B")
    for limit in (1, 2, 3):
        yield case(f"sample_limit {limit}", "a 1\nb 2\n", sample_limit=limit)
    yield case("sample_limit and a duplicate", "a 1\na 2\nb 3\n", sample_limit=2)
    yield case("sample_limit and a series spelt twice", 'z{x="1",y="2"} 1\nz{y="2",x="1"} 2\n', sample_limit=1)
    yield case("sample_limit after relabelling", AB, sample_limit=1, metric_relabel_configs=[drop("a")])
    yield case("sample_limit crossed later", [A, "a 1\nb 2\nc 3\n", "b 1\n", A], sample_limit=2)
    for limit in (len(LABELS) - 1, len(LABELS)):
        yield case(f"label_limit {limit}", LIMITED, label_limit=limit)
    for limit in (len("instance") - 1, len("instance")):
        yield case(f"label_name_length_limit {limit}", LIMITED, label_name_length_limit=limit)
    for limit in (15, 16, 50):
        yield case(f"label_value_length_limit {limit}", 'm{x="ž23456789012345"} 1\n', label_value_length_limit=limit)
    yield case("limits, and the series is dropped", LIMITED, label_limit=4, metric_relabel_configs=[drop("m")])


def drop(metric: str) -> dict[str, Any]:
    return {"source_labels": ["__name__"], "regex": metric, "action": "drop"}


def relabelling() -> Iterator[Case]:
    rename = {"source_labels": ["__name__"], "regex": "a", "target_label": "__name__", "replacement": "renamed"}
    yield case("metric_relabel_configs", [AB, AB, A], metric_relabel_configs=[rename, drop("b")])
    onto = [{"action": "labelmap", "regex": "(case|long|x)", "replacement": "to"}]
    yield case("labelmap of the page and the target", 'a{long="p",x="q"} 1\n', metric_relabel_configs=onto)
    yield case(
        "labelmap of a label that moved",
        'a{case="p"} 1\n',
        metric_relabel_configs=[{"action": "labelmap", "regex": "(exported_case|job)", "replacement": "to"}],
    )
    yield case("two become one", "a 1\nrenamed 2\n", metric_relabel_configs=[rename])
    yield case(
        "two become one and stay", ["a 1\nrenamed 2\nb 1\n", "a 1\nrenamed 2\n"], metric_relabel_configs=[rename]
    )
    yield case("two become one on a bad page", "a 1\nrenamed 2\nb {\n", metric_relabel_configs=[rename])
    yield case("dropped with a bad value", ["a 1\n", "a x\n"], metric_relabel_configs=[drop("a")])
    unnamed = {"regex": "__name__", "action": "labeldrop"}
    yield case("the name is dropped", AB, metric_relabel_configs=[unnamed])
    odd = {"target_label": "__name__", "replacement": "odd.name"}
    yield case("an odd name", A, metric_relabel_configs=[odd])
    yield case("legacy names", '{"odd.name"} 1\n', **LEGACY)
    yield case("legacy labels", 'a{"odd.name"="1"} 1\n', **LEGACY)
    yield case("legacy names only", AB, **LEGACY)


def sequences(soon: int) -> Iterator[Case]:
    stamp = f"{soon}000"
    unwell = status(500)
    yield case("a series goes and comes back", [AB, A, AB])
    yield case("a series comes", [A, AB])
    yield case("the status is bad for a while", [AB, unwell, unwell, AB, A])
    yield case("the first scrape fails", [unwell, AB])
    yield case("a bad line for a while", [AB, "a 1\nc 2\nb {\n", "c 2\n", AB])
    yield case("a bad line before all", ["b {\n", AB, "x {\n" + AB, AB])
    yield case("a bad line from the first on", [BAD, BAD, "a 1\nb 2\nd 4\n"])
    yield case("an empty page for a while", [AB, "", AB])
    yield case("a page without samples for a while", [AB, "# nothing\n", AB])
    yield case("the body breaks off for a while", [AB, Fault(instead=text(AB), sent=0.5, ending="close"), AB])
    yield case("the limit is crossed for a while", [A, AB, A], sample_limit=1)
    yield case("a label crosses the limit for a while", [AB, 'a 1\nb{long="123"} 2\n', AB], label_limit=4)
    yield case("lines change places", ["a 1\nb 2\nc 3\n", "c 1\na 2\nb 3\n", "b 1\nc 2\n"])
    yield case("labels change places", ['a{x="1",y="2"} 1\n', 'a{y="2",x="1"} 1\n'])
    yield case("a timestamp comes", [AB, f"a 1\nb 2 {stamp}\n", AB])
    yield case("a stamped series goes", [f"a 1\nb 2 {stamp}\n", "a 1\n"])
    yield case("a tracked stamped series goes", [f"a 1\nb 2 {stamp}\n", "a 1\n"], track_timestamps_staleness=True)
    yield case("the type changes", ['# TYPE h histogram\nh_bucket{le="1"} 1\n', 'h_bucket{le="1"} 1\n'])
    loose = 'a{x="1"y="2"} 1\n'  # a line that only one of the formats takes
    yield case("the format changes", [loose, text(f"{loose}# EOF\n", OPENMETRICS), text("a 1\n# EOF\n", OPENMETRICS)])
    yield case("the value is bad for a while", [AB, "a 1\nb 0x1\n", AB])
    native = page_file(PAGES / "protobuf" / "native-histogram.textproto")
    yield case("a native histogram goes", [native, Answer(200, {"Content-Type": rig.PROTOBUF}, b""), native])
    yield case("a native histogram's target fails", [native, unwell, native])


SPELLINGS = ("scrape_series_added",)  # what Prometheus counts again, because a line is written otherwise than before
COUNTS = ("scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added")
DIFFERENT = {"labels change places": SPELLINGS}
"""What is meant to be different, and need not be compared."""
NEWEST = (3, 16)
ONLY_AS_THE_NEWEST = {
    "protobuf unit-missing-in-name",  # any unit is taken
    "sample_limit crossed later",  # a series beyond the limit was never sent, and does not end
    "the limit is crossed for a while",
    "labelmap of the page and the target",  # the target's labels come last
    "labelmap of a label that moved",
    "convert only a sum",
    "convert only a sum, some of the classic ones dropped",
    "convert protobuf buckets that fall",
    "convert protobuf gauge histogram",
    "floats that are all zero",
    "content type openmetrics 2.0",
    "content type openmetrics 2.0 with fallback",
}
"""What is as in Prometheus 3.16, and was otherwise before."""

CASES = cases(0)
BY_NAME = {one.name: one for one in CASES}
REFUSED, CROWD, LEAVES, NODE = "refused", "crowd", "leaves", "node"
SYNTHETIC = ("up", *COUNTS, "scrape_duration_seconds")
EXTRA = ("scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes")
DOWN = rig.bits(0.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """What all clients have sent: by client and version of the protocol; when each learned that a target is gone.
    `soon_ms` is the time in the pages."""

    cases: Mapping[tuple[str, int], Mapping[str, Scrapes]]
    received: Mapping[tuple[str, int], Received]
    gone_ms: Mapping[str, int]
    soon_ms: int
    version: tuple[int, int]

    def may_differ(self, name: str) -> bool:
        """Whether this Prometheus is older than what the case is about."""
        return self.version < NEWEST and name in ONLY_AS_THE_NEWEST


@pytest.fixture(scope="module")
def node_exporter(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    log = tmp_path_factory.mktemp("node") / "log"
    with rig.running([peer("node_exporter"), f"--web.listen-address={address}"], log):
        yield address


@pytest.fixture(scope="module")
def seen(peer: Peer, node_exporter: str, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """All clients at work, once for all test processes of a run."""
    binary = peer("prometheus")
    folder = tmp_path_factory.getbasetemp()
    kept = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "differential.pickle"
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            kept.write_bytes(pickle.dumps(see(binary, node_exporter, tmp_path_factory.mktemp("differential"))))
    found: Seen = pickle.loads(kept.read_bytes())
    return found


def see(binary: str, node_exporter: str, folder: Path) -> Seen:
    version = prometheus.version(binary)
    native = {"scrape_native_histograms": True} if version >= NEWEST else {}  # it was a flag before
    soon = int(time.time()) + SOON_SECONDS  # not when tests are collected: others may run first, for long
    pages = {one.id: one.pages for one in cases(soon)} | {LEAVES: [text(AB)]}
    with Site(pages) as site, Sink(lambda: site.ours) as sink:
        targets = folder / "targets.json"
        jobs = jobs_of(site, targets, node_exporter)
        there = json.dumps([{"targets": [site.address], "labels": {"case": LEAVES}}])
        ours = rig.config_text(jobs, sink, scrape_native_histograms=True, extra_scrape_metrics=True)
        gone_ms: dict[str, int] = {}
        targets.write_text(there)
        with (
            rig.prometheus_agent(binary, rig.config_text(jobs, sink, **native), folder) as agent,
            rig.pusher_run(ours, folder) as process,
        ):
            processes = (agent, process)
            rig.wait_until_none(lambda: [client for client in PROCESSES if not at_work(sink, client)], processes)
            targets.write_text("[]")
            gone_ms |= dict.fromkeys(PROCESSES, time.time_ns() // 1_000_000)
            rig.wait_until_none(lambda: missing(sink), processes)
            rig.wait_until_none(lambda: [client for client in PROCESSES if not has_left(sink, client)], processes)
        site.ours = "push"
        targets.write_text(there)
        with rig.Lambda(ours) as function:
            for number in range(max(one.rounds for one in CASES) + 4):
                if number == ROUNDS:
                    targets.write_text("[]")
                    gone_ms["push"] = function.clock.now_ms()
                function.push()
        every = {
            (client, version): sink.cases(client, version) for client in (*PROCESSES, "push") for version in (1, 2)
        }
        return Seen(every, dict(sink.received), gone_ms, soon * 1000, version)


def jobs_of(site: Site, targets: Path, node_exporter: str) -> list[dict[str, Any]]:
    jobs = [job_of(one.id, [site.address], metrics_path=f"/{one.id}", **one.keys) for one in CASES]
    with socket.create_server(("127.0.0.1", 0)) as closed:
        closed_port = closed.getsockname()[1]
    jobs.append(job_of(REFUSED, [f"127.0.0.1:{closed_port}"]))
    jobs.append(job_of(NODE, [node_exporter]))
    jobs.append(job_of(CROWD, [site.address, f"localhost:{closed_port}"], target_limit=1))
    found = {"files": [str(targets)], "refresh_interval": "1s"}
    return [*jobs, {"job_name": LEAVES, "metrics_path": "/leaves", "file_sd_configs": [found]}]


def job_of(name: str, targets: Sequence[str], **keys: Any) -> dict[str, Any]:
    return {"job_name": name, "static_configs": [{"targets": targets, "labels": {"case": name}}], **keys}


def at_work(sink: Sink, client: str) -> bool:
    return len(sink.cases(client, 1).get(LEAVES, Scrapes({}, {})).times()) >= ROUNDS


def has_left(sink: Sink, client: str) -> bool:
    (points,) = (points for labels, points in sink.cases(client, 2)[LEAVES].points.items() if labels[0][1] == "up")
    return points[max(points)] == rig.STALE


def missing(sink: Sink) -> list[tuple[str, int, str]]:
    """Cases that have not been scraped often enough yet."""
    found = []
    for client in PROCESSES:
        for version in (1, 2):
            jobs = sink.cases(client, version)
            found += [
                (client, version, one.name)
                for one in CASES
                if len(jobs.get(one.id, Scrapes({}, {})).times()) <= one.rounds
            ]
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BY_NAME)
def test_same_scrapes(seen: Seen, name: str, way: str) -> None:
    """Series, values, times and counters of each scrape, markers among them; samples with times of their own;
    exemplars. Over remote write 2.0, which takes every name."""
    one = BY_NAME[name]
    real, ours = seen.cases["prometheus", 2][one.id], seen.cases[way, 2][one.id]
    ignored = DIFFERENT.get(name, ())
    assert len(real.times()) >= one.rounds
    if seen.may_differ(name):
        recorded.compare(name, ours.rounds(one.rounds))
        return
    if name in ONLY_AS_THE_NEWEST:
        recorded.compare_or_write(name, real.rounds(one.rounds))
    assert ours.rounds(one.rounds, ignored) == real.rounds(one.rounds, ignored)
    assert ours.stamped(seen.soon_ms) == real.stamped(seen.soon_ms)
    assert ours.examples() == real.examples()


@pytest.mark.parametrize("way", WAYS)
def test_same_scrapes_in_version_1(seen: Seen, way: str) -> None:
    """Names that 1.0 does not allow Prometheus sends all the same; they are escaped here. Once it sent histograms with
    custom buckets, too."""
    different = []
    for one in CASES:
        if seen.may_differ(one.name) or (seen.version < NEWEST and one.name.startswith("convert ")):
            continue
        real, ours = (seen.cases[client, 1][one.id].with_escaped_names() for client in ("prometheus", way))
        ignored = DIFFERENT.get(one.name, ())
        if ours.rounds(one.rounds, ignored) != real.rounds(one.rounds, ignored):
            different.append(one.name)
        if (ours.stamped(seen.soon_ms), ours.examples()) != (real.stamped(seen.soon_ms), real.examples()):
            different.append(f"{one.name}: times or exemplars")
    assert different == []


@pytest.mark.parametrize("way", WAYS)
def test_same_metadata(seen: Seen, way: str) -> None:
    real, ours = (
        {name: detail for name, detail in seen.received[client, 1].metadata.items() if name.startswith("meta_")}
        for client in ("prometheus", way)
    )
    assert len(real) == 16
    assert ours == real


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case_id", [REFUSED, CROWD])
def test_targets_that_are_not_scraped_are_down(seen: Seen, case_id: str, way: str) -> None:
    """An address where nothing listens; and target_limit, which stops all targets of its job."""
    real, ours = seen.cases["prometheus", 2][case_id], seen.cases[way, 2][case_id]
    assert ours.values() == real.values()
    assert {name for labels in ours.points for name in (dict(labels)["__name__"],)} == {*SYNTHETIC, *EXTRA}
    assert all(found == {DOWN} for labels, found in ours.values().items() if dict(labels)["__name__"] == "up")


@pytest.mark.parametrize("client", [*PROCESSES, "push"])
def test_a_target_that_is_gone_ends_all_its_series(seen: Seen, client: str) -> None:
    """One marker for each series, the synthetic ones too, all with the time of the first scrape that was missed."""
    points = seen.cases[client, 2][LEAVES].points
    names = {dict(labels)["__name__"] for labels in points}
    assert names == {"a", "b", *SYNTHETIC, *EXTRA}
    ended = [[stamp for stamp, value in found.items() if value == rig.STALE] for found in points.values()]
    assert all(len(stamps) == 1 for stamps in ended)
    (missed_ms,) = {stamp for stamps in ended for stamp in stamps}
    last_ms = max(stamp for found in points.values() for stamp, value in found.items() if value != rig.STALE)
    assert seen.gone_ms[client] <= missed_ms
    assert last_ms < missed_ms < last_ms + 2 * rig.INTERVAL_MS
    assert missed_ms == max(stamp for found in points.values() for stamp in found)


@pytest.mark.parametrize("way", WAYS)
def test_same_series_of_a_node_exporter(seen: Seen, way: str) -> None:
    """Its values move: only those of information metrics are compared."""
    real, ours = seen.cases["prometheus", 2][NODE], seen.cases[way, 2][NODE]
    ((_, real_second, *_), (_, our_second, *_)) = (real.rounds(ROUNDS), ours.rounds(ROUNDS))
    assert our_second.keys() == real_second.keys()
    assert len(real_second) > 100
    information = {labels for labels in real_second if dict(labels)["__name__"].endswith(("_info", "up"))}
    assert len(information) > 1
    assert {labels: our_second[labels] for labels in information} == {
        labels: real_second[labels] for labels in information
    }


@pytest.mark.parametrize("way", WAYS)
def test_same_metadata_of_a_node_exporter(seen: Seen, way: str) -> None:
    real, ours = (
        {
            name: detail
            for name, detail in seen.received[client, 1].metadata.items()
            if name.startswith(("node_", "go_"))
        }
        for client in ("prometheus", way)
    )
    assert len(real) > 100
    assert ours == real
