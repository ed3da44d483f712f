"""`pusher query`: what the receiver answers as rows, what is asked of it and how, and each way to fail."""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write_cli.main import main
from lambda_remote_write_cli.query import table as query_table
from lambda_remote_write_cli.query.command import COMMAND
from sandbox.amp import WORKSPACE, Receiver, SigV4
from sandbox.api import Api
from sandbox.prometheus import Prometheus
from sandbox.server import Answer, Fault, Request
from tests.rig.command_line import pusher
from tests.rig.delivery import ENVIRONMENT
from tests.rig.tables import table

Peer = Callable[[str], str]
Capture = pytest.CaptureFixture[str]
NOW = 1_796_126_400  # 2026-12-01T12:00:00Z
EMPTY = "no series: an instant query looks back five minutes only."


@pytest.fixture
def config(api: Api, tmp_path: Path) -> Path:
    """The API stands for a Prometheus."""
    return written(tmp_path, [{"url": f"{api.url}/api/v1/write"}])


def written(folder: Path, endpoints: list[dict[str, Any]]) -> Path:
    path = folder / "pusher.yaml"
    path.write_text(json.dumps({"json_configs": [], "remote_write": endpoints}))
    return path


def run(capsys: Capture, config: Path, *arguments: str, now: int = NOW, **variables: str) -> tuple[int, str, str]:
    """The clock stands at `now`."""
    parser = argparse.ArgumentParser()
    COMMAND.add_arguments(parser.add_argument)
    parser.set_defaults(quiet=False)
    options = parser.parse_args([str(config), *arguments])
    dependencies = Dependencies(variables, now_ms=lambda: now * 1000)
    try:
        status = COMMAND.run(options, dependencies)
    finally:
        dependencies.transport.close()
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def success(kind: str, result: Any, **more: Any) -> Answer:
    """As the documentation of Prometheus's HTTP API has it."""
    return Answer.json({"status": "success", "data": {"resultType": kind, "result": result}, **more})


def serve(api: Api, answer: Answer, times: Answer | None = None) -> None:
    """`times` answers the query for the samples of a selector."""

    def respond(request: Request) -> Answer:
        form = dict(parse_qsl(request.body.decode()))
        return times if times is not None and form["query"].endswith("[300s]") else answer

    api.serve("/api/v1/query", respond)
    api.serve("/api/v1/query_range", respond)


UP = {"__name__": "up", "job": "a", "instance": "h:1"}
HISTOGRAM = {"count": "6", "sum": "15.5", "buckets": [[1, "-4", "-2", "1"], [3, "-1", "1", "2"], [0, "1", "2", "3"]]}


@table(
    "answer, times, rows",
    [
        ("a vector", success("vector", [{"metric": UP, "value": [NOW, "1"]}]),
         success("matrix", [{"metric": UP, "values": [[NOW - 130, "1"], [NOW - 70.5, "1"]]}]),
         ['up{instance="h:1",job="a"}\t1\t2026-12-01T11:58:49.500Z\t1m10s']),
        ("without a name", success("vector", [{"metric": {"job": "a"}, "value": [NOW, "NaN"]}]), success("matrix", []),
         ['{job="a"}\tNaN\t\t']),
        ("without a label", success("vector", [{"metric": {}, "value": [NOW, "2"]}]), success("matrix", []),
         ["{}\t2\t\t"]),
        ("a name of UTF-8", success("vector", [{"metric": {"__name__": "a.b", "c": "d\n\t"}, "value": [NOW, "1"]}]),
         success("matrix", []), ['{"a.b",c="d\\n\\t"}\t1\t\t']),
        ("a histogram", success("vector", [{"metric": {"__name__": "h"}, "histogram": [NOW, HISTOGRAM]}]),
         success("matrix", [{"metric": {"__name__": "h"}, "histograms": [[NOW - 1, HISTOGRAM]]}]),
         ["h\t{count:6, sum:15.5, [-4,-2):1, [-1,1]:2, (1,2]:3}\t2026-12-01T11:59:59Z\t1s"]),
        ("a matrix", success("matrix", [{"metric": UP, "values": [[NOW - 60, "0"], [NOW + 60, "1"]]}]), None,
         ['up{instance="h:1",job="a"}\t0\t2026-12-01T11:59:00Z\t1m',
          'up{instance="h:1",job="a"}\t1\t2026-12-01T12:01:00Z\t-1m']),
        ("a matrix of both", success("matrix", [{"metric": {"__name__": "h"}, "histograms": [[NOW - 60, HISTOGRAM]],
                                                 "values": [[NOW, "1"]]}]), None,
         ["h\t{count:6, sum:15.5, [-4,-2):1, [-1,1]:2, (1,2]:3}\t2026-12-01T11:59:00Z\t1m",
          "h\t1\t2026-12-01T12:00:00Z\t0s"]),
        ("a scalar", success("scalar", [NOW, "2"]), None, ["scalar\t2\t2026-12-01T12:00:00Z\t0s"]),
        ("a string", success("string", [NOW, "a\tb"]), None, ["string\ta\\tb\t2026-12-01T12:00:00Z\t0s"]),
    ],
)  # fmt: skip
def test_each_kind_of_result_is_lines_with_tabs(
    answer: Answer, times: Answer | None, rows: list[str], api: Api, config: Path, capsys: Capture
) -> None:
    serve(api, answer, times)
    status, out, err = run(capsys, config, "up")
    assert (status, out.splitlines(), err) == (0, rows, "")


