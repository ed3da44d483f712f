"""Answers that are no list of JSON records, and what `pusher init` makes of single columns, names and pages."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.config.yaml_reader import Diagnostics, compose
from lambda_remote_write.http.response import Headers
from lambda_remote_write_cli.init.column_kinds import Column, Kind, classified
from lambda_remote_write_cli.init.config_writer import Draft, json_job
from lambda_remote_write_cli.init.names import label_name, metric_name, singular
from lambda_remote_write_cli.init.pages import paging_of
from lambda_remote_write_cli.init.request import Request
from lambda_remote_write_cli.init.yaml_text import scalar
from sandbox.server import Answer
from tests.rig import init_command
from tests.rig.init_command import NOW_MS

METRICS = b"# HELP a Requests.\n# TYPE a counter\na_total 7\n"


def test_a_page_of_metrics_becomes_a_scrape_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with init_command.rig(tmp_path) as rig:
        url = rig.api.serve("/metrics", Answer(200, {"Content-Type": "text/plain; version=0.0.4"}, METRICS))
        status, config = init_command.init(tmp_path, f"{url}?module=x", "--yes", "--header-ref", "X-Key=env:KEY",
                                           "--label", "site=hq", env_vars={"KEY": "k"})  # fmt: skip
        found = init_command.planned(config, {"KEY": "k"})

    assert status == 0
    assert "a scrape job reads it" in capsys.readouterr().out
    assert "scrape_configs:" in config.read_text()
    assert found["ok"]
    assert ((("site", "hq"),), 7.0) in init_command.recorded_series(config)


@pytest.mark.parametrize(
    ("name", "content", "key", "series"),
    [
        ("a.ndjson", b'{"v":1,"id":"x"}\n{"v":2,"id":"y"}\n', "format: ndjson", ((("id", "y"),), 2.0)),
        ("a.json", b'{"v":1,"id":"x"}\n{"v":2,"id":"y"}\n', "format: ndjson", ((("id", "y"),), 2.0)),
        ("a.csv", b"name;load\nweb;1.5\n", "format: csv", ((("name", "web"),), 1.5)),
        ("a.xml", b"<a><v>1.5</v></a>", "format: xml", ((), 1.5)),
        ("a.txt", b"load average 1.5\nusers 3\n", "format: text", ((), 1.5)),
        ("a.txt", b"42\n", "", ((), 42.0)),
        ("a.js", b'callback({"v": 5});', "strip_prefix: callback(", ((), 5.0)),
        ("a.js", b")]}'\n{\"v\": 5}", "strip_prefix: )]}'", ((), 5.0)),
        ("a.js", b")]}',\n{\"v\": 5}", "strip_prefix: )]}',", ((), 5.0)),
        ("a.csv", b"v\n5\n\0", "format: csv", ((), 5.0)),
        ("a.json.gz", gzip.compress(b'{"v": 6}'), "", ((), 6.0)),
        ("a.json", '{"v": 7, "n": "Zürich"}'.encode("latin1"), "charset: windows-1252", ((("n", "Zürich"),), 7.0)),
    ],
    ids=["ndjson", "ndjson named json", "csv", "xml", "text", "a number", "jsonp", "gerrit", "angular", "zeros", "gzip",
         "charset"],
)  # fmt: skip
def test_a_file_is_read_by_the_formats_of_a_job(
    name: str, content: bytes, key: str, series: Any, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    status, config = init_command.init(tmp_path, str(tmp_path / name), "--yes", "--url", "https://api.example.com/a")

    assert status == 0
    assert key in config.read_text().replace('"', "")
    assert series in init_command.recorded_series(config)


def test_a_file_without_url_leaves_a_place_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text('{"v": 1}')
    _, config = init_command.init(tmp_path, str(tmp_path / "a.json"), "--yes")

    assert "url: https://CHANGE.ME/" in config.read_text()
    assert "write the address of the API into" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "values", "kind", "keys"),
    [
        ("v", [1, 2.5], Kind.NUMBER, {}),
        ("ok", [True, False], Kind.NUMBER, {}),
        ("icon", ["10d"], Kind.PROSE, {}),
        ("price", ["97.5", "97"], Kind.NUMBER, {}),
        ("cpu", ["7%", "63.5 %"], Kind.NUMBER, {"value_format": "percent"}),
        ("mem", ["32 GB"], Kind.NUMBER, {"value_format": "quantity"}),
        ("up", ["1d22h", "312:05:09"], Kind.NUMBER, {"value_format": "duration"}),
        ("on", ["on", "off"], Kind.NUMBER, {"value_format": "boolean"}),
        ("balance", ["1.234,56 €"], Kind.NUMBER, {"value_format": '{number: {decimal: ",", thousands: "."}}'}),
        ("flags", ["0x1F"], Kind.NUMBER, {"value_format": "hex"}),
        ("took_ms", [12], Kind.NUMBER, {"scale": "1e-3"}),
        ("minutes", ["17", "Leaving"], Kind.NUMBER, {"value_map": '{"Leaving": null}', "value_format": "number"}),
        ("state", ["RUNNING", "PAUSED"], Kind.STATE, {}),
        ("id", [11, 12], Kind.IDENTIFIER, {}),
        ("port", ["8080"], Kind.IDENTIFIER, {}),
        ("host", ["web-1"], Kind.LABEL, {}),
        ("version", ["1.0.1"], Kind.LABEL, {}),
        ("url", ["https://a.example/"], Kind.PROSE, {}),
        ("size", ["1.2gb", "208.4kb"], Kind.PROSE, {}),
        ("icon", ["01d"], Kind.PROSE, {}),
        ("time", [1_795_961_000], Kind.TIME, {}),
        ("created", ["2026-11-29T13:00:00Z"], Kind.TIME, {}),
        ("count", [1_500_000_000], Kind.NUMBER, {}),
        ("v", [None], Kind.PROSE, {}),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_a_column_is(key: str, values: list[Any], kind: Kind, keys: dict[str, str]) -> None:
    column = classified(Column(f"\0{key}", (key,), values), NOW_MS)

    assert column.kind is kind
    assert dict(column.reading.keys) == keys


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["apiRequestCount"], "usage_api_request_count"),
        (["05. price"], "usage_05_price"),
        (["Température °C"], "usage_temperature_deg_c"),
        (["usages", "HTTPServerErrors"], "usage_http_server_errors"),
        (["日本"], "usage"),
        (["sessionEnergyKWh"], "usage_session_energy_kwh"),
        (["energykWh"], "usage_energy_kwh"),
        (["freqMHz", "signal_dBm"], "usage_freq_mhz_signal_dbm"),
        (["HVAC", "DBName", "whale"], "usage_hvac_db_name_whale"),
    ],
)
def test_names_of_metrics(words: list[str], name: str) -> None:
    assert metric_name("usage", words) == name


@pytest.mark.parametrize(
    ("key", "name"),
    [("projectCode", "projectCode"), ("tag.Context", "tag_Context"), ("job", "exported_job"), ("1min", "_1min"),
     ("__x", "x"), ("°", "deg")],
)  # fmt: skip
def test_names_of_labels(key: str, name: str) -> None:
    assert label_name(key) == name


@pytest.mark.parametrize(
    ("word", "one"),
    [("queues", "queue"), ("entries", "entry"), ("boxes", "box"), ("status", "status"), ("address", "address"),
     ("disk", "disk"), ("metrics", "metrics")],
)  # fmt: skip
def test_singular(word: str, one: str) -> None:
    assert singular(word) == one


@pytest.mark.parametrize(
    ("document", "headers", "keys"),
    [
        ([], [("Link", '</x?page=2>; rel="next"')], {"style": "link_header"}),
        ({"next": "https://api.example.com/x?page=2"}, [], {"style": "next_link", "path": "next"}),
        ({"_links": {"next": {"href": "/x?page=2"}}}, [], {"style": "next_link", "path": "_links.next.href"}),
        ({"@odata.nextLink": "/x?p=2"}, [], {"style": "next_link", "path": '"@odata.nextLink"'}),
        ({"startAt": 0, "total": 5, "issues": [1, 2]}, [],
         {"style": "offset", "parameter": "startAt", "total": "total"}),
        ({"page": 1, "total_pages": 4, "data": [1]}, [], {"style": "page", "parameter": "page"}),
        ({"next": "https://other.example.com/x?page=2"}, [], {}),
        ({"next_cursor": "abc"}, [], {}),
        ({"total": 5, "data": [1, 2]}, [], {}),
        ({"total": 2, "data": [1, 2]}, [], None),
        ({"next": None}, [], None),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_pages(document: Any, headers: list[tuple[str, str]], keys: dict[str, str] | None) -> None:
    """Without keys a comment asks; None is an answer of one page."""
    found = paging_of(document, Headers(headers), "https://api.example.com/x")

    assert (found.keys if found else None) == keys
    assert found is None or found.keys or found.note.count("?") == 1


@pytest.mark.parametrize(
    "text",
    ["a", "a.b", "[]", "@", "@key", "^.x", "$.x", '"a b".c', "it's", "true", "null", "1", "1e3", "a: b", "a #b", "",
     " a", "\\", "\n", "ü", "- a", "{x}", "columns({a: b})", "x[?y == 'z']", "~", "12:30", "yes", "! a", "é\u0007"],
)  # fmt: skip
def test_a_text_reads_back_as_itself_from_yaml(text: str) -> None:
    for in_flow in (False, True):
        line = f"{{k: {scalar(text, in_flow=True)}}}" if in_flow else f"k: {scalar(text)}"
        node = compose(line, "x.yaml", Diagnostics("x.yaml"))
        assert node.value[0][1].value == text  # type: ignore[union-attr, index]


def test_the_session_of_the_documentation_gives_its_config() -> None:
    page = (Path(__file__).parents[3] / "docs" / "init.md").read_text()
    block = page.partition("```yaml\n")[2].partition("```")[0]
    at = NOW_MS // 1000 - 12
    document = [{"currentTime": at, "apiRequestCount": 3015, "projectCode": "4"},
                {"currentTime": at, "apiRequestCount": 17470, "projectCode": "5"}]  # fmt: skip
    proposal, prompts = init_command.questioned(document, ["", "", ""], prefix="usage")
    request = Request("https://api.example.com/usage")
    text = json_job(Draft("pusher.yaml", "usage", "1m", request, proposal, NOW_MS))

    assert block in text
    assert all(prompt.strip() in page for prompt in prompts)
