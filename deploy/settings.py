"""What the variables of `make deploy` ask for. Bad ones end in a DeployError, before any request."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import bad_usage
from .shell import ROOT
from .template import Parameter, nearest

_STACK = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")
_VARIABLES = (("WORKSPACE", "WorkspaceId", ""), ("ARCH", "Architecture", ""), ("PYTHON_VERSION", "Runtime", "python"))
_OBJECT = re.compile(r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9]/[^*]+")


@dataclass(frozen=True, slots=True)
class Settings:
    """`config` is None to keep what the stack has. `config_s3` is where the config is to be from now on, or empty.
    `parameters` are those of the command line; `given_with` says of each which variable gave it."""

    config: Path | None
    config_s3: str
    stack: str
    parameters: Mapping[str, str]
    given_with: Mapping[str, str]
    yes: bool
    force: bool


def settings(env_vars: Mapping[str, str], known: Mapping[str, Parameter], is_terminal: bool) -> Settings:
    """What the variables say. Raises DeployError."""
    yes = _switch(env_vars, "YES")
    stack = env_vars.get("STACK", "").strip() or _configured_stack()
    if not _STACK.fullmatch(stack):
        raise bad_usage(f"STACK is letters, digits and hyphens, and begins with a letter, not {stack!r:.140}")
    config = env_vars.get("CONFIG", "").strip()
    config_s3 = env_vars.get("CONFIG_S3", "").strip()
    if config_s3 and not _OBJECT.fullmatch(config_s3):
        raise bad_usage(f"CONFIG_S3 is an object, s3://BUCKET/KEY, not {config_s3!r:.140}")
    if config_s3 and not config:
        raise bad_usage("CONFIG_S3 says where the config goes, and CONFIG is missing: make deploy CONFIG=my.yaml …")
    parameters, given_with = _parameters(env_vars, known)
    file, force = _file(config) if config else None, _switch(env_vars, "FORCE")
    if not (yes or is_terminal):  # last: what is wrong with the command is wrong with YES=1 too
        raise bad_usage("nothing to ask on: this is no terminal. YES=1 deploys without asking: make deploy … YES=1")
    return Settings(file, config_s3, stack, parameters, given_with, yes, force)


def _file(text: str) -> Path:
    """Raises DeployError for what is no file on this machine."""
    if text.startswith(("s3://", "ssm:")):
        raise bad_usage(
            f"CONFIG is a file on this machine, not {text!r:.140}. For one that is in AWS already: "
            f'make deploy PARAMETERS="Config={text:.140}"'
        )
    try:
        path = Path(text).expanduser().resolve()
        what = "" if path.is_file() else "is a folder" if path.is_dir() else "does not exist"
    except (OSError, RuntimeError, ValueError):  # too long, or of a user that is not there
        what = "is no path"
    if what:
        raise bad_usage(f"CONFIG={text:.140} {what}: make deploy CONFIG=my.yaml. pusher init writes a first one.")
    return path


def _parameters(env_vars: Mapping[str, str], known: Mapping[str, Parameter]) -> tuple[dict[str, str], dict[str, str]]:
    """Those of PARAMETERS and of the variables that stand for one, and which variable it was."""
    found, given_with = dict[str, str](), dict[str, str]()
    for name, value in _pairs(env_vars.get("PARAMETERS", "")):
        _check(name, value, known)
        if found.get(name, value) != value:
            raise bad_usage(f"PARAMETERS: {name} is given twice, as {found[name]!r:.70} and {value!r:.70}: give one")
        found[name], given_with[name] = value, "PARAMETERS"
    for variable, name, prefix in _VARIABLES:
        value = env_vars.get(variable, "").strip()
        if not value:
            continue
        value = prefix + value
        if found.get(name, value) != value:
            raise bad_usage(
                f"{variable}={value} and {name}={found[name]} in PARAMETERS contradict each other: give one"
            )
        if refusal := known[name].refusal(value):
            raise bad_usage(f"{variable} {refusal}, not {value!r:.140}")
        found[name], given_with[name] = value, variable
    return found, given_with


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise bad_usage(f'PARAMETERS cannot be read ({error}): PARAMETERS="Interval=5m MemorySize=512"') from None
    for word in words:
        if "=" not in word:
            raise bad_usage(
                f"PARAMETERS is NAME=VALUE, separated by spaces, and {word!r:.140} has no =. A value with spaces "
                """stands in quotes: PARAMETERS="Interval=5m RunbookUrl='…'\""""
            )
    return [(name, value) for name, _, value in (word.partition("=") for word in words)]


def _check(name: str, value: str, known: Mapping[str, Parameter]) -> None:
    if name not in known:
        near = nearest(name, known)
        hint = f" Did you mean {near}?" if near else ""
        raise bad_usage(
            f"PARAMETERS: the template has no parameter {name!r:.140}.{hint} docs/parameters.md has them all."
        )
    if refusal := known[name].refusal(value):
        raise bad_usage(f"PARAMETERS: {name} {refusal}, not {value!r:.140}")


def _switch(env_vars: Mapping[str, str], name: str) -> bool:
    value = env_vars.get(name, "").strip()
    if value not in ("", "0", "1"):
        raise bad_usage(f"{name} is 1 or not set, not {value!r:.140}")
    return value == "1"


def _configured_stack() -> str:
    """The name in samconfig.toml, where `sam deploy --guided` may have written another one."""
    configured = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]
    deploy = configured.get("deploy", {}).get("parameters", {})
    return str(deploy.get("stack_name") or configured["global"]["parameters"]["stack_name"])
