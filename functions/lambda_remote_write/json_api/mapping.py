"""A JSON document -> samples, as the metrics of a job say.

The fast path reads records in columns, for numbers and labels of one type. The slow path reads the other columns record
by record, so that one bad record does not affect the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .. import relabel
from ..config.expression import Group
from ..config.expression_context import BudgetExceeded
from ..config.schema import JsonJob, Metric
from ..config.shown_json import shown
from ..config.timestamp import END_OF_1970_MS
from ..model.drop_reasons import DropReason
from ..model.reason_counts import ReasonCounts
from ..model.samples import Intern, InvalidSeries, Labels, RefusedSeries, Samples, Series
from ..model.scrape import MetricResult, Scrape
from ..series.label_limits import MAX_AHEAD_MS, LimitCrossed, check_labels
from .decode import ExactFloat
from .values import RecordValues, ScrapeFailed, Skip, has_unit, label_text

if TYPE_CHECKING:
    from .record_names import RecordNames
    from .statesets import StateSet

_SPARE_KEYS = 10_000  # cached label values beyond four times what a scrape uses: then all are dropped
_NUMBER_TYPES = {int, float, ExactFloat}
Observe = Callable[[Labels, Labels | None, int | None], None]
"""Called for every new series of a job: labels before and after relabelling, and the rule that dropped it."""
Key = Any  # label values of a record: a text, or a tuple of texts


def _has_duplicates(samples: Samples) -> bool:
    """Whether a series has two samples of one time. In most answers each series has one sample, but not for a range."""
    if len(set(samples.series)) == len(samples):
        return False
    return len(set(zip(samples.series, samples.timestamps_ms, strict=True))) < len(samples)


class JobMapper:
    """Maps the documents of one target of a job, and caches the series of label values. `target` are its labels."""

    def __init__(self, job: JsonJob, target: Labels, intern: Intern, observe: Observe | None = None) -> None:
        self.job, self.target, self._observe = job, target, observe
        self.exact = False  # the documents' floats are ExactFloats
        self._intern = intern
        self._metrics = [MetricMapper(metric, self) for metric in job.metrics]
        self._last_run = 0
        self.unstamped: list[Series] = []  # of the last scrape, without own timestamps

    def map(self, documents: Sequence[Any], scrape: Scrape, run: int, now_ms: int) -> int:
        """Adds samples, skips and drops to the scrape. Returns how many series are new since the last scrape.

        A document is a value, or a Document with its answer. Raises ScrapeFailed, and InexactNumber, with which nothing
        is added.
        """
        found = Scrape(scrape.job, scrape.instance, scrape.started_ms)
        try:
            added = self._map(documents, found, run, now_ms)
        except ScrapeFailed:
            scrape.add(found)  # which says by how much a limit was crossed
            raise
        scrape.add(found)
        return added

    def _map(self, documents: Sequence[Any], scrape: Scrape, run: int, now_ms: int) -> int:
        unstamped: list[Series] = []
        for metric in self._metrics:
            try:
                found = metric.samples(documents, scrape, now_ms)
            except BudgetExceeded as error:
                raise ScrapeFailed(str(error)) from None
            scrape.samples.extend(found)
            if not metric.is_stamped:
                unstamped += found.series
        self.unstamped = unstamped
        if len(self._metrics) > 1 and _has_duplicates(scrape.samples):
            scrape.samples = _last_of_each(scrape.samples, scrape.dropped)
        limit = self.job.limits.sample_limit
        if limit and len(scrape.samples) > limit:
            raise ScrapeFailed(f"{len(scrape.samples)} samples, sample_limit is {limit}")
        seen = [series.seen for series in dict.fromkeys(scrape.samples.series)]
        added = len(seen) - (seen.count(self._last_run) if self._last_run else 0)
        for series in scrape.samples.series:
            series.seen = run
        self._last_run = run
        return added

    def series_for(self, labels: dict[str, str]) -> Series | RefusedSeries:
        """The labels of a sample -> its series, with the job's labels and after relabelling."""
        onto = relabel.target_labels_onto(labels, self.target, self.job.honor_labels)
        verdict = relabel.explain(onto, self.job.metric_relabel)
        final = verdict.labels
        if self._observe:
            self._observe(onto, final, verdict.dropped_by)
        if not final:
            return RefusedSeries(DropReason.METRIC_RELABEL, "dropped by metric_relabel_configs")
        try:
            check_labels(final, self.job.limits)
            return self._intern(final)
        except LimitCrossed as error:
            raise ScrapeFailed(str(error)) from None
        except InvalidSeries as error:
            return error.refused

    def prune(self, oldest_kept: int) -> None:
        for metric in self._metrics:
            metric.prune(oldest_kept)


