"""The command line as a person uses it: a process, its output and its exit status."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.example import usage_config
from sandbox.server import Answer, Fault
from tests.rig.command_line import pusher

pytestmark = pytest.mark.slow


@pytest.fixture
def config(tmp_path: Path, api: Api, receiver: Receiver) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(usage_config(api.url, receiver.url))
    return path


@pytest.mark.parametrize("has_spool", [False, True], ids=["memory", "spool"])
def test_check_of_a_good_config_says_so(config: Path, receiver: Receiver, tmp_path: Path, has_spool: bool) -> None:
    if has_spool:
        config.write_text(config.read_text() + f"\nspool: {{location: {tmp_path / 'kept'}}}\n")
    result = pusher("check", config)
    assert (result.returncode, result.stderr) == (0, "")
    notes = [] if has_spool else ["no spool is configured: pusher run keeps undelivered samples in memory only"]
    host, endpoint = receiver.url.split("/")[2], hashlib.md5(receiver.url.encode()).hexdigest()[:6]
    said = [*(f"note: {note}" for note in notes), f"endpoint {endpoint} ({host}, ws-sandbox)"]
    assert result.stdout.splitlines() == [*said, f"{config}: 1 job, 1 endpoint, no mistakes"]
    assert json.loads(pusher("check", config, "--json").stdout)["notes"] == notes


def test_check_warns_of_a_list_that_a_function_never_finds(tmp_path: Path) -> None:
    """A Lambda has its package under /var/task and its layers under /opt; nothing writes other files there."""
    files = ["/etc/found.yaml", "/var/task/targets.yaml", "/opt/targets.json", "targets.yml", "s3://bucket/targets.yml"]
    path = tmp_path / "config.yaml"
    path.write_text(
        f"scrape_configs: [{{job_name: a, file_sd_configs: [{{files: {files}}}]}}]\n"
        "remote_write: [{url: 'https://receiver.example/w'}]\n"
    )
    (warning,) = json.loads(pusher("check", path, "--json").stdout)["warnings"]
    assert warning.startswith("job a: file_sd_configs reads /etc/found.yaml, which does not exist in a Lambda")
    assert f"warning: {warning}" in pusher("check", path).stdout


def test_check_warns_of_static_targets_that_would_be_one_series(tmp_path: Path) -> None:
    """Without a request: what other lists of the job have is known to a run."""
    listed = [{"targets": ["h:1"], "labels": {"__metrics_path__": path}} for path in ("/a", "/b")]
    jobs = [{"job_name": "j", "static_configs": listed, "http_sd_configs": [{"url": "http://127.0.0.1:1/"}]}]
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"scrape_configs": jobs, "remote_write": [{"url": "https://receiver.example/w"}]}))
    (warning,) = json.loads(pusher("check", path, "--json").stdout)["warnings"]
    assert warning.startswith("job j: 1 target has the same labels as another one")
    assert "http://h:1/b beside http://h:1/a" in warning


def test_check_names_every_mistake_and_exits_2(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("global: {scrape_intervall: 1m}\njson_configs: [{job_name: a}]\nremote_write: [{url: nowhere}]\n")
    result = pusher("check", path)
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert lines[0] == "4 mistakes in the config:"
    starts = ["1: global.scrape_intervall: unknown key", "2: json_configs[0].url:", "2: json_configs[0].metrics:"]
    for line, start in zip(lines[1:], [*starts, "3: remote_write[0].url:"], strict=True):
        assert line.startswith(f"{path}:{start}"), line


def test_check_json_carries_the_same_problems(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("json_configs: 1\nremote_write: [{url: 'http://127.0.0.1/w'}]\n")
    result = pusher("check", path, "--json")
    assert result.returncode == 2
    answer = json.loads(result.stdout)
    assert answer["ok"] is False
    assert [(one["line"], one["path"]) for one in answer["problems"]] == [(1, "json_configs")]


@pytest.mark.parametrize(
    "arguments", [(), ("explode", "x"), ("push",), ("push", "x", "--timeout", "-1"), ("push", "x", "--timeout", "soon")]
)
def test_bad_usage_exits_2(arguments: tuple[str, ...]) -> None:
    assert pusher(*arguments).returncode == 2


def test_a_missing_config_exits_2_and_names_it(tmp_path: Path) -> None:
    result = pusher("push", tmp_path / "none.yaml")
    assert result.returncode == 2
    assert result.stderr == f"the config cannot be read: {tmp_path}/none.yaml: No such file or directory\n"


def test_push_sends_once_and_exits_0(config: Path, receiver: Receiver) -> None:
    result = pusher("push", config)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("8 accepted, 0 rejected, 0 dropped, 0 undelivered samples\n")
    assert receiver.accepted == 8
    assert len(receiver.series("api_requests_total")) == 3


def test_push_json_is_the_report(config: Path, receiver: Receiver) -> None:
    report = json.loads(pusher("push", config, "--json").stdout)
    assert report["totals"]["AcceptedSamples"] == receiver.accepted == 8
    assert report["endpoints"][0]["collected"] == 8


def test_push_that_is_not_delivered_exits_1_and_says_what_to_do(config: Path, receiver: Receiver) -> None:
    receiver.always(Fault.status(400, b"out of order sample"))
    result = pusher("push", config, "--timeout", "3")
    assert result.returncode == 1
    assert '--out-of-order-time-window-in-seconds 600; it said: "out of order sample"' in result.stdout


def test_push_with_a_job_down_exits_1_and_delivers_up_0(config: Path, api: Api, receiver: Receiver) -> None:
    api.always(Fault.status(500))
    result = pusher("push", config)
    assert result.returncode == 1
    assert "answered 500" in result.stdout
    ((_, samples),) = receiver.series("up").items()
    assert [value for _, value in samples] == [0.0]


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_push_and_plan_with_undiscovered_targets_exit_1_and_say_why(
    tmp_path: Path, receiver: Receiver, as_json: bool
) -> None:
    """A job without any target is silent, where a target that is down would be `up 0`."""
    nowhere = "http_sd_configs: [{url: 'http://127.0.0.1:1/targets'}]"
    path = tmp_path / "config.yaml"
    path.write_text(
        f"scrape_configs: [{{job_name: lost, {nowhere}}}]\n"
        f"remote_write: [{{url: '{receiver.url}', sigv4: {{region: us-east-1}}}}]\n"
    )
    why = "lost: http_sd_configs: 127.0.0.1:1: no connection"
    for command in ("push", "plan"):
        result = pusher(command, path, *(["--json"] if as_json else []))
        assert result.returncode == 1
        if as_json:
            found = json.loads(result.stdout)
            assert any(one.startswith(why) for one in found["warnings"])
            assert found["totals"]["JobsDown"] == 1 if command == "push" else found["ok"] is False
        else:
            assert result.stdout.count("no targets are known") == (2 if command == "push" else 1)


def test_plan_sends_nothing_and_shows_what_would_go(config: Path, receiver: Receiver) -> None:
    result = pusher("plan", config)
    assert result.returncode == 0, result.stdout + result.stderr
    assert receiver.requests == []
    assert "custom_exporter: 3 series every 1m" in result.stdout
    assert 'projectCode="4"' in result.stdout
    assert "8 samples in 1 request," in result.stdout


# --- What a person sees of records ------------------------------------------------------------------------------------

JOBS = """
json_configs:
  - job_name: good
    url: {url}
    metrics: [{{name: good_value, records: list, value: v, labels: {{k: k}}}}, {{name: gone, value: w}}]
  - job_name: other
    url: {url}
    metrics: [{{name: other_value, records: "list[-1:]", value: v}}]
