"""What the page shows, as JSON: the panels, the API's answer and the samples made of it, the runs, the refusal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sandbox import range_functions
from sandbox.server import Answer
from sandbox.simulation import Minute, RefusedWrite, SentSample, Simulation, count_of

from .panels import Panels, expression

SHOWN_RUNS = 10
_OUTCOMES = ("spooled", "rejected", "dropped", "undelivered")
_COMMON_LABELS = ("__name__", "instance", "job", "environment", "team")


def state(world: Simulation, panels: Panels, computed_by: str) -> dict[str, Any]:
    """All of it, of the world as it is now."""
    minutes = list(world.minutes)
    times, last = [one.at for one in minutes], minutes[-1] if minutes else None
    return {
        "passed": world.passed,
        "clock": clock_text(world.clock()),
        "switches": sorted(one.value for one in world.switches),
        "times": times,
        "panels": {name: {"expression": expression(name), "lines": lines} for name, lines in panels(times).items()},
        "computed_by": computed_by,
        "up": _up(world, times),
        "waiting": [one.waiting for one in minutes],
        "sentence": last.sentence if last else "",
        "jobs_down": dict(last.report["jobs_down"]) if last else {},
        "answer": _answer(last.answer) if last else None,
        "samples": [_sample(one) for one in last.samples] if last else [],
        "runs": [run(one) for one in reversed(minutes[-SHOWN_RUNS:])],
        "refusal": _refusal(world.refusal) if world.refusal else None,
    }


def run(minute: Minute) -> dict[str, Any]:
    """A run's accounting: `collected` and `taken` from the spool are what it had, the others what became of it."""
    endpoint = minute.report["endpoints"][0]
    counts = {"collected": endpoint["collected"], "taken": endpoint["taken"], "accepted": endpoint["accepted"]}
    return {
        "time": clock_text(minute.at),
        **counts,
        **{name: count_of(endpoint[name]) for name in _OUTCOMES},
        "waiting": minute.waiting,
        "requests": endpoint["attempts"],
        "retries": endpoint["retries"],
        "seconds": minute.report["totals"]["RunSeconds"],
    }


def clock_text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M")


def _up(world: Simulation, times: Sequence[int]) -> dict[str, list[float | None]]:
    """`up` of each job at each minute; None where the receiver has no sample of it."""
    series = {dict(labels)["job"]: sorted(points) for labels, points in world.receiver.series("up").items()}
    return {job: [range_functions.value(points, at * 1000) for at in times] for job, points in sorted(series.items())}


def _answer(answer: Answer) -> dict[str, Any]:
    return {"status": answer.status, "body": _json_text(json.loads(answer.body))}


def _json_text(document: Any) -> str:
    """A record in each line, where it is a list."""
    if not isinstance(document, list):
        return json.dumps(document, ensure_ascii=False)
    records = ",\n".join(f"  {json.dumps(one, ensure_ascii=False)}" for one in document)
    return f"[\n{records}\n]"


def _sample(sample: SentSample) -> dict[str, Any]:
    labels: Mapping[str, str] = dict(sample.labels)
    shown = ", ".join(f'{name}="{text}"' for name, text in labels.items() if name not in _COMMON_LABELS)
    at = datetime.fromtimestamp(sample.timestamp_ms / 1000, UTC).strftime("%H:%M:%S")
    return {
        "series": labels["__name__"] + (f"{{{shown}}}" if shown else ""),
        "value": sample.value,
        "time": at,
    }


def _refusal(refusal: RefusedWrite) -> dict[str, Any]:
    explanation = refusal.explanation
    return {
        "time": clock_text(refusal.at),
        "status": refusal.status,
        "text": refusal.text,
        "meaning": explanation.meaning,
        "help": explanation.help,
    }