def test_json_is_the_answer_of_the_api(api: Api, config: Path, capsys: Capture) -> None:
    serve(api, success("vector", [{"metric": UP, "value": [NOW, "1"]}], warnings=["w"]))
    status, out, err = run(capsys, config, "up", "--json")
    assert (status, err, len(api.requests)) == (0, "", 1)
    assert json.loads(out) == {
        "status": "success", "warnings": ["w"],
        "data": {"resultType": "vector", "result": [{"metric": UP, "value": [NOW, "1"]}]},
    }  # fmt: skip


@table(
    "promql, has_times",
    [
        ("a name", "up", True),
        ("with matchers", 'up{job=~"a}|b", x!="\\""} ', True),
        ("a function", "sum(up)", False),
        ("an operator", "up == 0", False),
        ("an offset", "up offset 5m", False),
    ],
)
def test_only_a_selector_has_times_of_its_samples(
    promql: str, has_times: bool, api: Api, config: Path, capsys: Capture
) -> None:
    """An instant query gives the time that it was asked for, whatever the samples' is."""
    serve(api, success("vector", [{"metric": UP, "value": [NOW, "1"]}]), success("matrix", []))
    _, out, _ = run(capsys, config, promql)
    asked = [dict(parse_qsl(request.body.decode())) for request in api.requests]
    assert asked[0] == {"query": promql, "time": f"{NOW}.000"}
    assert [one["query"] for one in asked[1:]] == ([f"{promql.strip()}[300s]"] if has_times else [])
    assert out.endswith("\t\t\n" if has_times else "\t2026-12-01T12:00:00Z\t0s\n")


def test_a_query_for_times_without_an_answer_is_a_message(api: Api, config: Path, capsys: Capture) -> None:
    serve(api, success("vector", [{"metric": UP, "value": [NOW, "1"]}]), Answer(503))
    status, out, err = run(capsys, config, "up")
    assert (status, out) == (0, 'up{instance="h:1",job="a"}\t1\t\t\n')
    assert err.startswith("when the samples were taken is not known: ")


@table(
    "arguments, path, form",
    [
        ("at a time", ["--time", "2026-12-01T11:00:00Z"], "query", {"time": "1796122800.000"}),
        ("relative", ["--time=-5m"], "query", {"time": "1796126100.000"}),
        ("a range", ["--start=-2h"], "query_range", {"start": "1796119200.000", "end": f"{NOW}.000", "step": "60.000"}),
        ("a range with its step", ["--start=-2h", "--end=-1h", "--step", "5m"], "query_range",
         {"start": "1796119200.000", "end": "1796122800.000", "step": "300.000"}),
    ],
)  # fmt: skip
def test_what_is_asked(
    arguments: list[str], path: str, form: dict[str, str], api: Api, config: Path, capsys: Capture
) -> None:
    serve(api, success("matrix", []))
    run(capsys, config, "up", *arguments)
    (request,) = api.requests
    assert (request.method, request.path) == ("POST", f"/api/v1/{path}")
    assert dict(parse_qsl(request.body.decode())) == {"query": "up", **form}


@table(
    "endpoint, path, headers",
    [
        ("mimir", {"url": "/api/v1/push", "headers": {"X-Scope-OrgID": "t1"}}, "/prometheus/api/v1/query",
         {"X-Scope-OrgID": "t1"}),
        ("bearer", {"authorization": {"credentials_ref": "env:TOKEN"}}, "/api/v1/query",
         {"Authorization": "Bearer tok"}),
        ("basic", {"basic_auth": {"username": "u", "password": "p"}}, "/api/v1/query", {"Authorization": "Basic dTpw"}),
    ],
)  # fmt: skip
def test_a_query_has_what_the_endpoint_sends(
    endpoint: dict[str, Any], path: str, headers: dict[str, str], api: Api, tmp_path: Path, capsys: Capture
) -> None:
    api.serve(path, success("vector", []))
    config = written(tmp_path, [{**endpoint, "url": api.url + endpoint.get("url", "/api/v1/write")}])
    assert run(capsys, config, "up", TOKEN="tok")[0] == 0
    (request,) = api.requests
    assert request.path == path
    assert headers.items() <= dict(request.headers.items()).items()


