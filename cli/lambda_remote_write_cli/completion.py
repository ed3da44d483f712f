"""`pusher completion`: what a shell needs to complete commands, options, files and the jobs of a config."""

from __future__ import annotations

import argparse
import sys

from argcomplete.shell_integration import shellcode

from lambda_remote_write.dependencies import Dependencies

from .command import BAD, OK, Add, Command, Example
from .terminal import say_json

_SHELLS = ("bash", "zsh", "fish")


def run(options: argparse.Namespace, _: Dependencies) -> int:
    text = shellcode(["pusher"], True, options.shell)
    if options.json:
        say_json({"shell": options.shell, "script": text})
    else:
        sys.stdout.write(text)
    return OK


def _add_arguments(add: Add) -> None:
    add("shell", choices=_SHELLS, metavar="SHELL", help="bash, zsh or fish")
    add("--json", action="store_true", help="print one JSON document instead of text")


COMMAND = Command(
    "completion",
    "print the script by which a shell completes commands, options and jobs",
    _add_arguments,
    run,
    (
        Example('eval "$(pusher completion bash)"', "for this shell; in ~/.bashrc for all"),
        Example('eval "$(pusher completion zsh)"', "in ~/.zshrc, after compinit"),
        Example("pusher completion fish | source", "in ~/.config/fish/config.fish"),
    ),
    ((OK, "printed"), (BAD, "no such shell")),
    shows_progress=False,
)
