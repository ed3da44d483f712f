"""The command line `pusher`: one module for each command."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from lambda_remote_write import __version__
from lambda_remote_write.config.env_vars import read_env_vars
from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.config_source import Unreadable, not_loaded, problems_json
from lambda_remote_write.dependencies import Dependencies

from .command import BAD, BadUsage, Command
from .terminal import Parser, refuse, say_json
from .terminal import say as print  # noqa: A004 - nothing here is printed in another way

_MODULES = {
    "check": "check",
    "plan": "plan",
    "push": "push",
    "run": "run.command",
    "backfill": "backfill",
    "spool": "spool",
    "convert": "convert.command",
}
"""Where each command is, in the order of the help. A module is imported when its command is called."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    given = _with_relative_times(sys.argv[1:] if arguments is None else arguments)
    called = [name for name in given[:1] if name in _MODULES] or list(_MODULES)
    commands = {name: _command(name) for name in called}
    options = parser(commands).parse_args(given)
    try:
        return commands[options.command].run(options, Dependencies(read_env_vars()))
    except (ConfigError, Unreadable) as error:
        return _refuse(options, error)
    except BadUsage as error:
        refuse(str(error), as_json=options.json)
        return BAD


def _command(name: str) -> Command:
    module = importlib.import_module(f".{_MODULES[name]}", __package__)
    command: Command = module.COMMAND
    return command


def _with_relative_times(given: Sequence[str]) -> list[str]:
    """`--start -2h` as `--start=-2h`: argparse takes a separate -2h for an option."""
    words = list[str]()
    for word in given:
        if words and words[-1] in ("--start", "--end"):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def parser(commands: dict[str, Command]) -> argparse.ArgumentParser:
    """The parser of these commands."""
    main_parser = Parser(
        prog="pusher",
        description="Collects metrics and sends them by remote write, to Amazon Managed Prometheus or elsewhere.",
    )
    main_parser.add_argument("--version", action="version", version=f"pusher {__version__}")
    subparsers = main_parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    for command in commands.values():
        one = subparsers.add_parser(
            command.name,
            help=command.about,
            description=command.about,
            epilog=_epilog(command),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(one.add_argument)
    return main_parser


def _epilog(command: Command) -> str:
    """Examples and exit statuses."""
    lines = ["examples:"]
    for example in command.examples:
        lines += [f"  {example.line}", f"      {example.does}"]
    lines += ["", "exit status:", *(f"  {status}  {meaning}" for status, meaning in command.exits)]
    return "\n".join(lines)


def _refuse(options: argparse.Namespace, error: ConfigError | Unreadable) -> int:
    if not options.json:
        for line in not_loaded(options.config, error).split("\n"):
            print(line, file=sys.stderr)
    elif isinstance(error, ConfigError):
        say_json({"ok": False, "problems": problems_json(error)})
    else:
        refuse(str(error), as_json=True)
    return BAD