class MetricMapper:
    """Maps the records of one metric."""

    def __init__(self, metric: Metric, job: JobMapper) -> None:
        self._metric, self._job = metric, job
        self._label_names = [name for name, _ in metric.labels]
        self._text_names = [name for name, _ in metric.text_columns]
        self._texts = [expression for _, expression in metric.text_columns]
        self._key_names = [*self._text_names, *([metric.states.label] if metric.states else [])]
        self._series: dict[Key, Series | RefusedSeries] = {}
        self.is_stamped = metric.timestamp is not None
        self._has_unit = has_unit(metric)
        self._has_fast_path = not metric.reads_text
        self._values = RecordValues(metric)
        self._names, self._states = _names_of(metric), _states_of(metric)
        self._found, self._result = Samples(), self._new_result()
        self._labels_found: set[str] = set()  # in this scrape
        self._labels_known: set[str] = set()  # in any scrape of this environment

    def _new_result(self) -> MetricResult:
        states = self._metric.states
        return MetricResult(self._metric.name, samples_per_record=len(states.values) if states else 1)

    def samples(self, documents: Sequence[Any], scrape: Scrape, now_ms: int) -> Samples:
        """The metric's samples of all documents. Raises ScrapeFailed, InexactNumber and BudgetExceeded."""
        self.start()
        for document in documents:
            self.map(document, scrape)
        return self.finish(documents, scrape, now_ms)

    def start(self) -> None:
        """Drops what a failed scrape may have left, and the cache when most of it is unused."""
        if len(self._series) > _SPARE_KEYS + 4 * self._result.records * self._result.samples_per_record:
            self._series.clear()
        if self._names is not None:
            self._names.start(_SPARE_KEYS + 4 * self._result.records)
        self._found, self._result = Samples(), self._new_result()
        self._labels_found = set()

    def map(self, document: Any, scrape: Scrape) -> None:
        """Reads one document; `finish` returns the samples."""
        for group in self._metric.records.walk(document):
            self._result.records += len(group.records)
            if group.not_a_list is not None:
                self._skip_place(group)
            for failure in group.failures:  # each counts as one record
                self._result.records += 1
                self._skip(DropReason.EXPRESSION_FAILED, f": records {failure.message}")
            if not group.records:
                continue
            try:
                values, stamps, keys = self._fast_columns(group, scrape.started_ms)
            except (TypeError, OverflowError):
                values, stamps, keys = self._slow_columns(group, scrape)
            if self._names is not None:
                self._names.add(keys)
            if self._states is not None:
                values, stamps, keys = self._states.samples(values, stamps, keys, self._result.unknown_states)
            self._add(values, stamps, keys, scrape)

    def finish(self, documents: Sequence[Any], scrape: Scrape, now_ms: int) -> Samples:
        """The metric's samples of all documents, without duplicates and without those too far in the future. Adds its
        result to the scrape."""
        (found, self._found), result = (self._found, Samples()), self._result
        ahead = ""
        if found and max(found.timestamps_ms) > now_ms + MAX_AHEAD_MS:
            found, ahead = self._without_future(found, now_ms, scrape.dropped)
        if _has_duplicates(found):
            found = self._without_duplicates(found, scrape)
        if self._names is not None:
            result.names = self._names.legal_names()
        if result.unknown_states.count:
            from .statesets import unlisted  # with states it is loaded

            scrape.notes.append(unlisted(result))
        if result.mapped:
            result.labels_not_found = tuple(name for name in self._label_names if name not in self._labels_found)
        if not found or result.labels_not_found:
            self._explain(documents, scrape, ahead, is_empty=not found)
        self._labels_known |= self._labels_found
        scrape.records += result.records
        scrape.skipped.merge(result.skipped)
        scrape.metrics.append(result)
        return found

    def _explain(self, documents: Sequence[Any], scrape: Scrape, ahead: str, *, is_empty: bool) -> None:
        """Explains missing samples, if that is a failure, and labels that are missing."""
        from . import failed_metric  # loaded only when there is something to explain

        result = self._result
        if is_empty:
            result.failed = failed_metric.why(self._metric, result, documents, ahead)
            return
        gone = [name for name in result.labels_not_found if name in self._labels_known]
        scrape.notes += failed_metric.hints(self._metric, result, gone, documents)

    def _skip(self, reason: str, detail: str) -> None:
        name = self._metric.name
        self._result.skipped.add(reason, f"metric {name}{detail}", subject=name)

    def _skip_place(self, group: Group) -> None:
        """Something other than a list in the place of records: counts as one record without a sample."""
        assert group.not_a_list is not None  # noqa: S101 - the caller has looked
        self._result.records += 1
        detail = f"records {self._metric.records.text} expects a list at {group.not_a_list.path or 'the top'}"
        detail = f": {detail}, but it has {shown(group.not_a_list.value)}"
        self._skip(DropReason.NOT_A_LIST, f"{detail}; [] and [n] read only lists")

    def prune(self, oldest_kept: int) -> None:
        self._series = {
            key: series
            for key, series in self._series.items()
            if isinstance(series, Series) and series.seen >= oldest_kept
        }

    # columns

    def _fast_columns(self, group: Group, started_ms: int) -> tuple[list[Any], list[int], Sequence[Key]]:
        """All columns at once. Raises TypeError or OverflowError when a value needs the slow path."""
        metric = self._metric
        raw = metric.value.column(group)
        if not self._has_fast_path:
            raise TypeError
        if metric.value_format is not None:
            raw = metric.value_format.column(raw)
        elif not set(map(type, raw)) <= _NUMBER_TYPES:
            raise TypeError
        scaling = self._values.scaling
        values = list(map(float, raw)) if scaling is None else scaling.column(raw)
        if metric.timestamp is None:
            stamps = [started_ms] * len(raw)
        else:
            stamps = metric.timestamp.format.column(metric.timestamp.path.column(group))
            if self._has_unit and min(stamps) < END_OF_1970_MS:
                raise TypeError
        columns = [_text_column(expression.column(group)) for expression in self._texts]
        if self._names is not None and "" in columns[0]:
            raise TypeError
        self._labels_found.update(self._label_names)
        if len(columns) == 1:
            return values, stamps, columns[0]
        return values, stamps, list(zip(*columns, strict=True)) if columns else [()] * len(raw)

    def _slow_columns(self, group: Group, scrape: Scrape) -> tuple[list[Any], list[int], Sequence[Key]]:
        """Record by record; one without a sample counts as skipped. The values are numbers, or the texts of states."""
        metric = self._metric
        values: list[Any] = []
        stamps: list[int] = []
        keys: list[Key] = []
        raw_stamps = metric.timestamp.path.column(group) if metric.timestamp else [None] * len(group.records)
        columns = [expression.column(group) for expression in self._texts]
        for index, raw in enumerate(metric.value.column(group)):
            try:
                value = self._values.value(raw, exact=self._job.exact)
                stamp = self._values.timestamp_ms(raw_stamps[index], scrape.started_ms)
                texts = self._key_texts([column[index] for column in columns])
            except Skip as skip:
                self._skip(skip.reason, f", record {index}: {skip}")
                continue
            values.append(value)
            stamps.append(stamp)
            self._labels_found.update(name for name, text in zip(self._text_names, texts, strict=True) if text)
            keys.append(texts[0] if len(texts) == 1 else tuple(texts))
        return values, stamps, keys

    def _key_texts(self, raw: list[Any]) -> list[str]:
        """What tells a record's series apart: its name, if it has one, and its labels. Raises Skip."""
        exact = self._job.exact
        if self._names is None:
            return [label_text(value, exact=exact) for value in raw]
        name = label_text(raw[0], exact=exact, what="the name")
        if not name:
            raise Skip(DropReason.NAME_MISSING, f"{self._texts[0].text} finds no name")
        return [name, *(label_text(value, exact=exact) for value in raw[1:])]

    # series

    def _add(self, values: list[float], stamps: list[int], keys: Sequence[Key], scrape: Scrape) -> None:
        series = list(map(self._series.get, keys))
        if {Series}.issuperset(map(type, series)):
            self._found.extend(Samples(series, values, stamps))  # type: ignore[arg-type]
            return
        for key, value, stamp in zip(keys, values, stamps, strict=True):
            found = self._resolve(key, scrape)
            if isinstance(found, Series):
                self._found.add(found, value, stamp)

    def _resolve(self, key: Key, scrape: Scrape) -> Series | None:
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = self._series_of(key)
        if isinstance(found, Series):
            return found
        scrape.dropped.add(found.reason, found.message)
        return None

    def _series_of(self, key: Key) -> Series | RefusedSeries:
        texts = key if isinstance(key, tuple) else (key,)
        labels = {name: text for name, text in zip(self._key_names, texts, strict=True) if text}
        if self._names is None:
            return self._job.series_for({"__name__": self._metric.name} | labels)
        name = self._names.legal(labels["__name__"])
        refused = self._names.refused(name, self._metric.name)
        return self._job.series_for(labels | {"__name__": name}) if refused is None else refused

    # policies

    def _without_future(self, samples: Samples, now_ms: int, dropped: ReasonCounts) -> tuple[Samples, str]:
        """The samples that are not too far in the future, and the message about the others."""
        kept = [index for index, stamp in enumerate(samples.timestamps_ms) if stamp <= now_ms + MAX_AHEAD_MS]
        ahead = f"{(max(samples.timestamps_ms) - now_ms) // 1000} s ahead of the clock"
        detail = f"metric {self._metric.name}: a timestamp is {ahead}; is the unit or time zone right?"
        dropped.add(DropReason.TOO_FAR_IN_FUTURE, detail, len(samples) - len(kept))
        return samples.pick(kept), detail

    def _without_duplicates(self, samples: Samples, scrape: Scrape) -> Samples:
        """Resolves samples of one series at one time by the metric's `duplicates` policy."""
        kept = Samples()
        places: dict[tuple[Series, int], int] = {}
        policy = self._metric.duplicates
        if self._names is not None and (clash := self._names.clash()):
            scrape.notes.append(f"metric {self._metric.name}: {clash}; duplicates: {policy} decides about equal series")
        for series, value, stamp in zip(samples.series, samples.values, samples.timestamps_ms, strict=True):
            place = places.setdefault((series, stamp), len(kept))
            if place == len(kept):
                kept.add(series, value, stamp)
            elif policy == "error":
                raise ScrapeFailed(
                    f"metric {self._metric.name}: two records give the same series and time, duplicates is error"
                )
            elif policy == "sum":  # values of a document are floats
                kept.values[place] += value  # type: ignore[operator]
            elif policy != "first":
                kept.values[place] = value
        gone = len(samples) - len(kept)
        if policy == "sum":
            self._result.merged += gone
        elif gone:
            detail = f"metric {self._metric.name}: records with the same labels and time; {policy} counts"
            scrape.dropped.add(DropReason.DUPLICATE, detail, gone)
        return kept


