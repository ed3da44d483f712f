"""The other side of the sockets, in a process whose CPU and memory do not count: an API with ready-made documents and
a receiver that takes everything, and looks at it only when asked.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import snappy

from bench.place import JOB, METRIC
from bench.side import obey, signature_problem
from lambda_remote_write.remote_write.encode.generated.remote_pb2 import WriteRequest
from sandbox.server import Answer, LoopbackServer, Request

_SHARDS = 60  # an API reads its shards one after another: their newest points are up to a minute apart

Found = tuple[tuple[tuple[str, str], ...], float, int]


def records(size: int, run: int, start: int) -> list[dict[str, Any]]:
    """The records of run number `run`: every count and time has moved since the one before."""
    at = start + 60 * run
    return [
        {
            "currentTime": at - index % _SHARDS,
            "apiRequestCount": 1_000 + 37 * index + run * (1 + index % 97),
            "projectCode": str(index),
        }
        for index in range(size)
    ]


@dataclass(slots=True)
class Lane:
    """One candidate's documents, and what it wrote after each of them."""

    size: int
    documents: list[bytes]
    start: int
    served: int = 0
    written: list[tuple[int, Request]] = field(default_factory=list)


class OtherSide:
    """Lanes by name; `respond` serves them, the rest is for the commands."""

    def __init__(self) -> None:
        self._queued: dict[str, Lane] = {}
        self._documents: dict[tuple[int, int], bytes] = {}
        self._start = int(time.time())
        self._server = LoopbackServer(self.respond)
        self.base_url = self._server.base_url
        self._instance = self.base_url.removeprefix("http://")

    def respond(self, request: Request) -> Answer:
        lane = self._queued[request.path.split("/")[1]]
        if request.method == "POST":
            lane.written.append((lane.served - 1, request))
            return Answer(200)
        document = lane.documents[lane.served]
        lane.served += 1
        return Answer(200, {"Content-Type": "application/json"}, document)

    def open(self, lane: str, size: int, runs: int) -> dict[str, Any]:
        """Makes the documents of a lane ready."""
        self._queued[lane] = Lane(size, [self._document(size, run) for run in range(runs)], self._start)
        return {}

    def _document(self, size: int, run: int) -> bytes:
        if (size, run) not in self._documents:
            self._documents[size, run] = json.dumps(records(size, run, self._start)).encode()
        return self._documents[size, run]

    def check(self, lane: str, signed: bool) -> dict[str, Any]:
        """Closes a lane: how much arrived, and what is wrong with it ("" when nothing is)."""
        closed = self._queued.pop(lane)
        last = len(closed.documents) - 1
        messages = [(run, _decoded(request)) for run, request in closed.written]
        wrong = (signature_problem(request) for _, request in closed.written if signed)
        problem = _unserved(closed) or next(filter(None, wrong), "")
        found = [one for run, message in messages if run == last for one in _samples(message)]
        problem = problem or self._difference(closed, last, found)
        counts = [sum(len(message.timeseries) for at, message in messages if at == run) for run in range(last + 1)]
        if not problem and set(counts) != {len(found)}:
            problem = f"the pushes brought different numbers of samples: {counts}"
        sizes = [len(request.body) for _, request in closed.written]
        return {"problem": problem, "samples": counts[-1], "requests": len(sizes), "bytes": sum(sizes)}

    def _difference(self, lane: Lane, run: int, found: list[Found]) -> str:
        """Compares what arrived after the document `run` with that document, sample by sample."""
        target = (("instance", self._instance), ("job", JOB))
        expected = {
            ((("__name__", METRIC), *target, ("projectCode", one["projectCode"])), *_value(one))
            for one in records(lane.size, run, lane.start)
        }
        own = [one for one in found if one[0][0] == ("__name__", METRIC)]
        if len(own) != len(expected) or set(own) != expected:
            return f"{len(set(own) & expected)} of {len(expected)} samples arrived as the API served them"
        ups = [value for labels, value, _ in found if labels == (("__name__", "up"), *target)]
        return "" if ups == [1.0] else f"up arrived as {ups}"


def _unserved(lane: Lane) -> str:
    left = len(lane.documents) - lane.served
    return f"{left} documents were never asked for" if left else ""


def _value(record: dict[str, Any]) -> tuple[float, int]:
    return float(record["apiRequestCount"]), record["currentTime"] * 1000


def _decoded(request: Request) -> WriteRequest:
    message: WriteRequest = WriteRequest.FromString(snappy.uncompress(request.body))
    return message


def _samples(message: WriteRequest) -> list[Found]:
    return [
        (tuple((label.name, label.value) for label in series.labels), sample.value, sample.timestamp)
        for series in message.timeseries
        for sample in series.samples
    ]


def main() -> None:
    side = OtherSide()
    obey({"base_url": side.base_url}, {"open": side.open, "check": side.check})


if __name__ == "__main__":
    main()
