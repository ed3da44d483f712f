"""`pusher schema`: the schema on standard output or in a file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lambda_remote_write_cli.main import main
from lambda_remote_write_cli.schema import BESIDE, FILE, FIRST_LINE

ROOT = Path(__file__).parents[2]
NAMES_IT = "# yaml-language-server: $schema="
SAMPLES = [
    ROOT / "functions" / "lambda_remote_write" / "config.yaml",
    *sorted((ROOT / "examples").glob("*/config.yaml")),
    *sorted((ROOT / "examples").glob("[!c]*/prometheus.yml")),
]


@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_it_is_printed(json_option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", *json_option]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["definitions"]["relabel_config"]["properties"]["action"]["default"] == "replace"
    assert (out, err) == (FILE.read_text(encoding="utf-8"), "")


def test_it_is_written_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under the name that the first line of a config has, also in place of an older one."""
    place = tmp_path / BESIDE
    place.write_text("{}")
    assert main(["schema", "-o", str(place)]) == 0
    assert place.read_bytes() == FILE.read_bytes()
    assert capsys.readouterr() == ("", "")
    assert f"{NAMES_IT}{place.name}" == FIRST_LINE


def test_a_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "missing" / BESIDE
    assert main(["schema", "-o", str(place)]) == 2
    assert capsys.readouterr() == ("", f"{place} cannot be written: {os.strerror(2)}\n")
    assert main(["schema", "--json", "-o", str(place)]) == 2
    assert json.loads(capsys.readouterr().out)["problems"][0]["message"].startswith(str(place))


def test_a_config_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "pusher.yaml"
    place.write_text("global: {}\n")
    assert main(["schema", "-o", str(place)]) == 2
    assert "is another file" in capsys.readouterr().err
    assert place.read_text() == "global: {}\n"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_first_line_of_a_sample_names_it(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(NAMES_IT)
    assert (path.parent / first.removeprefix(NAMES_IT)).resolve() == FILE


def test_there_are_samples() -> None:
    assert len(SAMPLES) == 5
