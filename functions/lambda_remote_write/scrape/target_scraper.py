"""One target, scraped as Prometheus scrapes it: requests the page, parses it as it arrives, turns it into samples, and
adds `up` and stale markers.

Rules: Prometheus scrape/scrape.go. A scrape is atomic: after any error no sample of the page is sent, and the series of
the scrape before end, except those that the page had before its mistake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from .. import relabel
from ..config.schema import MAX_PAGE_BYTES, ScrapeJob
from ..exposition import content_type, nhcb
from ..exposition.line_parser import LineReader, ParseOptions
from ..exposition.openmetrics_parser import OpenMetricsReader
from ..exposition.page import NO_TIME, BadPage, CacheEntry, Page, Resolve, ScrapeCache
from ..exposition.protobuf_parser import ProtobufReader
from ..exposition.text_parser import TextReader
from ..http import content_coding
from ..http.fetch import BodyTooLarge, Fetcher, FetchError, SourceRequest
from ..json_api.mapping import Observe
from ..model import histogram_buckets
from ..model.drop_reasons import DropReason
from ..model.samples import Exemplar, InvalidSeries, Samples, Series
from ..model.scrape import EXTRA_SYNTHETIC_NAMES, SYNTHETIC_NAMES, Scrape
from ..series.cache import SeriesCache
from ..series.label_limits import MAX_AHEAD_MS, LimitCrossed, check_labels
from ..series.name_escaping import escaping, is_legacy
from .collect import Scraper, ScrapeResponse
from .targets import Target
from .up import Synthetic

_READERS: dict[str, Callable[[ScrapeCache, Resolve, ParseOptions], LineReader | ProtobufReader]] = {
    content_type.TEXT: TextReader,
    content_type.OPENMETRICS: OpenMetricsReader,
    content_type.PROTOBUF: ProtobufReader,
}
_MAX_EXEMPLAR_CHARACTERS = 128  # of its labels' names and values together; longer ones are dropped (OpenMetrics)
_SPARE_IDENTITIES = 1_000  # beyond twice what a page holds: then only those of the last page stay in the cache


@dataclass(frozen=True, slots=True)
class EndpointFeatures:
    """What some endpoint takes: exemplars, start timestamps of series, names in UTF-8."""

    exemplars: bool = False
    start_times: bool = False
    utf8_names: bool = False


@dataclass(slots=True)
class ParsedPage:
    """A target's page, or why there is none. `body_bytes` is -1 above the body limit; `spellings` counts in how many
    ways the page writes some series."""

    page: Page
    error: str = ""
    body_bytes: int = 0
    cache: ScrapeCache | None = None  # with which the page was read
    media_type: str = ""
    spellings: Callable[[Collection[Series]], int] = len


class TargetScraper(Scraper):
    """A target with a page of metrics and what its environment remembers of it."""

    target: Target[ScrapeJob]

    def __init__(
        self, target: Target[ScrapeJob], series: SeriesCache, features: EndpointFeatures, observe: Observe | None
    ) -> None:
        self._series, self._features, self._observe = series, features, observe
        job = target.job
        self._intern = series.intern if features.utf8_names else escaping(series.intern, job.name_escaping)
        names = SYNTHETIC_NAMES + (EXTRA_SYNTHETIC_NAMES if job.extra_scrape_metrics else ())
        super().__init__(target, Synthetic(target.labels, names, self._intern))
        self._labels = {name: value for name, value in target.labels.items() if value}
        self._cache, self._media_type = self._new_cache(), ""
        self._last_series: list[Series] = []  # of the last pages, to count new ones
        self._respelled = 0  # how many series more Prometheus counts, which tells spellings apart
        self._exemplars: dict[Series, Exemplar] = {}  # the newest of each series
        self._parse_options = ParseOptions(
            honor_timestamps=job.honor_timestamps,
            exemplars=features.exemplars,
            starts=features.start_times,
            native_histograms=target.native_histograms,
            classic_histograms=target.classic_histograms,
            custom_buckets=target.custom_buckets,
            max_buckets=job.native_histogram_bucket_limit,
            max_schema=histogram_buckets.schema_of(job.native_histogram_min_bucket_factor),
        )
        self._request = SourceRequest(
            "GET",
            target.url,
            job.http,
            job.limits.body_size_bytes or MAX_PAGE_BYTES,
            public_headers=(
                ("Accept", content_type.accept(job.scrape_protocols, job.name_escaping)),
                ("X-Prometheus-Scrape-Timeout-Seconds", _seconds(target.timeout_ms)),
            ),
            accept_encoding=content_coding.GZIP if job.enable_compression else content_coding.IDENTITY,
            is_page=True,
            allow_link_local=job.allow_link_local,
            unix_socket=target.unix_socket,
        )

    def makes_same_series(self, other: Scraper) -> bool:
        if not isinstance(other, TargetScraper) or self._series is not other._series:
            return False
        return self.target == other.target and self._features == other._features

    def fetch(self, fetcher: Fetcher, deadline: float) -> ParsedPage:
        """The target's page, parsed as it arrives. What a target does wrong is the page's `error`."""
        answer = ParsedPage(Page())
        try:
            with fetcher.open(self._request, deadline) as opened:
                self._read(opened.content_type, opened.pieces, answer)
        except BodyTooLarge as error:
            return ParsedPage(Page(), str(error), -1)
        except FetchError as error:
            return ParsedPage(Page(), str(error))
        return answer

    def _read(self, header: str, pieces: Iterator[bytes], answer: ParsedPage) -> None:
        """Reads to the end also after a bad line: a body that is too large or cut off is the more useful error."""
        reader: LineReader | ProtobufReader | None = None
        for piece in pieces:
            answer.body_bytes += len(piece)
            if answer.error or not piece:
                continue
            try:
                reader = reader or self._reader(header, answer)
                answer.page, answer.spellings = reader.page, reader.spellings
                reader.feed(piece)
            except (BadPage, content_type.UnknownFormat) as error:
                answer.error = str(error)
        if reader and not answer.error:
            try:
                page = reader.close()
                if page.parts and answer.cache is not None:
                    nhcb.convert(page, answer.cache)
            except BadPage as error:
                answer.error = str(error)

    def _reader(self, header: str, answer: ParsedPage) -> LineReader | ProtobufReader:
        media_type = content_type.media_type(header, self.target.job.fallback_scrape_protocol)
        is_same = media_type == self._media_type  # one format may refuse a line that another accepts
        answer.cache, answer.media_type = self._cache if is_same else self._new_cache(), media_type
        return _READERS[media_type](answer.cache, self._resolve, self._parse_options)

    def _new_cache(self) -> ScrapeCache:
        job = self.target.job
        keeps_labels = not (job.metric_relabel or self._observe or job.limits.has_label_limits)
        return ScrapeCache(fast_intern=self._series.fast_intern(self._labels) if keeps_labels else None)

    def _resolve(self, labels: dict[str, str]) -> CacheEntry:
        """Labels of the page -> their entry, once for each identity. Raises BadPage."""
        job = self.target.job
        if self._labels.keys().isdisjoint(labels) and "" not in labels.values():
            final = {**labels, **self._labels}
        else:
            final = relabel.target_labels_onto(labels, self.target.labels, job.honor_labels)
        if job.metric_relabel or self._observe:
            verdict = relabel.explain(final, job.metric_relabel, self._set_on(labels, final))
            if self._observe:
                self._observe(final, verdict.labels, verdict.dropped_by)
            if not verdict.labels:
                return False
            final = dict(verdict.labels)
        if "__name__" not in final or "" in final:
            raise BadPage("a sample without a metric name" if "" not in final else "a label without a name")
        try:
            check_labels(final, job.limits)
            return self._interned(final)
        except LimitCrossed as error:
            raise BadPage(str(error)) from None
        except InvalidSeries as error:
            return error.refused

    def _set_on(self, labels: Mapping[str, str], final: Mapping[str, str]) -> list[str]:
        """The labels that the target sets on those of the page, in order (scrape/scrape.go, mutateSampleLabels)."""
        own = [name for name in sorted(self._labels) if not (self.target.job.honor_labels and labels.get(name))]
        return [*own, *(name for name in final if name not in labels and name not in self._labels)]

    def _interned(self, labels: dict[str, str]) -> Series:
        """The series of final labels. Raises BadPage and InvalidSeries."""
        if self.target.job.name_validation == "legacy" and not is_legacy(labels):
            raise BadPage(f"{labels['__name__']!r:.80}: metric_name_validation_scheme legacy refuses this name")
        return self._intern(labels)

    def to_scrape(self, response: ScrapeResponse, run: int, now_ms: int) -> Scrape:
        job, target = self.target.job, self.target
        answer: ParsedPage = response.answer or ParsedPage(Page(), response.error)
        page = answer.page
        if answer.cache is not None:
            self._cache, self._media_type = answer.cache, answer.media_type
        elif response.answer is None:  # its thread may still be parsing with the cache, within another run
            self._cache, self._media_type = self._new_cache(), ""
        scrape = Scrape(job.job_name, self.instance, response.started_ms, duration_seconds=response.seconds())
        scrape.body_bytes, scrape.records = max(answer.body_bytes, 0), page.scraped
        is_same_page = page.series == self._last_series and not page.stamped  # as nearly always
        respelled = 0 if is_same_page else _respelled(page, answer)
        scrape.error = answer.error or _over_sample_limit(job.limits.sample_limit, page, respelled)
        kept = page.kept
        if scrape.error or not answer.body_bytes:
            added = self._take_failed(page, scrape, respelled)
        else:
            added = self._take_page(page, scrape, now_ms, is_same_page=is_same_page)
            added += max(respelled - self._respelled, 0)
            self._respelled = respelled
        if not scrape.error:
            scrape.metadata = self._cache.metadata()
        values = [
            0.0 if scrape.error else 1.0,
            scrape.duration_seconds,
            float(page.scraped),
            float(kept),
            float(added),
            target.timeout_ms / 1000,
            float(job.limits.sample_limit),
            float(answer.body_bytes),
        ]
        self.synthetic.add_to(scrape, values, run)
        return scrape

    def _take_page(self, page: Page, scrape: Scrape, now_ms: int, *, is_same_page: bool) -> int:
        """Moves the page's samples into the scrape. Returns how many series are new."""
        samples = scrape.samples
        _count_dropped(page, scrape)
        if not is_same_page:
            _drop_duplicates(page, scrape)
        samples.series = list(page.series)
        samples.values = page.values
        samples.timestamps_ms = [scrape.started_ms] * len(page.series)
        stamped: dict[Series, None] = {}
        for series, value, stamp in page.stamped:
            if stamp > now_ms + MAX_AHEAD_MS:
                detail = f"a timestamp lies {(stamp - now_ms) // 1000} s ahead of the clock; is the unit right?"
                scrape.dropped.add(DropReason.TOO_FAR_IN_FUTURE, detail)
            else:
                samples.add(series, value, stamp)
                stamped[series] = None
        self._add_extras(page, samples)
        is_tracked = self.target.job.track_timestamps_staleness and stamped
        active = list(dict.fromkeys([*page.series, *stamped])) if is_tracked else page.series
        self.active.update(active, samples, scrape.started_ms)
        return 0 if is_same_page else self._added([*page.series, *stamped])

    def _take_failed(self, page: Page, scrape: Scrape, respelled: int) -> int:
        """Ends the series that a failed or empty page does not have. As in Prometheus, those before its mistake and
        within sample_limit stay active. Returns how many are new."""
        job, known = self.target.job, set(self._last_series)
        unstamped = list(_first_of_each(page))
        every = [*unstamped, *page.stamped_at]
        limit = job.limits.sample_limit or len(every)
        active = (every if job.track_timestamps_staleness else unstamped)[:limit]
        self.active.update(list(dict.fromkeys(active)), scrape.samples, scrape.started_ms)
        new = [series for series in dict.fromkeys(every[:limit]) if series not in known]
        if len(known) + len(new) > 2 * len(every) + _SPARE_IDENTITIES:  # label values that change, and no good page
            known.clear()
        self._last_series = [*known, *new] if new else self._last_series
        self._forget({*self._last_series, *active})
        more, self._respelled = max(respelled - self._respelled, 0), max(respelled, self._respelled)
        return min(len(new) + more, job.limits.sample_limit or len(new) + more)

    def _added(self, current: list[Series]) -> int:
        """How many of the current series the last good page did not have."""
        known = set(current)
        added = len(known.difference(self._last_series))
        self._last_series = current if len(known) == len(current) else list(dict.fromkeys(current))
        self._forget(known)
        return added

    def _forget(self, current: set[Series]) -> None:
        """Bounds the cache where label values keep changing."""
        cache = self._cache
        held = max(len(cache.entries), len(cache.groups), len(cache.created))
        if held > 2 * len(current) + _SPARE_IDENTITIES:
            cache.forget(current.__contains__)
            self._exemplars = {series: one for series, one in self._exemplars.items() if series in current}
        if len(cache.comments) > 4 * len(cache.families) + _SPARE_IDENTITIES:
            cache.forget_comments()

    def _add_extras(self, page: Page, samples: Samples) -> None:
        """Exemplars that were not sent before; one without a timestamp gets its sample's."""
        samples.starts_ms = page.starts_ms
        if not page.exemplars:
            return
        stamps = dict(zip(samples.series, samples.timestamps_ms, strict=True))
        for series, one in page.exemplars:
            if sum(len(name) + len(value) for name, value in one.labels) > _MAX_EXEMPLAR_CHARACTERS:
                continue
            known = self._exemplars.get(series)
            stamp = stamps.get(series, 0) if one.timestamp_ms == NO_TIME else one.timestamp_ms
            if known and (known.labels, known.value) == (one.labels, one.value):
                if one.timestamp_ms in (NO_TIME, known.timestamp_ms):
                    continue
            elif known and stamp < known.timestamp_ms:
                continue
            sent = self._exemplars[series] = Exemplar(one.labels, one.value, stamp)
            samples.exemplars[series] = (*samples.exemplars.get(series, ()), sent)

    def mark_seen(self, run: int) -> None:
        for series in [*self._last_series, *self.synthetic.series]:
            series.seen = run

    def prune(self, oldest_kept: int) -> None:
        self._cache.forget(lambda series: series.seen >= oldest_kept)
        self._exemplars = {series: one for series, one in self._exemplars.items() if series.seen >= oldest_kept}


