"""A backfill by hand of statesets, and of metrics whose names are in the records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.backfill.checkpoint import fingerprint
from lambda_remote_write.config.load import parse_config
from tests.rig import backfill as rigs
from tests.rig.backfill import DAY, NOW_MS, Points, Rig

STAMP = (NOW_MS - DAY) // 1000
STATE = {"name": "door", "value": "state", "states": {"label": "state", "values": ["1.10", "open"]}}
NAMED = {"name": {"path": "what", "prefix": "x_"}, "labels": {}}
RECORDS: list[dict[str, Any]] = [
    {"at": STAMP, "host": "a", "state": "open", "what": "a.b", "value": 1},
    {"at": STAMP + 60, "host": "a", "state": "1.10", "what": "c", "value": 2},
    {"at": STAMP + 120, "host": "a", "state": "broken", "what": "c", "value": 3},
    {"at": STAMP + 180, "host": "a", "state": None, "what": None, "value": 4},
]
TEXT = "at,host,state,what,value\n" + "".join(
    ",".join("" if cell is None else str(cell) for cell in one.values()) + "\n" for one in RECORDS
)
FILES = {
    "json": json.dumps(RECORDS),
    "ndjson": "".join(json.dumps(one) + "\n" for one in RECORDS),
    "csv": TEXT,
}
EACH = pytest.mark.parametrize("ending", FILES)


def at(*values: tuple[int, float]) -> list[tuple[int, float]]:
    return [((STAMP + 60 * minute) * 1000, value) for minute, value in values]


STATES: Points = {
    'door{host="a",state="1.10"}': at((0, 0), (1, 1), (2, 0)),
    'door{host="a",state="open"}': at((0, 1), (1, 0), (2, 0)),
}


@EACH
def test_a_file_of_states(rig: Rig, ending: str) -> None:
    """A state that is not listed is 0 in all, and the answer says so; none is skipped."""
    answer = rig.read(f"a.{ending}", FILES[ending], rig.job(rig.metric(**STATE)))
    assert rig.held == STATES
    assert (answer["records"], answer["samples"]) == (4, 6)
    assert rigs.counts(answer["skipped"]) == {"value_missing": 1}
    rigs.assert_says(" ".join(answer["notes"]), "metric door: 1 record has a state", "'broken' (1)")


@pytest.mark.parametrize("last", ["2", ""], ids=["all numbers", "an empty cell"])
def test_a_column_of_numbers_that_are_states(rig: Rig, last: str) -> None:
    """They stay as they are written, and an empty cell is none."""
    lines = [f"{STAMP + 60 * index},a,{cell}\n" for index, cell in enumerate(["1.10", last])]
    states = {"label": "state", "values": ["1.10", "2"]}
    job = rig.job(rig.metric("door", value="state", states=states))
    answer = rig.read("a.csv", "at,host,state\n" + "".join(lines), job)
    first, second = ([(0, 1), (1, 0)], [(0, 0), (1, 1)]) if last else ([(0, 1)], [(0, 0)])
    assert rig.held == {'door{host="a",state="1.10"}': at(*first), 'door{host="a",state="2"}': at(*second)}
    assert rigs.counts(answer["skipped"]) == ({} if last else {"value_missing": 1})
    assert answer["notes"] == []


@EACH
def test_a_file_of_names(rig: Rig, ending: str) -> None:
    answer = rig.read(f"a.{ending}", FILES[ending], rig.job(rig.metric(**NAMED)))
    assert rig.held == {"x_a_b": at((0, 1)), "x_c": at((1, 2), (2, 3))}
    assert rigs.counts(answer["skipped"]) == {"name_missing": 1}


def test_an_answer_for_a_range(rig: Rig) -> None:
    rig.serve(RECORDS)
    job = rig.job(rig.metric(**STATE), rig.metric(**NAMED), backfill={"query": {"a": "{start}", "b": "{end}"}})
    answer = rig.backfill({"job": "j", "start": str(STAMP), "end": str(STAMP + 600)}, job)
    assert rig.held == STATES | {"x_a_b": at((0, 1)), "x_c": at((1, 2), (2, 3))}
    rigs.assert_says(" ".join(answer["notes"]), "'broken' (1)")


SECRET = "hunter2correcthorse"


def secret_in(**keys: Any) -> dict[str, Any]:
    return {"at": STAMP, "host": "a", "state": "open", "what": "a", "value": 1} | keys


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([secret_in(state=SECRET)], id="a state"),
        pytest.param([secret_in(state=[SECRET])], id="a state that is a list"),
        pytest.param([secret_in(what=[SECRET])], id="a name that is a list"),
        pytest.param([secret_in(what="up", value=SECRET)], id="a reserved name"),
        pytest.param([secret_in(what=f"{SECRET}{mark}") for mark in ".-"], id="names that become one"),
    ],
)
@pytest.mark.parametrize("duplicates", ["last", "error"])
def test_an_object_is_not_quoted(tmp_path: Path, records: list[dict[str, Any]], duplicates: str) -> None:
    with rigs.made_with_bucket(tmp_path, amp=True) as (rig, bucket):
        bucket.put("x.json", json.dumps(records).encode())
        named = NAMED | {"name": {"path": "what"}, "duplicates": duplicates}
        job = rig.job(rig.metric(**STATE | {"duplicates": duplicates}), rig.metric(**named))
        detail = json.dumps(rig.backfill({"job": "j", "from": "s3://spool/x.json"}, job, is_local=False))
        assert "hunter2" not in detail


def test_other_states_are_another_backfill(rig: Rig) -> None:
    """What a checkpoint of one is not for."""

    def of(**keys: Any) -> str:
        return fingerprint(parse_config(rig.text(rig.job(rig.metric(**keys))), "c", {}), "j")

    states = STATE | {"states": {"label": "state", "values": ["1.10", "open", "shut"]}}
    prints = [of(), of(**STATE), of(**states), of(**NAMED), of(name={"path": "what", "prefix": "y_"})]
    assert len(set(prints)) == len(prints)