@table(
    "url",
    [("the root", ""), ("the prefix", "/prefix/"), ("the whole address", "/prefix/api/v1/query")],
)
def test_url_says_where_queries_are_answered(url: str, api: Api, tmp_path: Path, capsys: Capture) -> None:
    config = written(tmp_path, [{"url": f"{api.url}/ingest"}])
    api.serve(f"{'/prefix' if url else ''}/api/v1/query", success("scalar", [NOW, "3"]))
    status, _, err = run(capsys, config, "3")
    assert (status, "give the address with --url" in err) == (1, True)
    assert run(capsys, config, "3", "--url", api.url + url)[0] == 0


def test_warnings_and_infos_of_the_api_are_printed(api: Api, config: Path, capsys: Capture) -> None:
    serve(api, success("scalar", [NOW, "1"], warnings=["one shard is away"], infos=["metric might not be a counter"]))
    assert run(capsys, config, "1")[2] == "warning: one shard is away\ninfo: metric might not be a counter\n"


@table("arguments, expected", [("instant", [], EMPTY), ("range", ["--start=-1h"], "no series in this range")])
def test_an_empty_result_says_what_to_check(
    arguments: list[str], expected: str, api: Api, config: Path, capsys: Capture
) -> None:
    serve(api, success("matrix" if arguments else "vector", []))
    status, out, err = run(capsys, config, "up", *arguments)
    assert (status, out, err.startswith(expected)) == (0, "", True)


PARSE_ERROR = 'invalid parameter "query": 1:4: parse error: unexpected end of input inside braces'


@table(
    "answer, status, expected",
    [
        ("a bad query", Answer.json({"status": "error", "errorType": "bad_data", "error": PARSE_ERROR}, 400), 2,
         f"{PARSE_ERROR}\n  up{{\n     ^\n"),
        ("too slow a query", Answer.json({"status": "error", "errorType": "timeout", "error": "it timed out"}, 422), 2,
         "it timed out\n"),
        ("401", Answer(401), 1, "check the credentials of this endpoint, and whether they may read"),
        ("404", Answer(404, {}, b"not here"), 1, 'it says "not here"; queries are answered elsewhere'),
        ("a redirect", Answer(302, {"Location": "http://x/"}), 1, "a redirect is not followed"),
        ("429", Answer(429), 1, "answered 429; try again later"),
        ("503", Answer(503, {}, b"a\x1b[2Jb"), 1, 'it says "a\\x1b[2Jb"; try again later'),
        ("a page", Answer(200, {}, b"<html>"), 1, "something else than a query result (JSON is malformed"),
        ("another document", Answer.json({"data": []}), 1,
         "something else than a query result (Expected `object`, got `array` - at `$.data`)"),
        ("a series that is none", success("vector", [{}]), 1, "missing required field `metric` - at `$[0]`)"),
        ("a sample without a value", success("vector", [{"metric": {}, "value": [NOW]}]), 1, "at `$[0].value`)"),
        ("a sample without a time", success("vector", [{"metric": {}, "value": ["x", "1"]}]), 1, "at `$[0].value[0]`)"),
        ("a sample beyond time", success("vector", [{"metric": {}, "value": [1e30, "1"]}]), 1, "at `$[0].value[0]`)"),
        ("a label that is none", success("matrix", [{"metric": {"a": None}}]), 1, "at `$[0].metric[...]`)"),
        ("labels that are none", success("matrix", [{"metric": []}]), 1, "at `$[0].metric`)"),
        ("a scalar that is none", success("scalar", []), 1, "Expected `array` of length 2"),
        ("a bucket that is none", success("vector", [{"metric": {}, "histogram": [NOW, {"buckets": [[1]]}]}]), 1,
         "at `$[0].histogram[1].buckets[0]`)"),
        ("warnings that are none", success("scalar", [NOW, "1"], warnings=3), 1, "at `$.warnings`)"),
        ("streams of Loki", success("streams", []), 1, "Invalid enum value 'streams' - at `$.data.resultType`)"),
        ("a document without end", Answer(200, {}, b"[" * 100_000), 1, "something else than a query result"),
        ("an error without end", Answer(500, {}, b"[" * 100_000), 1, "answered 500"),
        ("a refusal without words", Answer.json({"status": "error"}, 400), 1, "--url gives another one"),
        ("a place beyond the query", Answer.json({"status": "error", "error": "1:9999: parse error: x"}, 400), 2,
         "  up{\n     ^\n"),
        ("an answer that is cut", Answer(200, {"Content-Length": "100"}, b"{}"), 1, "answered with something else"),
        ("400 of a proxy", Answer(400, {}, b"bad request"), 1, 'answered 400; it says "bad request"'),
    ],
)  # fmt: skip
def test_a_failure_has_the_servers_words_and_what_to_do(
    answer: Answer, status: int, expected: str, api: Api, config: Path, capsys: Capture
) -> None:
    serve(api, answer)
    found, out, err = run(capsys, config, "up{")
    assert (found, out) == (status, "")
    assert expected in err
    document = json.loads(run(capsys, config, "up{", "--json")[1])
    assert (document["ok"], len(document["problems"])) == (False, 1)


