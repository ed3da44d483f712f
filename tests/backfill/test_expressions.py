"""Functions, words and quoted keys in expressions over the records of files."""

from __future__ import annotations

import json
from typing import Any

from tests.rig.backfill import NOW_MS, Rig

AT = NOW_MS // 1000 - 600


def job(rig: Rig, **keys: Any) -> dict[str, Any]:
    """A job whose only metric is made otherwise than `Rig.metric`."""
    return rig.job(rig.metric(**keys))


def test_a_function_reads_any_column_of_a_csv(rig: Rig) -> None:
    """Also one that no plain expression names; a header with a dot is the key in double quotes."""
    labels = {"host": "host", "part": "split(name, '-')[1]", "ms": '"avg.ms"'}
    text = f"at,host,name,used,total,avg.ms\n{AT},a,x-y,1,4,7\n{AT + 60},a,x-y,1,8,7\n"
    report = rig.read("a.csv", text, job(rig, value="divide(to_number(used), to_number(total))", labels=labels))
    assert report["samples"] == 2
    assert rig.held == {'requests{host="a",ms="7",part="y"}': [(AT * 1000, 0.25), ((AT + 60) * 1000, 0.125)]}


def test_a_key_with_a_dot_alone_is_a_column(rig: Rig) -> None:
    rig.read("a.csv", f"at,host,avg.ms\n{AT},a,7\n", job(rig, value='"avg.ms"'))
    assert rig.held == {'requests{host="a"}': [(AT * 1000, 7.0)]}


def test_rows_and_texts_of_saved_answers(rig: Rig) -> None:
    """A file has the status 200 and no headers; now is the time of the backfill."""
    answer = {"c": ["at", "host", "p"], "r": [[AT, "a", '{"v": 1.5}'], [AT, "b", "{"], [AT, "c", '{"v": 2}']]}
    labels = {"host": "host", "s": "@status", "h": "@header.date", "past": "now() > at"}
    keys = {"records": "rows(c, r)", "value": "from_json(p).v", "labels": labels}
    report = rig.read("a.ndjson", json.dumps(answer), job(rig, **keys))
    assert report["samples"] == 2
    assert rig.held == {
        'requests{host="a",past="true",s="200"}': [(AT * 1000, 1.5)],
        'requests{host="c",past="true",s="200"}': [(AT * 1000, 2.0)],
    }
    assert "expression_failed" in json.dumps(report)
