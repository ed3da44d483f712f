"""docs/grafana.md against the dashboards, the command, the template and AWS."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from tests.rig.grafana_queries import load, variables
from tests.rig.stack import load_template

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "grafana.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.M | re.S)
COMMANDS = [line for kind, block in BLOCKS if kind == "bash" for line in block.replace("\\\n", " ").splitlines()]
GLOBAL = {"query", "output"}


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_variables_of_custom_metrics_are_listed_with_their_defaults() -> None:
    rows = re.findall(r"^\| ([A-Z][\w ]+) \| `?(.*?)`? \|", section("Custom metrics"), re.M)
    known = variables(load("custom_metrics"))
    shown = {one["label"]: one.get("current", {}).get("value") or "none" for one in known.values()}
    assert dict(rows) == shown | {"Data source": "Grafana's"}


def test_the_variables_of_the_command_are_the_ones_that_it_reads() -> None:
    names = {
        name for row in re.findall(r"^\| (`.*?) \|", section("With make"), re.M) for name in re.findall(r"\w+", row)
    }
    source = (ROOT / "dashboards" / "import_settings.py").read_text()
    assert names == set(re.findall(r'env_vars\.get\("(\w+)"', source)) - {"AWS_REGION", "MAKEFLAGS"}


def test_the_policy_is_what_the_stack_allows_and_the_list_of_workspaces() -> None:
    (block,) = [block for kind, block in BLOCKS if kind == "json"]
    (statement,) = json.loads(block)["Statement"]
    template = load_template()
    (policy,) = template["Resources"]["GrafanaRole"]["Properties"]["Policies"]
    (allowed,) = policy["PolicyDocument"]["Statement"]
    assert set(statement["Action"]) == {"aps:ListWorkspaces", *allowed["Action"]}
    named = set(re.findall(r"`(Grafana\w+|RemoteWriteUrl)`", PAGE))
    assert named <= {*template["Parameters"], *template["Outputs"]}


@pytest.mark.parametrize("command", [one for one in COMMANDS if "aws grafana" in one])
def test_a_command_is_one_of_aws_with_its_options(command: str) -> None:
    """By the service's own model, which the AWS command line makes its commands from."""
    found = re.search(r"aws grafana ([\w-]+) ([^)]*)", command)
    assert found
    model = botocore.session.Session().get_service_model("grafana")
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    shape = model.operation_model(operations[found[1]]).input_shape
    given = {word.removeprefix("--") for word in shlex.split(found[2]) if word.startswith("--")}
    known = {xform_name(name, "-"): name for name in shape.members}
    assert given - GLOBAL <= set(known)
    assert {known[option] for option in given - GLOBAL} >= set(shape.required_members)


def test_the_make_command_is_there() -> None:
    (command,) = [one for one in COMMANDS if one.startswith("make ")]
    assert command.split()[:2] == ["make", "grafana"]
    assert re.search(r"^grafana: ", (ROOT / "Makefile").read_text(), re.M)