def test_a_server_that_hangs_is_left_at_the_timeout(api: Api, config: Path, capsys: Capture) -> None:
    api.serve("/api/v1/query", Fault(silent=True, ending="hang"))
    status, _, err = run(capsys, config, "up", "--timeout", "0.2")
    assert (status, "timed out while waiting for the answer" in err) == (1, True)


@table(
    "arguments, expected",
    [
        (
            "another endpoint",
            ["--endpoint", "c"],
            "no endpoint is named 'c'; the config has a (h), b (i)",
        ),
        ("bytes that are no text", ["--endpoint", "a", "--url", "http://h/\udcff"], "--url: text in UTF-8 is expected"),
        ("no endpoint", [], "--endpoint NAME is expected, as the config has 2: a (h), b (i)"),
        ("a time", ["--endpoint", "a", "--time", "then"], "--time: 'then' is no time; allowed are RFC 3339"),
        ("an end alone", ["--endpoint", "a", "--end", "now"], "--end and --step go with --start"),
        ("both times", ["--endpoint", "a", "--start=-1h", "--time", "now"], "give one of them"),
        ("backwards", ["--endpoint", "a", "--start", "now", "--end=-1h"], "--start is later than --end"),
        ("a step", ["--endpoint", "a", "--start=-1h", "--step", "x"], "--step: "),
        ("no step", ["--endpoint", "a", "--start=-1h", "--step", "0"], "--step: a duration above 0 is expected"),
        ("a URL with a password", ["--endpoint", "a", "--url", "http://u:p@h"], "without user, password and query"),
    ],
)
def test_bad_usage(arguments: list[str], expected: str, tmp_path: Path, capsys: Capture) -> None:
    endpoints = [{"name": name, "url": f"http://{host}/api/v1/write"} for name, host in (("a", "h"), ("b", "i"))]
    status = main(["query", str(written(tmp_path, endpoints)), "up", *arguments])
    assert (status, expected in capsys.readouterr().err) == (2, True)


@table(
    "endpoints, expected",
    [
        ("bytes that are no text", [{"url": "http://h/api/v1/write"}], "PROMQL: text in UTF-8 is expected"),
        ("no endpoint", [], "the config has no remote_write endpoint: add one"),
    ],
)
def test_a_query_that_cannot_be_asked(
    endpoints: list[dict[str, Any]], expected: str, tmp_path: Path, capsys: Capture
) -> None:
    status = main(["query", str(written(tmp_path, endpoints)), "up\udcff"])
    assert (status, expected in capsys.readouterr().err) == (2, True)


def test_a_narrow_terminal_gets_lines() -> None:
    """A table of 20 columns would have no room for the series."""
    stream = io.StringIO()
    rows = [query_table.Row('up{job="a"}', "1", NOW - 90, NOW)]
    query_table.show(rows, query_table.Console(file=stream, force_terminal=True, color_system=None, width=20))
    assert stream.getvalue() == 'up{job="a"}\t1\t2026-12-01T11:58:30Z\t1m30s\n'


def test_a_terminal_gets_columns_with_a_head() -> None:
    stream = io.StringIO()
    rows = [query_table.Row('up{job="[red]a"}', "1", NOW - 90, NOW), query_table.Row("x", "22", None, NOW)]
    query_table.show(rows, query_table.Console(file=stream, force_terminal=True, color_system=None, width=70))
    assert [line.rstrip() for line in stream.getvalue().splitlines()] == [
        "series            value  time                    age",
        'up{job="[red]a"}      1  2026-12-01T11:58:30Z  1m30s',
        "x                    22",
    ]


# --- With the receivers themselves ------------------------------------------------------------------------------------


