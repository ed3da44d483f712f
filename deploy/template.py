"""The parameters of template.yaml, in the order in which SAM asks for them, and what each may be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).parents[1] / "template.yaml"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of the template's. Values are texts, as CloudFormation has them; a list is joined by commas."""

    name: str
    label: str
    default: str
    description: str
    is_list: bool
    is_number: bool
    allowed: Sequence[str]
    pattern: str
    smallest: int | None
    largest: int | None
    constraint: str

    def refusal(self, value: str) -> str:
        """Why CloudFormation would refuse the value, or an empty text."""
        if not value.isprintable():
            return "is a text without line breaks and control characters"
        if self.allowed and value not in self.allowed:
            return f"is one of {', '.join(self.allowed)}"
        if self.is_number and not self._is_in_range(value):
            return f"is a number from {self.smallest} to {self.largest}"
        if self.pattern and not re.fullmatch(self.pattern, value):
            return self.constraint or f"matches {self.pattern}"
        return ""

    def _is_in_range(self, value: str) -> bool:
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            return False
        return (self.smallest is None or int(value) >= self.smallest) and (
            self.largest is None or int(value) <= self.largest
        )


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that the console shows under one heading."""

    label: str
    parameters: Sequence[Parameter]


class _Loader(yaml.SafeLoader):
    """YAML in which CloudFormation's functions (`!Ref`) are nothing."""


_Loader.add_multi_constructor("!", lambda *_: None)


@cache
def groups(path: Path = TEMPLATE) -> list[Group]:
    """Read once: that takes a second."""
    template: dict[str, Any] = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a SafeLoader
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    labels = {name: one["default"] for name, one in interface["ParameterLabels"].items()}
    given = template["Parameters"]
    return [
        Group(one["Label"]["default"], [_parameter(name, labels[name], given[name]) for name in one["Parameters"]])
        for one in interface["ParameterGroups"]
    ]


def parameters(path: Path = TEMPLATE) -> dict[str, Parameter]:
    return {one.name: one for group in groups(path) for one in group.parameters}


def nearest(name: str, known: Mapping[str, Parameter]) -> str:
    """The parameter whose name is most like this one, for a message; empty when none is."""
    by_lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[found[0]] if found else ""


def _parameter(name: str, label: str, given: Mapping[str, Any]) -> Parameter:
    return Parameter(
        name=name,
        label=label,
        default=str(given["Default"]),
        description=" ".join(given["Description"].split()),
        is_list=given["Type"] == "CommaDelimitedList",
        is_number=given["Type"] == "Number",
        allowed=[str(one) for one in given.get("AllowedValues", ())],
        pattern=given.get("AllowedPattern", ""),
        smallest=given.get("MinValue"),
        largest=given.get("MaxValue"),
        constraint=" ".join(given.get("ConstraintDescription", "").split()),
    )
