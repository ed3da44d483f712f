"""The demo's page in a real browser: it shows what the receiver holds, breaks the world and mends it, stays small, and
is for all who read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from generate import screenshot
from sandbox import browser as rig
from sandbox import prometheus
from sandbox.api import LAG_SECONDS, request_count
from sandbox.page import panels
from sandbox.page.server import PageServer
from sandbox.server import Answer
from sandbox.simulation import START, Minute, Simulation, Switch
from tests.rig.needs import Peer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STILL: dict[str, Any] = {"reduced_motion": "reduce"}  # the page then waits for a click, so that tests say what passes
PHONE = {"width": 360, "height": 740}
SAMPLES = 18  # of a run


@pytest.fixture(scope="module")
def chromium(peer: Peer) -> Iterator[Browser]:
    expect.set_options(timeout=30_000)  # a busy machine is slow, not wrong
    with rig.browser(peer("browser")) as running:
        yield running


@pytest.fixture
def world() -> Iterator[Simulation]:
    with Simulation() as running:
        for _ in range(12):
            running.run_minute()
        yield running


@pytest.fixture
def server(world: Simulation) -> Iterator[PageServer]:
    with PageServer(world, panels.of_receiver(world.receiver), "this test") as running:
        yield running


@contextmanager
def opened(chromium: Browser, server: PageServer, **options: Any) -> Iterator[Page]:
    """The page with its first state; it must leave no error in the console."""
    with rig.page(chromium, server.url, **STILL | options) as (page, errors):
        page.evaluate("queue")
        yield page
        assert errors == []


@pytest.fixture
def page(chromium: Browser, server: PageServer) -> Iterator[Page]:
    with opened(chromium, server) as found:
        yield found


def advance(page: Page, count: int = 1) -> None:
    page.evaluate(f"advance({count})")


def switch(page: Page, name: str, *, on: bool) -> None:
    page.get_by_role("switch", name=name).set_checked(on)
    page.evaluate("queue")


def chart(page: Page, panel: str) -> dict[str, list[float | None]]:
    """What uPlot draws: a list for each line, and one of the times."""
    names = page.evaluate(f"charts.{panel}.series.map(one => one.label)")
    data = page.evaluate(f"charts.{panel}.data")
    return {"times": data[0], **dict(zip(names[1:], data[1:], strict=True))}


def rows(page: Page, table: str) -> list[list[str]]:
    return page.locator(f"#{table} tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    )


# --- What it shows ---------------------------------------------------------------------------------------------------


def test_charts_show_the_values_that_are_served(chromium: Browser, peer: Peer) -> None:
    peer("prometheus")
    with (
        prometheus.Prometheus() as real,
        Simulation(forward_url=real.write_url) as world,
        PageServer(world, panels.of_receiver(world.receiver), "this test") as server,
        opened(chromium, server) as page,
    ):
        advance(page, 20)
        advance(page, 10)
        times = [START + 60 * n for n in range(1, 31)]
        truth = panels.of_prometheus(real)(times)
        for panel in panels.FUNCTIONS:
            shown = chart(page, panel)
            assert shown.pop("times") == times
            assert shown.keys() == {"4", "5", "6"}
            for project, line in shown.items():
                expected = truth[panel][project]
                assert [one is None for one in line] == [one is None for one in expected]
                assert numbers(line) == pytest.approx(numbers(expected), rel=1e-12), (panel, project)
        for project, lag in LAG_SECONDS.items():
            assert chart(page, "value")[project] == [request_count(project, at - lag) for at in times]
        assert {colour for panel in panels.FUNCTIONS for colour in missing_colours(page, panel)} == set()


def numbers(line: list[float | None]) -> list[float]:
    return [one for one in line if one is not None]


def missing_colours(page: Page, panel: str) -> set[str]:
    """The colours of lines of which the canvas has no pixel."""
    return set(
        page.evaluate(
            """panel => {
              const {ctx} = charts[panel], seen = new Set();
              const pixels = ctx.getImageData(0, 0, ctx.canvas.width, ctx.canvas.height).data;
              for (let at = 0; at < pixels.length; at += 4) if (pixels[at + 3] === 255)
                seen.add("#" + [...pixels.slice(at, at + 3)].map(part => part.toString(16).padStart(2, "0")).join(""));
              return charts[panel].series.slice(1).map(one => one.stroke()).filter(colour => !seen.has(colour));
            }""",
            panel,
        )
    )


def test_the_numbers_of_a_chart_can_be_read(page: Page) -> None:
    advance(page, 48)
    for panel in panels.FUNCTIONS:
        beside = page.evaluate(f"charts.{panel}.axes[1]._values.filter(text => text)")
        assert len(beside) >= 3, (panel, beside)


def test_the_answer_stands_beside_its_samples(page: Page, world: Simulation) -> None:
    at = world.minutes[-1].at
    expect(page.locator("#answer-status")).to_have_text("200")
    for project, lag in LAG_SECONDS.items():
        count = request_count(project, at - lag)
        record = f'{{"currentTime": {at - lag}, "apiRequestCount": {count}, "projectCode": "{project}"}}'
        expect(page.locator("#answer")).to_contain_text(record)
        assert [f'api_requests_total{{projectCode="{project}"}}', f"{count:,}"] in [
            row[:2] for row in rows(page, "samples")
        ]


def test_before_a_refusal_nothing_stands_there_of_one(page: Page) -> None:
    expect(page.locator("#no-refusal")).to_be_visible()
    expect(page.locator("#refusal")).to_be_hidden()


def test_labels_are_text_whatever_is_in_them(page: Page, world: Simulation) -> None:
    evil = "<img src=x onerror=alert(1)><b>"
    records = [{"currentTime": int(world.clock()) + 60, "apiRequestCount": 1, "projectCode": evil}]
    world.api.serve("/usage", Answer.json(records))
    advance(page)
    expect(page.locator("#charts .keys").first).to_contain_text(f"{evil}: 1")
    expect(page.locator("#samples")).to_contain_text(evil)
    expect(page.locator("main img, main td b")).to_have_count(0)


# --- What one can break ----------------------------------------------------------------------------------------------


def test_an_outage_fills_the_spool_which_then_empties_and_leaves_no_hole(page: Page, world: Simulation) -> None:
    switch(page, "Outage", on=True)
    for count in (1, 2, 3, 4, 5, 6, 7):
        page.get_by_role("button", name="One minute").click()
        page.evaluate("queue")
        assert chart(page, "waiting")["samples"][-1] == SAMPLES * count
    assert chart(page, "value")["4"][-2:] == [None, None], "nothing has arrived for longer than the look-back"
    expect(page.locator("#sentence")).to_contain_text("the receiver is in trouble")
    expect(page.locator("#refusal")).to_contain_text("503")
    expect(page.locator("#refusal")).to_contain_text("it may take the samples again later")
    switch(page, "Outage", on=False)
    advance(page)
    assert chart(page, "waiting")["samples"][-2:] == [7 * SAMPLES, 0]
    times = [START + 60 * n for n in range(1, 21)]
    for project, lag in LAG_SECONDS.items():
        assert chart(page, "value")[project] == [request_count(project, at - lag) for at in times]
        assert None not in chart(page, "irate")[project][1:]
    found = rows(page, "runs")
    assert found[0][:9] == ["08:20", "18", "126", "144", "0", "0", "0", "0", "yes"]
    assert found[1][:9] == ["08:19", "18", "18", "0", "36", "0", "0", "0", "yes"]
    for row in found:
        collected, taken, *outcomes = map(int, row[1:8])
        assert collected + taken == sum(outcomes)


def test_an_api_that_is_down_is_up_0(page: Page) -> None:
    switch(page, "API down", on=True)
    advance(page, 2)
    assert chart(page, "up")["custom_exporter"][-3:] == [1, 0, 0]
    expect(page.locator("figure", has_text="up by job").locator(".keys")).to_contain_text("custom_exporter: 0")
    expect(page.locator("#answer-status")).to_have_text("503")
    expect(page.locator("#answer")).to_contain_text("down for maintenance")
    switch(page, "API down", on=False)
    advance(page)
    assert chart(page, "up")["custom_exporter"][-1] == 1
    assert None not in chart(page, "value")["4"]


def test_a_renamed_field_is_explained(page: Page) -> None:
    switch(page, "Field renamed", on=True)
    advance(page)
    assert chart(page, "up")["custom_exporter"][-1] == 0
    expect(page.locator("#answer")).to_contain_text("request_count")
    expect(page.locator("#sentence")).to_contain_text("value apiRequestCount finds nothing")
    expect(page.locator("#sentence")).to_contain_text("the nearest path that exists is request_count")
    assert rows(page, "samples")[0][:2] == ["up", "0"]


def test_a_throttled_run_explains_the_refusal_and_sends_it_again(page: Page) -> None:
    expect(page.locator("#no-refusal")).to_be_visible()
    switch(page, "Throttled: 429", on=True)
    advance(page)
    expect(page.locator("#no-refusal")).to_be_hidden()
    for text in ("429", "ingestion rate limit (10) exceeded", "more samples a second than the workspace takes",
                 "queue_config.max_samples_per_second"):  # fmt: skip
        expect(page.locator("#refusal")).to_contain_text(text)
    last = dict(zip(page.locator("th[scope=col]").all_inner_texts()[-13:], rows(page, "runs")[0], strict=True))
    assert (last["accepted"], last["in the spool"]) == ("18", "0")
    assert int(last["retries"]) >= 2


def test_a_slow_api_takes_time(page: Page) -> None:
    switch(page, "Slow", on=True)
    advance(page)
    assert float(rows(page, "runs")[0][-1]) >= 0.4
    assert None not in chart(page, "value")["4"]


def test_a_tab_leaves_alone_what_another_one_has_set(chromium: Browser, server: PageServer, world: Simulation) -> None:
    with opened(chromium, server) as one, opened(chromium, server) as other:
        switch(one, "Outage", on=True)
        switch(other, "Slow", on=True)
        assert world.switches == {Switch.OUTAGE, Switch.SLOW}
        expect(other.get_by_role("switch", name="Outage")).to_be_checked()


def test_a_switch_stays_as_it_was_set_while_a_minute_is_under_way(page: Page, world: Simulation) -> None:
    """The state after that minute does not have it yet."""
    page.evaluate(
        """() => {
          const outage = document.querySelector("[name=outage]"), rendered = render;
          window.shownOn = [];
          render = state => { rendered(state); shownOn.push(outage.checked); };
          advance(1);
          outage.click();
          return queue;
        }"""
    )
    assert (page.evaluate("shownOn"), world.switches) == ([True, True], {Switch.OUTAGE})


# --- Time ------------------------------------------------------------------------------------------------------------


def test_minutes_go_by_until_pause(chromium: Browser, server: PageServer, world: Simulation) -> None:
    with opened(chromium, server, reduced_motion="no-preference") as page:
        page.get_by_label("Speed").select_option("10 minutes a second")
        expect(page.locator("#passed")).to_have_text(re.compile(r"1[5-9]|[2-9]\d"))
        page.get_by_role("button", name="Pause").click()
        page.evaluate("queue")
        passed = world.passed
        page.get_by_role("button", name="One minute").click()
        page.evaluate("queue")
        expect(page.locator("#passed")).to_have_text(str(passed + 1))


def test_play_and_pause_in_quick_succession_play_once(page: Page) -> None:
    """While a minute is under way: it does not go on for each press."""
    page.evaluate(
        """() => {
          window.ticks = 0;
          window.setTimeout = () => { ticks += 1; return 1; };
          for (let press = 0; press < 7; press++) byId("play").click();
          return queue;
        }"""
    )
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    assert page.evaluate("ticks") == 1


def test_a_request_that_was_lost_is_not_the_end(chromium: Browser, server: PageServer, world: Simulation) -> None:
    """As when the machine has slept."""
    with rig.page(chromium, server.url, **STILL) as (page, _):
        page.evaluate("queue")
        page.route("**/minutes*", lambda route: route.abort(), times=1)
        page.get_by_role("button", name="One minute").click()
        page.evaluate("queue")
        expect(page.locator("#sentence")).not_to_contain_text("has ended")
        assert world.passed == 12
        page.get_by_role("button", name="One minute").click()
        page.evaluate("queue")
        expect(page.locator("#passed")).to_have_text("13")


def test_where_motion_is_not_wanted_nothing_moves_by_itself(page: Page, world: Simulation) -> None:
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    assert (page.evaluate("[playing, timer]"), world.passed) == ([0, 0], 12)


def test_a_demo_that_has_ended_is_said(chromium: Browser, server: PageServer) -> None:
    with rig.page(chromium, server.url, **STILL) as (page, _):
        page.evaluate("queue")
        server.__exit__(None, None, None)
        page.get_by_role("button", name="One minute").click()
        expect(page.locator("#sentence")).to_have_text(
            "The demo has ended: its server does not answer. Run make demo again."
        )


class QuickWorld(Simulation):
    """Its minutes are those of the first run, one after another: a browser has as much to do with them."""

    def run_minute(self) -> Minute:
        if not self.minutes:
            return super().run_minute()
        last = self.minutes[-1]
        self.clock.sleep(60)
        waiting = (last.waiting + SAMPLES) % 500
        self.minutes.append(replace(last, at=last.at + 60, waiting=waiting, sentence=f"{waiting} samples"))
        return self.minutes[-1]


def test_a_day_of_minutes_costs_no_memory(chromium: Browser) -> None:
    def lines(times: Any) -> dict[str, panels.Lines]:
        return {name: {project: [at % 7919 for at in times] for project in "456"} for name in panels.FUNCTIONS}

    with QuickWorld() as world, PageServer(world, lines, "this test") as server, opened(chromium, server) as page:
        session = page.context.new_cdp_session(page)
        page.evaluate("(async () => { for (let done = 0; done < 60; done += 6) await advance(6) })()")
        heap, nodes = rig.heap_and_nodes(session)
        page.evaluate("(async () => { for (let done = 60; done < 1440; done += 6) await advance(6) })()")
        heap_after, nodes_after = rig.heap_and_nodes(session)
        expect(page.locator("#passed")).to_have_text("1,440")
    assert heap_after < 60_000_000
    assert heap_after - heap < 1_000_000, "less than the states that were shown"
    assert nodes_after <= nodes


# --- For all ---------------------------------------------------------------------------------------------------------


def test_a_phone_shows_it_without_scrolling_sideways(chromium: Browser, server: PageServer, world: Simulation) -> None:
    world.set_switches(Switch.FIELD_RENAMED, Switch.OUTAGE)  # the longest sentences
    with opened(chromium, server, viewport=PHONE) as page:
        advance(page)
        page.locator("summary").first.click()
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        widths = page.evaluate("PANELS.map(panel => charts[panel].width)")
        assert all(250 < width < PHONE["width"] for width in widths)
        page.set_viewport_size({"width": 900, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") == 900


def test_light_and_dark_follow_the_system(page: Page) -> None:
    light, dark = ("rgb(255, 255, 255)", "#0b57d0"), ("rgb(13, 17, 23)", "#79b8ff")
    changes: list[tuple[Literal["light", "dark"], tuple[str, str]]] = [("dark", dark), ("light", light), ("dark", dark)]
    for scheme, (background, line) in changes:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        expect(page.locator("body")).to_have_css("background-color", background)
        page.wait_for_function("line => charts.irate.series[1].stroke() === line", arg=line)  # once the page has heard
        assert missing_colours(page, "irate") == set()


def test_all_of_it_works_by_keyboard(page: Page, world: Simulation) -> None:
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        focused = "document.activeElement"
        reached.append(page.evaluate(f"{focused}.id || {focused}.name"))
        assert page.evaluate(f"getComputedStyle({focused}).outlineStyle") == "solid", f"{reached[-1]} shows no focus"
        if reached[-1] == "step":
            page.keyboard.press("Enter")
        if reached[-1] == "outage":
            page.keyboard.press("Space")
    assert reached == ["play", "step", "speed", "api_down", "field_renamed", "throttled", "outage", "slow"]
    page.evaluate("queue")
    assert (world.passed, world.switches) == (13, {Switch.OUTAGE})
    for _ in range(6):  # the tables below the charts
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.keyboard.press("Enter")
    expect(page.locator("details[open] td").first).to_be_visible()


def test_a_screen_reader_has_a_name_for_all(page: Page) -> None:
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if not node.get("ignored") and "role" in node
    ]
    roles = [role for role, _ in found]
    assert {"banner", "main", "switch", "button", "combobox", "image", "region", "status"} <= set(roles)
    assert roles.count("switch") == 5
    assert roles.count("image") == 6
    named = [
        one for one in found if one[0] in ("switch", "button", "combobox", "image", "region", "DisclosureTriangle")
    ]
    assert [role for role, name in named if not name.strip()] == []
    assert len(set(named)) == len(named), "each can be told from the others"
    assert roles.count("DisclosureTriangle") == 6
    newest, before = (request_count("5", START + 60 * minute - LAG_SECONDS["5"]) for minute in (12, 11))
    lines = f"4: {50 / 60:.3f}, 5: {(newest - before) / 60:.3f}, 6: 15"
    expect(page.locator("figure [role=img]").nth(1)).to_have_attribute(
        "aria-label", f"irate(api_requests_total[10m]) by projectCode. At 08:12: {lines}."
    )


def test_a_chart_can_be_read_as_a_table(page: Page) -> None:
    figure = page.locator("figure", has_text="irate(")
    figure.locator("summary").click()
    shown = figure.locator("tr").evaluate_all("rows => rows.map(row => [...row.cells].map(cell => cell.innerText))")
    assert shown[0] == ["time", "4", "5", "6"]
    assert [row[0] for row in shown[1:]] == [f"08:{minute:02d}" for minute in range(12, 2, -1)]
    last = [chart(page, "irate")[project][-1] for project in "456"]
    assert [float(text) for text in shown[1][1:]] == pytest.approx(last, abs=0.001)


def test_only_a_sentence_of_another_kind_is_announced(page: Page) -> None:
    live = page.locator("[aria-live=polite]")
    first = live.inner_text()
    page.evaluate("watched = 0; new MutationObserver(() => watched++).observe(byId('announcement'), {childList: true})")
    advance(page)
    advance(page)
    assert (live.inner_text(), page.evaluate("watched")) == (first, 0)
    switch(page, "Outage", on=True)
    advance(page)
    assert "the receiver is in trouble" in live.inner_text()
    advance(page)
    assert page.evaluate("watched") == 1


def test_the_picture_in_the_readme_is_of_this_page(chromium: Browser, tmp_path: Path) -> None:
    """Fonts differ from machine to machine, the rest does not."""
    picture = tmp_path / "demo.png"
    screenshot.take(chromium, picture)
    committed = (ROOT / "docs" / "demo.png").read_bytes()
    assert picture.read_bytes()[:24] == committed[:24], "a PNG's first bytes are its signature and its size"
    assert len(committed) < screenshot.MAX_BYTES
    assert "](docs/demo.png)" in (ROOT / "README.md").read_text()


def test_the_picture_is_the_same_whenever_it_is_made(
    chromium: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screenshot, "STORY", ((2, (Switch.OUTAGE,)),))
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    screenshot.take(chromium, one)
    screenshot.take(chromium, other)
    assert one.read_bytes() == other.read_bytes()
