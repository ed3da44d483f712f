"""One push: collect, put in order, pack and deliver to every endpoint, report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .batch import Batch
from .model import Delivery
from .report import Report
from .sources import collect
from .sources.due import Tick
from .warm import Remote, Warm

_JOIN_SPARE_SECONDS = 1.0
_SOURCES_SHARE = 0.6  # of the run's time; the rest is for delivery, which must not starve behind slow sources


def push(warm: Warm, tick: Tick, deadline: float) -> Report:
    """One push of what is due to every endpoint. `deadline` is monotonic seconds; nothing waits beyond it."""
    started, started_ms, run = time.monotonic(), warm.outside.now_ms(), warm.next_run()
    until = _sources_deadline(started, deadline)
    warm.discover(until, tick.jobs)
    scrapes = collect.collect(warm.due_sources(tick), collect.Edges(warm.fetcher, warm.outside.now_ms), until, run)
    batch = Batch([*scrapes, *warm.ended(tick)])
    lost = Lost(batch.count, deadline)
    deliveries = _each(warm.remotes, lambda remote: batch.deliver_to(remote, warm, deadline), lost)
    warm.finish_run()
    seconds = time.monotonic() - started
    return Report(scrapes, warm.undiscovered(), deliveries, warm.warnings(), started_ms, seconds)


def _sources_deadline(started: float, deadline: float) -> float:
    return started + (deadline - started) * _SOURCES_SHARE


def _each(remotes: Sequence[Remote], deliver_to: Callable[[Remote], Delivery], lost: Lost) -> list[Delivery]:
    """Endpoints side by side, so that one that hangs delays no other. `lost` books an endpoint whose delivery broke
    or did not come back in time: the others' reports are not lost with it."""
    results: dict[str, Delivery] = {}

    def one(remote: Remote) -> None:
        try:
            results[remote.endpoint.name] = deliver_to(remote)
        except Exception as error:
            results[remote.endpoint.name] = lost(remote, f"{type(error).__name__}: {error}, which is a bug")

    threads = [threading.Thread(target=one, args=(remote,), daemon=True) for remote in remotes]
    for thread in threads:
        thread.start()
    for thread in threads:  # each ends by itself at the deadline, but for what no timeout reaches
        thread.join(max(lost.deadline + _JOIN_SPARE_SECONDS - time.monotonic(), 0.0))
    late = "no answer within the run's time; a name look-up may hang"
    return [results.get(remote.endpoint.name) or lost(remote, late) for remote in remotes]


@dataclass(frozen=True, slots=True)
class Lost:
    """Books everything of a run as undelivered to one endpoint."""

    collected: int
    deadline: float

    def __call__(self, remote: Remote, why: str) -> Delivery:
        delivery = Delivery(remote.endpoint.name, collected=self.collected)
        if self.collected:
            delivery.undelivered.add("no_result", why, self.collected)
        return delivery
