"""`pusher convert` as a person uses it: output, files, exit statuses, and what docs/convert.md shows."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from lambda_remote_write_cli.convert import convert
from lambda_remote_write_cli.convert.jsonpath import label_expression, single_path
from lambda_remote_write_cli.main import main
from tests.rig.command_line import pusher

ROOT = Path(__file__).parents[3]
INPUT = ROOT / "tests" / "testdata" / "convert" / "prometheus-documented" / "input.yaml"
DOCUMENTATION = (ROOT / "docs" / "convert.md").read_text()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "in.yaml"
    path.write_text("scrape_configs: [{job_name: a}]\nremote_write: [{url: 'https://a.example/w'}]\nrule_files: [x]\n")
    return path


def test_as_a_process(tmp_path: Path) -> None:
    """The result on stdout, the losses on stderr, and a config that `check` finds good."""
    result = pusher("convert", INPUT.parents[1] / "adot-collector" / "input.yaml")
    assert (result.returncode, result.stderr) == (0, "")
    path = tmp_path / "ours.yaml"
    path.write_text(result.stdout)
    checked = pusher("check", path, AWS_REGION="eu-west-1")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_dropped_have_file_and_line(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(written)]) == 0
    assert capsys.readouterr().err.startswith(f"{written}:3: rule_files: needs a Prometheus server")


def test_json(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(written), "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert captured.err == ""
    assert (found["ok"], found["from"], found["problems"]) == (True, "prometheus", [])
    assert found["config"].startswith("# Converted by pusher convert from a prometheus.yml (in.yaml)")
    (dropped,) = found["dropped"]
    assert (dropped["path"], dropped["line"]) == ("rule_files", 3)
    assert dropped["why"].startswith("needs a Prometheus server")


def test_output_goes_to_a_file_once(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An existing file is not overwritten unless that is said."""
    out = tmp_path / "out.yaml"
    assert main(["convert", str(written), "-o", str(out)]) == 0
    assert capsys.readouterr().out == ""
    first = out.read_text()
    assert "job_name: a" in first
    out.write_text("mine")
    assert main(["convert", str(written), "-o", str(out)]) == 2
    assert capsys.readouterr().err == f"{out}: the file is there already; --force overwrites it\n"
    assert out.read_text() == "mine"
    assert main(["convert", str(written), "-o", str(out), "--force"]) == 0
    assert out.read_text() == first


def test_output_that_cannot_be_written(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(written), "-o", str(tmp_path / "no" / "where.yaml")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"scrape_configs: [{job_name: a}]\n")))
    assert main(["convert", "-"]) == 0
    assert "(stdin)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"a: [\n", ":2: not YAML: "),
        (b"", ":1: the file is empty"),
        (b"- a\n", ":1: a map of keys is expected at the top, not a list"),
        (b"what: 1\n", ":1: nothing here says what this is. Expected are the keys "),
        (b"a: \xff\n", ": not UTF-8 text: byte 3 is 0xff"),
        (b"global: {}\nglobal: {}\n", ":2: global: the key stands twice in this map"),
    ],
)
def test_unreadable(content: bytes, detail: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, and what is wrong at which line; the same as JSON."""
    path = tmp_path / "in.yaml"
    path.write_bytes(content)
    assert main(["convert", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"{path}{detail}")
    assert main(["convert", str(path), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_no_such_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(tmp_path / "none.yaml")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_mistakes_of_the_input_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What our reader would refuse and only a person can decide: the result is there, but exit status 2."""
    path = tmp_path / "in.yaml"
    path.write_text("scrape_configs:\n- job_name: a\n  scrape_interval: 1.5m\n  relabel_config: []\n")
    assert main(["convert", str(path)]) == 2
    captured = capsys.readouterr()
    assert "scrape_interval: 1.5m" in captured.out
    assert "to do by hand: the result:5: scrape_configs[0].scrape_interval: '1.5m' is not allowed" in captured.err
    assert 'did you mean "relabel_configs"' in captured.err
    assert main(["convert", str(path), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    assert [one["path"] for one in found["problems"]] == [
        "scrape_configs[0].scrape_interval",
        "scrape_configs[0].relabel_config",
    ]


def test_the_kind_can_be_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is two things at once is what most of its keys say, or what is said."""
    path = tmp_path / "in.yaml"
    path.write_text("modules: {m: {metrics: [{name: a, path: '{.a}'}]}}\nglobal: {}\nscrape_configs: []\n")
    assert main(["convert", str(path), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["from"] == "prometheus"
    assert main(["convert", str(path), "--json", "--from", "json_exporter"]) == 0
    assert json.loads(capsys.readouterr().out)["from"] == "json_exporter"


def test_variables_of_the_collector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "in.yaml"
    path.write_text(
        "receivers: {prometheus: {config: {scrape_configs: [{job_name: a}]}}}\n"
        "exporters:\n  prometheusremotewrite:\n    endpoint: ${env:URL}\n"
    )
    assert main(["convert", str(path)]) == 0
    assert "url: https://CHANGE.ME/" in capsys.readouterr().out
    assert main(["convert", str(path), "--env", "URL=https://a.example/w"]) == 0
    assert "url: https://a.example/w" in capsys.readouterr().out
    with pytest.raises(SystemExit) as raised:
        main(["convert", str(path), "--env", "URL"])
    assert raised.value.code == 2
    assert "NAME=VALUE is expected" in capsys.readouterr().err


def test_targets_of_json_exporter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = INPUT.parents[1] / "json-exporter-targets"
    prometheus = folder / "prometheus.yaml"
    assert main(["convert", str(folder / "input.yaml"), "--prometheus", str(prometheus)]) == 0
    assert capsys.readouterr().out == (folder / "expected.yaml").read_text()
    assert main(["convert", str(folder / "input.yaml"), "--prometheus", str(tmp_path / "none")]) == 2


def test_exact(capsys: pytest.CaptureFixture[str]) -> None:
    folder = INPUT.parents[1] / "json-exporter-exact"
    assert main(["convert", str(folder / "input.yaml"), "--exact"]) == 0
    assert capsys.readouterr().out == (folder / "expected.yaml").read_text()


# --- What the documentation shows ------------------------------------------------------------------------------------


def test_the_example_is_real() -> None:
    written, shown = re.findall(r"```yaml\n(.*?)```", DOCUMENTATION, re.S)
    assert convert(written, "je.yml").config == shown


def test_every_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["convert", "--help"])
    options = set(re.findall(r"--[a-z]+", capsys.readouterr().out)) - {"--help", "--output", "--verbose", "--quiet"}
    assert options == set(re.findall(r"--[a-z]+", DOCUMENTATION))


@pytest.mark.parametrize(
    ("path", "expression"),
    [
        ("{.a.b}", "a.b"),
        ("{.a['b-c']}", 'a."b-c"'),
        ("{.a[0]}", "a[0]"),
        ("{.a[-1]}", "a[-1]"),
        ("{.a[0:2]}", "a[0:2]"),
        ("{.a['x','y']}", "a.[x, y][*]"),
        ('{.a[?(@.b == "x")]}', "a[?b == 'x']"),
        ("{.a[?(@.b)]}", "a[?b != `null`]"),
    ],
)
def test_the_table_of_paths_is_right(path: str, expression: str) -> None:
    assert path.removesuffix("}") in DOCUMENTATION or "@.b" in path
    assert expression.removesuffix("[*]") in DOCUMENTATION
    assert single_path(path, "path").text == expression


def test_the_table_of_templates_is_right() -> None:
    assert label_expression("beta") == "'beta'"
    assert "join('', ['eu-', to_string(zone)])" in label_expression("eu-{.zone}")
