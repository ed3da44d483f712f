"""What a command of `pusher` is, and the arguments that several of them share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lambda_remote_write.config.env_vars import read_env_vars
from lambda_remote_write.config.schema import Config
from lambda_remote_write.dependencies import Dependencies

OK, NOT_DELIVERED, BAD = 0, 1, 2
_STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}", re.ASCII)
Add = Callable[..., argparse.Action]
"""`add_argument` of a parser."""


@dataclass(frozen=True, slots=True)
class Example:
    """A command line that works as it stands, in a folder with these files, and what it is for."""

    line: str
    does: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `run` gets the options and the outside world, and returns the exit status; it may raise ConfigError
    and Unreadable, which `main` reports. `exits` says what each exit status means here; `shows_progress` is
    whether a sign of life is printed when it takes long."""

    name: str
    about: str
    add_arguments: Callable[[Add], None]
    run: Callable[[argparse.Namespace, Dependencies], int]
    examples: Sequence[Example]
    exits: Sequence[tuple[int, str]] = ((OK, "all is well"), (BAD, "the usage or the config is bad"))
    shows_progress: bool = True


class BadUsage(Exception):
    """An option that does not fit what is there. The message says what would."""


def add_config(add: Add, *, json: str = "one JSON document instead of text") -> None:
    """CONFIG and `--json`."""
    add("config", metavar="CONFIG", help="the config: a path, s3://bucket/key or ssm:/name")
    add("--json", action="store_true", help=f"print {json}")


def add_jobs(add: Add) -> None:
    job = add("--job", dest="jobs", action="append", metavar="NAME", help="run only this job; may be repeated")
    job.completer = _job_names  # type: ignore[attr-defined]  # argcomplete looks for it there


def _job_names(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """The jobs of the config that stands on the line."""
    config = Dependencies(read_env_vars()).config_source(parsed_args.config).load().config
    return list(config.job_names())


def add_timeout(add: Add, default: float = 60.0, words: str = "60") -> None:
    add("--timeout", type=seconds, default=default, metavar="SECONDS", help=f"of the whole command (default: {words})")


def load(options: argparse.Namespace, dependencies: Dependencies) -> Config:
    """The config that the options name. Raises ConfigError, Unreadable, and BadUsage for a `--job` that it lacks."""
    config = dependencies.config_source(options.config).load().config
    unknown = [name for name in getattr(options, "jobs", None) or () if name not in config.job_names()]
    if unknown:
        raise BadUsage(f"--job: no job is named {unknown[0]!r}; the config has {', '.join(config.job_names())}")
    return config


def stack_name(text: str) -> str:
    """As CloudFormation takes it; it becomes a part of ARNs."""
    if text and not _STACK_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError("letters, digits and hyphens, with a letter first, are expected")
    return text


def seconds(text: str) -> float:
    number = float(text)
    if not 0 < number <= 86_400:
        raise argparse.ArgumentTypeError("seconds between 0 and 86400 are expected")
    return number
