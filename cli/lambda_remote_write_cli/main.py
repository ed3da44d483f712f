"""The command line `pusher`: check, plan, push, backfill, run, spool, convert.

Exit status: 0 all well, 1 something not delivered (or a job down), 2 bad usage or config. `run` exits with 0 after
SIGTERM: it reports lost samples as it loses them.
"""

from __future__ import annotations

import argparse
import re
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from lambda_remote_write import __version__
from lambda_remote_write.config.env_vars import read_env_vars
from lambda_remote_write.config.schema import Config
from lambda_remote_write.config.sd_configs import FileSd
from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.config_source import Loaded, Unreadable, not_loaded, problems_json
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.discovery import static_groups
from lambda_remote_write.environment import Environment
from lambda_remote_write.model.scrape import Scrape
from lambda_remote_write.plan import plan
from lambda_remote_write.push import push
from lambda_remote_write.report.printable import json_text
from lambda_remote_write.report.report import Report, skipped_dict, skipped_lines
from lambda_remote_write.scrape.schedule import Tick
from lambda_remote_write.scrape.targets import targets_of
from lambda_remote_write.state.shards import MAX_SHARDS, WHOLE, Shard
from lambda_remote_write.store import StoreError

from .print_plan import print_plan, state
from .run.runner import Runner
from .run.web.listen import NotListening, listen_address
from .terminal import Parser, clock, counted, refuse, say_json
from .terminal import say as print  # noqa: A004 - nothing here is printed in another way

_OK, _NOT_DELIVERED, _BAD = 0, 1, 2
_IN_A_FUNCTION = ("/var/task/", "/opt/")  # its package and its layers
_LIST_SECONDS = 30.0
_MEMORY_ONLY = "no spool is configured: pusher run keeps undelivered samples in memory only"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["convert"]:
        from . import convert  # only here: it has arguments of its own, and imports ruamel.yaml

        return convert.command(given[1:])
    options = _parser().parse_args(_with_relative_times(given))
    dependencies = Dependencies(read_env_vars())
    try:
        if options.command == "run":  # it reads its config more than once
            return _run(options, dependencies)
        config = dependencies.config_source(options.config).load().config
    except (ConfigError, Unreadable) as error:
        return _refuse(options, error)
    unknown = [name for name in getattr(options, "jobs", None) or () if name not in config.job_names()]
    if unknown:
        print(f"--job: no job is named {unknown[0]!r}; the config has {', '.join(config.job_names())}", file=sys.stderr)
        return _BAD
    command, _ = _COMMANDS[options.command]
    return command(options, config, dependencies)


def _with_relative_times(given: Sequence[str]) -> list[str]:
    """`--start -2h` as `--start=-2h`: argparse takes a separate -2h for an option."""
    words = list[str]()
    for word in given:
        if words and words[-1] in ("--start", "--end"):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="pusher",
        description="Collects metrics and sends them by remote write, to Amazon Managed Prometheus or elsewhere.",
    )
    parser.add_argument("--version", action="version", version=f"pusher {__version__}")
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    for name, (_, about) in _COMMANDS.items():
        _add_arguments(name, commands.add_parser(name, help=about, description=about).add_argument)
    commands.add_parser(
        "convert", help="convert the config of an OpenTelemetry collector, of Prometheus or of json_exporter"
    )
    return parser


def _add_arguments(name: str, add: Callable[..., object]) -> None:
    add("config", metavar="CONFIG", help="the config: a path, s3://bucket/key or ssm:/name")
    shape = "each message as a JSON line" if name == "run" else "one JSON document instead of text"
    add("--json", action="store_true", help=f"print {shape}")
    if name == "run":
        helps = "names this process in the spool, where its entries are under run-NAME (default: the host name)"
        add("--name", type=process_name, metavar="NAME", help=helps)
        _add_web_arguments(add)
    if name == "spool":
        does = "list (the default); show: print as exposition text; export: write as OpenMetrics; delete; drain: send"
        choices = ("list", "show", "export", "delete", "drain")
        add("do", nargs="?", default="list", choices=choices, metavar="DO", help=does)
        add("--endpoint", default="", help="only entries of the endpoint of this name")
        add("--key", default="", help="only the entry of this key")
        add("--dead", action="store_true", help="dead letters, which are not sent again, instead of waiting entries")
        add("-o", "--output", metavar="FILE", help="where show and export write (default: stdout)")
        add("--yes", action="store_true", help="delete without confirmation")
    if name == "backfill":
        from .backfill import add_arguments

        add_arguments(add, seconds)
    if name == "plan":
        add("--shards", type=shards, default=1, metavar="N", help="show how N shards would split the targets")
    if name in ("plan", "push"):
        add("--job", dest="jobs", action="append", metavar="NAME", help="run only this job; may be repeated")
    if name in ("plan", "push", "spool"):
        add("--timeout", type=seconds, default=60.0, metavar="SECONDS", help="of the whole command (default: 60)")


