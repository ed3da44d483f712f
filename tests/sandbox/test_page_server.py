"""The server of the demo's page: it serves the page to the page's own address alone, and says what is wrong."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sandbox.page import panels
from sandbox.page.server import FOLDER, PageServer, content_security_policy
from sandbox.simulation import LONGEST_MINUTES, START, Simulation, Switch

VENDOR = FOLDER / "vendor"
PAGE = (FOLDER / "index.html").read_text()


@pytest.fixture(scope="module")
def world() -> Iterator[Simulation]:
    with Simulation() as running:
        yield running


@pytest.fixture(scope="module")
def server(world: Simulation) -> Iterator[PageServer]:
    with PageServer(world, panels.of_receiver(world.receiver), "a test") as running:
        yield running


def ask(
    http: requests.Session, server: PageServer, method: str, path: str, **headers: str
) -> tuple[int, dict[str, object]]:
    answer = http.request(method, server.url.rstrip("/") + path, headers=headers, timeout=30)
    return answer.status_code, answer.json()


# --- Who may ask -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/state", "/vendor/uPlot.min.css", "/nothing"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "[::1]:{port}"]
)
def test_a_foreign_host_is_refused(http: requests.Session, server: PageServer, path: str, host: str) -> None:
    port = server.url.rstrip("/").rpartition(":")[2]
    asked = host.format(port=port)
    status, answer = ask(http, server, "GET", path, Host=asked)
    assert status == 403
    addresses = f"http://127.0.0.1:{port}/ and http://localhost:{port}/"
    assert answer["error"] == f"This page answers at {addresses} only, and this request asks for {asked!r}."


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_names_of_the_loopback_are_answered(http: requests.Session, server: PageServer, name: str) -> None:
    port = server.url.rstrip("/").rpartition(":")[2]
    answer = http.get(server.url, headers={"Host": f"{name}:{port}"}, timeout=30)
    assert (answer.status_code, answer.text) == (200, PAGE)


@pytest.mark.parametrize("path", ["/minutes?count=1", "/switches?outage=on"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"])
def test_another_origin_changes_nothing(
    http: requests.Session, server: PageServer, world: Simulation, path: str, origin: str
) -> None:
    before = (world.passed, world.switches)
    status, answer = ask(http, server, "POST", path, Origin=origin)
    assert status == 403
    assert answer["error"] == f"Only the page itself may do this, and this request comes from {origin!r}."
    assert (world.passed, world.switches) == before


def test_the_own_origin_and_a_client_without_one_may(
    http: requests.Session, server: PageServer, world: Simulation
) -> None:
    before = world.passed
    assert ask(http, server, "POST", "/minutes?count=2", Origin=server.url.rstrip("/"))[1]["passed"] == before + 2
    assert ask(http, server, "POST", "/minutes")[1]["passed"] == before + 3


# --- What is asked ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/etc/passwd", 404, "There is no GET /etc/passwd here; the page is at /."),
        ("GET", "/vendor/../server.py", 404, "There is no GET /server.py here; the page is at /."),
        ("GET", "/minutes", 404, "There is no GET /minutes here; the page is at /."),
        ("DELETE", "/state", 404, "There is no DELETE /state here; the page is at /."),
        ("POST", "/minutes?count=0", 400, "count is a number of minutes from 1 to 60, not '0'."),
        ("POST", "/minutes?count=61", 400, "count is a number of minutes from 1 to 60, not '61'."),
        ("POST", "/minutes?count=-1", 400, "count is a number of minutes from 1 to 60, not '-1'."),
        ("POST", "/minutes?count=٣", 400, "count is a number of minutes from 1 to 60, not '٣'."),
        ("POST", "/switches?flood=on", 400,
         "There is no switch 'flood'; there are api_down, field_renamed, throttled, outage, slow."),
        ("POST", "/switches?outage=yes", 400, "A switch is on or off, not 'yes'."),
    ],
)  # fmt: skip
def test_bad_input_ends_in_a_sentence(
    http: requests.Session, server: PageServer, method: str, path: str, status: int, sentence: str
) -> None:
    assert ask(http, server, method, path) == (status, {"error": sentence})


def test_a_switch_leaves_the_others_as_they_are(http: requests.Session, server: PageServer, world: Simulation) -> None:
    assert ask(http, server, "POST", "/switches?outage=on")[1]["switches"] == ["outage"]
    assert ask(http, server, "POST", "/switches?slow=on&api_down=off")[1]["switches"] == ["outage", "slow"]
    assert world.switches == {Switch.OUTAGE, Switch.SLOW}
    assert ask(http, server, "POST", "/switches?outage=off&slow=off")[1]["switches"] == []


def test_the_end_of_the_world_is_a_sentence(http: requests.Session) -> None:
    with Simulation() as world, PageServer(world, panels.of_receiver(world.receiver), "a test") as server:
        world.clock.seconds = START + 60 * LONGEST_MINUTES
        status, answer = ask(http, server, "POST", "/minutes")
        assert status == 409
        assert str(answer["error"]).endswith("which is as long as this demo lasts: run make demo again.")


def test_a_state_of_no_minutes_is_one_too(http: requests.Session) -> None:
    with Simulation() as world, PageServer(world, panels.of_receiver(world.receiver), "a test") as server:
        status, found = ask(http, server, "GET", "/state")
        assert (status, found["passed"], found["runs"], found["answer"]) == (200, 0, [], None)


def test_a_port_that_is_taken_is_no_server(world: Simulation, server: PageServer) -> None:
    port = int(server.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        PageServer(world, panels.of_receiver(world.receiver), "a test", port=port)


# --- What is served --------------------------------------------------------------------------------------------------


def test_the_policy_allows_the_page_its_own_script_and_nothing_else(http: requests.Session, server: PageServer) -> None:
    headers = http.get(server.url, timeout=30).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    script = PAGE.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


def test_a_changed_script_has_another_hash() -> None:
    assert content_security_policy(PAGE) != content_security_policy(PAGE.replace('"use strict";', "", 1))


def test_the_page_loads_nothing_from_elsewhere_and_writes_text_alone() -> None:
    loaded = re.findall(r'(?:src|href)="([^"]+)"', PAGE)
    assert loaded == ["data:,", "/vendor/uPlot.min.css", "/vendor/uPlot.iife.min.js"]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|\son\w+=|style=", PAGE)


@pytest.mark.parametrize("name", ["uPlot.iife.min.js", "uPlot.min.css", "LICENSE"])
def test_the_chart_library_is_what_its_readme_says(name: str) -> None:
    digest = hashlib.sha256((VENDOR / name).read_bytes()).hexdigest()
    readme = (VENDOR / "README.md").read_text()
    assert f"| `{name}` | `{digest}` |" in readme


def test_the_chart_library_has_its_version_and_licence() -> None:
    (version,) = re.findall(r"Version (\S+), MIT", (VENDOR / "README.md").read_text())
    assert f"(v{version})" in (VENDOR / "uPlot.iife.min.js").read_text()[:100]
    assert "The MIT License (MIT)" in (VENDOR / "LICENSE").read_text()
    assert {path.name for path in VENDOR.iterdir()} == {"README.md", "LICENSE", "uPlot.iife.min.js", "uPlot.min.css"}


# --- Contrast: WCAG 2, level AA --------------------------------------------------------------------------------------


def themes() -> dict[str, dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\}", PAGE, re.S)
    read = re.compile(r"--([\w-]+): (#[0-9a-f]{6});")
    return {"light": dict(read.findall(light)), "dark": dict(read.findall(light)) | dict(read.findall(dark))}


def luminance(colour: str) -> float:
    """Relative luminance, by WCAG 2's definition."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


