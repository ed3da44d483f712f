"""`pusher test` over recorded answers: what is equal, each kind of drift, and what ends in a sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write_cli.main import main
from tests.rig.command_line import pusher
from tests.rig.tables import TESTDATA, table

CORPUS = TESTDATA / "golden"
CONFIG = """json_configs:
  - job_name: usage
    url: https://api.example.com/usage
    http_headers: {X-Api-Key: {refs: ["env:KEY"]}}
    metrics:
      - name: requests_total
        help: Requests.
        type: counter
        records: data.items
        value: requestCount
        labels:
          project: projectCode
      - {name: quota, help: Quota., records: data.items, value: quota, labels: {project: projectCode}}
remote_write:
  - workspace: ws-00000000-0000-0000-0000-000000000001
"""
TEST = """# What the API of usage gives, and what we send.
version: 1
config: pusher.yaml  # beside this file
tests:
  - name: usage
    now: 2026-12-01T12:00:00Z
    answers:
      - url: https://api.example.com/usage
        headers: {Content-Type: application/json}
        body_file: usage.json
    series:
      # the biggest customer
      - 'quota{instance="api.example.com",job="usage",project="4"} 10 1796126400000'
      - 'quota{instance="api.example.com",job="usage",project="5"} 20 1796126400000'   # since May
      - 'requests_total{instance="api.example.com",job="usage",project="4"} 3015 1796126400000'
      - 'requests_total{instance="api.example.com",job="usage",project="5"} 17470 1796126400000'
      - 'up{instance="api.example.com",job="usage"} 1 1796126400000'
