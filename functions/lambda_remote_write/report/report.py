"""What happened in a run: what is returned, and the sentence and the numbers of its log line and metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..model.delivery import Delivery
from ..model.drop_reasons import LOSSES, DropReason
from ..model.reason_counts import ReasonCounts
from ..model.scrape import MetricResult, Scrape


@dataclass(frozen=True, slots=True)
class Report:
    """One run. Counts of samples are sums over the endpoints; `jobs_down` says why jobs are down or have a failed
    metric since their last own scrape, whether or not this run scraped them, `new_series_limited` how many series
    `new_series_limit` holds back. `has_spool` says that something is kept at all; `shard` is which of how many this
    was, where there are several; `receivers` says of each endpoint's name where it sends."""

    scrapes: Sequence[Scrape]
    jobs_down: Mapping[str, str]
    deliveries: Sequence[Delivery]
    warnings: Sequence[str]
    started_ms: int
    seconds: float
    new_series_limited: int = 0
    has_spool: bool = False
    shard: str = ""
    receivers: Mapping[str, str] = field(default_factory=dict)

    def totals(self) -> dict[str, float]:
        """Everything that is counted: samples by outcome, records, jobs and time."""
        found = self.alarm_metrics() | {
            "AcceptedSamples": sum(delivery.accepted for delivery in self.deliveries),
            "RejectedSamples": sum(delivery.rejected.total() for delivery in self.deliveries),
            "DroppedSamples": sum(delivery.dropped.total() for delivery in self.deliveries),
            "UndeliveredSamples": sum(delivery.undelivered.total() for delivery in self.deliveries),
            "SkippedRecords": sum(scrape.skipped.total() for scrape in self.scrapes),
            "FailedMetrics": sum(len(scrape.failed) for scrape in self.scrapes),
            "RunSeconds": round(self.seconds, 3),
        }
        if self.has_spool:
            found["SpooledSamples"] = sum(delivery.spooled.total() for delivery in self.deliveries)
            found["DeadLetteredSamples"] = sum(delivery.dead_lettered for delivery in self.deliveries)
        return found | ({"NewSeriesLimited": self.new_series_limited} if self.new_series_limited else {})

    def alarm_metrics(self) -> dict[str, float]:
        """The numbers that alarms watch, each by one alarm. Nothing can wait where there is no spool."""
        found = {"Delivered": int(self.delivered), "JobsDown": len(self.jobs_down), "LostSamples": self.lost}
        return found | ({"OldestWaitingSeconds": self.oldest_waiting_seconds} if self.has_spool else {})

    @property
    def delivered(self) -> bool:
        """Whether the run delivered all it had, or some of it was accepted. What a receiver refused was delivered; it
        counts as lost."""
        is_left = any(delivery.undelivered.total() for delivery in self.deliveries)
        is_left = is_left or self.is_waiting or self.backlog_unknown
        return not is_left or any(delivery.accepted for delivery in self.deliveries)

    @property
    def lost(self) -> int:
        """Samples that no later run will deliver: rejected, or dropped for a reason that counts as a loss."""
        dropped = sum(delivery.dropped.counts[reason] for delivery in self.deliveries for reason in LOSSES)
        return dropped + sum(delivery.rejected.total() for delivery in self.deliveries)

    @property
    def oldest_waiting_seconds(self) -> float:
        """The age of the oldest sample that waits in the spool; 0 when none does."""
        oldest_ms = [delivery.waiting.oldest_ms for delivery in self.deliveries if delivery.waiting.oldest_ms]
        return round(max((self.started_ms - min(oldest_ms)) / 1000, 0.0), 3) if oldest_ms else 0.0

    @property
    def failed(self) -> bool:
        """True when samples were lost: the invocation then fails, for the alarm. What is spooled is safe."""
        return any(delivery.undelivered.counts for delivery in self.deliveries) or not self.balances

    @property
    def is_waiting(self) -> bool:
        """True when samples are in the spool."""
        return any(delivery.spooled.total() or delivery.waiting.entries for delivery in self.deliveries)

    @property
    def backlog_unknown(self) -> bool:
        """True when fresh samples were sent to an endpoint although the spool could not say whether older ones wait."""
        return any(delivery.backlog_unknown for delivery in self.deliveries)

    @property
    def balances(self) -> bool:
        return all(delivery.balances for delivery in self.deliveries)

    def as_dict(self) -> dict[str, Any]:
        return {
            "action": "push",
            "ok": not (self.failed or self.jobs_down),
            **({"shard": self.shard} if self.shard not in ("", "0/1") else {}),
            "started_ms": self.started_ms,
            "totals": self.totals(),
            "jobs_down": dict(self.jobs_down),
            "jobs": _jobs(self.scrapes),
            "endpoints": [_endpoint(delivery, self.receivers) for delivery in self.deliveries],
            "warnings": list(self.warnings),
        }

    def summary(self) -> str:
        """One sentence for people: how many samples went where, and the first thing that is wrong."""
        totals = self.totals()
        words = [*_WORDS, "spooled"] if self.has_spool else _WORDS
        counts = ", ".join(f"{int(totals[f'{word.capitalize()}Samples'])} {word}" for word in words) + " samples"
        if skipped := int(totals["SkippedRecords"]):
            counts += f", {skipped} record{'' if skipped == 1 else 's'} skipped"
        wrong = [
            f"{self._shown_name(delivery)}: {detail}"
            for delivery in self.deliveries
            for reasons in (delivery.undelivered, delivery.rejected, delivery.spooled)
            for detail in reasons.first_examples.values()
        ]
        unlisted = [self._shown_name(one) for one in self.deliveries if one.backlog_unknown]
        wrong += [f"{name}: backlog_unknown: {_UNLISTED}" for name in unlisted]
        wrong += [f"{job}: {detail}" for job, detail in self.jobs_down.items()]
        wrong += [f"{scrape.job}: {scrape.instance}: {scrape.error}" for scrape in self.scrapes if scrape.error]
        wrong += [f"{scrape.job}: {why}" for scrape in self.scrapes for why in scrape.failed.values()]
        wrong += [
            f"{scrape.job}: {detail}" for scrape in self.scrapes for detail in scrape.skipped.first_examples.values()
        ]
        for scrape in self.scrapes:
            if scrape.dropped.counts.get(DropReason.NEW_SERIES_LIMITED):
                wrong.append(scrape.dropped.first_examples[DropReason.NEW_SERIES_LIMITED])
        if not self.balances:
            wrong.insert(0, "the accounting does not add up, which is a bug: please report it")
        return counts + (f"; {wrong[0]}" if wrong else "")

    def _shown_name(self, delivery: Delivery) -> str:
        receiver = self.receivers.get(delivery.endpoint)
        return f"{delivery.endpoint} ({receiver})" if receiver else delivery.endpoint


