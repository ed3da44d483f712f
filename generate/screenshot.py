"""`make screenshot`: the README's picture of the demo's page, after an outage and an hour in which the API was down for
some minutes, within another outage."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser

from sandbox import browser as rig
from sandbox.page import panels
from sandbox.page.server import PageServer
from sandbox.simulation import Simulation, Switch

SIZE = {"width": 1180, "height": 940}  # down to the end of the charts
MAX_BYTES = 200_000
STORY: tuple[tuple[int, tuple[Switch, ...]], ...] = (
    (45, ()),
    (12, (Switch.OUTAGE,)),
    (25, ()),
    (7, (Switch.API_DOWN,)),
    (20, ()),
    (4, (Switch.OUTAGE,)),
)


def take(browser: Browser, picture: Path) -> None:
    """Writes a PNG."""
    with (
        Simulation() as world,
        PageServer(world, panels.of_receiver(world.receiver), "this demo, as Prometheus does") as server,
    ):
        for minutes, switches in STORY:
            world.set_switches(*switches)
            for _ in range(minutes):
                world.run_minute()
        last = world.minutes[-1]
        sentence = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8080", last.sentence)  # the port is another one every time
        world.minutes[-1] = replace(last, sentence=sentence)
        options = {"viewport": SIZE, "reduced_motion": "reduce", "color_scheme": "light"}
        with rig.page(browser, server.url, **options) as (page, _):
            page.evaluate("queue")
            page.screenshot(path=picture)


def main() -> str | None:
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        return "make screenshot needs chromium or google-chrome on PATH: install one of them"
    picture = Path(sys.argv[1])
    with rig.browser(executable) as browser:
        take(browser, picture)
    size = picture.stat().st_size
    print(f"{picture}: {size / 1000:.1f} kB")
    return None if size < MAX_BYTES else f"{picture} is larger than {MAX_BYTES / 1000:.0f} kB"


if __name__ == "__main__":
    sys.exit(main())
