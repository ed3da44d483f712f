"""Over generated documents: every good record arrives exactly, every bad one is counted once, on either path."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.amp import Labels
from tests.rig.json_source import NOW_MS, Rig, dropped, error, example, skipped

pytestmark = pytest.mark.slow  # thousands of documents

NOW = NOW_MS // 1000
METRIC = (
    '{name: m, records: "[]", value: v, labels: {id: id, zone: zone, n: n}, timestamp: {path: t, format: unix}, '
    "duplicates: error}"
)
SETTINGS = settings(max_examples=60)


@dataclass(frozen=True, slots=True)
class Record:
    """One record as JSON; `reason` is under which a bad one is counted, `value` and `at` what a good one gives."""

    document: Any
    reason: str = ""
    value: float = 0.0
    at: int = 0


NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False, width=64),
    st.booleans(),
    st.sampled_from(["1.5", "-3", "1e3", "0"]),
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
LABELS = st.one_of(TEXTS, st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.just("absent"))
TIMES = st.integers(NOW - 3000, NOW + 500)


@st.composite
def good(draw: st.DrawFn) -> Record:
    value, at = draw(NUMBERS), draw(TIMES)
    fields = {"v": value, "t": at, "zone": draw(LABELS), "n": draw(LABELS)}
    return Record({k: v for k, v in fields.items() if v != "absent"}, value=float(value), at=at)


WRECKS: list[tuple[str, dict[str, Any]]] = [
    ("not_a_number", {"v": "n/a"}),
    ("not_a_number", {"v": []}),
    ("not_a_number", {"v": {}}),
    ("value_missing", {"v": None}),
    ("timestamp_missing", {"t": None}),
    ("timestamp_invalid", {"t": "noon"}),
    ("timestamp_invalid", {"t": True}),
    ("timestamp_invalid", {"t": [1]}),
    ("label_not_scalar", {"zone": [1]}),
    ("label_not_scalar", {"n": {}}),
    ("too_far_in_future", {"t": NOW + 601}),
    ("too_old", {"t": NOW - 3301}),
]


@st.composite
def bad(draw: st.DrawFn) -> Record:
    base = draw(good())
    reason, wreck = draw(st.sampled_from(WRECKS))
    return Record(base.document | wreck, reason)


NO_OBJECTS = st.sampled_from([Record(document, "value_missing") for document in (5, "x", True)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("property")


def served(folder: Path, records: list[Record]) -> tuple[dict[str, Any], dict[Labels, list[tuple[int, float]]]]:
    """The report, and the samples of m as they arrived without instance."""
    numbered = [
        record.document | {"id": f"r{index}"} if isinstance(record.document, dict) else record.document
        for index, record in enumerate(records)
    ]
    with Rig(folder) as rig:
        rig.serve(json.dumps(numbered))
        report = rig.push(rig.job(METRIC, keys="labels: {instance: i}"))
        assert rig.receiver.refused == 0
        return report, rig.receiver.series("m")


def text(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def series(index: int, record: Record) -> Labels:
    named = {"__name__": "m", "id": f"r{index}", "instance": "i", "job": "j"}
    for name in ("zone", "n"):
        value = record.document.get(name)
        if value not in (None, ""):
            named[name] = text(value)
    return tuple(sorted(named.items(), key=lambda pair: pair[0].encode()))


@SETTINGS
@given(st.lists(st.one_of(good(), bad(), NO_OBJECTS), min_size=1, max_size=25))
def test_good_records_survive_and_bad_ones_are_counted_once(folder: Path, records: list[Record]) -> None:
    report, samples = served(folder, records)
    reasons = {record.reason for record in records}
    assert bool(error(report)) == (not reasons & {"", "too_old"})
    assert samples == {
        series(index, record): [(record.at * 1000, record.value)]
        for index, record in enumerate(records)
        if not record.reason
    }
    expected = Counter(record.reason for record in records if record.reason)
    assert Counter(skipped(report)) + Counter(dropped(report)) == expected
    shown = report["jobs"][0].get("skipped", {})
    for reason, entry in shown.items():
        first = next(index for index, record in enumerate(records) if record.reason == reason)
        assert f"record {first}:" in example(entry)
    (endpoint,) = report["endpoints"]
    assert endpoint["collected"] == endpoint["accepted"] + sum(dropped(report).values())


PLAIN = st.fixed_dictionaries(
    {"v": st.one_of(st.integers(-(2**53), 2**53), st.floats(-1e9, 1e9)), "t": TIMES, "zone": TEXTS, "n": TEXTS}
)


@SETTINGS
@given(st.lists(PLAIN, min_size=1, max_size=20), st.integers(0, 20), bad())
def test_a_bad_record_changes_nothing_for_its_neighbours(
    folder: Path, documents: list[dict[str, Any]], place: int, wreck: Record
) -> None:
    """The fast path reads the first document, the slow path the one with a bad record: equal samples."""
    records = [Record(document) for document in documents]
    _, alone = served(folder, records)
    _, beside = served(folder, [*records, wreck])
    assert alone == beside
    assert len(alone) == len(records)
    assert all(math.isfinite(value) for points in alone.values() for _, value in points)