_SHOWN_DOWN = 20
_UNLISTED = "the spool could not be listed, and what waits there may be overtaken"
_WORDS = ("accepted", "rejected", "dropped", "undelivered")


def _jobs(scrapes: Sequence[Scrape]) -> list[dict[str, Any]]:
    """One entry for each job, in their order: of all its targets together, where it has found them."""
    by_job: dict[str, list[Scrape]] = {}
    for scrape in scrapes:
        by_job.setdefault(scrape.job, []).append(scrape)
    found = [_targets(name, some) if some[0].is_target else _one(some[0]) for name, some in by_job.items()]
    return [{key: value for key, value in one.items() if value not in ("", [], {}, None)} for one in found]


def _targets(job: str, scrapes: Sequence[Scrape]) -> dict[str, Any]:
    """A log line has room for so many targets that are down, not for all."""
    down = [scrape for scrape in scrapes if scrape.error]
    slowest = max(scrapes, key=lambda scrape: scrape.duration_seconds)
    return {
        "job": job,
        "targets": len(scrapes),
        "up": len(scrapes) - len(down),
        "down": [{"instance": scrape.instance, "error": scrape.error} for scrape in down[:_SHOWN_DOWN]],
        "slowest": slowest.instance,
        "seconds": round(slowest.duration_seconds, 3),
        **(_records(scrapes) if any(scrape.pages for scrape in scrapes) else _bytes(scrapes)),
        "samples": sum(len(scrape.samples) for scrape in scrapes),
        "failed": _failed(scrapes),
        **_reasons(scrapes),
    }


