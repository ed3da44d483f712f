"""Every command of docs/deploy.md runs as it stands, in the order of the page: aws for real against moto, git and sed
in a checkout with a tag. For make stands a program that takes the variables as the real one does."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.aws import Aws
from tests.rig.command_line import aws_program
from tests.rig.deployer import Deployer
from tests.rig.needs import Require
from tests.rig.runbooks import blocks
from tests.rig.sam import OUTPUTS
from tests.rig.stack import ROOT

pytestmark = pytest.mark.slow
PAGE = ROOT / "docs" / "deploy.md"
ACCOUNT = "123456789012"
MAKE = """\
#!{python}
import os, sys
sys.path[:0] = {paths!r}
from deploy.settings import settings
from deploy.template import parameters
target, *variables = sys.argv[1:]
assert target == "deploy", sys.argv
given = dict(one.split("=", 1) for one in variables)
wanted = settings({{**os.environ, **given}}, parameters(), True)
print("deployed", wanted.stack, dict(wanted.parameters), wanted.config_s3)
if wanted.config_s3:
    for text in ("# first", "# second"):
        open("config-in-s3", "w").write(text)
        os.system("aws s3 cp --quiet config-in-s3 " + wanted.config_s3)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout, as far as the commands look: a tag, a remote, the policies, a config."""
    checkout = tmp_path / "checkout"
    (checkout / "examples").mkdir(parents=True)
    shutil.copytree(ROOT / "examples/deployer", checkout / "examples/deployer")
    for name in ("my.yaml", "billing.yaml"):
        (checkout / name).write_text("json_configs: []\n")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    for command in (
        ["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "-m", "one"], ["tag", "v0.1.0"],
        ["remote", "add", "origin", "."],
    ):  # fmt: skip
        subprocess.run(["git", *command], cwd=checkout, check=True)
    return checkout


@pytest.fixture
def programs(require: Require, tmp_path: Path) -> Path:
    require(importlib.util.find_spec("awscli"), "awscli")
    programs = tmp_path / "bin"
    programs.mkdir()
    paths = [str(ROOT), str(ROOT / "functions")]
    (programs / "aws").symlink_to(aws_program())
    make = programs / "make"
    make.write_text(MAKE.format(python=sys.executable, paths=paths))
    make.chmod(0o755)
    return programs


def deployed(aws: Aws) -> None:
    """The stack that the page deletes in the end, and what it keeps."""
    aws.client("s3").put_object(Bucket=OUTPUTS["SpoolBucketName"], Key="spool/amp/0/1", Body=b"waits")
    workspace = aws.client("amp").create_workspace(alias="lambda-remote-write")["workspaceId"]
    outputs = OUTPUTS | {"WorkspaceId": workspace}
    body = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    aws.client("cloudformation").create_stack(StackName="lambda-remote-write", TemplateBody=json.dumps(body))


def test_the_commands_of_the_page_run_and_leave_nothing_behind(
    deployer: Deployer, folder: Path, programs: Path
) -> None:
    aws = deployer.aws
    deployed(aws)
    commands = "\n".join(f"echo '--- block {number}' >&2\n{block}" for number, block in enumerate(blocks(PAGE), 1))
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"set -eu\n{commands}"], cwd=folder, env={**os.environ, "PATH": path, "HOME": str(folder)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert [line for line in done.stderr.splitlines() if line and not line.startswith("--- block")] == []
    assert aws.client("s3").get_object(Bucket="configs-example", Key="pusher.yaml")["Body"].read() == b"# first"
    assert [one["Name"] for one in aws.client("s3").list_buckets()["Buckets"]] == ["configs-example"]
    assert aws.client("amp").list_workspaces()["workspaces"] == []
    assert aws.client("cloudformation").describe_stacks()["Stacks"] == []
    (policy,) = aws.client("iam").list_policies(Scope="Local")["Policies"]
    assert policy["PolicyName"] == "lambda-remote-write-deployer"


def test_every_variable_of_the_table_is_one_that_the_command_reads() -> None:
    read = "".join((ROOT / "deploy" / name).read_text() for name in ("settings.py",))
    named = [line.split("`")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert len(named) == 9
    assert [name for name in named if f'"{name}"' not in read] == []


def test_no_block_of_commands_has_a_comment_which_zsh_takes_for_arguments() -> None:
    assert [line for block in blocks(PAGE) for line in block.splitlines() if line.lstrip().startswith("#")] == []
