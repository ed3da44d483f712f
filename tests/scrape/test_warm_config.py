"""What a changed config does to targets that stay, and what a hostile page may cost."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.http.fetch import FetchError, Opened, in_time
from lambda_remote_write.model.scrape import Scrape
from lambda_remote_write.scrape import collect
from lambda_remote_write.scrape.schedule import Tick
from lambda_remote_write.series import label_codec
from tests.rig.exposition import cold, pieces

CONFIG = """
global: {{external_labels: {{{external}}}}}
scrape_configs:
  - job_name: pages
    static_configs: [targets: ["127.0.0.1:1"]]
remote_write:
  - url: http://127.0.0.1:1/write
    {endpoint}
"""


class Pages:
    """A fetcher that answers with the page it was given."""

    content = b"a 1\nb 2\n"

    def masked(self, text: str) -> str:
        return text

    @contextmanager
    def open(self, *_: Any, **__: Any) -> Iterator[Opened]:
        yield Opened("text/plain", iter([self.content]))


def environment(external: str, endpoint: str = "name: one", before: Environment | None = None) -> Environment:
    dependencies = before.dependencies if before else Dependencies({})
    made = Environment(
        parse_config(CONFIG.format(external=external, endpoint=endpoint), "c.yaml", {}), dependencies, before
    )
    made.fetcher = Pages()  # type: ignore[assignment]
    return made


def scraped(made: Environment) -> list[dict[str, str]]:
    """The labels of the samples of one run."""
    tick = Tick(0, None, 60_000, frozenset(["pages"]))
    made.discover(time.monotonic() + 10)
    scrapes: list[Scrape] = collect.collect(
        made.due_sources(tick), made.fetcher, made.dependencies.now_ms, time.monotonic() + 10, made.next_run()
    )
    assert [scrape.error for scrape in scrapes] == [""]
    return [label_codec.labels_of(series.prefix) for series in scrapes[0].samples.series]


def test_external_labels_apply_to_targets_that_stay() -> None:
    """The series under the old labels end, those under the new ones begin, in the next run."""
    first = environment("e: one")
    assert {labels["e"] for labels in scraped(first)} == {"one"}
    second = scraped(environment("e: two", before=first))
    assert [labels["e"] for labels in second if labels["__name__"] == "a"] == ["two", "one"]  # the sample, the marker
    assert [labels["e"] for labels in second if labels["__name__"] == "up"] == ["two"]


def test_what_an_endpoint_takes_applies_to_targets_that_stay() -> None:
    """Exemplars, 2.0 and the limits of AMP are the new config's; no series ends because of that."""
    first = environment("e: one")
    before = scraped(first)
    second = environment("e: one", "protobuf_message: io.prometheus.write.v2.Request", before=first)
    assert scraped(second) == before
    assert [source._features.start_times for source in second.pools[0].scrapers.values()] == [True]


def test_a_target_that_stays_keeps_what_it_knows() -> None:
    """A change that does not concern its series keeps its cache."""
    first = environment("e: one")
    scraped(first)
    (source,) = first.pools[0].scrapers.values()
    second = environment("e: one", before=first)
    scraped(second)
    assert list(second.pools[0].scrapers.values()) == [source]


@pytest.mark.parametrize("format_name", ["text", "openmetrics"])
def test_a_long_value_takes_a_few_times_its_own_size(format_name: str) -> None:
    """A page of one line, whose one label is three million bytes long."""
    tail = b"# EOF\n" if format_name == "openmetrics" else b""
    content = b'x{a="' + b"y" * 3_000_000 + b'"} 1\n' + tail
    tracemalloc.start()
    try:
        assert not cold(format_name, *pieces(content)).is_bad
        assert tracemalloc.get_traced_memory()[1] < 20 * len(content)
    finally:
        tracemalloc.stop()


def test_unpacking_and_reading_count_against_the_timeout() -> None:
    """A body that is on this side already, but unpacks to too much, is given up in time."""

    def endless() -> Iterator[bytes]:
        while True:
            yield b"\n" * 65_536

    started = time.monotonic()
    with pytest.raises(FetchError, match=r"127\.0\.0\.1:1: timed out while the body was unpacked and read"):
        for _ in in_time(endless(), started + 0.2, "http://127.0.0.1:1/metrics"):
            pass
    assert time.monotonic() - started < 20