"""
BODY = (
    '{"data": {"items": [{"projectCode": "4", "requestCount": 3015, "quota": 10},'
    ' {"projectCode": "5", "requestCount": 17470, "quota": 20}]}}'
)
Capture = pytest.CaptureFixture[str]
Edit = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pusher.yaml").write_text(CONFIG)
    (tmp_path / "pusher_test.yaml").write_text(TEST)
    (tmp_path / "usage.json").write_text(BODY)
    return tmp_path


def run(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    status = main(["test", *map(str, arguments)])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def replaced(name: str, before: str, after: str) -> Edit:
    def edit(folder: Path) -> None:
        text = (folder / name).read_text()
        assert before in text
        (folder / name).write_text(text.replace(before, after))

    return edit


@pytest.mark.parametrize("case", sorted(path.name for path in CORPUS.iterdir()))
def test_every_kind_of_source_gives_the_samples_that_were_written_by_hand(case: str, capsys: Capture) -> None:
    status, out, _ = run(capsys, CORPUS / case / "pusher_test.yaml")
    assert status == 0, out


@pytest.mark.slow
def test_nothing_is_needed_of_the_environment(folder: Path) -> None:
    """Neither a region, nor credentials, nor the variable that the config names."""
    result = pusher("test", folder / "pusher_test.yaml")
    path = folder / "pusher_test.yaml"
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{path}: usage: ok, 5 samples\n", "")


FOUR, FIVE = (f'requests_total{{instance="api.example.com",job="usage",project="{one}"}}' for one in "45")


@table(
    "edit, expected",
    [
        ("a field was renamed", replaced("usage.json", "requestCount", "requestsCount"), [
            "drift: 2 missing\n",
            "job usage, requests_total:\n",
            "pusher.yaml:10: json_configs[0].metrics[0].value: metric requests_total: ",
            "the nearest path that exists is requestsCount",
            f"- {FOUR} 3015 1796126400000\n",
        ]),
        ("in one record", replaced("usage.json", '"requestCount": 3015', '"count": 3015'), [
            "drift: 1 missing\n",
            "json_configs[0].metrics[0].value: 1 of 2 records skipped (value_missing)",
        ]),
        ("the list was renamed", replaced("usage.json", '"items"', '"entries"'), [
            "drift: 4 missing, 1 different\n",
            "pusher.yaml:9: json_configs[0].metrics[0].records: ",
            "pusher.yaml:13: json_configs[0].metrics[1].records: ",
            "the nearest path that exists is data.entries",
            '+ up{instance="api.example.com",job="usage"} 0 1796126400000\n',
        ]),
        ("a label was renamed", replaced("usage.json", "projectCode", "projectId"), [
            "pusher.yaml:12: json_configs[0].metrics[0].labels.project: ",
            "the nearest path that exists is projectId",
        ]),
        ("a value is another", replaced("usage.json", "17470", "17471"), [
            "drift: 1 different\n",
            "pusher.yaml:6: json_configs[0].metrics[0]\n",
            f"- {FIVE} 17470 1796126400000\n    + {FIVE} 17471 1796126400000\n",
        ]),
        ("a record is new", replaced("usage.json", "]}}", ', {"projectCode": "6", "quota": 1, "requestCount": 2}]}}'), [
            "drift: 2 unexpected\n",
            '+ requests_total{instance="api.example.com",job="usage",project="6"} 2 1796126400000\n',
        ]),
        ("the config renames the metric", replaced("pusher.yaml", "requests_total", "api_requests_total"), [
            "drift: 2 missing, 2 unexpected\n",
            "job usage, api_requests_total:\n    ",
            "pusher.yaml:6: json_configs[0].metrics[0]\n",
        ]),
        ("the config scales", replaced("pusher.yaml", "value: quota,", "value: quota, scale: 0.5,"), [
            "drift: 2 different\n",
            "pusher.yaml:13: json_configs[0].metrics[1]\n",
            '+ quota{instance="api.example.com",job="usage",project="4"} 5 1796126400000\n',
        ]),
        ("the config asks elsewhere", replaced("pusher.yaml", "/usage", "/v2/usage"), [
            "drift: 4 missing, 1 different, 1 request not recorded\n",
            "not recorded: GET https://api.example.com/v2/usage; add it to answers, or record again: pusher test --rec",
            "answers[0], https://api.example.com/usage, was not asked for",
        ]),
        ("the config posts", replaced("pusher.yaml", "    metrics:", "    method: POST\n    metrics:"), [
            "not recorded: POST https://api.example.com/usage;",
        ]),
        ("the API is down", replaced("pusher_test.yaml", "        headers:", "        status: 503\n        headers:"), [
            "pusher.yaml:2: json_configs[0]: https://api.example.com/usage answered 503",
        ]),
    ],
)  # fmt: skip
def test_drift_names_the_key_of_the_config_and_the_nearest_path(
    folder: Path, edit: Edit, expected: list[str], capsys: Capture
) -> None:
    edit(folder)
    status, out, err = run(capsys, folder / "pusher_test.yaml")
    assert (status, err) == (1, "")
    for part in expected:
        assert part in out


def test_quiet_prints_drift_alone(folder: Path, capsys: Capture) -> None:
    path = folder / "pusher_test.yaml"
    assert run(capsys, path, "-q") == (0, "", "")
    replaced("usage.json", "17470", "17471")(folder)
    _, out, _ = run(capsys, path)
    assert out.endswith("\nif this is what you want to send, write it into the tests: pusher test --update FILE\n")
    assert run(capsys, path, "-q") == (1, out[: out.index("if this is what")], "")


def test_json_has_the_changes_and_their_causes(folder: Path, capsys: Capture) -> None:
    replaced("usage.json", "requestCount", "requestsCount")(folder)
    status, out, _ = run(capsys, folder / "pusher_test.yaml", "--json")
    (found,) = json.loads(out)["tests"]
    assert (status, json.loads(out)["ok"], found["ok"], found["samples"]) == (1, False, False, 3)
    assert found["changes"] == [
        {"kind": "missing", "job": "usage", "metric": "requests_total", "expected": f"{one} {value} 1796126400000",
         "actual": None}
        for one, value in ((FOUR, 3015), (FIVE, 17470))
    ]  # fmt: skip
    (cause,) = found["causes"]
    assert (cause["path"], cause["line"], cause["job"]) == ("json_configs[0].metrics[0].value", 10, "usage")


def test_the_line_of_a_job_in_another_file_is_not_guessed(folder: Path, capsys: Capture) -> None:
    job = "{job_name: %s, static_configs: [{targets: [%s]}]}"
    (folder / "jobs.yaml").write_text(f"scrape_configs: [{job % ('node', 'h:1')}]\n")
    with (folder / "pusher.yaml").open("a") as config:
        config.write(f"scrape_configs: [{job % ('main', 'm:1')}]\nscrape_config_files: [jobs.yaml]\n")
    replaced("pusher_test.yaml", "    series:", "      - {url: 'http://h:1/metrics', status: 500}\n    series:")(folder)
    _, out, _ = run(capsys, folder / "pusher_test.yaml")
    assert "not recorded: GET http://m:1/metrics;" in out
    assert "is not recorded" not in out  # said once
    assert "pusher.yaml: scrape_configs[1]: http://h:1/metrics answered 500" in out


# --- --update ---------------------------------------------------------------------------------------------------------


def test_update_writes_the_samples_and_leaves_the_rest_as_it_is_written(folder: Path, capsys: Capture) -> None:
    replaced("usage.json", "17470", "17471")(folder)
    replaced("usage.json", '"quota": 10', '"quota": 11')(folder)
    path = folder / "pusher_test.yaml"
    status, out, _ = run(capsys, path, "--update")
    assert status == 0
    assert out.endswith(f"{path}: the expected samples are written anew\n")
    assert path.read_text() == TEST.replace("} 17470", "} 17471").replace("} 10 ", "} 11 ")
    assert run(capsys, path) == (0, f"{path}: usage: ok, 5 samples\n", "")
    assert run(capsys, path, "--update")[1] == f"{path}: usage: ok, 5 samples\n"


@table(
    "series",
    [
        ("an empty list", "    series: []\n"),
        ("a list in brackets", "    series: ['a 1', 'b 2']\n"),
        ("over several lines", "    series: ['a 1',\n      'b 2']\n"),
        ("not indented", "    series:\n    - 'a 1'\n"),
        ("before other keys", "    series: ['a 1']\n    jobs: [usage]\n"),
    ],
)
def test_update_rewrites_every_form_of_a_list(folder: Path, series: str, capsys: Capture) -> None:
    path = folder / "pusher_test.yaml"
    path.write_text(TEST[: TEST.index("    series:")] + series + "# the end\n")
    assert run(capsys, path, "--update")[0] == 0
    assert run(capsys, path) == (0, f"{path}: usage: ok, 5 samples\n", "")
    assert path.read_text().endswith("# the end\n")
    assert path.read_text().startswith(TEST[: TEST.index("    series:")])


def test_update_writes_nothing_of_a_run_with_requests_that_are_not_recorded(folder: Path, capsys: Capture) -> None:
    replaced("pusher.yaml", "/usage", "/v2/usage")(folder)
    assert run(capsys, folder / "pusher_test.yaml", "--update")[0] == 1
    assert (folder / "pusher_test.yaml").read_text() == TEST


# --- What is bad ------------------------------------------------------------------------------------------------------


@table(
    "edit, expected",
    [
        ("older", replaced("pusher_test.yaml", "version: 1", "version: 0"),
         "pusher_test.yaml:2: version: version 0 is older than 1, the one that this pusher reads: record it again "
         "with: pusher test --record CONFIG -o FILE --update"),
        ("newer", replaced("pusher_test.yaml", "version: 1", "version: 2"),
         "pusher_test.yaml:2: version: version 2 is newer than 1, the one that this pusher reads: update pusher"),
        ("no version", replaced("pusher_test.yaml", "version: 1\n", ""), "version: version: 1 is expected"),
        ("not YAML", replaced("pusher_test.yaml", "tests:", "tests: ]"), "pusher_test.yaml:4: not YAML: "),
        ("not a map", lambda folder: (folder / "pusher_test.yaml").write_text("- 1\n") and None,
         "pusher_test.yaml:1: a map with version, config and tests is expected at the top, not a list"),
        ("not text", lambda folder: (folder / "pusher_test.yaml").write_bytes(b"\n\xff") and None,
         "pusher_test.yaml:2: not UTF-8 text"),
        ("too large", lambda folder: (folder / "pusher_test.yaml").write_bytes(b"#" * 1_000_001) and None,
         "the file has more than 1000000 bytes: keep bodies in files of their own"),
        ("a body's file is missing", lambda folder: (folder / "usage.json").unlink(),
         "pusher_test.yaml:10: tests[0].answers[0].body_file: 'usage.json' cannot be read: No such file or directory; "
         "it is looked for beside this file"),
        ("two bodies", replaced("pusher_test.yaml", "body_file:", "body: x\n        body_file:"),
         "tests[0].answers[0].body_file: body and body_file cannot stand together"),
        ("an unknown key", replaced("pusher_test.yaml", "    answers:", "    answer: 1\n    answers:"),
         "tests[0].answer: unknown key"),
        ("a bad line", replaced("pusher_test.yaml", "} 3015", "= 3015"),
         "tests[0].series[2]: "),
        ("a bad time", replaced("pusher_test.yaml", "12:00:00Z", "12:00:00"),
         "tests[0].now: '2026-12-01T12:00:00' is not allowed: a time zone is missing"),
        ("no clock", replaced("pusher_test.yaml", "    now: 2026-12-01T12:00:00Z\n", ""),
         "tests[0].now: the clock of the test is expected, as 2026-12-01T12:00:00Z"),
        ("a bad URL", replaced("pusher_test.yaml", "- url: https", "- url: ftp"),
         "tests[0].answers[0].url: the URL that is requested is expected"),
        ("a bad status", replaced("pusher_test.yaml", "        headers", "        status: 99\n        headers"),
         "tests[0].answers[0].status: 99 is not allowed"),
        ("a config in S3", replaced("pusher_test.yaml", "pusher.yaml", "s3://bucket/pusher.yaml"),
         "config: 's3://bucket/pusher.yaml' is not allowed: a test reads its config from a file, so that it needs no "
         "AWS; copy it with: aws s3 cp"),
        ("no config there", replaced("pusher_test.yaml", "pusher.yaml", "other.yaml"),
         "other.yaml: No such file or directory"),
        ("a bad config", replaced("pusher.yaml", "help: Requests.", "hlep: Requests."),
         "pusher.yaml:7: json_configs[0].metrics[0].hlep: unknown key"),
        ("an unknown job", replaced("pusher_test.yaml", "    answers:", "    jobs: [other]\n    answers:"),
         "test usage: jobs: no job is named 'other'; the config has usage"),
        ("an unknown endpoint", replaced("pusher_test.yaml", "    answers:", "    endpoint: other\n    answers:"),
         "test usage: endpoint: no endpoint is named 'other'; the config has "),
        ("discovery by AWS", replaced("pusher.yaml", "remote_write:",
         "scrape_configs: [{job_name: node, ec2_sd_configs: [{region: eu-west-1}]}]\nremote_write:"),
         'job node: ec2_sd_configs asks something else than HTTP: give its targets under discovered: {node: [{targets: '
         '["host:port"]}]}'),
    ],
)  # fmt: skip
def test_a_bad_file_or_config_ends_in_a_sentence(folder: Path, edit: Edit, expected: str, capsys: Capture) -> None:
    edit(folder)
    status, out, err = run(capsys, folder / "pusher_test.yaml")
    assert status == 2
    assert expected in out + err
    document = json.loads(run(capsys, folder / "pusher_test.yaml", "--json")[1])
    assert document["ok"] is False
    assert document["problems"]


def test_a_bad_file_does_not_hide_the_others(folder: Path, capsys: Capture) -> None:
    shutil.copy(folder / "pusher_test.yaml", folder / "other_test.yaml")
    replaced("pusher_test.yaml", "version: 1", "version: 9")(folder)
    status, out, _ = run(capsys, folder / "pusher_test.yaml", folder / "other_test.yaml")
    assert status == 2
    assert "other_test.yaml: usage: ok, 5 samples" in out


@table(
    "arguments, expected",
    [
        ("no file", [], "a file of tests is expected"),
        ("output alone", ["-o", "x.yaml"], "-o and --job go with --record CONFIG"),
        ("record and a file", ["--record", "a.yaml", "b.yaml"], "--record writes a test; run it afterwards"),
        ("record from S3", ["--record", "s3://b/k"], "s3://b/k: a test reads its config from a file"),
    ],
)
def test_bad_usage(arguments: list[str], expected: str, capsys: Capture, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert expected in err
