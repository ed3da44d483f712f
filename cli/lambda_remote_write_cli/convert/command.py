"""The subcommand `pusher convert FILE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lambda_remote_write.config.yaml_reader import ConfigError, Problem
from lambda_remote_write.dependencies import Dependencies

from ..command import BAD, OK, Add, Command, Example
from ..terminal import say as print  # noqa: A004 - nothing here is printed in another way
from ..terminal import say_json
from .conversion import KINDS, Conversion, Options, convert


def run(options: argparse.Namespace, _: Dependencies) -> int:
    try:
        text = _text_of(options.file)
        targets = (_text_of(options.prometheus), options.prometheus) if options.prometheus else None
        given = Options(options.kind, dict(options.env), targets, options.exact)
        found = convert(text, _name_of(options.file), given)
        if options.output:
            _write(options.output, found.config, overwrite=options.force)
    except ConfigError as error:
        return _refuse(error.problems, as_json=options.json)
    _report(options, found)
    return BAD if found.problems else OK


def _add_arguments(add: Add) -> None:
    add("file", metavar="FILE", help="the config to convert; - is stdin")
    add("--from", dest="kind", choices=KINDS, default="", help="the kind of FILE (default: by its keys)")
    add("-o", "--output", metavar="FILE", help="write the result to this file (default: stdout)")
    add("--force", action="store_true", help="overwrite the output file")
    helps = "the value of an environment variable in a collector config; may be repeated"
    add("--env", action="append", default=[], type=_variable, metavar="NAME=VALUE", help=helps)
    add("--prometheus", metavar="FILE", help="for json_exporter: the prometheus.yml whose jobs name its targets")
    helps = 'for json_exporter: labels keep null as "null" and lists and objects as JSON, a value "true" is 1'
    add("--exact", action="store_true", help=helps)
    add("--json", action="store_true", help="print one JSON document instead of text")


def _variable(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise argparse.ArgumentTypeError("NAME=VALUE is expected")
    return name, value


def _name_of(path: str) -> str:
    return "stdin" if path == "-" else path


def _text_of(path: str) -> str:
    """The text of a file. Raises ConfigError."""
    try:
        content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return content.decode()
    except OSError as error:
        detail = error.strerror or str(error)
    except UnicodeDecodeError as error:
        detail = f"not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}"
    raise ConfigError([Problem(_name_of(path), 0, "", detail)])


def _write(path: str, text: str, *, overwrite: bool) -> None:
    """Raises ConfigError when the file is there already, or cannot be written."""
    try:
        with open(path, "w" if overwrite else "x", encoding="utf-8") as file:
            file.write(text)
        return
    except FileExistsError:
        detail = "the file is there already; --force overwrites it"
    except OSError as error:
        detail = error.strerror or str(error)
    raise ConfigError([Problem(path, 0, "", detail)])


def _refuse(problems: Sequence[Problem], *, as_json: bool) -> int:
    if as_json:
        say_json({"ok": False, "problems": _as_json(problems)})
    else:
        for problem in problems:
            print(problem, file=sys.stderr)
    return BAD


def _as_json(problems: Sequence[Problem]) -> list[dict[str, object]]:
    return [{"line": one.line, "path": one.path, "message": one.message} for one in problems]


def _report(options: argparse.Namespace, found: Conversion) -> None:
    if options.json:
        dropped = [asdict(one) for one in found.dropped]
        document = {"ok": not found.problems, "from": found.kind, "config": found.config, "dropped": dropped}
        say_json({**document, "problems": _as_json(found.problems)})
        return
    if not options.output:
        sys.stdout.write(found.config)
    for one in found.dropped:
        print(f"{_name_of(options.file)}:{one.line}: {one.path}: {one.why}", file=sys.stderr)
    for problem in found.problems:
        print(f"to do by hand: {problem}", file=sys.stderr)


COMMAND = Command(
    "convert",
    "convert the config of an OpenTelemetry collector, of Prometheus or of json_exporter",
    _add_arguments,
    run,
    (
        Example("pusher convert adot-collector.yaml -o pusher.yaml", "a collector's receivers, relabelling and SigV4"),
        Example("pusher convert json_exporter.yml --prometheus prometheus.yml", "json_exporter, with its targets"),
        Example("pusher convert prometheus.yml --json", "the config and what was dropped, as JSON"),
    ),
    ((OK, "converted"), (BAD, "it cannot be read, or something is left to do by hand: stderr says what")),
)
