"""`pusher schema`: the JSON Schema of a config, by which editors complete keys, explain them and find mistakes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lambda_remote_write.dependencies import Dependencies

from .command import BAD, OK, Add, BadUsage, Command, Example
from .terminal import say_json

FILE = Path(__file__).with_name("config.schema.json")
BESIDE = "pusher.schema.json"
"""The schema's name beside a config."""
FIRST_LINE = f"# yaml-language-server: $schema={BESIDE}"
"""The line of a config by which an editor finds the schema beside it."""


def write(path: Path) -> None:
    """Writes the schema, in the place of an earlier one and of no other file. Raises BadUsage when it cannot."""
    try:
        if path.is_file() and not path.read_bytes().lstrip().startswith(b"{"):
            raise BadUsage(f"{path} is another file and no schema: name a new one, as {BESIDE}")
        path.write_bytes(FILE.read_bytes())
    except OSError as error:
        raise BadUsage(f"{path} cannot be written: {error.strerror}") from None


def _schema(options: argparse.Namespace, dependencies: Dependencies) -> int:
    if options.output is None:
        say_json(json.loads(FILE.read_bytes()))
    else:
        write(options.output)
    return OK


def _add_arguments(add: Add) -> None:
    add("-o", "--output", type=Path, metavar="FILE", help="write it to this file, in the place of an earlier one")
    add("--json", action="store_true", help="changes nothing: the schema is JSON")


COMMAND = Command(
    "schema",
    "print the JSON Schema of a config, for completion and checks in an editor",
    _add_arguments,
    _schema,
    (
        Example(f"pusher schema -o {BESIDE}", f"for a config beside it, whose first line is: {FIRST_LINE}"),
        Example("pusher schema", "the same on standard output"),
    ),
    ((OK, "the schema was written"), (BAD, "the usage is bad, or the file cannot be written")),
)
