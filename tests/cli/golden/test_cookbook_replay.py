"""The recipes of docs/json.md as golden tests: what the page shows is what a recorded answer gives, without network,
AWS or environment."""

from __future__ import annotations

from pathlib import Path

from lambda_remote_write_cli.golden.file import Answer, GoldenTest
from lambda_remote_write_cli.golden.run import run
from lambda_remote_write_cli.golden.sample_line import SampleLine, parse_line
from tests.rig.cookbook import RECIPES, Recipe, clock_ms
from tests.rig.tables import table


@table("recipe", [(recipe.title, recipe) for recipe in RECIPES if not recipe.instances])
def test_a_recorded_answer_gives_the_samples_that_are_shown(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "pusher.yaml"
    path.write_text(recipe.config)
    answers = [
        Answer(url, one.status, tuple(one.headers.items()), one.body, method)
        for url, one in recipe.answers()
        for method in ("GET", "POST")  # the page does not say which is asked
    ]
    found = run(GoldenTest("recipe", clock_ms(), answers, ()), path)
    assert found.unrecorded == []
    expected = [parse_line(line) for line in recipe.samples]
    hidden = {"job", "instance"} - {name for line in expected for name in line.labels}
    names = {line.labels["__name__"] for line in expected}
    shown = [without(line, hidden) for line in found.samples if line.labels["__name__"] in names]
    assert sorted(map(str, shown)) == sorted(map(str, (timed(line) for line in expected)))


def without(line: SampleLine, hidden: set[str]) -> SampleLine:
    labels = {name: value for name, value in line.labels.items() if name not in hidden}
    text = ",".join(f'"{name}"="{value}"' for name, value in labels.items() if name != "__name__")
    return parse_line(f"{labels['__name__']}{{{text}}} {line.value} {line.timestamp_ms}")


def timed(line: SampleLine) -> SampleLine:
    """The page leaves out a time that is the clock's."""
    return line if line.timestamp_ms is not None else parse_line(f"{line} {clock_ms()}")
