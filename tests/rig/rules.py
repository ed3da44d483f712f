"""The rules of rules/pusher.yaml and the cases of tests/rules, as values."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from generate.rules import RULES
from tests.rig.yaml_files import read_yaml

TEST_FILES = sorted((Path(__file__).parents[1] / "rules").glob("*.test.yaml"))
_OWN = re.compile(r"\b(?:pusher_\w+|up)\b")


@cache
def groups() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_yaml(RULES)["groups"]
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in groups() for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded() -> dict[str, str]:
    """Expressions by the name of the series that they record."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def series_behind(expression: str) -> set[str]:
    """The names of the pusher's own series that an expression reads, also through recorded ones."""
    through = [one for name, one in recorded().items() if name in expression]
    rest = re.sub(r"\b\w+:\w+:\w+\b", "", expression)
    return set(_OWN.findall(rest)).union(*map(series_behind, through))


@cache
def cases() -> list[dict[str, Any]]:
    """Every case of the test files."""
    return [case for path in TEST_FILES for case in read_yaml(path)["tests"]]


def fired(case: dict[str, Any]) -> set[str]:
    """The alerts that fire in a case, at any of its times."""
    labels = [sample["labels"] for check in case["promql_expr_test"] for sample in check["exp_samples"]]
    return {name for one in labels for name in re.findall(r'alertname="(\w+)"', one)}
