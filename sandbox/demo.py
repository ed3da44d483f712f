"""`make demo`: forty simulated minutes of the function against the example API and a receiver that behaves like AMP,
an outage, and what became of every sample. On a terminal it ends with a page that goes on with the same world."""

from __future__ import annotations

import argparse
import contextlib
import errno
import itertools
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import plotext
from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import own_config
from .page import panels
from .page.server import PageServer
from .page.state import clock_text, run
from .prometheus import Prometheus, PrometheusError, find
from .simulation import Minute, Simulation, Switch

MINUTES, OUTAGE_MINUTES = 40, 5
_WIDTH = 110
_TICK_SECONDS = 600  # of the plots
_LOOK_SECONDS = 0.2
_HERE = "this demo, as Prometheus does (with a Prometheus 3.5 or newer on PATH, it would be asked)"
_YOUR_API = """\
.venv/bin/pusher init https://api.example.com/usage -o my.yaml
PUSHER_WORKSPACE=ws-EXAMPLE AWS_REGION=eu-west-1 .venv/bin/pusher check my.yaml
PUSHER_WORKSPACE=ws-EXAMPLE AWS_REGION=eu-west-1 .venv/bin/pusher plan my.yaml"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; a few seconds of wall time, and the page until Ctrl-C. Returns the exit status."""
    options = _parser().parse_args(arguments)
    console = Console(width=_width(), highlight=False)
    is_watched = not options.no_page and os.environ.get("CI") != "true" and sys.stdout.isatty()
    if options.config:
        return own_config.show(options.config, console, dict(os.environ), goes_on=is_watched)
    with contextlib.ExitStack() as stack:
        prometheus = stack.enter_context(_prometheus())
        world = stack.enter_context(Simulation(forward_url=prometheus.write_url if prometheus else None))
        panel = panels.of_prometheus(prometheus) if prometheus else panels.of_receiver(world.receiver)
        computed_by = "a real Prometheus that got the same requests" if prometheus else _HERE
        _tell(console, world, panel, computed_by)
        if is_watched:
            try:
                server = stack.enter_context(PageServer(world, panel, computed_by, port=options.port))
            except OSError as error:
                print(_no_page_sentence(options.port, error), file=sys.stderr)
                return 2
            console.print("\n[bold]Watch it.[/] A page goes on with this world, and lets you break it in five ways:\n")
            console.print(f"  {server.url}")
        console.print(
            "\n[bold]Now your API.[/] init asks it once and writes a config, check prints every mistake at once, plan "
            "asks your API and sends nothing:\n"
        )
        console.print(Text(_YOUR_API), soft_wrap=True)
        if is_watched:
            _wait_for_ctrl_c(console)
    return 0


def _width() -> int:
    """Of the text: no wider than a terminal. What is no terminal has lines of any length."""
    return min(_WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else _WIDTH


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make demo",
        description="Runs a push from end to end on this machine, without AWS, and shows what became of every sample.",
        epilog="make passes options on: make demo ARGS='--port 8080'. Without a terminal, or with CI=true, the demo "
        "ends by itself.",
    )
    own = "run this config instead: its sources are asked, and the samples stay here"
    parser.add_argument("--config", type=Path, metavar="FILE", help=own)
    parser.add_argument("--no-page", action="store_true", help="end after the text, without the page")
    parser.add_argument("--port", type=_port, default=0, help="of the page on 127.0.0.1; by default one that is free")
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


@contextlib.contextmanager
def _prometheus() -> Iterator[Prometheus | None]:
    """A running one, if there is one that runs."""
    with contextlib.ExitStack() as stack:
        found = None
        if find():
            with contextlib.suppress(PrometheusError):
                found = stack.enter_context(Prometheus())
        yield found


# --- The story -------------------------------------------------------------------------------------------------------


def _tell(console: Console, world: Simulation, panel: panels.Panels, computed_by: str) -> None:
    for _ in range(MINUTES):
        world.run_minute()
    _show_series(console, world)
    _show_plot(console, world)
    _show_functions(console, world, panel, computed_by)
    _show_accounting(console, world)
    _show_outage(console, world)


def _show_series(console: Console, world: Simulation) -> None:
    console.print(
        f"\n[bold]{MINUTES} minutes of the schedule have passed.[/] At each, the function has asked two JSON APIs, "
        "made samples of their answers, and sent them, signed, to a receiver that checks and refuses as AMP does. "
        "These series have arrived:\n"
    )
    table = Table("series", "samples", "first", "last", "newest at")
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.justify = "right"
    for labels, samples in world.receiver.samples.items():
        name = dict(labels)["__name__"]
        if not name.startswith("scrape_"):
            newest = clock_text(samples[-1][0] / 1000)
            values = [f"{value:,g}" if value < 1 else f"{value:,.0f}" for _, value in (samples[0], samples[-1])]
            table.add_row(Text(_series_text(labels)), f"{len(samples):,}", *values, newest)
    console.print(table)


def _series_text(labels: Sequence[tuple[str, str]]) -> str:
    hidden = ("__name__", "instance", "environment", "team", "release")
    shown = ", ".join(f'{name}="{text}"' for name, text in labels if name not in hidden)
    return f"{dict(labels)['__name__']}{{{shown}}}"