def _one(scrape: Scrape) -> dict[str, Any]:
    return {
        "job": scrape.job,
        "instance": scrape.instance,
        "up": 0 if scrape.error else 1,
        "error": scrape.error,
        "seconds": round(scrape.duration_seconds, 3),
        **_records([scrape]),
        "samples": len(scrape.samples),
        "failed": scrape.failed,
        **_reasons([scrape]),
    }


def _records(scrapes: Sequence[Scrape]) -> dict[str, Any]:
    """What was read of JSON documents."""
    results = [one for scrape in scrapes for one in scrape.metrics]
    records = sum(scrape.records for scrape in scrapes)
    mapped = records - sum(scrape.skipped.total() for scrape in scrapes)
    samples_mapped = sum(one.samples_mapped for one in results)
    return {
        "pages": sum(scrape.pages for scrape in scrapes),
        "not_modified": sum(scrape.not_modified for scrape in scrapes) or None,
        **_bytes(scrapes),
        "records": records,
        "mapped": mapped,
        "samples_mapped": samples_mapped if samples_mapped != mapped else None,
        "merged": sum(one.merged for one in results) or None,
        "unknown_states": unknown_states(results),
    }


def _bytes(scrapes: Sequence[Scrape]) -> dict[str, int]:
    return {"body_bytes": sum(scrape.body_bytes for scrape in scrapes)}


def _reasons(scrapes: Sequence[Scrape]) -> dict[str, Any]:
    skipped, dropped = ReasonCounts(), ReasonCounts()
    for scrape in scrapes:
        skipped.merge(scrape.skipped)
        dropped.merge(scrape.dropped)
    return {"skipped": skipped_dict(skipped), "dropped": reasons_dict(dropped)}


def _failed(scrapes: Sequence[Scrape]) -> dict[str, str]:
    """Metrics that failed at targets which answered: at how many, and why at the first."""
    answered = [scrape for scrape in scrapes if not scrape.error]
    found: dict[str, list[Scrape]] = {}
    for scrape in answered:
        for metric in scrape.failed:
            found.setdefault(metric, []).append(scrape)
    return {
        metric: f"at {len(some)} of {len(answered)} targets, as {some[0].instance}: {some[0].failed[metric]}"
        for metric, some in found.items()
    }


def _endpoint(delivery: Delivery, receivers: Mapping[str, str]) -> dict[str, Any]:
    found = {one.name: getattr(delivery, one.name) for one in fields(delivery) if one.name != "dead"}
    found = {"endpoint": delivery.endpoint, "receiver": receivers.get(delivery.endpoint, ""), **found}
    found |= {name: reasons_dict(reasons) for name, reasons in delivery.reason_counts().items()}
    return found | {"waiting": asdict(delivery.waiting)}


def reasons_dict(reasons: ReasonCounts) -> dict[str, Any]:
    """Reason -> how many, and the first example in words."""
    return {
        reason: {"count": count, "example": reasons.first_examples[reason]}
        for reason, count in reasons.counts.items()
        if count
    }


def skipped_dict(skipped: ReasonCounts) -> dict[str, Any]:
    """Reason -> how many records, and an example of each metric that has it."""
    counts = {reason: count for reason, count in skipped.counts.items() if count}
    return {reason: {"count": count, "examples": skipped.examples[reason]} for reason, count in counts.items()}


def unknown_states(results: Sequence[MetricResult]) -> dict[str, Any]:
    """Metric -> how many records have a state that is not listed, and the first of these states."""
    unknown = {one.metric: one.unknown_states for one in results}
    return {name: {"count": one.count, "states": one.texts} for name, one in unknown.items() if one.count}


def skipped_lines(skipped: Mapping[str, Any]) -> Iterator[str]:
    """What `skipped_dict` has made, for people: a line a reason, and one for each further metric."""
    for reason, entry in skipped.items():
        first, *others = entry["examples"].values()
        yield f"skipped {entry['count']}, {reason}: {first}"
        yield from (f"  and {example}" for example in others)
