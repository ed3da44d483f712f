"""The programs that a deployment runs: `pusher` of this checkout, and `sam`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from .errors import DeployError
from .shell import Run


@dataclass(frozen=True, slots=True)
class Programs:
    """Runs them with these variables. `folder` is for files that they read. A variable that a call gives as an empty
    text is not set."""

    env_vars: Mapping[str, str]
    folder: Path
    run: Run

    def pusher(self, *arguments: str, **variables: str) -> int:
        """The exit status; what it prints is shown."""
        return self.run([*_PUSHER, *arguments], self._with(variables), False)[0]

    def pusher_output(self, *arguments: str, **variables: str) -> tuple[int, str]:
        """The exit status, and what it prints on stdout."""
        return self.run([*_PUSHER, *arguments], self._with(variables), True)

    def sam(self, *arguments: str, **variables: str) -> int:
        """The exit status; what it prints is shown. Raises DeployError when there is no such program."""
        program = ["env", *shlex.split(self.env_vars.get("SAM", "sam"))]  # it may have variables of its own in front
        status, _ = self.run([*program, *arguments], self._with(variables), False)
        if status == _NOT_FOUND:
            raise DeployError(f"{program[-1]} cannot be run: make setup installs it")
        return status

    def _with(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Without what make tells its own children: the build's make is not one of them."""
        found = {**self.env_vars, **variables}
        unset = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", *(name for name, text in variables.items() if not text)}
        return {name: text for name, text in found.items() if name not in unset}


_NOT_FOUND = 127
_PUSHER = (sys.executable, "-m", "lambda_remote_write_cli")


def build(programs: Programs, built_for: Mapping[str, str], config: Path | None) -> None:
    """Builds the artefact in .aws-sam/build, for these values of Architecture and Runtime and with this config in it.
    Raises DeployError."""
    variables = {
        "ARCH": built_for["Architecture"],
        "PYTHON_VERSION": built_for["Runtime"].removeprefix("python"),
        "PUSHER_CONFIG_FILE": str(config or ""),
    }
    overrides = " ".join(f"{name}={value}" for name, value in built_for.items())
    if programs.sam("build", "--parameter-overrides", overrides, **variables):
        raise DeployError("the build failed, as sam build says above. Nothing was deployed")


def deploy(programs: Programs, stack: str, region: str, parameters: Mapping[str, str], *, asks: bool) -> bool:
    """Shows the changes, asks, and applies them. False when SAM failed. A parameter that is not given stays."""
    options = ["--stack-name", stack, "--region", region]
    options.append("--confirm-changeset" if asks else "--no-confirm-changeset")
    if parameters:
        file = programs.folder / f"deploy-{stack}.yaml"  # no value needs quoting in a file
        file.write_text(yaml.safe_dump(dict(parameters)))
        options += ["--parameter-overrides", f"file://{file}"]
    return programs.sam("deploy", *options) == 0
