"""Statesets beside their samples, which are in testdata/json/statesets.yaml: metadata, staleness, limits, secrets."""

from __future__ import annotations

import json
import math

import pytest

from lambda_remote_write.model.scrape import MetricResult, UnknownStates
from tests.rig.json_source import Rig

STATE = (
    '{name: door, help: Doors., records: "[]", value: s, labels: {id: id}, states: {label: state, values: ["a", "b"]}}'
)


def test_its_metadata_says_what_it_is(rig: Rig) -> None:
    rig.serve('[{"id":"x","s":"a"}]')
    rig.push(rig.job(STATE, STATE.replace("door", "gate").replace("help", "type: gauge, help")))
    assert rig.receiver.metadata["door"] == ("stateset", "Doors.", "")
    assert rig.receiver.metadata["gate"].type == "gauge"


def test_all_its_series_end_with_the_record(rig: Rig) -> None:
    app = rig.app(rig.job(STATE))
    for document in ('[{"id":"x","s":"a"},{"id":"y","s":"b"}]', '[{"id":"y","s":"a"}]'):
        rig.serve(document)
        app.handle({}, None)
        rig.clock.ms += 60_000
    ends = {
        dict(labels)["id"] + dict(labels)["state"]: points[-1][1]
        for labels, points in rig.receiver.series("door").items()
    }
    assert ends["ya"] == 1
    assert ends["yb"] == 0
    assert math.isnan(ends["xa"])  # the stale marker
    assert math.isnan(ends["xb"])


def test_sample_limit_counts_each_state(rig: Rig) -> None:
    rig.serve('[{"id":"x","s":"a"}]')
    report = rig.push(rig.job(STATE, keys="sample_limit: 1"))
    assert report["jobs"][0]["error"] == "2 samples, sample_limit is 1"


def test_what_is_no_state_is_named(rig: Rig) -> None:
    rig.serve('[{"id":"x","s":{"a":1}},{"id":"y","s":"b"}]')
    (entry,) = rig.push(rig.job(STATE))["jobs"][0]["skipped"].values()
    assert entry["examples"] == {"door": "metric door, record 0: the state is an object: {'a': 1}"}


def test_a_secret_in_an_unknown_state_is_masked(rig: Rig) -> None:
    rig.serve('[{"id":"x","s":"hunter2correct"}]')
    report = rig.push(rig.job(STATE, keys="headers: {X-Key: hunter2correct}"))
    assert "hunter2correct" not in json.dumps(report)
    assert report["jobs"][0]["unknown_states"] == {"door": {"count": 1, "states": {"<secret>": 1}}}
    assert "'<secret>' (1)" in " ".join(report["warnings"])


def test_unknown_states_of_two_answers_are_counted_together() -> None:
    """Texts beyond the tenth, and all but the first sixty characters of each, only count."""
    one, other = UnknownStates(), UnknownStates()
    for number in range(8):
        one.add(f"one {number}")
    for number in range(12):
        other.add(f"other {number}" + "x" * 100, 2)
    assert (other.count, list(other.texts)) == (24, [f"other {number}".ljust(60, "x") for number in range(10)])
    one.merge(other)
    assert (one.count, list(one.texts.values())) == (32, [1] * 8 + [2] * 2)


@pytest.mark.parametrize("states", [1, 4])
def test_samples_are_mapped_for_each_record_that_is(states: int) -> None:
    result = MetricResult("m", records=5, samples_per_record=states)
    result.skipped.add("value_missing", "", 2)
    assert (result.mapped, result.samples_mapped) == (3, 3 * states)


def test_the_sums_of_a_report_hold_for_all_metrics_together(rig: Rig) -> None:
    """Records are mapped or skipped; samples mapped are collected, dropped or merged."""
    rig.serve('{"a":[{"id":"x","s":"a"},{"id":"x","s":"b"},{"id":"y","s":null}],"b":[{"v":1},{"v":2},{"v":3}]}')
    report = rig.push(
        rig.job(
            STATE.replace('"[]"', "a"), "{name: n, records: b, value: v, duplicates: sum}",
            "{name: {path: v, prefix: v_}, records: b, value: v}",
            keys="metric_relabel_configs: [{source_labels: [__name__], regex: v_2, action: drop}]",
        )
    )  # fmt: skip
    (job,) = report["jobs"]
    assert (job["records"], job["mapped"], job["skipped"]["value_missing"]["count"]) == (9, 8, 1)
    assert (job["samples_mapped"], job["merged"]) == (10, 2)
    assert {reason: entry["count"] for reason, entry in job["dropped"].items()} == {"duplicate": 2, "metric_relabel": 1}
    assert job["samples_mapped"] == len(rig.lines()) + job["merged"] + 3