TEXT = [("text", "page"), ("text", "card"), ("muted", "page"), ("muted", "card"), ("good", "card"), ("bad", "card"),
        ("on-accent", "accent")]  # fmt: skip
GRAPHICS = [("line", "card"), ("line", "page"), ("accent", "page"), ("accent", "card"),
            *((f"series-{n}", "card") for n in (1, 2, 3, 4))]  # fmt: skip


def test_black_on_white_has_the_contrast_of_the_definition() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("pair", "least"), [*((pair, 4.5) for pair in TEXT), *((pair, 3.0) for pair in GRAPHICS)])
def test_contrast(theme: str, pair: tuple[str, str], least: float) -> None:
    colours = themes()[theme]
    assert contrast(*(colours[name] for name in pair)) >= least


def test_every_colour_is_one_of_the_theme() -> None:
    """So that the pairs above are all there are."""
    style = PAGE.split("<style>")[1].split("</style>")[0]
    rules = re.sub(r":root \{.*?\}", "", style, flags=re.S)
    assert not re.search(r"#[0-9a-f]{3,8}\b|rgb|hsl", rules)
    named = set(re.findall(r"var\(--([\w-]+)\)", PAGE)) | set(re.findall(r'colour\("--([\w-]+)"\)', PAGE))
    assert named <= themes()["light"].keys()
    assert Path(FOLDER / "index.html").stat().st_size < 40_000
