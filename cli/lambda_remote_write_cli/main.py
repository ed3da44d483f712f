"""The command line `pusher`: one module for each command."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence

import argcomplete

from lambda_remote_write import __version__
from lambda_remote_write.config.env_vars import read_env_vars
from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.config_source import Unreadable, not_loaded, problems_json
from lambda_remote_write.dependencies import Dependencies

from .activity import Activity, WatchedTransport, shown
from .command import BAD, NOT_DELIVERED, OK, BadUsage, Command, Example
from .terminal import WRONG, Console, Parser, quiet, refuse, say_json
from .terminal import say as print  # noqa: A004 - nothing here is printed in another way

_MODULES = {
    "init": "init.command",
    "check": "check",
    "plan": "plan",
    "test": "golden.command",
    "doctor": "doctor.command",
    "iam": "iam.command",
    "push": "push",
    "run": "run.command",
    "backfill": "backfill",
    "spool": "spool",
    "query": "query.command",
    "convert": "convert.command",
    "schema": "schema",
    "completion": "completion",
}
"""Where each command is, in the order of the help. A module is imported when its command is called."""

_EXAMPLES = (
    Example("pusher check prometheus.yml", "a Prometheus config works as it is"),
    Example("pusher plan pusher.yaml", "what would be sent"),
    Example("pusher push pusher.yaml", "send it once"),
)
_EXITS = (
    (OK, "all is well"),
    (NOT_DELIVERED, "a sample was not delivered, a job is down or a metric failed"),
    (BAD, "the usage or the config is bad"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    env_vars = read_env_vars()
    if "_ARGCOMPLETE" in env_vars:  # a shell asks how its line goes on
        argcomplete.autocomplete(parser(commands(env_vars.get("COMP_LINE", "").split()[1:2])))  # it ends the process
    called = commands(given[:1]) or commands()
    options = parser(called).parse_args(with_relative_times(given))
    with quiet(is_quiet=options.quiet):
        try:
            return _run(called[options.command], options, env_vars)
        except (ConfigError, Unreadable) as error:
            return _refuse(options, error)
        except BadUsage as error:
            refuse(str(error), as_json=options.json)
            return BAD


def _run(command: Command, options: argparse.Namespace, env_vars: Mapping[str, str]) -> int:
    """The command, which finds in `options.activity` what shows its requests. Returns the exit status."""
    options.activity = activity = Activity(command.name, is_verbose=options.verbose)
    dependencies = Dependencies(env_vars, transport=WatchedTransport(activity))
    console = Console(stderr=True, quiet=options.quiet, highlight=False, markup=False, soft_wrap=True)
    with shown(activity, console, threading.Event.wait) if command.shows_progress else contextlib.nullcontext():
        return command.run(options, dependencies)


def commands(names: Iterable[str] = _MODULES) -> dict[str, Command]:
    """Those of these names that are commands, imported."""
    modules = {name: f".{_MODULES[name]}" for name in names if name in _MODULES}
    return {name: importlib.import_module(module, __package__).COMMAND for name, module in modules.items()}


def with_relative_times(given: Sequence[str]) -> list[str]:
    """`--start -2h` as `--start=-2h`: argparse takes a separate -2h for an option."""
    words = list[str]()
    for word in given:
        if words and words[-1] in ("--start", "--end", "--time"):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def parser(known: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser of the commands that are `known`, which has the names of the others."""
    main_parser = Parser(
        prog="pusher",
        description="Collects metrics and sends them by remote write, to Amazon Managed Prometheus or elsewhere.",
        epilog=_epilog(_EXAMPLES, _EXITS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    main_parser.add_argument("--version", action="version", version=f"pusher {__version__}")
    subparsers = main_parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    for name in _MODULES.keys() - known.keys():
        subparsers.add_parser(name)
    for command in known.values():
        one = subparsers.add_parser(
            command.name,
            help=command.about,
            description=command.about,
            epilog=_epilog(command.examples, command.exits),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(one.add_argument)
        _add_verbosity(one)
    return main_parser


def _add_verbosity(one: argparse.ArgumentParser) -> None:
    group = one.add_mutually_exclusive_group()
    group.add_argument("-v", "--verbose", action="store_true", help="print each request on stderr, as it is answered")
    group.add_argument("-q", "--quiet", action="store_true", help="print only what is wrong, and what --json asks for")


def _epilog(examples: Iterable[Example], exits: Iterable[tuple[int, str]]) -> str:
    lines = ["examples:"]
    for example in examples:
        lines += [f"  {example.line}", f"      {example.does}"]
    lines += ["", "exit status:", *(f"  {status}  {meaning}" for status, meaning in exits)]
    return "\n".join(lines)


def _refuse(options: argparse.Namespace, error: ConfigError | Unreadable) -> int:
    if not options.json:
        for line in not_loaded(getattr(options, "config", options.command), error).split("\n"):
            print(line, file=sys.stderr, style=WRONG)
    elif isinstance(error, ConfigError):
        say_json({"ok": False, "problems": problems_json(error)})
    else:
        refuse(str(error), as_json=True)
    return BAD
