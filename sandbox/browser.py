"""A real browser without a window, for tests of pages and `make screenshot`: Chromium or Chrome from PATH, driven by
Playwright."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

_TIMEOUT_MS = 30_000  # of what a page waits for; a busy machine is slow, not wrong


@contextmanager
def browser(executable: str) -> Iterator[Browser]:
    """A running browser; `executable` comes from the fixture `peer("browser")`."""
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []  # which Chromium cannot set up for root
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=executable, args=[*sandbox, "--disable-dev-shm-usage", "--js-flags=--expose-gc"]
        )
        try:
            yield started
        finally:
            started.close()


@contextmanager
def page(browser: Browser, url: str = "", **options: object) -> Iterator[tuple[Page, list[str]]]:
    """A page of its own context, and what went wrong in it: errors of the console and uncaught exceptions. `options`
    are Playwright's of a context: `color_scheme`, `viewport`, …"""
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(_TIMEOUT_MS)
    errors: list[str] = []
    try:
        opened = context.new_page()
        opened.on("console", lambda one: errors.append(one.text) if one.type == "error" else None)
        opened.on("pageerror", lambda error: errors.append(str(error)))
        if url:
            opened.goto(url)
        yield opened, errors
    finally:
        context.close()


def heap_and_nodes(session: CDPSession) -> tuple[int, int]:
    """Bytes of JavaScript's heap after a collection, and how many nodes of the DOM are alive."""
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return int(found["JSHeapUsedSize"]), int(found["Nodes"])
