"""The status page in Chromium: labels with HTML are shown and not obeyed; light and dark, a phone, the keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page

from lambda_remote_write_cli.run.status import TargetState
from sandbox.browser import browser, page
from tests.rig.needs import Peer
from tests.rig.web import HTML, JOB, UP, Client, MadeUp, client_of, documents

pytestmark = pytest.mark.slow

SCRIPT = "<script>document.title = 'obeyed'</script>"
HOSTILE = replace(
    UP,
    url="http://h:9100/" + "long/" * 60,
    labels={"job": "web", "instance": HTML, "page": SCRIPT},
    state=TargetState.DOWN,
    error=f"{SCRIPT}{HTML}",
)
TEXT = 'scrape_configs: [{job_name: "<b onclick=alert(1)>", static_configs: []}]\nremote_write: [{url: https://h/w}]\n'


@pytest.fixture(scope="module")
def chromium(peer: Peer) -> Iterator[Browser]:
    with browser(peer("browser")) as started:
        yield started


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    process = MadeUp(targets=[HOSTILE, UP], jobs=[JOB], warnings=[SCRIPT], documents=documents(TEXT, {}))
    with client_of(process) as found:
        yield found


def own(errors: list[str]) -> list[str]:
    """Without the icon, which browsers ask for by themselves."""
    return [error for error in errors if "favicon" not in error and "404" not in error]


def test_html_is_text_and_no_script_runs(peer: Peer, chromium: Browser, client: Client) -> None:
    with page(chromium, f"http://{client.host}/") as (shown, errors):
        (row,) = shown.get_by_role("row").filter(has_text="long/").all()
        assert f'instance="{HTML}"' in row.inner_text()
        assert f'page="{SCRIPT}"' in row.inner_text()
        assert "<b onclick=alert(1)>" in shown.get_by_role("region", name="Config pusher.yaml").inner_text()
        assert shown.title() == "pusher run: here"
        assert shown.locator("script, img, b").count() == 0
        assert own(errors) == []


def test_the_policy_would_stop_a_script_that_was_there(peer: Peer, chromium: Browser, client: Client) -> None:
    with page(chromium, f"http://{client.host}/") as (shown, errors):
        shown.evaluate(
            "() => { const added = document.createElement('script'); added.text = \"document.title = 'obeyed'\";"
            " document.body.append(added) }"
        )
        assert shown.title() == "pusher run: here"
        assert any("Content Security Policy" in error for error in errors)


def color(shown: Page, style: str) -> list[int]:
    text = str(shown.evaluate(f"() => getComputedStyle(document.body).{style}"))
    return [int(part) for part in text.partition("(")[2].rstrip(")").split(",")[:3]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(peer: Peer, chromium: Browser, client: Client, scheme: str) -> None:
    """The style that the policy allows is the one that is used."""
    with page(chromium, f"http://{client.host}/", color_scheme=scheme) as (shown, errors):
        assert (sum(color(shown, "color")) > 384) == (scheme == "dark")
        bad = shown.locator(".bad").first.evaluate("one => getComputedStyle(one).fontWeight")
        assert bad == "600"
        assert own(errors) == []


def test_a_phone_scrolls_tables_and_not_the_page(peer: Peer, chromium: Browser, client: Client) -> None:
    with page(chromium, f"http://{client.host}/", viewport={"width": 360, "height": 640}) as (shown, _):
        assert shown.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_without_a_mouse(peer: Peer, chromium: Browser, client: Client) -> None:
    """Tab goes through the links and to every table, so that each can be scrolled."""
    with page(chromium, f"http://{client.host}/") as (shown, _):
        names = []
        for _ in range(9):
            shown.keyboard.press("Tab")
            names.append(shown.evaluate("() => document.activeElement.ariaLabel || document.activeElement.innerText"))
        assert names[:5] == ["Endpoints", "Targets", "Jobs", "Config", "Metrics"]
        assert names[5] == "1 endpoint"
        assert names[6].startswith("2 targets: 1 up, 1 down")
        assert names[7:] == ["1 job", "Config pusher.yaml"]
        for landmark in ("banner", "navigation", "main"):
            assert shown.get_by_role(landmark).count() == 1  # type: ignore[arg-type]


def test_without_javascript(peer: Peer, chromium: Browser, client: Client) -> None:
    with page(chromium, f"http://{client.host}/", java_script_enabled=False) as (shown, _):
        assert shown.get_by_role("rowheader", name="amp").inner_text() == "amp"
