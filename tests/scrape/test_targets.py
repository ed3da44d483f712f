"""Which targets a job scrapes, with which labels, and what it asks of them: every key of a scrape job."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import ScrapeJob
from lambda_remote_write.discovery import TargetGroup
from lambda_remote_write.http import parsed
from lambda_remote_write.scrape.targets import Target, Targets, targets_of
from lambda_remote_write.series import label_codec
from sandbox.server import Answer, Fault
from tests.rig.scrape import PROTOBUF, TEXT
from tests.rig.scraping import Recorder, environment, job_at, scraped
from tests.rig.tables import table

BOOLEANS = {
    "__convert_classic_histograms_to_nhcb__": "false",
    "__always_scrape_classic_histograms__": "false",
    "__scrape_native_histograms__": "false",
}


def job(**keys: Any) -> ScrapeJob:
    text = json.dumps({"scrape_configs": [{"job_name": "j", **keys}], "remote_write": [{"url": "http://r/"}]})
    (found,) = parse_config(text, "test.yaml", {}).scrape_jobs
    return found


def targets(*discovered: Mapping[str, str], group: Mapping[str, str] | None = None, **keys: Any) -> Targets:
    return targets_of(job(**keys), [TargetGroup("test", discovered, group or {})])


def one(discovered: Mapping[str, str], **keys: Any) -> Target:
    (found,) = targets(discovered, **keys).active.values()
    return found


def rule(source: str, target: str, **keys: Any) -> dict[str, Any]:
    return {"source_labels": [source], "target_label": target, **keys}


def to(target: str, replacement: str) -> dict[str, Any]:
    return {"target_label": target, "replacement": replacement}


# --- Labels -----------------------------------------------------------------------------------------------------------


def test_the_group_gives_what_the_target_does_not_have() -> None:
    found = targets({"__address__": "h:1", "a": "own"}, group={"a": "group", "b": "group"})
    (target,) = found.active.values()
    assert target.labels == {"job": "j", "instance": "h:1", "a": "own", "b": "group"}


def test_relabelling_sees_the_job_s_settings_as_labels() -> None:
    """Set in this order, before the rules run: they read them all."""
    names = ("__scheme__", "__metrics_path__", "__scrape_interval__", "__scrape_timeout__", "__param_a", *BOOLEANS)
    rules = [rule(name, f"seen{name.strip('_')}") for name in ("job", "__address__", *names)]
    found = one(
        {"__address__": "h:1"},
        scheme="https",
        metrics_path="/m",
        scrape_interval="90s",
        scrape_timeout="5s",
        params={"a": ["first", "second"], "b": []},
        always_scrape_classic_histograms=True,
        relabel_configs=rules,
    )
    seen = {name: value for name, value in found.labels.items() if name.startswith("seen")}
    assert seen == {
        "seenjob": "j",
        "seenaddress": "h:1",
        "seenscheme": "https",
        "seenmetrics_path": "/m",
        "seenscrape_interval": "1m30s",
        "seenscrape_timeout": "5s",
        "seenparam_a": "first",
        "seenconvert_classic_histograms_to_nhcb": "false",
        "seenalways_scrape_classic_histograms": "true",
        "seenscrape_native_histograms": "false",
    }


@pytest.mark.parametrize(
    ("discovered", "expected"),
    [
        ({"job": "theirs"}, {"job": "theirs", "instance": "h:1"}),
        ({"job": ""}, {"job": "j", "instance": "h:1"}),
        ({"instance": "i"}, {"job": "j", "instance": "i"}),
        ({"instance": ""}, {"job": "j", "instance": "h:1"}),
        ({"__meta_x": "1", "__tmp": "2", "__mine": "3", "x": "4"}, {"job": "j", "instance": "h:1", "x": "4"}),
    ],
    ids=["job of discovery", "empty job", "instance of discovery", "empty instance", "underscores stay inside"],
)
def test_labels_of_a_target(discovered: Mapping[str, str], expected: Mapping[str, str]) -> None:
    assert one({"__address__": "h:1", **discovered}).labels == expected


@pytest.mark.parametrize(
    ("rules", "url", "instance"),
    [
        ([], "http://h:1/metrics", "h:1"),
        ([rule("__address__", "__address__", regex="(.*):1", replacement="$1:2")], "http://h:2/metrics", "h:2"),
        ([to("instance", "i")], "http://h:1/metrics", "i"),
        ([rule("__address__", "instance")], "http://h:1/metrics", "h:1"),
        ([to("__scheme__", "https"), to("__metrics_path__", "/m/x")], "https://h:1/m/x", "h:1"),
        ([to("__metrics_path__", "m")], "http://h:1/m", "h:1"),
        ([to("__metrics_path__", "/a b?c#d")], "http://h:1/a%20b%3Fc%23d", "h:1"),
        ([to("__param_a", "new"), to("__param_c", "x&y")], "http://h:1/metrics?a=new&a=2&b=3&c=x%26y", "h:1"),
        ([to("__address__", "h")], "http://h/metrics", "h"),
        ([to("__address__", "[::1]:9")], "http://[::1]:9/metrics", "[::1]:9"),
        ([to("__scheme__", "HTTP")], "HTTP://h:1/metrics", "h:1"),
    ],
    ids=[
        "none", "another address", "instance", "instance from address", "scheme and path", "path without a slash",
        "path is escaped", "parameters", "no port is added", "IPv6", "capitals",
    ],
)  # fmt: skip
def test_relabelling_moves_the_url(rules: list[dict[str, Any]], url: str, instance: str) -> None:
    params = {"a": ["1", "2"], "b": ["3"]} if "a=" in url else {}
    found = one({"__address__": "h:1"}, params=params, relabel_configs=rules)
    assert (found.url, found.instance) == (url, instance)


@pytest.mark.parametrize(
    ("interval", "timeout", "expected"),
    [
        ("10s", "10s", (10_000, 10_000)),
        ("1m30s", "500ms", (90_000, 500)),
        ("1d", "0", "__scrape_timeout__ cannot be 0"),
        ("0s", "0s", "__scrape_interval__ cannot be 0"),
        ("10s", "11s", "__scrape_timeout__ 11s is above __scrape_interval__ 10s"),
        ("10", "1s", "__scrape_interval__ '10' is not allowed"),
        ("1.5m", "1s", "__scrape_interval__ '1.5m' is not allowed"),
        ("", "1s", "__scrape_interval__ '' is not allowed"),
        ("10s", "never", "__scrape_timeout__ 'never' is not allowed"),
    ],
)
def test_relabelling_sets_the_times(interval: str, timeout: str, expected: tuple[int, int] | str) -> None:
    rules = [to("__scrape_interval__", interval), to("__scrape_timeout__", timeout)]
    found = targets({"__address__": "h:1"}, relabel_configs=rules)
    if isinstance(expected, str):
        assert not found.active
        assert expected in found.dropped[0].error
    else:
        (target,) = found.active.values()
        assert (target.interval_ms, target.timeout_ms) == expected


@pytest.mark.parametrize("name", BOOLEANS)
@pytest.mark.parametrize(("text", "expected"), [("true", True), ("T", True), ("1", True), ("F", False), ("yes", None)])
def test_relabelling_sets_how_histograms_are_read(name: str, text: str, expected: bool | None) -> None:
    found = targets({"__address__": "h:1"}, relabel_configs=[to(name, text)])
    if expected is None:
        assert "neither true nor false" in found.dropped[0].error
        return
    (target,) = found.active.values()
    switches = (target.custom_buckets, target.classic_histograms, target.native_histograms)
    assert switches == tuple(expected if name == one else False for one in BOOLEANS)


@pytest.mark.parametrize(
    ("discovered", "rules", "detail"),
    [
        ({"__address__": ""}, [], "no __address__"),
        ({}, [], "no __address__"),
        ({"__address__": "h:1/metrics"}, [], "is not an address"),
        ({"__address__": "http://h"}, [], "is not an address"),
        ({"__address__": "h:1"}, [to("__address__", "")], "no __address__"),
        ({"__address__": "h:1", "x": "half \ud800"}, [], "is not Unicode text"),
    ],
)  # fmt: skip
def test_targets_that_cannot_be_scraped(
    discovered: Mapping[str, str], rules: list[dict[str, Any]], detail: str
) -> None:
    found = targets(discovered, {"__address__": "good:1"}, relabel_configs=rules)
    broken = [dropped for dropped in found.dropped if dropped.error]
    assert detail in broken[0].error
    assert broken[0].by_rule is None


def test_a_login_in_an_address_is_not_shown() -> None:
    (dropped,) = targets({"__address__": "user:word@h:1/metrics"}).dropped
    assert dropped.error == "'<secret>@h:1/metrics' is not an address; host:port is expected"


def test_a_run_says_the_first_mistakes_and_how_many_there_are() -> None:
    """However many targets a list has, its messages can be read."""
    wrong = [{"targets": [f"h{index}/x"]} for index in range(50)]
    late = {"targets": ["h:1", "h:2"], "labels": {"__scrape_timeout__": "2h"}}
    with environment(job_at("j", static_configs=[late, *wrong], relabel_configs=[to("a", "b")])) as made:
        assert scraped(made) == []
        assert made.warnings() == [
            "j: 'h:1' and 1 more: __scrape_timeout__ 2h is above __scrape_interval__ 1m",
            "j: 'h0/x' is not an address; host:port is expected",
            "j: 'h1/x' is not an address; host:port is expected",
            "j: 48 more targets cannot be scraped",
        ]


def test_names_that_legacy_validation_refuses_cost_their_own_target() -> None:
    """A list of targets is shared by jobs of both schemes. Names that rules take away, or that reach no series, do no
    harm."""
    found = [
        {"__address__": "bad:1", "svc.name": "x"},
        {"__address__": "good:1", "__meta_tag.of": "x", "__own.of": "x", "svc.name": ""},
        {"__address__": "dropped:1", "goes.away": "x"},
    ]
    rules = [{"action": "labeldrop", "regex": "goes.*"}]
    legacy = targets(*found, metric_name_validation_scheme="legacy", relabel_configs=rules)
    assert [target.instance for target in legacy.active.values()] == ["good:1", "dropped:1"]
    assert [one.error for one in legacy.dropped] == [
        "'svc.name' is not a label name under metric_name_validation_scheme legacy"
    ]
    assert len(targets(*found, relabel_configs=rules).active) == 3


def test_dropped_targets_name_their_rule() -> None:
    keep = {"source_labels": ["keep"], "regex": "yes", "action": "keep"}
    drop = {"source_labels": ["__address__"], "regex": "b:.*", "action": "drop"}
    found = targets({"__address__": "a:1"}, {"__address__": "b:1", "keep": "yes"}, relabel_configs=[keep, drop])
    assert [dropped.by_rule for dropped in found.dropped] == [0, 1]


def test_equal_targets_are_one() -> None:
    """The same address with the same labels after relabelling; other labels make another target."""
    twice = [{"__address__": "h:1"}, {"__address__": "h:1", "__meta_x": "ignored"}]
    others = [{"__address__": "h:1", "x": "1"}, {"__address__": "h:2"}]
    found = targets(*twice, *others)
    assert (len(found.active), found.dropped) == (3, [])


def test_target_limit_counts_after_relabelling_and_fails_all() -> None:
    every = [{"__address__": f"h:{number}"} for number in range(4)]
    drop = [{"source_labels": ["__address__"], "regex": "h:3", "action": "drop"}]
    assert not targets(*every, target_limit=3, relabel_configs=drop).over_limit
    over = targets(*every, target_limit=3)
    assert "4 targets, target_limit is 3" in over.over_limit
    assert len(over.active) == 4


def test_offsets_are_stable_and_spread() -> None:
    """A target keeps its slot in every process; many targets do not share one."""
    every = targets(*({"__address__": f"h:{number}"} for number in range(200)), scrape_interval="1m").active.values()
    offsets = [target.offset_ms() for target in every]
    assert all(0 <= offset < 60_000 for offset in offsets)
    assert len({offset // 6_000 for offset in offsets}) == 10
    assert one({"__address__": "h:0"}, scrape_interval="1m").offset_ms() == offsets[0]


# --- The request ------------------------------------------------------------------------------------------------------

PROTO = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
OM2 = "application/openmetrics-text;version=2.0.0"
OM1, OM0 = "application/openmetrics-text;version=1.0.0", "application/openmetrics-text;version=0.0.1"
TEXT1, TEXT0 = "text/plain;version=1.0.0", "text/plain;version=0.0.4"
UTF8, UNDERSCORES = ";escaping=allow-utf-8", ";escaping=underscores"
LEGACY = {"metric_name_validation_scheme": "legacy"}

ACCEPT: list[tuple[str, dict[str, Any], str]] = [
    ("default", {}, f"{OM1}{UTF8};q=0.7,{OM0};q=0.6,{TEXT1}{UTF8};q=0.5,{TEXT0};q=0.4,*/*;q=0.3"),
    ("legacy", LEGACY, f"{OM1}{UNDERSCORES};q=0.7,{OM0};q=0.6,{TEXT1}{UNDERSCORES};q=0.5,{TEXT0};q=0.4,*/*;q=0.3"),
    (
        "native histograms",
        {"scrape_native_histograms": True},
        f"{PROTO};q=0.7,{OM1}{UTF8};q=0.6,{OM0};q=0.5,{TEXT1}{UTF8};q=0.4,{TEXT0};q=0.3,*/*;q=0.2",
    ),
    ("one", {"scrape_protocols": ["PrometheusText0.0.4"]}, f"{TEXT0};q=0.7,*/*;q=0.6"),
    (
        "in this order",
        {"scrape_protocols": ["PrometheusText1.0.0", "OpenMetricsText0.0.1"]},
        f"{TEXT1}{UTF8};q=0.7,{OM0};q=0.6,*/*;q=0.5",
    ),
    (
        "OpenMetrics 2.0",
        {"scrape_protocols": ["OpenMetricsText2.0.0", "PrometheusText0.0.4"]},
        f"{OM2}{UTF8};q=0.7,{TEXT0};q=0.6,*/*;q=0.5",
    ),
    (
        "dots",
        {"scrape_protocols": ["OpenMetricsText1.0.0"], "metric_name_escaping_scheme": "dots"},
        f"{OM1};escaping=dots;q=0.7,*/*;q=0.6",
    ),
    (
        "values and legacy",
        {"scrape_protocols": ["PrometheusText1.0.0"], "metric_name_escaping_scheme": "values", **LEGACY},
        f"{TEXT1};escaping=values;q=0.7,*/*;q=0.6",
    ),
]


@pytest.fixture
def page() -> Iterator[Recorder]:
    with Recorder() as made:
        yield made


def errors(*jobs: Mapping[str, Any], seconds: float = 10.0, **top: Any) -> dict[str, str]:
    """One scrape of every job: the error of each, "" for none."""
    with environment(*jobs, **top) as made:
        return {scrape.job: scrape.error for scrape in scraped(made, seconds)}


@table("keys, expected", ACCEPT)
def test_accept(page: Recorder, keys: dict[str, Any], expected: str) -> None:
    assert errors(job_at(page.address, **keys)) == {"j": ""}
    assert page.requests[0].headers.get_all("Accept") == [expected]


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        ("10s", "10"),
        ("1500ms", "1.5"),
        ("1001ms", "1.001"),
        ("1m", "60"),
        ("2h", "7200"),
        ("1234567ms", "1234.567"),
        ("1234567s", "1234567"),
    ],
)
def test_the_timeout_is_in_the_request(page: Recorder, timeout: str, expected: str) -> None:
    errors(job_at(page.address, scrape_interval="1y", scrape_timeout=timeout))
    assert page.requests[0].headers["X-Prometheus-Scrape-Timeout-Seconds"] == expected


@pytest.mark.parametrize(("enabled", "expected"), [(True, "gzip"), (False, "identity")])
def test_accept_encoding(page: Recorder, enabled: bool, expected: str) -> None:
    errors(job_at(page.address, enable_compression=enabled))
    assert page.requests[0].headers.get_all("Accept-Encoding") == [expected]


def test_the_request_is_a_get_by_our_own_name(page: Recorder) -> None:
    errors(job_at(page.address, params={"module": ["x y"], "a": ["1", "2"]}))
    (asked,) = page.requests
    assert (asked.method, asked.path, asked.query) == ("GET", "/metrics", "a=1&a=2&module=x+y")
    assert asked.headers["Host"] == page.address
    assert "prometheus/" not in asked.headers["User-Agent"].lower()


def test_a_redirect_to_another_origin_takes_no_credentials_along(page: Recorder) -> None:
    with Recorder(Answer(302, {"Location": f"http://{page.address}/elsewhere"})) as first:
        keys: dict[str, Any] = {
            "basic_auth": {"username": "u", "password": "p"},
            "http_headers": {"X-Key": {"secrets": ["k"]}},
        }
        assert errors(job_at(first.address, **keys)) == {"j": ""}
    sent = first.requests[0].headers
    assert (sent["Authorization"], sent["X-Key"]) == ("Basic dTpw", "k")
    (asked,) = page.requests
    assert asked.path == "/elsewhere"
    assert asked.headers["Authorization"] is None
    assert asked.headers["X-Key"] is None
    assert asked.headers["X-Prometheus-Scrape-Timeout-Seconds"] == "10"


# --- Targets that lead nowhere ----------------------------------------------------------------------------------------

# Measured on Prometheus 3.16 and 3.5: each is a target, and is down.
NO_ADDRESS = {
    "no closing bracket": "[::1",
    "text behind the brackets": "[::1]x:80",
    "no IPv6": "[v1.x]:80",
    "no brackets": "::ffff:127.0.0.1",
    "a port that is none": "x:y:z",
    "two ports": "h:80:80",
    "a port too large": "a:99999999",
    "a port below 0": "a:-1",
    "a port with a sign": "a:+80",
    "a port in other digits": "a:\u0661\u0662",
    "an underscore in the port": "a:8_0",
    "a zero byte": "\0",
    "an escape": "\x1b[31m:80",
    "a space": "a b:80",
    "a line break": "a:80\n",
    "a user": "user:word@a:80",
    "a query": "a?x=1",
    "a fragment": "a#f",
    "a backslash": "evil\\@a",
    "percent signs": "%31:80",
    "only an at sign": "@:80",
}


@pytest.mark.parametrize("address", NO_ADDRESS.values(), ids=list(NO_ADDRESS))
def test_what_is_no_address_is_a_target_that_is_down(address: str) -> None:
    assert "word" not in one({"__address__": address}).error
    assert "is not an address" in one({"__address__": address}).error
    assert errors(job_at(address), seconds=5.0)["j"].endswith("is not an address; host:port is expected")


@pytest.mark.parametrize(
    "address",
    ["h", "h:1", "h:", "h:0", ":1", "a_b:1", "[::1]", "[fe80::1%eth0]:1", "1.2.3.4:5", "H.example.:1", "0", "ü"],
)
def test_what_is_an_address_can_be_asked(address: str) -> None:
    assert one({"__address__": address}).error == ""


@pytest.mark.parametrize("scheme", ["ftp", "", "unix", "htt p", "1http", "http:", "//", "\u017f", "http\n"])
def test_a_target_without_a_usable_scheme_is_down(page: Recorder, scheme: str) -> None:
    """Prometheus 3.16: unsupported protocol scheme; an empty one too."""
    there = {
        "job_name": "j",
        "static_configs": [{"targets": [page.address]}],
        "relabel_configs": [to("__scheme__", scheme)],
    }
    assert "neither http nor https" in errors(there)["j"]
    assert page.requests == []


@pytest.mark.parametrize("keys", [{"scheme": "HTTP"}, {"scheme": "ftp", "relabel_configs": [to("__scheme__", "Http")]}])
def test_a_scheme_in_capitals_is_one(page: Recorder, keys: dict[str, Any]) -> None:
    assert errors(job_at(page.address, **keys)) == {"j": ""}
    assert page.requests[0].path == "/metrics"


@pytest.mark.parametrize("form", ["HTTP://{}/end", "Http://{}/end", "//{}/end", "http://LOCALHOST:{port}/end"])
def test_a_redirect_may_be_in_capitals(page: Recorder, form: str) -> None:
    there = form.format(page.address, port=page.port)
    with Recorder(Answer(302, {"Location": there})) as first:
        assert errors(job_at(first.address)) == {"j": ""}
    assert page.requests[0].path == "/end"


def test_port_0_is_not_the_default_port() -> None:
    assert "127.0.0.1:0: no connection" in errors(job_at("127.0.0.1:0"))["j"]


LISTED = st.one_of(
    st.text(max_size=40),
    st.text("[]:/@#?%\\\\ .0129afx\0\x1b\u0661\uff11", max_size=20),
    st.text(min_size=300, max_size=400),
)
NOWHERE = ("is not an address", "does not resolve", "no connection")


@given(address=LISTED, scheme=st.one_of(st.just("http"), st.text(max_size=6)), path=st.text(max_size=6))
def test_no_listed_target_costs_another_one(address: str, scheme: str, path: str) -> None:
    """Reading a list never raises, and the others of the list are as they were."""
    odd = {"__address__": address, "__scheme__": scheme, "__metrics_path__": path}
    found = targets(odd, {"__address__": "good:1"})
    assert "good:1" in [target.instance for target in found.active.values() if not target.error]
    for target in found.active.values():
        assert target.error or parsed(target.url).scheme in ("http", "https")


def test_hostile_lists_lose_nothing_of_others(page: Recorder) -> None:
    """A list with every kind of garbage and one target: that one is scraped, all others are down or dropped."""
    listed = [*NO_ADDRESS.values(), "http://[", "", "x" * 100_000, "\uff11\uff12\uff17.0.0.1:1", page.address]
    with Recorder(Answer.json([{"targets": listed}])) as lister:
        there = {"job_name": "j", "http_sd_configs": [{"url": f"http://{lister.address}/"}], "scrape_timeout": "2s"}
        with environment(there) as made:
            scrapes = {one.instance: one.error for one in scraped(made, 20.0)}
    assert scrapes.pop(page.address) == ""
    assert len(scrapes) >= len(NO_ADDRESS)
    assert [detail for detail in scrapes.values() if not any(words in detail for words in NOWHERE)] == []


# --- Where a scrape may not go ----------------------------------------------------------------------------------------


def test_allow_link_local_allows_them() -> None:
    """It is requested, although nothing answers there."""
    (detail,) = errors(job_at("169.254.1.1:80", allow_link_local=True, scrape_timeout="300ms"), seconds=2.0).values()
    assert detail
    assert "allow_link_local" not in detail


def test_a_page_in_zstd_fails_by_its_name() -> None:
    """Prometheus 3.16 without its flag zstd-scrape; other names of encodings are read as they are."""
    for encoding, detail in (("zstd", "compressed with zstd"), ("ZSTD", ""), ("br", "")):
        with Recorder(Answer(200, {"Content-Type": TEXT, "Content-Encoding": encoding}, b"a 1\n")) as page:
            assert detail in errors(job_at(page.address))["j"]
            assert bool(detail) == bool(errors(job_at(page.address))["j"])


# --- Pages without end ------------------------------------------------------------------------------------------------

BOMBS = {
    "one line": (TEXT, b"0"),
    "empty lines": (TEXT, b"\n"),
    "samples": (TEXT, b"a 1\n"),
    "comments": (TEXT, b"# a\n"),
    "a message": (PROTOBUF, b"\xff\xff\xff\x7f" + b"\0" * 4092),
}


@pytest.mark.slow  # unpacks for as long as the scrape may take
@pytest.mark.parametrize(("media_type", "unit"), BOMBS.values(), ids=list(BOMBS))
def test_a_bomb_as_a_page_is_stopped_without_a_limit_in_the_config(media_type: str, unit: bytes) -> None:
    """10 GB in 10 MB: it ends at the default limit or at the scrape's time, and is not held meanwhile."""
    packed = gzip.compress(unit * ((32 << 20) // len(unit)), 6) * 320
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that from here on (proc(5))
    before = peak_kib()
    headers = {"Content-Type": media_type, "Content-Encoding": "gzip"}
    with Recorder(Answer(200, headers, packed)) as page:
        detail = errors(job_at(page.address, scrape_timeout="3s"), seconds=120.0)["j"]
    assert "raise body_size_limit" in detail or "timed out while the body was unpacked" in detail
    assert peak_kib() - before < 192 << 10


def peak_kib() -> int:
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


def test_a_line_without_an_end_is_an_error() -> None:
    with Recorder(Answer(200, {"Content-Type": TEXT}, b"a 1\nb{x=" + b"x" * (17 << 20))) as page:
        assert errors(job_at(page.address))["j"] == "line 2: a line of more than 16777216 bytes"


# --- Slow targets -----------------------------------------------------------------------------------------------------


def test_slow_targets_cost_only_themselves(page: Recorder) -> None:
    """One never answers, one sends byte after byte, one stops in the middle: each is down after its own timeout."""
    slow = {"hangs": Fault.hang(), "drips": Fault.drip(0.05), "stops": Fault.hang_mid_answer()}
    good = Answer(200, {"Content-Type": TEXT}, b"a 1\n" * 100)
    servers = {name: Recorder(replace(good, fault=fault)) for name, fault in slow.items()}
    before = threading.active_count()
    jobs = [job_at(one.address, name, scrape_timeout="500ms") for name, one in servers.items()]
    started = time.monotonic()
    found = errors(*jobs, job_at(page.address, "well"), seconds=20.0)
    took = time.monotonic() - started
    for one in servers.values():
        one.__exit__()
    assert {name for name, detail in found.items() if detail} == set(slow)
    assert took < 12
    assert threading.active_count() <= before + 2


@pytest.mark.parametrize(
    "fault",
    [Fault.reset(), Fault.reset_mid_answer(), Fault.cut_head(), Fault.status(500)],
    ids=["reset", "reset in the middle", "head cut off", "500"],
)
def test_a_scrape_that_breaks_off_is_up_0_and_ends_the_target_s_series(page: Recorder, fault: Fault) -> None:
    """As Prometheus: nothing of the broken page counts, and each series of the page before gets a stale marker."""
    page.answer = Answer(200, {"Content-Type": TEXT}, b"a 1\nb 2\n")
    with environment(job_at(page.address)) as made:
        (before,) = scraped(made)
        page.answer = replace(page.answer, fault=fault)
        (after,) = scraped(made)
    assert (before.error, bool(after.error)) == ("", True)
    samples = zip(after.samples.series, after.samples.values, strict=True)
    found = {label_codec.labels_of(series.prefix)["__name__"]: value for series, value in samples}
    assert found.pop("up") == 0
    assert {name for name, value in found.items() if label_codec.is_stale(value)} == {"a", "b"}
