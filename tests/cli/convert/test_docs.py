"""docs/convert.md shows what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lambda_remote_write_cli.convert import command, convert
from lambda_remote_write_cli.convert.jsonpath import label_expression, single_path

TEXT = (Path(__file__).parents[3] / "docs" / "convert.md").read_text()


def test_the_example_is_real() -> None:
    written, shown = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
    assert convert(written, "je.yml").config == shown


def test_every_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command(["--help"])
    options = set(re.findall(r"--[a-z]+", capsys.readouterr().out)) - {"--help", "--output"}
    assert options == set(re.findall(r"--[a-z]+", TEXT))


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
    assert path.removesuffix("}") in TEXT or "@.b" in path
    assert expression.removesuffix("[*]") in TEXT
    assert single_path(path, "path").text == expression


def test_the_table_of_templates_is_right() -> None:
    assert label_expression("beta") == "'beta'"
    assert "join('', ['eu-', to_string(zone)])" in label_expression("eu-{.zone}")
