"""Random pages, rules and limits, given to a real Prometheus and to this product: samples, counters and markers of both
are the same. One process scrapes for all of them, and the seeds are fixed.

tests/test_relabel_prometheus.py compares chosen rules, by the labels that Prometheus shows of its targets.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from lambda_remote_write.relabel import Action
from tests.rig import scrape as rig
from tests.rig.needs import Peer
from tests.rig.scrape import OPENMETRICS, TEXT, Labels, Scrapes, Sink, Site, text

COUNT, ROUNDS = 240, 2
VALUES = ["", "1", "2", "ab", "ä", "b;c", "x" * 20, "A"]
REGEXES = ["(.*)", "", "a.*", "(a|b)(.*)", ".+", "[^1]*", "(?i)A", "(?P<x>.)(?P<y>.*)", "x+", ".*;.*"]
REPLACEMENTS = ["$1", "", "r", "${1}x", "$y$x", "$$"]


@dataclass(frozen=True, slots=True)
class Words:
    """The names of one case: of metrics, of labels on the page, of those of a target, and what else rules make."""

    metrics: Sequence[str]
    labels: Sequence[str]
    own: Sequence[str]
    targets: Sequence[str] = ("out",)
    mapped: Sequence[str] = ("m_$1", "${1}_m", "$1")


LEGACY = Words(("a", "b", "c_total"), ("x", "y", "long_label_name", "le"), ("t", "u", "job", "instance"))
UTF8 = Words(
    ("a", "a.b", "é"),
    ("x", "x.y", "label with spaces", "le"),
    ("t", "http.route", "ü", "job", "instance"),
    ("out", "out.of", "${1}", "t-$1", "ö$1"),
    ("m.$1", "${1} m", "$1", "m_$1"),
)
NEVER_DROPPED = "__name__|case|__address__|__scheme__|__metrics_path__|__scrape_.*"


@dataclass(frozen=True, slots=True)
class Case:
    """A job of some targets, which all serve one page. `keys` are its config."""

    id: str
    body: str
    content_type: str
    targets: Sequence[dict[str, str]]
    keys: dict[str, Any] = field(default_factory=dict)


def quoted(name: str) -> str:
    return name if name.isascii() and name.isidentifier() else f'"{name}"'


def page(draw: random.Random, words: Words, *, is_openmetrics: bool) -> str:
    lines = [line(draw, words) for _ in range(draw.randint(0, 6))]
    if lines and draw.random() < 0.3:
        lines.append(draw.choice(lines))
    if draw.random() < 0.1:
        lines.insert(draw.randint(0, len(lines)), draw.choice(["a{", "b", "a 1 ", "x{l=1} 2", "a y"]))
    if draw.random() < 0.3:
        lines.insert(
            0, f"# TYPE {quoted(words.metrics[0])} {draw.choice(['gauge', 'histogram', 'counter', 'summary'])}"
        )
    return "".join(f"{one}\n" for one in lines) + ("# EOF\n" if is_openmetrics else "")


def line(draw: random.Random, words: Words) -> str:
    names = draw.sample(words.labels, draw.randint(0, 3))
    if draw.random() < 0.2:
        names.append(draw.choice(words.own))
    labels = [f'{quoted(name)}="{draw.choice(VALUES)}"' for name in names]
    metric = draw.choice(words.metrics)
    if quoted(metric) != metric:
        return f"{{{','.join([quoted(metric), *labels])}}} {draw.randint(0, 9)}"
    return f"{metric}{{{','.join(labels)}}} {draw.randint(0, 9)}" if labels else f"{metric} {draw.randint(0, 9)}"


def rules(draw: random.Random, words: Words, names: Sequence[str], case: str) -> list[dict[str, Any]]:
    """Some rules, and one that puts back the label by which the case is known."""
    found = [rule(draw, words, names) for _ in range(draw.choice([0, 0, 1, 1, 2, 3]))]
    return [*found, {"target_label": "case", "replacement": case}] if found else []


def rule(draw: random.Random, words: Words, names: Sequence[str]) -> dict[str, Any]:
    action = draw.choice([*Action, Action.REPLACE, Action.REPLACE])
    some = "|".join(draw.sample(names, 2))
    if action == Action.LABELDROP:
        return {"action": "labeldrop", "regex": some}
    if action == Action.LABELKEEP:
        return {"action": "labelkeep", "regex": f"{NEVER_DROPPED}|{some}"}
    if action == Action.LABELMAP:
        return {"action": "labelmap", "regex": f"({some})", "replacement": draw.choice(words.mapped)}
    given: dict[str, Any] = {"source_labels": draw.sample(names, draw.randint(1, 2)), "action": action.value}
    if action in (Action.REPLACE, Action.KEEP, Action.DROP):
        given["regex"] = draw.choice(REGEXES)
    if action == Action.REPLACE:
        given["replacement"] = draw.choice(REPLACEMENTS)
    if action == Action.HASHMOD:
        given["modulus"] = draw.randint(1, 2**64 - 1)
    if action not in (Action.KEEP, Action.DROP):
        templates = [one for one in words.targets if "$" not in one or action == Action.REPLACE]
        given["target_label"] = draw.choice([*names, *templates])
    return given


def limits(draw: random.Random, body: str) -> dict[str, Any]:
    size = len(body.encode())
    every = {
        "body_size_limit": f"{max(size + draw.randint(-2, 2), 1)}B",
        "sample_limit": draw.randint(1, 5),
        "label_limit": draw.randint(4, 8),
        "label_name_length_limit": draw.randint(7, 16),
        "label_value_length_limit": draw.randint(14, 21),
        "target_limit": draw.randint(1, 3),
    }
    return {key: every[key] for key in draw.sample(list(every), draw.choice([0, 0, 1, 1, 2]))}


def made(number: int, words: Words, prefix: str) -> Case:
    """The case of a seed."""
    draw, name = random.Random(f"{prefix}{number}"), f"{prefix}{number}"
    is_openmetrics = draw.random() < 0.3
    body = page(draw, words, is_openmetrics=is_openmetrics)
    targets = [
        {one: draw.choice(VALUES) for one in draw.sample(words.own, draw.randint(0, 2))} | {"case": name}
        for _ in range(draw.choice([1, 1, 1, 3]))
    ]
    keys: dict[str, Any] = {
        "metric_relabel_configs": rules(draw, words, ["__name__", *words.labels, *words.own], name),
        "relabel_configs": rules(draw, words, [*words.own, "__tmp", "__param_p"], name),
        "honor_labels": draw.random() < 0.3,
        **limits(draw, body),
    }
    return Case(name, body, OPENMETRICS if is_openmetrics else TEXT, targets, keys)


CASES = [
    *(made(number, LEGACY, "legacy") for number in range(COUNT)),
    *(made(number, UTF8, "utf8-") for number in range(COUNT // 2)),
]
BY_ID = {one.id: one for one in CASES}


def job_of(one: Case, site: Site) -> dict[str, Any]:
    groups = [{"targets": [site.address], "labels": labels} for labels in one.targets]
    return {"job_name": one.id, "metrics_path": f"/{one.id}", "static_configs": groups, **one.keys}


@pytest.fixture(scope="module")
def seen(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Scrapes]]:
    """By client and case. Cases whose targets are all dropped are absent."""
    binary = peer("prometheus")
    pages = {one.id: [text(one.body, one.content_type)] for one in CASES}
    with Site(pages) as site, Sink(lambda: "push") as sink:
        jobs = [job_of(one, site) for one in CASES]
        with rig.Lambda(rig.config_text(jobs, sink, extra_scrape_metrics=True)) as function:
            for _ in range(ROUNDS + 1):
                function.push()
        expected = sink.cases("push", 2)

        def missing() -> list[str]:
            real = sink.cases("prometheus", 2)
            return [name for name in expected if len(real.get(name, Scrapes({}, {})).times()) <= ROUNDS]

        folder = tmp_path_factory.mktemp("random")
        with rig.prometheus_agent(binary, rig.config_text(jobs, sink), folder) as agent:
            rig.wait_until_none(missing, [agent])
        return {client: sink.cases(client, 2) for client in ("prometheus", "push")}


def first_values(scrapes: Scrapes) -> dict[Labels, set[str]]:
    """The first values of each series, but for how long a scrape took. Where a limit fails every scrape, a later one
    that is cut short, as at the end of the process, ends series that never began: that is none of the first scrapes."""
    first = {labels: sorted(points.items())[:ROUNDS] for labels, points in scrapes.points.items()}
    compared_ms = max((points[-1][0] for points in first.values() if points[0][1] != rig.STALE), default=0)
    first = {labels: points for labels, points in first.items() if points[0][0] <= compared_ms}
    return {
        labels: set() if dict(labels)["__name__"] == "scrape_duration_seconds" else {value for _, value in points}
        for labels, points in first.items()
    }


@pytest.mark.parametrize("name", BY_ID)
def test_same_scrapes(seen: dict[str, dict[str, Scrapes]], name: str) -> None:
    """A job with one target is compared scrape by scrape; of several, the first values of each series."""
    real, ours = (seen[client].get(name, Scrapes({}, {})) for client in ("prometheus", "push"))
    if len(BY_ID[name].targets) == 1:
        assert ours.rounds(ROUNDS) == real.rounds(ROUNDS), BY_ID[name]
    else:
        assert first_values(ours) == first_values(real), BY_ID[name]


def test_the_cases_reach_everything() -> None:
    """All actions, on targets and on samples, and all limits."""
    for key in ("relabel_configs", "metric_relabel_configs"):
        assert {one["action"] for case in CASES for one in case.keys[key] if "action" in one} == set(Action)
    assert {key for case in CASES for key in case.keys if key.endswith("_limit")} == {
        "body_size_limit", "sample_limit", "label_limit", "label_name_length_limit", "label_value_length_limit",
        "target_limit",
    }  # fmt: skip
