"""What a backfill tells people who hold it wrong: hints, refusals, and nothing that is done twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambda_remote_write.backfill import invoke, request
from lambda_remote_write.events import BACKFILL_KEYS
from tests.rig import backfill as rigs
from tests.rig.backfill import HOUR, MINUTE, NOW_MS, Rig


def lines(*ages_ms: int, host: str = "a") -> str:
    rows = [{"at": (NOW_MS - age) // 1000, "host": host, "value": age} for age in ages_ms]
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_function_knows_the_keys_of_a_request_without_importing_it() -> None:
    assert BACKFILL_KEYS == request.KEYS


def test_a_file_with_its_newest_samples_first_gets_the_advice_to_sort_it(amp_rig: Rig) -> None:
    """On AMP they can never be made good: the newest ones have gone out."""
    newest_first = [lines(minutes * MINUTE, host="x" * 100_000) for minutes in range(1, 50)]
    file = amp_rig.file("a.ndjson", "".join(newest_first))
    answer = amp_rig.backfill({"job": "j", "from": file}, amp_rig.job(amp_rig.metric(labels={})))
    (endpoint,) = answer["endpoints"]
    assert answer["done"]
    assert answer["parts"] > 1
    assert endpoint["accepted"] < 49
    assert endpoint["dropped"]["behind_window"]["count"] == 49 - endpoint["accepted"]
    rigs.assert_says(" ".join(answer["warnings"]), "sort it by time")


AGAIN: dict[str, tuple[dict[str, Any], list[str], int]] = {  # more keys, what is said, how many requests there are then
    "resume": ({"resume": True}, ["done before", "without resume"], 1),
    "a-dry-run": ({"resume": True, "dry_run": True}, ["done before"], 1),
    "without-resume": ({}, [], 2),
    "a-plan": ({"plan": True}, [], 2),
    "force": ({"resume": True, "force": True}, ["nothing of this backfill was recorded", "begins"], 2),
    "an-endpoint": ({"resume": True, "endpoint": "here"}, ["nothing of this backfill was recorded", "begins"], 2),
}


@pytest.mark.parametrize("case", AGAIN)
def test_a_finished_backfill_is_not_repeated_unless_it_is_asked_for(rig: Rig, case: str) -> None:
    """The same request begins anew without resume, also by the token of a plan, as the state machine does. Other keys
    are another backfill: how far this one has come is none of its business. The answer says so."""
    more, words, requests = AGAIN[case]
    event = {"job": "j", "from": rig.file("a.ndjson", lines(HOUR))}
    assert rig.backfill(event, rig.job())["done"]
    answer = rig.backfill({**event, **more}, rig.job())
    assert answer["done"] is (case != "a-plan")
    if case == "a-plan":
        answer = rig.backfill({"resume": answer["resume"]}, rig.job())
    assert (answer["samples"], answer["dry_run"]) == (1, case == "a-dry-run")
    rigs.assert_says(" ".join(answer["notes"]), *words)
    assert len(rig.receiver.requests) == requests


def test_an_invocation_that_was_overtaken_stops(rig: Rig) -> None:
    """Another one has begun the same backfill since: it goes on, and this one does not write over it."""
    one, other = (rig.file(f"{name}.ndjson", lines(HOUR, host=name)) for name in "ab")
    event = {"job": "j", "from": [one, other]}
    inner: list[dict[str, Any]] = []

    def overtake(told: Any) -> None:
        if not inner:
            inner.append({})
            inner[0] = rig.backfill(event, rig.job())

    answer = rig.backfill(event, rig.job(), tell=overtake)
    assert inner[0]["done"]
    assert not answer["done"]
    rigs.assert_says(answer["stopped"], "another invocation")


def test_an_export_that_was_shortened_is_not_gone_on_with(amp_rig: Rig) -> None:
    """What was acknowledged must be there."""
    files = [amp_rig.file(f"{index}.ndjson", lines(3 * HOUR - index * MINUTE)) for index in range(3)]
    export = amp_rig.folder / "old.om"
    event = {"job": "j", "from": files, "export": str(export)}

    def stop(told: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        amp_rig.backfill(event, amp_rig.job(), tell=stop)
    whole = export.read_bytes()
    export.write_bytes(whole[:10])
    with pytest.raises(invoke.BadRequest, match=r"export: .*start again without resume"):
        amp_rig.backfill({**event, "resume": True}, amp_rig.job())
    export.write_bytes(whole.removesuffix(b"# EOF\n") + b"half a li")
    answer = amp_rig.backfill({**event, "resume": True}, amp_rig.job())
    assert (answer["done"], answer["exported"]) == (True, 3)
    text = export.read_text().splitlines()
    assert (len(text), text[-1]) == (4, "# EOF")
    assert "half" not in export.read_text()
