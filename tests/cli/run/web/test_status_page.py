"""The status page as HTML: what it tells, that texts stay texts, and that it can be used without a mouse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from lambda_remote_write_cli.run.messages import AttemptCounts
from lambda_remote_write_cli.run.status import ProcessStatus, ReloadStatus, TargetState
from lambda_remote_write_cli.run.web import status_page
from tests.rig.web import ENDPOINT, HTML, JOB, NOW_MS, STATUS, UP, documents


class Reading(HTMLParser):
    """The texts of a page, its elements with their attributes, and its tables as rows of cells."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.open: list[str] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "link", "img", "input"):
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if "table" in self.open and {"th", "td"} & set(self.open):
            self.tables[-1][-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.elements if name == tag)


def page_of(**fields: Any) -> Reading:
    status: ProcessStatus = replace(STATUS, **fields)
    return Reading(status_page.page(status, status_page.ConfigText()))


def row(reading: Reading, table: int, first: str) -> list[str]:
    (found,) = [cells for cells in reading.tables[table] if cells[0] == first]
    return found


ENDPOINTS, TARGETS, JOBS = range(3)
REST = "remote_write: [{url: https://h/w}]\n"


def test_an_endpoint() -> None:
    _, address, queue, spool, success, samples, problem = row(page_of(), ENDPOINTS, "amp")
    assert address == "https://aps.example.com/api/v1/remote_write"
    assert queue == "7 of 100 samples, the oldest of 2024-05-31T23:58:30Z"
    assert spool == "2 entries, the oldest of 2024-05-31T23:00:00Z"
    assert success == "2024-05-31T23:59:00Z, 1m ago"
    assert samples == "10 accepted; 20 collected; 3 rejected http_400"
    assert problem == ""


def test_an_endpoint_in_trouble_without_a_spool() -> None:
    why = "takes nothing, for 5m: it answered 403"
    away = replace(
        ENDPOINT, has_spool=False, spool_entries=0, spool_oldest_ms=0, attempts=AttemptCounts({}), problem=why
    )
    cells = row(page_of(endpoints=[away]), ENDPOINTS, "amp")
    assert (cells[3], cells[4], cells[6]) == ("no spool", "never", why)


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        pytest.param({}, ("up", "2024-06-01T00:00:00Z, 0s ago", "0.250 s", ""), id="up"),
        pytest.param(
            {"state": TargetState.DOWN, "error": "h:9100: refused"},
            ("down", "2024-06-01T00:00:00Z, 0s ago", "0.250 s", "h:9100: refused"),
            id="down",
        ),
        pytest.param(
            {"state": TargetState.UNKNOWN, "scraped_ms": 0}, ("unknown", "never", "", ""), id="not scraped yet"
        ),
    ],
)
def test_a_target(fields: dict[str, Any], shown: tuple[str, ...]) -> None:
    cells = row(page_of(targets=[replace(UP, **fields)]), TARGETS, "http://h:9100/metrics")
    assert (cells[2], cells[4], cells[5], cells[7]) == shown
    assert (cells[1], cells[3]) == ("web", 'instance="h:9100", job="web"')


def test_those_that_are_down_come_first_and_the_caption_counts_all() -> None:
    many = [replace(UP, url=f"http://h:{number}/") for number in range(1_200)]
    many[700] = replace(many[700], state=TargetState.DOWN)
    reading = page_of(targets=many)
    assert reading.tables[TARGETS][1][0] == "http://h:700/"
    assert len(reading.tables[TARGETS]) == 1 + 1_000
    assert "1200 targets: 1199 up, 1 down, 0 unknown; the first 1000 are shown" in reading.text


def test_a_json_job_with_a_metric_that_fails_at_two_targets() -> None:
    usage = replace(JOB, name="usage", is_json=True, targets=2, dropped_targets=3, messages=["usage: no list"])
    failing = [replace(UP, job="usage", url=f"http://{host}/", failed={"a": "v finds nothing"}) for host in "xy"]
    cells = row(page_of(jobs=[JOB, usage], targets=failing), JOBS, "usage")
    assert cells == ["usage", "JSON", "15s", "2, 3 dropped", "9", "2", "a: v finds nothing", "usage: no list"]


def test_what_is_wrong_comes_first() -> None:
    refused = ReloadStatus(NOW_MS, "2 mistakes in the config:\na.yaml:1: one\na.yaml:2: two")
    reading = page_of(warnings=["the spool holds 3 entries"], reload=refused)
    for text in ("a.yaml:1: one", "a.yaml:2: two", "the spool holds 3 entries"):
        assert reading.texts.index(text) < reading.texts.index("Endpoints", reading.texts.index("Warnings"))
    assert "Warnings" not in page_of().texts


def test_texts_stay_texts() -> None:
    """Wherever a name, a label, an error or a config brings HTML, it is read and not obeyed."""
    (document,) = documents(f"scrape_configs: [{{job_name: {HTML!r}, static_configs: []}}]\n{REST}", {})
    reading = page_of(
        name=HTML, place=HTML, version=HTML, warnings=[HTML], documents=[replace(document, file=HTML)],
        reload=ReloadStatus(NOW_MS, HTML),
        endpoints=[replace(ENDPOINT, name=HTML, url=HTML, problem=HTML, samples={("dropped", HTML): 1})],
        targets=[replace(UP, job=HTML, url=HTML, labels={HTML: HTML}, error=HTML, failed={HTML: HTML})],
        jobs=[replace(JOB, name=HTML, messages=[HTML])],
    )  # fmt: skip
    plain = page_of()
    assert {tag for tag, _ in reading.elements} - {tag for tag, _ in plain.elements} <= {
        "span",
        "div",
        "h3",
        "pre",
        "ul",
        "li",
    }
    assert not {name for _, attributes in reading.elements for name in attributes if name.startswith("on")}
    assert reading.text.count(HTML) >= 15


def test_no_text_moves_the_cursor_or_breaks_the_page() -> None:
    reading = page_of(name="a\x1b[2Jb\x00\ud800\u202e")
    assert "a\\x1b[2Jb\\x00\\ud800\\u202e" in reading.text


def test_it_runs_no_script_and_loads_nothing() -> None:
    reading = page_of()
    assert not {tag for tag, _ in reading.elements} & {"script", "img", "link", "iframe", "form", "object", "base"}
    assert not [attributes for _, attributes in reading.elements if "style" in attributes or "src" in attributes]
    assert all(one["href"] and one["href"][0] in "#/" for one in reading.all("a"))


def test_screen_readers_find_their_way() -> None:
    """Landmarks, a heading for each section, headers for each row and column, and what scrolls can have the focus."""
    reading = page_of()
    assert next(reading.all("html"))["lang"] == "en"
    assert {"header", "nav", "main", "h1"} <= {tag for tag, _ in reading.elements}
    ids = {attributes.get("id") for _, attributes in reading.elements}
    assert {one["aria-labelledby"] for one in reading.all("section")} <= ids
    assert {str(one["href"])[1:] for one in reading.all("a") if str(one["href"]).startswith("#")} <= ids
    assert {one.get("scope") for one in reading.all("th")} == {"row", "col"}
    for attributes in reading.all("div"):
        assert attributes["role"] == "region"
        assert attributes["aria-label"]
        assert attributes["tabindex"] == "0"


def test_the_config_is_made_anew_only_when_it_is_another_one() -> None:
    first, second = documents(REST, {}), documents(f"json_configs: []\n{REST}", {})
    config = status_page.ConfigText()
    once = config.of(first)
    assert config.of(first) is once
    assert "json_configs" in config.of(second)[0][1]