def _seconds(milliseconds: int) -> str:
    """The shortest decimal fraction, as in Prometheus."""
    return repr(milliseconds / 1000).removesuffix(".0")


def _respelled(page: Page, answer: ParsedPage) -> int:
    """How many series more Prometheus counts: to it, another spelling is another series."""
    every = [*page.series, *(series for series, _, _ in page.stamped)]
    if len(set(every)) == len(every):
        return 0
    twice = {series for series, count in Counter(every).items() if count > 1}
    return max(answer.spellings(twice) - len(twice), 0)


def _over_sample_limit(limit: int, page: Page, respelled: int) -> str:
    if not limit or page.kept <= limit:
        return ""
    taken = len(_first_of_each(page)) + len(page.stamped) + respelled
    return f"{taken} samples after relabelling, sample_limit is {limit}" if taken > limit else ""


def _count_dropped(page: Page, scrape: Scrape) -> None:
    for refused in page.refused:
        scrape.dropped.add(refused.reason, refused.message)
    by_rule = page.scraped - page.kept - len(page.refused)
    if by_rule:
        scrape.dropped.add(DropReason.METRIC_RELABEL, "dropped by metric_relabel_configs", by_rule)


def _first_of_each(page: Page) -> dict[Series, int]:
    """The series without timestamps and the index of their first sample; not those with an earlier sample that has a
    timestamp."""
    first: dict[Series, int] = {}
    for index, series in enumerate(page.series):
        if index < page.stamped_at.get(series, len(page.series)):
            first.setdefault(series, index)
    return first


def _drop_duplicates(page: Page, scrape: Scrape) -> None:
    """Keeps the first sample of each series without timestamps."""
    if len(set(page.series)) == len(page.series) and page.stamped_at.keys().isdisjoint(page.series):
        return
    first = _first_of_each(page)
    gone = len(page.series) - len(first)
    scrape.dropped.add(DropReason.DUPLICATE, "the page has a series twice; the first sample counts", gone)
    page.values = [page.values[index] for index in first.values()]
    page.series = list(first)
