"""The example for Terraform gives the stack what the template of a release takes, and asks for what it offers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import hcl2
import pytest

from lambda_remote_write import __version__
from release.template import packaged, state_machine_name, zip_name
from tests.rig.needs import Peer
from tests.rig.stack import ROOT, load_template

FOLDER = ROOT / "examples" / "terraform"


def loaded(name: str) -> dict[str, Any]:
    with (FOLDER / name).open() as file:
        found: dict[str, Any] = hcl2.load(file)
    return found


def block(kind: str, *names: str) -> dict[str, Any]:
    """A block of main.tf."""
    for one in loaded("main.tf")[kind]:
        found = one
        for name in names:
            found = found.get(f'"{name}"', {})
        if found:
            return dict(found)
    raise KeyError(names)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a release."""
    path = tmp_path_factory.mktemp("release") / "template.yaml"
    path.write_text(packaged((ROOT / "template.yaml").read_text(), __version__))
    return load_template(path)


def test_the_parameters_are_those_of_the_template(template: dict[str, Any]) -> None:
    given = re.findall(r"(\w+) = ", block("resource", "aws_cloudformation_stack", "pusher")["parameters"])
    assert {"ArtefactBucket", "ArtefactPrefix", "Architecture", "Runtime", "Config", "ConfigObjectArn"} <= {*given}
    assert {*given} <= template["Parameters"].keys()
    required = {name for name, one in template["Parameters"].items() if "Default" not in one}
    assert required <= {*given}


def test_the_outputs_are_those_of_the_template(template: dict[str, Any]) -> None:
    named = re.findall(r'outputs\["(\w+)"\]', (FOLDER / "outputs.tf").read_text())
    assert len(named) == 4
    assert {*named} <= template["Outputs"].keys()
    assert [name for name in named if "Condition" in template["Outputs"][name]] == []


def test_the_capabilities_are_those_that_the_template_needs(template: dict[str, Any]) -> None:
    """CAPABILITY_IAM for roles, which have no names of their own; CAPABILITY_AUTO_EXPAND for a transform."""
    roles = [one for one in template["Resources"].values() if one["Type"] == "AWS::IAM::Role"]
    assert roles
    assert not [one for one in roles if "RoleName" in one["Properties"]]
    assert template["Transform"]
    given = block("resource", "aws_cloudformation_stack", "pusher")["capabilities"]
    assert given == ['"CAPABILITY_IAM"', '"CAPABILITY_AUTO_EXPAND"']


def test_the_files_are_those_of_a_release() -> None:
    release = f"lambda-remote-write-{__version__}"
    locals_ = loaded("main.tf")["locals"][0]
    named = re.findall(r'"\$\{local\.release\}([^"]*)"', locals_["files"])
    given = {"${var.architecture}": "arm64", "${var.runtime}": "python3.14"}
    for variable, value in given.items():
        named = [name.replace(variable, value) for name in named]
    assert locals_["release"] == '"lambda-remote-write-${var.release}"'
    assert [release + name for name in named] == [
        state_machine_name(__version__),
        zip_name(__version__, "arm64", "python3.14"),
    ]


def test_every_variable_has_a_use_and_a_description() -> None:
    variables = {name.strip('"'): one for each in loaded("variables.tf")["variable"] for name, one in each.items()}
    used = {*re.findall(r"var\.(\w+)", (FOLDER / "main.tf").read_text())}
    assert used == variables.keys()
    assert all(one["description"] for one in variables.values())


@pytest.mark.peer
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.tf")), ids=lambda path: path.name)
def test_it_has_terraforms_own_format(path: Path, peer: Peer, tmp_path: Path) -> None:
    done = subprocess.run(
        [peer("terraform"), "fmt", "-check", "-"],
        input=path.read_text(), cwd=tmp_path, env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
