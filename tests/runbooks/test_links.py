"""Every alarm of the template and every alert of the rules leads to a page that names it, and no page is left alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.report.report import Report
from tests.rig.rules import alerts
from tests.rig.runbooks import FOLDER, INDEX, alerts_of, pages
from tests.rig.stack import Stack, load_template

HEADINGS = ["What it means", "What is lost meanwhile", "See it", "Fix it", "How to know that it is over"]


def page_name(page: Path) -> str:
    return page.stem


@pytest.fixture(scope="module")
def linked(full_stack: Stack) -> dict[str, str]:
    """Every alarm and every alert, and the address of its page."""
    alarms = full_stack.of_type("AWS::CloudWatch::Alarm")
    found = {name: alarm["AlarmDescription"].partition(" Runbook: ")[2] for name, alarm in alarms.items()}
    return found | {name: rule["annotations"]["runbook_url"] for name, rule in alerts().items()}


def test_there_are_alarms_and_rules(linked: dict[str, str]) -> None:
    """A folder without rules would let every test here pass."""
    assert len([name for name in linked if name.endswith("Alarm")]) == 8
    assert len([name for name in linked if name.startswith("Pusher")]) >= 10


def test_every_alarm_and_rule_leads_to_a_page_that_names_it(linked: dict[str, str]) -> None:
    for name, address in linked.items():
        folder, _, page = address.rpartition("/")
        assert folder == "docs/runbooks", (name, address)
        assert (FOLDER / page).is_file(), (name, address)
        assert name in alerts_of(FOLDER / page), (name, address)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return load_template()


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_a_page_names_what_leads_to_it_and_nothing_else(linked: dict[str, str], page: Path) -> None:
    leads = {name for name, address in linked.items() if address.endswith(f"/{page.name}")}
    assert leads
    assert alerts_of(page) == leads


def test_the_index_lists_every_page_with_what_leads_to_it() -> None:
    rows = re.findall(r"^\| (`\w+`.*) \| \[([\w-]+\.md)\]\((.*)\) \|$", INDEX.read_text(), re.M)
    assert all(shown == target for _, shown, target in rows)
    assert {page: set(re.findall(r"`(\w+)`", names)) for names, page, _ in rows} == {
        page.name: alerts_of(page) for page in pages()
    }


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_a_page_has_its_five_parts_in_order(page: Path) -> None:
    assert re.findall(r"^## (.*)$", page.read_text(), re.M) == HEADINGS
    see = page.read_text().partition("\n## See it\n")[2].partition("\n## Fix it\n")[0]
    assert "(README.md#set-these-first)" in see
    assert "```bash" in see


AWS_NAMES = {
    "AsyncEventsDropped", "DiscardedSamples", "ActiveSeries",  # metrics
    "RetriesExhausted", "EventAgeExceeded", "BackfillStopped",  # what an event or an execution ended with
    "BadEvent", "PushFailed",  # what a run ended with
    "AccessDenied", "ParameterNotFound",  # what S3 or SSM answered
}  # fmt: skip


@pytest.mark.parametrize("page", [INDEX, *pages()], ids=page_name)
def test_parameters_functions_and_totals_that_a_page_names_exist(
    template: dict[str, Any], full_stack: Stack, linked: dict[str, str], page: Path
) -> None:
    """In code that stands for itself: `NAME`, or `NAME` = `value`."""
    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", page.read_text()))
    report = Report((), {}, (), (), 0, 0.0, new_series_limited=1, has_spool=True)
    known = {*template["Parameters"], *template["Outputs"], *full_stack.resources, *report.totals(), *linked}
    assert sorted(named - known - AWS_NAMES) == []
