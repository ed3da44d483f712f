"""The template as CloudFormation would see it: SAM translated, parameters given, conditions and functions resolved."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import boto3
import yaml
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

ROOT = Path(__file__).parents[2]
REGION: Final = "ap-northeast-2"
ACCOUNT = "123456789012"
PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "metrics",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/metrics/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
}
GONE = object()  # what AWS::NoValue leaves


class _Loader(yaml.CSafeLoader):
    """YAML with CloudFormation's short tags."""


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _function)


TEMPLATE = ROOT / "template.yaml"


def load_template(path: Path = TEMPLATE) -> dict[str, Any]:
    template: dict[str, Any] = yaml.load(path.read_text(), _Loader)
    return template


def translate(template: dict[str, Any], *, uploaded: bool = True) -> dict[str, Any]:
    """What SAM makes of it, with the tools that `sam deploy` uses, after the code was uploaded."""
    template = copy.deepcopy(template)
    if uploaded:
        template["Globals"]["Function"]["CodeUri"] = "s3://artefacts/pusher.zip"
        template["Resources"]["BackfillStateMachine"]["Properties"]["DefinitionUri"] = "s3://artefacts/backfill.json"
    parameters = {name: given.get("Default", "") for name, given in template["Parameters"].items()}
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=REGION))
    result: dict[str, Any] = translator.translate(template, parameters)
    return result


class Stack:
    """A translated template with parameters; resources carry their resolved values.

    A Ref to a resource reads `<Name>`, an attribute `<Name.Attribute>`. Raises KeyError for what refers to nothing, or
    to a resource that the stack does not have, and for what a mapping lacks.
    """

    pseudo: Mapping[str, str] = PSEUDO

    def __init__(self, template: dict[str, Any], translated: dict[str, Any], **parameters: str) -> None:
        unknown = set(parameters) - set(template["Parameters"])
        assert not unknown, unknown
        self._template, self._translated = template, translated
        self.parameters: dict[str, Any] = {}
        for name, given in template["Parameters"].items():
            value = parameters.get(name, str(given["Default"]))
            self.parameters[name] = value.split(",") if given["Type"] == "CommaDelimitedList" else value
        self.conditions: dict[str, bool] = {}
        for name, rule in template["Conditions"].items():
            self.conditions[name] = self.resolve(rule)

    @cached_property
    def resources(self) -> dict[str, dict[str, Any]]:
        return {name: self.resolve(found) for name, found in self._translated["Resources"].items() if self.has(name)}

    def has(self, name: str) -> bool:
        """Whether the stack has this resource. Raises KeyError."""
        return self.conditions.get(self._translated["Resources"][name].get("Condition"), True)

    def __getitem__(self, name: str) -> dict[str, Any]:
        properties: dict[str, Any] = self.resources[name]["Properties"]
        return properties

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        return {name: found["Properties"] for name, found in self.resources.items() if found["Type"] == kind}

    def outputs(self) -> dict[str, Any]:
        kept = self._template["Outputs"].items()
        return {
            name: self.resolve(given["Value"])
            for name, given in kept
            if self.conditions.get(given.get("Condition"), True)
        }

    def broken_rules(self) -> list[str]:
        return [
            asserted["AssertDescription"]
            for rule in self._template["Rules"].values()
            if self.resolve(rule["RuleCondition"])
            for asserted in rule["Assertions"]
            if not self.resolve(asserted["Assert"])
        ]

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [made for item in value if (made := self.resolve(item)) is not GONE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            if name == "Ref":
                return self._ref(argument)
            if name.startswith("Fn::"):
                return getattr(self, "_" + name.removeprefix("Fn::").lower())(argument)
        return {key: made for key, item in value.items() if (made := self.resolve(item)) is not GONE}

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return GONE
        if name in self.pseudo:
            return self.pseudo[name]
        return self.parameters[name] if name in self.parameters else self._of_resource(name, name)

    def _getatt(self, path: list[str]) -> str:
        return self._of_resource(path[0], ".".join(path))

    def _of_resource(self, name: str, detail: str) -> str:
        if not self.has(name):
            raise KeyError(f"{detail}: the stack has no {name}")
        return f"<{detail}>"

    def _if(self, argument: list[Any]) -> Any:
        return self.resolve(argument[1] if self.conditions[argument[0]] else argument[2])

    def _equals(self, argument: list[Any]) -> bool:
        left, right = (str(self.resolve(item)) for item in argument)
        return left == right

    def _not(self, argument: list[Any]) -> bool:
        return not self.resolve(argument[0])

    def _and(self, argument: list[Any]) -> bool:
        return all(self._condition(item) for item in argument)

    def _or(self, argument: list[Any]) -> bool:
        return any(self._condition(item) for item in argument)

    def _condition(self, value: dict[str, Any]) -> bool:
        """Of a rule, or of one by its name, which must stand before."""
        return self.conditions[value["Condition"]] if "Condition" in value else bool(self.resolve(value))

    def _contains(self, argument: list[Any]) -> bool:
        return self.resolve(argument[1]) in self.resolve(argument[0])

    def _eachmemberin(self, argument: list[Any]) -> bool:
        members, allowed = (self.resolve(item) for item in argument)
        return set(members) <= set(allowed)

    def _join(self, argument: list[Any]) -> str:
        return str(argument[0]).join(self.resolve(argument[1]))

    def _split(self, argument: list[Any]) -> list[str]:
        return str(self.resolve(argument[1])).split(argument[0])

    def _select(self, argument: list[Any]) -> Any:
        return self.resolve(argument[1])[int(argument[0])]

    def _findinmap(self, argument: list[Any]) -> Any:
        name, first, second = (self.resolve(item) for item in argument)
        return self._template["Mappings"][name][first][second]

    def _sub(self, argument: str | list[Any]) -> str:
        text, names = (argument, {}) if isinstance(argument, str) else argument
        local = {name: self.resolve(value) for name, value in names.items()}

        def value(found: re.Match[str]) -> str:
            name = found[1]
            return str(
                local[name]
                if name in local
                else self._getatt([*name.split(".", 1)])
                if "." in name
                else self._ref(name)
            )

        return re.sub(r"\$\{([^}]+)\}", value, text)


StackOf = Callable[..., Stack]  # with these parameters


def references(value: Any) -> set[str]:
    """Every name that a value refers to, in Ref, GetAtt, Sub, If or Condition."""
    if isinstance(value, list):
        return set().union(*map(references, value))
    if not isinstance(value, dict):
        return set()
    found: set[str] = set()
    for key, item in value.items():
        if key in ("Ref", "Condition") and isinstance(item, str):
            found.add(item)
        elif key == "Fn::GetAtt" or (key == "Fn::If" and isinstance(item, list)):
            found.add(item[0])
        elif key == "Fn::Sub":
            found |= set(re.findall(r"\$\{([\w:]+)", item if isinstance(item, str) else item[0]))
        found |= references(item)
    return found