remote_write: [{{url: "{receiver}"}}]
"""
DOCUMENT = {"list": [{"k": "a", "v": 1.5}, {"k": "b", "v": "many"}, {"k": "c", "v": 3}]}


@pytest.fixture
def jobs(tmp_path: Path, api: Api, receiver: Receiver) -> Path:
    receiver.auth = None
    path = tmp_path / "jobs.yaml"
    path.write_text(JOBS.format(url=api.serve("/doc", Answer.json(DOCUMENT)), receiver=receiver.url))
    return path


def test_push_shows_skipped_records_and_failed_metrics(jobs: Path) -> None:
    result = pusher("push", jobs)
    assert result.returncode == 1
    assert "2 records skipped" in result.stdout.splitlines()[0]
    assert "    skipped 1, not_a_number: metric good_value, record 1: a text is not a number: 'many'" in result.stdout
    assert "    failed: metric gone: the record gives no sample: value w finds nothing" in result.stdout


def test_plan_prints_the_statement_and_the_price_of_a_signed_job(tmp_path: Path, api: Api) -> None:
    path = tmp_path / "config.yaml"
    keys = "region: us-east-1, service: ce, access_key: AKIDEXAMPLE, secret_key: abcdefgh, role_arn: ''"
    path.write_text(
        f"json_configs: [{{job_name: j, url: '{api.url}/fleet', sigv4: {{{keys}}}, method: POST,"
        " headers: {X-Amz-Target: AWSInsightsIndexService.GetCostAndUsage}, metrics: [{name: m, value: '`1`'}]}]\n"
        "remote_write: [{url: 'https://receiver.example/w'}]\n"
    )
    lines = [line.strip() for line in pusher("plan", path).stdout.splitlines()]
    statement = '{"Effect":"Allow","Action":"ce:GetCostAndUsage","Resource":"*"}'
    assert f"needs, for the function's role: {statement}" in lines
    assert "AWS bills each request: 43,800 a month, each page one, $438.00 (us-east-1)" in lines
    assert "$0.01: every 1m that is $438.00 a month" in pusher("check", path).stdout


def test_plan_tells_targets_of_one_url_apart(tmp_path: Path) -> None:
    """By their labels: what differs may be a query, which is not shown."""
    groups = [{"targets": ["127.0.0.1:1"], "labels": {"__param_i": name, "i": name}} for name in ("a", "b")]
    groups.append({"targets": ["127.0.0.1:2"]})
    job = {"job_name": "j", "static_configs": groups, "metrics": [{"name": "m", "value": "v"}]}
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({"json_configs": [job], "remote_write": [{"url": "http://127.0.0.1:1/"}]}))
    shown = pusher("plan", path).stdout
    assert '  http://127.0.0.1:1/{i="a", instance="127.0.0.1:1", job="j"}: down' in shown
    assert '  http://127.0.0.1:1/{i="b", instance="127.0.0.1:1", job="j"}: down' in shown
    assert "  http://127.0.0.1:2/: down" in shown


def test_plan_says_how_many_pages_were_read_and_what_ended_them(tmp_path: Path, api: Api) -> None:
    url = api.serve("/doc", Answer.json({"items": [{"v": 1}], "total": 1}))
    pages = {"style": "offset", "total": "total"}
    job = {
        "job_name": "j",
        "url": url,
        "pagination": pages,
        "metrics": [{"name": "m", "records": "items[]", "value": "v"}],
    }
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({"json_configs": [job], "remote_write": [{"url": "http://127.0.0.1:1/"}]}))
    assert "  1 page read, ended by: total 1 reached\n" in pusher("plan", path).stdout


def test_plan_quotes_labels_and_counts_the_samples_of_a_series(tmp_path: Path, api: Api) -> None:
    records = [{"at": 1_716_480_000 + v, "v": v, "n": 'a "b" \\c\nd'} for v in (30, 60, 90)]
    job = {
        "job_name": "j",
        "url": api.serve("/doc", Answer.json(records)),
        "metrics": [
            {
                "name": "m",
                "records": "[]",
                "value": "v",
                "labels": {"n": "n"},
                "timestamp": {"path": "at", "format": "unix"},
            }
        ],
    }
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({"json_configs": [job], "remote_write": [{"url": "http://127.0.0.1:1/"}]}))
    (line,) = re.findall(r"^  m\{.*", pusher("plan", path).stdout, re.M)
    assert r'n="a \"b\" \\c\nd"} 30 at ' in line
    assert line.endswith(", the first of 3 samples")


def test_plan_shows_each_metric_with_value_time_and_age(jobs: Path) -> None:
    result = pusher("plan", jobs)
    assert result.returncode == 1
    found = re.search(r'good_value\{.*k="a"\} 1\.5 at (\S+Z), \d+s old', result.stdout)
    assert found, result.stdout
    datetime.fromisoformat(found[1])
    assert "  skipped 1, not_a_number: metric good_value, record 1" in result.stdout
    assert "  failed: metric gone" in result.stdout
    assert all(len(line) < 1_000 for line in result.stdout.splitlines())


@pytest.mark.parametrize("command", ["plan", "push"])
def test_one_job_alone(jobs: Path, api: Api, command: str) -> None:
    result = pusher(command, jobs, "--job", "other")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "other" in result.stdout
    assert "good" not in result.stdout
    assert len(api.requests) == 1


@pytest.mark.parametrize("command", ["plan", "push"])
def test_a_job_that_is_not_in_the_config_exits_2_and_names_those_that_are(jobs: Path, command: str) -> None:
    result = pusher(command, jobs, "--job", "othr")
    assert result.returncode == 2
    assert result.stderr == "--job: no job is named 'othr'; the config has good, other\n"


def test_plan_shows_lines_and_rows_that_are_none(tmp_path: Path, api: Api) -> None:
    """They concern no metric, and are shown once for the job."""
    url = api.serve("/doc", Answer(200, {"Content-Type": "text/csv"}, b"n,v\na,1\nb,2,x\n"))
    metrics = [{"name": name, "records": "[]", "value": "v"} for name in ("a", "b")]
    job = {"job_name": "j", "url": url, "metrics": metrics}
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({"json_configs": [job], "remote_write": [{"url": "http://127.0.0.1:1/"}]}))
    shown = pusher("plan", path).stdout
    assert shown.count("  skipped 1, row_length: row at line 3 has 3 cells, and the header has 2\n") == 1