def _add_web_arguments(add: Callable[..., object]) -> None:
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


def shards(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_SHARDS:
        raise argparse.ArgumentTypeError(f"a number from 1 to {MAX_SHARDS} is expected")
    return int(text)


def process_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text):
        raise argparse.ArgumentTypeError("up to 100 letters, digits, '.', '_' and '-' are expected")
    return text


def seconds(text: str) -> float:
    number = float(text)
    if not 0 < number <= 86_400:
        raise argparse.ArgumentTypeError("seconds between 0 and 86400 are expected")
    return number


def _refuse(options: argparse.Namespace, error: ConfigError | Unreadable) -> int:
    if not options.json:
        for line in not_loaded(options.config, error).split("\n"):
            print(line, file=sys.stderr)
    elif isinstance(error, ConfigError):
        say_json({"ok": False, "problems": problems_json(error)})
    else:
        refuse(str(error), as_json=True)
    return _BAD


def _check(options: argparse.Namespace, config: Config, _: Dependencies) -> int:
    jobs, endpoints = config.job_names(), [endpoint.name for endpoint in config.endpoints]
    warnings = [*config.warnings, *_files_that_nothing_writes(config), *_equal_labels(config)]
    notes = [] if config.spool.location else [_MEMORY_ONLY]
    if options.json:
        say_json({"ok": True, "jobs": jobs, "endpoints": endpoints, "warnings": warnings, "notes": notes})
        return _OK
    for warning in warnings:
        print(f"warning: {warning}")
    for note in notes:
        print(f"note: {note}")
    print(f"{options.config}: {counted(len(jobs), 'job')}, {counted(len(endpoints), 'endpoint')}, no mistakes")
    return _OK


def _equal_labels(config: Config) -> list[str]:
    """Warns of targets in `static_configs` that would be one series; those of other lists are known to a run."""
    found = {job.job_name: targets_of(job, static_groups(job.discovery)).equal_labels for job in config.jobs}
    return [f"job {name}: {detail}" for name, detail in found.items() if detail]


def _files_that_nothing_writes(config: Config) -> list[str]:
    """Warns of file_sd_configs with a path that neither the function's package nor a layer can hold."""
    return [
        f"job {job.job_name}: file_sd_configs reads {file}, which does not exist in a Lambda: keep the list at "
        "s3://bucket/key or in the package (only pusher run can read this file)"
        for job in config.jobs
        for discovery in job.discovery
        if isinstance(discovery, FileSd)
        for file in discovery.files
        if file.startswith("/") and not file.startswith(_IN_A_FUNCTION)
    ]


def _push(options: argparse.Namespace, config: Config, dependencies: Dependencies) -> int:
    report = _pushed(options, config, dependencies, options.jobs or config.job_names())
    return _NOT_DELIVERED if report.jobs_down or report.lost else _delivered(report)


def _pushed(
    options: argparse.Namespace, config: Config, dependencies: Dependencies, jobs: Sequence[str], shard: Shard = WHOLE
) -> Report:
    """Pushes these jobs, and prints the report."""
    environment = Environment(config, dependencies, gap_backfill=True, shard=shard)
    tick = Tick(dependencies.now_ms(), None, config.tick_ms, frozenset(jobs))
    report = push(environment, tick, time.monotonic() + options.timeout)
    if options.json:
        say_json(report.as_dict())
        return report
    print(report.summary())
    for scrape in report.scrapes:
        print(f"  {scrape.job} {scrape.instance}: {state(scrape.error, len(scrape.samples))}")
        _print_records(scrape)
    for endpoint in report.as_dict()["endpoints"]:
        _print_delivery(endpoint)
    for warning in report.warnings:
        print(f"warning: {warning}")
    return report


