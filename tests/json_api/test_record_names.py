"""Names of metrics from records, beside their samples, which are in testdata/json/record-names.yaml: metadata, the
series of a warm environment, and what is remembered of names."""

from __future__ import annotations

import json
import re
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.json_api.record_names import RecordNames, legal_name
from tests.rig.json_source import Rig

NAMED = '{name: {path: n, prefix: x_}, type: gauge, help: H., unit: u, records: "[]", value: v}'


def test_each_name_has_the_metadata(rig: Rig) -> None:
    rig.serve('[{"n":"a.b","v":1},{"n":"c","v":2},{"n":"up","v":null}]')
    report = rig.push(rig.job(NAMED))
    assert {name: rig.receiver.metadata[name] for name in ("x_a_b", "x_c")} == dict.fromkeys(
        ("x_a_b", "x_c"), ("gauge", "H.", "u")
    )
    assert set(rig.receiver.metadata) == {"x_a_b", "x_c"}
    assert report["endpoints"][0]["metadata_accepted"] == 2


def test_a_name_that_is_refused_has_no_metadata(rig: Rig) -> None:
    rig.serve('[{"n":"up","v":1},{"n":"c","v":2}]')
    rig.push(rig.job(NAMED.replace(", prefix: x_", "")))
    assert set(rig.receiver.metadata) == {"c"}
    assert rig.value("up") == 1


def test_what_is_no_name_is_named(rig: Rig) -> None:
    rig.serve('[{"n":{"a":1},"v":1},{"n":null,"v":2},{"n":"up","v":3},{"n":"b","v":4}]')
    (job,) = rig.push(rig.job(NAMED.replace("prefix: x_", "prefix: ''")))["jobs"]
    examples = [one for entry in job["skipped"].values() for one in entry["examples"].values()]
    assert examples == [
        "metric {n}, record 0: the name is an object: {'a': 1}",
        "metric {n}, record 1: n finds no name",
    ]
    assert job["dropped"]["reserved_name"]["example"] == (
        "metric {n}: a record has the name up, of which every scrape makes a series itself"
    )


def test_a_series_that_is_gone_ends(rig: Rig) -> None:
    app = rig.app(rig.job(NAMED))
    for document in ('[{"n":"a","v":1},{"n":"b","v":2}]', '[{"n":"b","v":3}]', '[{"n":"a","v":4},{"n":"b","v":5}]'):
        rig.serve(document)
        app.handle({}, None)
        rig.clock.ms += 60_000
    assert [str(value) for _, value in next(iter(rig.receiver.series("x_a").values()))] == ["1.0", "nan", "4.0"]
    assert [value for _, value in next(iter(rig.receiver.series("x_b").values()))] == [2, 3, 5]


def test_one_bad_record_changes_no_other(rig: Rig) -> None:
    """The same records in columns, and one by one."""
    records: list[dict[str, Any]] = [{"n": f"m.{index}", "v": index} for index in range(20)]
    rig.serve(json.dumps(records))
    rig.push(rig.job(NAMED, keys="labels: {instance: i}"))
    first = rig.lines()
    rig.clock.ms += 60_000
    rig.serve(json.dumps([*records, {"n": None, "v": 1}]))
    rig.push(rig.job(NAMED, keys="labels: {instance: i}"))
    assert len(rig.lines()) == 2 * len(first)
    assert [line.partition(" @")[0] for line in rig.lines()][::2] == [line.partition(" @")[0] for line in first]


def test_a_label_limit_names_the_metric_as_it_arrives(rig: Rig) -> None:
    rig.serve(json.dumps([{"n": "m" * 30, "v": 1}]))
    report = rig.push(rig.job(NAMED, keys="label_value_length_limit: 25"))
    assert "x_mmm" in report["jobs"][0]["error"]


@given(st.text(min_size=1))
def test_every_text_becomes_a_legal_name(text: str) -> None:
    """The grammar of Prometheus's data model; what is legal already stays."""
    name = legal_name(text)
    assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name)
    assert len(name) - len(text) == (text[0] in "0123456789")
    if re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", text, re.ASCII):
        assert name == text


@pytest.mark.parametrize("text", ["٣x", "²", "０"], ids=["arabic", "superscript", "full width"])
def test_digits_of_other_scripts_are_no_digits(text: str) -> None:
    assert legal_name(text).startswith("_")
    assert len(legal_name(text)) == len(text)


def test_names_that_come_and_go_are_forgotten() -> None:
    """Each scrape brings other names: what is remembered stays within what is spare."""
    names, spare = RecordNames("x_"), 1_000
    tracemalloc.start()
    for scrape in range(200):
        names.start(spare)
        names.add([(f"name {scrape} {index}", "label") for index in range(100)])
        assert len(names.legal_names()) == 100
        if scrape == 20:
            before = tracemalloc.get_traced_memory()[0]
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 500_000  # eighteen thousand names more would be some three megabytes