def _show_plot(console: Console, world: Simulation) -> None:
    """Requests per minute, by projectCode, straight from the received samples."""
    console.print("\nWhat the counter's samples say, minute by minute, straight from what the receiver holds:\n")
    lines = {
        dict(labels)[panels.LABEL]: [after - before for (_, before), (_, after) in itertools.pairwise(samples)]
        for labels, samples in world.receiver.series(panels.METRIC).items()
    }
    times = [minute.at for minute in world.minutes][1:]
    console.print(Text.from_ansi(_plot("requests per minute, by projectCode", times, lines)))


def _show_functions(console: Console, world: Simulation, panel: panels.Panels, computed_by: str) -> None:
    console.print(f"\nWhat Grafana's panels ask for, computed by {computed_by}:\n")
    times = [minute.at for minute in world.minutes][2:]
    found = panel(times)
    for function in ("irate", "deriv", "idelta"):
        lines = {
            project: [number for number in numbers if number is not None]
            for project, numbers in found[function].items()
        }
        console.print(Text.from_ansi(_plot(panels.expression(function), times, lines)))


def _plot(title: str, times: Sequence[int], lines: Mapping[str, Sequence[float]]) -> str:
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plot_size(100, 14)
    plotext.title(title)
    ticks = {place: clock_text(at) for place, at in enumerate(times, 1) if at % _TICK_SECONDS == 0}
    plotext.xticks(list(ticks), list(ticks.values()))
    for marker, (name, values) in zip("•+x*o", sorted(lines.items()), strict=False):
        plotext.plot(list(values), label=f"projectCode {name}", marker=marker)
    return str(plotext.build())


def _show_accounting(console: Console, world: Simulation) -> None:
    runs = [run(minute) for minute in world.minutes]
    sums = {name: sum(one[name] for one in runs) for name in runs[0] if name not in ("time", "waiting", "seconds")}
    sent = sum(minute.report["endpoints"][0]["bytes_sent"] for minute in world.minutes)
    console.print("\nEvery run accounts for every sample. All of these runs together:\n")
    fates = ("accepted", "spooled", "rejected", "dropped", "undelivered")
    console.print(f"  {sums['collected']:,} collected = " + " + ".join(f"{sums[fate]:,} {fate}" for fate in fates))
    console.print(
        f"  {sums['requests']:,} signed requests, {size_text(sent)}; the receiver holds {world.receiver.accepted:,} "
        f"samples and refused {world.receiver.refused:,}"
    )


def _show_outage(console: Console, world: Simulation) -> None:
    """The receiver is gone for some minutes, and back."""
    console.print(
        f"\n[bold]An outage.[/] The receiver now answers 503 for {OUTAGE_MINUTES} minutes, and is then back. Samples "
        "wait in the spool (a folder here, S3 on AWS), and go first, oldest first, when it takes them again:\n"
    )
    world.set_switches(Switch.OUTAGE)
    minutes = [world.run_minute() for _ in range(OUTAGE_MINUTES)]
    refusal = world.refusal
    world.set_switches()
    minutes.append(world.run_minute())
    console.print(_outage_table(minutes))
    if refusal:
        console.print(Text(f"What the function says of it: {refusal.status}: {refusal.explanation.meaning}."))
    held = [stamp for points in world.receiver.series(panels.METRIC).values() for stamp, _ in points]
    wanted = (MINUTES + OUTAGE_MINUTES + 1) * len(world.receiver.series(panels.METRIC))
    console.print(f"The receiver now holds {len(held):,} of {wanted:,} samples of {panels.METRIC}.")


def _outage_table(minutes: Sequence[Minute]) -> Table:
    names = ("collected", "taken", "accepted", "spooled", "waiting")
    table = Table("run", "collected", "taken from the spool", "accepted", "spooled", "wait in the spool")
    for column in table.columns[1:]:
        column.justify = "right"
    for minute in minutes:
        found = run(minute)
        table.add_row(found["time"], *(f"{found[name]:,}" for name in names))
    return table


def size_text(count: float) -> str:
    """Bytes as people write them."""
    for unit in ("bytes", "kB"):
        if count < 1000:
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.1f} kB"
        count /= 1000
    return f"{count:.1f} MB"


# --- The page --------------------------------------------------------------------------------------------------------


def _no_page_sentence(port: int, error: OSError) -> str:
    why = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be opened: {error.strerror}"
    return f"make demo: port {port} {why}. Name another one, as in make demo ARGS='--port 8080', or none."


def _wait_for_ctrl_c(console: Console) -> None:
    """The handler is there before the sentence, so that no press is missed."""
    pressed = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: pressed.set())
    console.print("\nThe page is there until you press Ctrl-C.")
    while not pressed.wait(_LOOK_SECONDS):  # a signal that comes as a thread begins to wait does not wake it
        pass
    signal.signal(signal.SIGINT, before)


def _end(number: int, _: object) -> None:
    """What was started ends too, as after Ctrl-C."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is under nohup
        signal.signal(signal.SIGHUP, _end)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
