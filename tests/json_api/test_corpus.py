"""The corpus: what an API answers, how a job reads it, and every sample, skip, drop, error and warning of that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.rig.json_source import NOW_MS, Rig, dropped, error, skipped
from tests.rig.tables import TESTDATA, listed, table

DEEP = "[" * 900 + "]" * 900


def cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """A file is one case, or many by name. `metric` is one whose name is m, `pages` are documents by query in the order
    in which they are asked for, `error` and `warning` are words of the only one, `failed` names metrics. Samples of a
    series are in the order in which they arrive, at the time of the scrape where they show none; `DEEP` in a document
    stands for many lists."""
    for path in sorted((TESTDATA / "json").glob("*.yaml")):
        found = listed(f"json/{path.name}")
        for name, case in [("", dict(found))] if "samples" in dict(found) else found:
            yield f"{path.stem} {name}".strip(), case


@table("case", list(cases()))
def test_corpus(rig: Rig, case: dict[str, Any]) -> None:
    """A job is down with its reason, and nothing arrives; or every record is a sample or counted."""
    pages = case.get("pages") or {"": case["document"].replace("DEEP", DEEP)}
    metrics = case.get("metrics") or [{"name": "m", **case["metric"]}]
    keys = {"job_name": "j", "url": rig.serve_pages(pages), "metrics": metrics, **case.get("job", {})}
    report = rig.push(json.dumps(keys))
    (found,), message, is_down = report["jobs"], error(report), "error" in case
    is_ok = not is_down and "failed" not in case
    assert [words for words in case.get("error", [""]) if words not in message] == []
    assert bool(message) is is_down
    lines = [line if " @" in line else f"{line} @{NOW_MS}" for line in case.get("samples", ())]
    assert rig.lines() == sorted(lines, key=lambda line: line.rsplit(" ", 2)[0])
    assert (skipped(report), dropped(report)) == (case.get("skipped", {}), case.get("dropped", {}))
    assert [request.query for request in rig.api.requests] == list(pages)
    assert (rig.receiver.refused, {record.status for record in rig.receiver.requests}) == (0, {200})
    assert (rig.value("up"), report["ok"], report["totals"]["JobsDown"]) == (not is_down, is_ok, not is_ok)
    assert is_down or list(found.get("failed", {})) == case.get("failed", [])
    assert found.get("unknown_states", {}) == case.get("unknown_states", {})
    scraped, mapped = len(lines) + sum(dropped(report).values()), found.get("mapped", 0)
    assert found.get("records", 0) == mapped + sum(skipped(report).values())
    assert is_down or found.get("samples_mapped", mapped) == scraped + found.get("merged", 0)
    if is_down:
        assert report["jobs_down"]["j"]
        assert len(message) < 700
        assert "\n" not in message
        return
    assert found.get("pages", 1) == len(pages)
    assert rig.value("scrape_samples_scraped") == scraped
    assert rig.value("scrape_samples_post_metric_relabeling") == scraped - dropped(report).get("metric_relabel", 0)
    warnings = [detail for detail in report["warnings"] if detail.startswith("j: ")]
    assert len(warnings) == ("warning" in case)
    assert [words for words in case.get("warning", ()) if words not in warnings[0]] == []
