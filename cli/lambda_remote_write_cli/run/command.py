"""`pusher run`: the process, without Lambda."""

from __future__ import annotations

import argparse
import re
import socket
import sys

from lambda_remote_write.config_source import Loaded
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.report.printable import json_text

from ..command import BAD, OK, Add, Command, Example, add_config
from ..terminal import clock, refuse
from ..terminal import say as print  # noqa: A004 - nothing here is printed in another way
from .runner import Runner
from .web.listen import NotListening, listen_address


def run(options: argparse.Namespace, dependencies: Dependencies) -> int:
    """Raises ConfigError and Unreadable when the config is bad from the start."""
    if options.web_address is None and (options.web_lifecycle or options.web_hosts):
        refuse("--web.enable-lifecycle and --web.allowed-host need --web.listen-address", as_json=options.json)
        return BAD

    def load() -> Loaded:
        is_shown = options.web_address is not None
        return dependencies.config_source(options.config, has_schedule=False, keeps_documents=is_shown).load()

    def say(message: str) -> None:
        time_of_day = clock(dependencies.now_ms(), "milliseconds")
        line = json_text({"time": time_of_day, "message": message})
        print(line if options.json else f"{time_of_day} {message}", file=sys.stderr, flush=True)

    name = options.name or re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:100]
    runner = Runner(load, options.config, name, dependencies, say)
    runner.obey_signals()
    if options.web_address is None:
        return runner.run()
    from .web import serve  # only here: it imports prometheus_client

    web_options = serve.WebOptions(options.web_lifecycle, options.web_hosts)
    try:
        with serve.serving(runner, options.web_address, web_options, say):
            return runner.run()
    except NotListening as error:
        refuse(str(error), as_json=options.json)
        return BAD


def _add_arguments(add: Add) -> None:
    add_config(add, json="each message as a JSON line")
    helps = "names this process in the spool, where its entries are under run-NAME (default: the host name)"
    add("--name", type=_process_name, metavar="NAME", help=helps)
    _add_web_arguments(add)


def _add_web_arguments(add: Add) -> None:
    """As Prometheus has them."""
    helps = (
        "listen here for /metrics, /-/healthy, /-/ready, /-/reload and the status page (default: do not listen); "
        ":9091 is reached from this machine only, 0.0.0.0:9091 from others too"
    )
    add("--web.listen-address", dest="web_address", type=listen_address, metavar="ADDRESS", help=helps)
    helps = "let POST and PUT to /-/reload read the config again"
    add("--web.enable-lifecycle", dest="web_lifecycle", action="store_true", help=helps)
    helps = (
        "show the status page, and reload, under this host name too; IP addresses and localhost are allowed; may be "
        "repeated"
    )
    add("--web.allowed-host", dest="web_hosts", action="append", default=[], metavar="NAME", help=helps)


def _process_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text):
        raise argparse.ArgumentTypeError("up to 100 letters, digits, '.', '_' and '-' are expected")
    return text


COMMAND = Command(
    "run",
    "keep running: every job at its own scrape_interval, until SIGTERM",
    _add_arguments,
    run,
    (
        Example("pusher run pusher.yaml", "push until SIGTERM or Ctrl-C; SIGHUP reads the config again"),
        Example("pusher run pusher.yaml --web.listen-address :9091", "with /metrics and a status page on loopback"),
    ),
    ((OK, "a signal stopped it; samples that were lost are in its messages"), (BAD, "the usage or the config is bad")),
    shows_progress=False,
)