@pytest.fixture
def real(peer: Peer) -> Iterator[Prometheus]:
    """It scrapes a target that is down."""
    job = "{job_name: gone, static_configs: [{targets: ['127.0.0.1:1']}]}"
    config = f"global: {{scrape_interval: 1s}}\nscrape_configs: [{job}]\n"
    with Prometheus(path=peer("prometheus"), config=config) as running:
        yield running


def test_a_real_prometheus_answers(real: Prometheus, tmp_path: Path, capsys: Capture) -> None:
    """`up` with the time of its scrape, not that of the query; its own words for a query that does not parse."""
    config = written(tmp_path, [{"url": real.write_url}])
    until = time.monotonic() + 30
    while not (found := real.query("timestamp(up)")):
        assert time.monotonic() < until
        time.sleep(0.1)
    scraped = float(found[0]["value"][1])
    status, out, err = run(capsys, config, "up", now=int(scraped) + 60)
    series, value, at, age = out.rstrip("\n").split("\t")
    assert (status, series, value, err) == (0, 'up{instance="127.0.0.1:1",job="gone"}', "0", "")
    assert scraped <= datetime.fromisoformat(at).timestamp() < scraped + 60
    assert age.endswith("s")
    assert run(capsys, config, "up", "--time", f"{scraped - 600}")[2].startswith(EMPTY)
    status, out, err = run(capsys, config, "sum(up", now=int(scraped))
    assert (status, out) == (2, "")
    assert err.endswith("1:7: parse error: unclosed left parenthesis\n  sum(up\n        ^\n")
    times = f"--start={scraped}", f"--end={scraped + 2}", "--step=1s"
    assert run(capsys, config, "vector(1)", *times)[1].count("{}\t1\t") == 3


@pytest.fixture
def amp() -> Iterator[Receiver]:
    with Receiver(auth=SigV4(), now=lambda: NOW) as running:
        yield running


def to_amp(folder: Path, url: str) -> Path:
    return written(folder, [{"url": url, "sigv4": {"region": SigV4().region}}])


def test_amp_takes_the_signature(amp: Receiver, tmp_path: Path, capsys: Capture) -> None:
    """The stand-in checks it with botocore's signer before it answers that it has no Prometheus behind it."""
    status, _, err = run(capsys, to_amp(tmp_path, amp.url), "up{a='ü'}", **ENVIRONMENT)
    assert (status, err) == (2, "this receiver has no Prometheus that answers queries\n")
    status, _, err = run(capsys, to_amp(tmp_path, amp.url), "up", **ENVIRONMENT | {"AWS_SECRET_ACCESS_KEY": "other"})
    assert (status, " answered 403; it says " in err) == (1, True)


def test_amp_says_which_policy_is_missing(amp: Receiver, tmp_path: Path, capsys: Capture) -> None:
    amp.denied = frozenset({"aps:QueryMetrics"})
    status, _, err = run(capsys, to_amp(tmp_path, amp.url), "up", **ENVIRONMENT)
    assert status == 1
    assert "is not authorized to perform: aps:QueryMetrics" in err
    statement = json.loads(err[err.index("needs {") + 6 : err.index("}") + 1])
    assert statement == {
        "Effect": "Allow",
        "Action": "aps:QueryMetrics",
        "Resource": f"arn:aws:aps:{SigV4().region}:ACCOUNT:workspace/{WORKSPACE}",
    }


def test_amp_has_no_such_workspace(amp: Receiver, tmp_path: Path, capsys: Capture) -> None:
    url = amp.url.replace(WORKSPACE, "ws-00000000-dead-4000-8000-000000000000")
    status, _, err = run(capsys, to_amp(tmp_path, url), "up", **ENVIRONMENT)
    assert (status, 'answered 404; it says "Workspace not found"; ' in err) == (1, True)
    assert "workspace and its region" in err


def test_through_amp_to_a_real_prometheus(real: Prometheus, tmp_path: Path, capsys: Capture) -> None:
    with Receiver(auth=SigV4(), prometheus_url=real.url, now=lambda: NOW) as amp:
        config = to_amp(tmp_path, amp.url)
        assert run(capsys, config, "vector(2) * 3", **ENVIRONMENT)[1] == "{}\t6\t2026-12-01T12:00:00Z\t0s\n"


@pytest.mark.slow
def test_as_a_process(tmp_path: Path) -> None:
    result = pusher("query", written(tmp_path, [{"url": "http://127.0.0.1:1/api/v1/write"}]), "up", "--time", "-5m")
    assert (result.returncode, result.stdout) == (1, "")
    assert "127.0.0.1:1: no connection" in result.stderr