def _names_of(metric: Metric) -> RecordNames | None:
    """None for a metric that the config names: then the module is not loaded."""
    if metric.record_name is None:
        return None
    from .record_names import RecordNames

    return RecordNames(metric.record_name.prefix)


def _states_of(metric: Metric) -> StateSet | None:
    """None for a metric that is no stateset: then the module is not loaded."""
    if metric.states is None:
        return None
    from .statesets import StateSet

    return StateSet(metric.states)


def _last_of_each(samples: Samples, dropped: ReasonCounts) -> Samples:
    """Of two metrics of a job with the same series and time, the later one counts."""
    points = dict.fromkeys(zip(samples.series, samples.timestamps_ms, strict=True))
    if len(points) < len(samples):
        last = {point: index for index, point in enumerate(zip(samples.series, samples.timestamps_ms, strict=True))}
        detail = "two metrics of the job give the same series and time; the later one counts"
        dropped.add(DropReason.DUPLICATE, detail, len(samples) - len(points))
        samples = samples.pick([last[point] for point in points])
    return samples


def _text_column(column: list[Any]) -> list[str]:
    """A column of label values as text. Raises TypeError when a value needs the slow path."""
    kinds = set(map(type, column))
    if kinds == {str}:
        return column
    if kinds == {int}:
        return list(map(str, column))
    raise TypeError