def _print_records(scrape: Scrape) -> None:
    """Why records of a JSON job gave no sample."""
    for why in () if scrape.error else scrape.failed.values():
        print(f"    failed: {why}")
    for line in skipped_lines(skipped_dict(scrape.skipped)):
        print(f"    {line}")
    for result in scrape.metrics:
        if result.merged:
            print(f"    merged {result.merged}: metric {result.metric}, duplicates: sum")


def _delivered(report: Report) -> int:
    rejected = any(delivery.rejected.total() or delivery.waiting.unreadable for delivery in report.deliveries)
    is_pending = report.is_waiting or report.backlog_unknown
    return _NOT_DELIVERED if report.failed or rejected or is_pending else _OK


def _print_delivery(endpoint: dict[str, Any]) -> None:
    accepted = f"{endpoint['accepted']} of {endpoint['collected'] + endpoint['taken']} samples accepted"
    print(f"  {endpoint['endpoint']}: {accepted} in {counted(endpoint['requests'], 'request')}")
    for fate in ("rejected", "dropped", "spooled", "undelivered"):
        for reason, entry in endpoint[fate].items():
            print(f"    {fate} {entry['count']}, {reason}: {entry['example']}")
    waiting = endpoint["waiting"]
    if waiting["drained"] or waiting["entries"]:
        drained, left = counted(waiting["drained"], "entry"), counted(waiting["entries"], "entry")
        print(f"    spool: {drained} drained with {endpoint['taken']} samples taken, {left} left")
    for warning in endpoint["warnings"]:
        print(f"    warning: {warning}")


def _plan(options: argparse.Namespace, config: Config, dependencies: Dependencies) -> int:
    found = plan(config, dependencies, time.monotonic() + options.timeout, options.shards, options.jobs)
    if options.json:
        say_json(found)
    else:
        print_plan(found)
    return _OK if found["ok"] else _NOT_DELIVERED


def _spool(options: argparse.Namespace, config: Config, dependencies: Dependencies) -> int:
    from .spool import SpoolCommand

    if options.do == "drain":
        return max(
            _delivered(_pushed(options, config, dependencies, (), shard))
            for shard in _waiting_shards(config, dependencies)
        )
    return SpoolCommand(options, Environment(config, dependencies)).run()


def _backfill(options: argparse.Namespace, config: Config, dependencies: Dependencies) -> int:
    from .backfill import BackfillCommand

    return BackfillCommand(options, config, dependencies).run()


def _waiting_shards(config: Config, dependencies: Dependencies) -> list[Shard]:
    """The shards that have waiting entries; the whole config when none has."""
    location, until = config.spool.location, time.monotonic() + _LIST_SECONDS
    try:
        keys = dependencies.store(location).list("spool/", until) if location else []
    except StoreError:  # the push reports it
        keys = []
    names = sorted({key.split("/")[2] for key in keys if key.count("/") > 2})
    return [Shard(0, 0, name) for name in names] or [WHOLE]


def _run(options: argparse.Namespace, dependencies: Dependencies) -> int:
    """Raises ConfigError and Unreadable when the config is bad from the start."""
    if options.web_address is None and (options.web_lifecycle or options.web_hosts):
        refuse("--web.enable-lifecycle and --web.allowed-host need --web.listen-address", as_json=options.json)
        return _BAD

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
    from .run.web import serve  # only here: it imports prometheus_client

    web_options = serve.WebOptions(options.web_lifecycle, options.web_hosts)
    try:
        with serve.serving(runner, options.web_address, web_options, say):
            return runner.run()
    except NotListening as error:
        refuse(str(error), as_json=options.json)
        return _BAD


_COMMANDS: dict[str, tuple[Callable[..., int], str]] = {
    "check": (_check, "read the config and report every mistake in it"),
    "plan": (_plan, "collect and relabel, send nothing: show series, cardinality, lint, requests and cost"),
    "push": (_push, "run every job once and send its samples"),
    "backfill": (_backfill, "send past samples of an API, files or another server, as far as the receiver takes them"),
    "run": (_run, "keep running: every job at its own scrape_interval, until SIGTERM"),
    "spool": (_spool, "list, show, export, delete or send samples that could not be delivered"),
}
