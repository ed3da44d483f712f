"""docs/json.md: every block of the cookbook runs, and gives the samples that it shows; so do those of the guides."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.server import Answer, Request
from tests.rig.clouds import Ec2
from tests.rig.cookbook import OF_GUIDES, PAGE, RECIPES, Recipe, clock_ms
from tests.rig.json_source import SYNTHETIC, Rig, counts, dropped, number
from tests.rig.tables import table

pytestmark = pytest.mark.slow  # every recipe is pushed and planned

CLOCK_MS = clock_ms()
LANGUAGES = re.compile(r"(?:(?:json|csv|xml|ndjson|http) )+yaml text")
SECRETS = re.findall(r"env:(\w+)", PAGE)
Point = tuple[Mapping[str, str], float, int]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as made:
        made.clock.ms = CLOCK_MS
        made.env_vars = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", *SECRETS), "x-4711-secret")
        yield made


class Cloud:
    """A boto3 session whose EC2 has the instances of a recipe."""

    def __init__(self, recipe: Recipe) -> None:
        self._ec2 = Ec2(recipe.instances)

    def __call__(self, profile: str, region: str) -> Cloud:
        return self

    def client(self, service: str, **options: Any) -> Ec2:
        assert service == "ec2"
        return self._ec2


def served(rig: Rig, recipe: Recipe) -> str:
    """The recipe's config, with the rig as the proxy through which every address is asked, without TLS. Several answers
    of one address are given in turn."""
    answers: dict[str, list[Answer]] = {}
    for place, answer in recipe.answers():
        answers.setdefault(_plain(place), []).append(_with_plain_links(answer))

    wanted = {_plain(place): header for place, header in recipe.wanted.items()}

    def respond(request: Request) -> Answer:
        url = request.path + (f"?{request.query}" if request.query else "")
        name, value = wanted.get(url, ("Host", request.headers["Host"]))
        if request.headers.get(name) != value:
            return Answer(401)
        found = answers.get(url, [Answer(404)])
        return found.pop(0) if len(found) > 1 else found[0]

    for place in answers:
        rig.api.serve(place.partition("?")[0], respond)
    rig.session = Cloud(recipe)
    if "scrape_interval: 1d" in recipe.config:
        rig.env_vars["PUSHER_TICK"] = "1d"  # so that its job is due
    proxied = rf"\g<0>\n\1  proxy_url: {rig.api.url}"
    config = re.sub(r"^( *)- (?:job_name|url): .*$", proxied, _plain(recipe.config), flags=re.M)
    return re.sub(r"^( *)oauth2:$", proxied, config, flags=re.M)


def _plain(text: str) -> str:
    return text.replace("https://", "http://").replace("scheme: https", "scheme: http")


def _with_plain_links(answer: Answer) -> Answer:
    headers = {name: _plain(text) for name, text in answer.headers.items()}
    body = _plain(answer.body.decode("latin-1")).encode("latin-1")  # any bytes
    return replace(answer, headers=headers, body=body)


def shown(points: Iterable[Point], recipe: Recipe) -> list[str]:
    """Samples as the page shows them: without the synthetic series, job and instance where the recipe has none."""
    text = "\n".join(recipe.samples)
    hidden = {name for name in ("job", "instance") if f'{name}="' not in text}
    names = {re.split("[{ ]", line)[0] for line in recipe.samples}
    return [
        _line(labels, value, at_ms, hidden)
        for labels, value, at_ms in points
        if labels["__name__"] in names or labels["__name__"] not in SYNTHETIC
    ]


def _line(labels: Mapping[str, str], value: float, at_ms: int, hidden: set[str]) -> str:
    listed = [f'{name}="{text}"' for name, text in sorted(labels.items()) if name not in {*hidden, "__name__"}]
    series = labels["__name__"] + (f"{{{','.join(listed)}}}" if listed else "")
    return f"{series} {number(value)}" + (f" {at_ms}" if at_ms != CLOCK_MS else "")


def without_tls(warnings: Iterable[str]) -> list[str]:
    """Those that are not about what `_plain` takes away."""
    return [one for one in warnings if "over http://" not in one]


def first_of_each(lines: Iterable[str]) -> list[str]:
    """The first sample of each series."""
    found: dict[str, str] = {}
    for line in lines:
        found.setdefault(line.split("} ")[0] if "{" in line else line.split()[0], line)
    return list(found.values())


recipes: Callable[..., Any] = table("recipe", [(recipe.title, recipe) for recipe in [*RECIPES, *OF_GUIDES]])


@recipes
def test_a_push_gives_the_samples_that_are_shown(rig: Rig, recipe: Recipe) -> None:
    report = rig.app_of(served(rig, recipe)).handle({}, None)
    points = [(dict(labels), *point[::-1]) for labels, found in rig.receiver.samples.items() for point in found]
    assert sorted(shown(points, recipe)) == sorted(recipe.samples), report
    assert report["ok"] is ("up 0" not in recipe.samples), report
    assert without_tls(report["warnings"]) == []
    assert {reason for job in report["jobs"] for reason in counts(job.get("skipped", {}))} <= {"null_ignored"}
    assert (dropped(report), rig.receiver.refused) == ({}, 0)


@recipes
def test_every_answer_is_asked_for(rig: Rig, recipe: Recipe) -> None:
    rig.app_of(served(rig, recipe)).handle({}, None)
    asked = {request.path + (f"?{request.query}" if request.query else "") for request in rig.api.requests}
    assert asked == {_plain(place) for place, _ in recipe.answers()}


@recipes
def test_a_plan_shows_the_values(rig: Rig, recipe: Recipe) -> None:
    """Of each series the first sample."""
    plan = rig.app_of(served(rig, recipe)).handle({"action": "plan"}, None)
    metrics = [metric for job in plan["jobs"] for metric in job["metrics"]]
    points = [(one["after"], one["value"], one["timestamp_ms"]) for metric in metrics for one in metric["shown"]]
    expected = [line for line in recipe.samples if not re.match("up[{ ]", line)]
    assert sorted(shown(points, recipe)) == sorted(first_of_each(expected))
    assert (plan["ok"], without_tls(plan["warnings"])) == ("up 0" not in recipe.samples, [])
    assert [name for metric in metrics for name in metric.get("labels_not_found", ())] == []


def test_every_block_is_part_of_a_recipe() -> None:
    """Answers, the config, the samples, in this order."""
    orders = {recipe.title: " ".join(block["language"] for block in recipe.blocks) for recipe in RECIPES}
    assert {title: order for title, order in orders.items() if not LANGUAGES.fullmatch(order)} == {}
    fences = re.findall(r"^ *(?:```|~~~)", PAGE, re.M)
    assert len(fences) == 2 * sum(len(recipe.blocks) for recipe in RECIPES)


def test_the_table_at_the_top_has_every_recipe_once() -> None:
    table_at_top = PAGE.partition("\n## ")[0]
    linked = re.findall(r"\[([^\]]+)\]\(#[\w-]+\)", "\n".join(re.findall(r"^\|.*", table_at_top, re.M)))
    assert linked == [recipe.title for recipe in RECIPES]
