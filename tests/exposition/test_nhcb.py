"""Classic histograms that become native ones with custom buckets.

Expectations: Prometheus util/convertnhcb and model/textparse/nhcbparse.go; the shape is that of `histogram_quantile`'s
input: schema -53, boundaries without +Inf, one bucket more than boundaries.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from lambda_remote_write.exposition.line_parser import LineReader, ParseOptions
from lambda_remote_write.exposition.nhcb import convert
from lambda_remote_write.exposition.openmetrics_parser import OpenMetricsReader
from lambda_remote_write.exposition.page import CacheEntry, Page, ScrapeCache
from lambda_remote_write.exposition.text_parser import TextReader
from lambda_remote_write.model.samples import Histogram, Series
from tests.rig.tables import table

OPTIONS = ParseOptions(custom_buckets=True)
PAGE = """\
# TYPE h histogram
h_bucket{a="1",le="0.5"} 2
h_bucket{a="1",le="1"} 2
h_bucket{a="1",le="5"} 7
h_bucket{a="1",le="+Inf"} 8
h_sum{a="1"} 21.5
h_count{a="1"} 8
"""


@dataclass
class Scraped:
    """What pages of one target gave."""

    parse_options: ParseOptions = OPTIONS
    cache: ScrapeCache = field(default_factory=ScrapeCache)
    made: dict[tuple[tuple[str, str], ...], Series] = field(default_factory=dict)

    def read(self, page: str, reader: type[LineReader] = TextReader) -> dict[str, Histogram | float]:
        found = self.page(page, reader)
        return {self._name(series): value for series, value in zip(found.series, found.values, strict=True)}

    def page(self, page: str, reader: type[LineReader] = TextReader) -> Page:
        one = reader(self.cache, self._resolve, self.parse_options)
        one.feed(page.encode())
        found = one.close()
        convert(found, self.cache)
        return found

    def _resolve(self, labels: dict[str, str]) -> CacheEntry:
        return self.made.setdefault(tuple(sorted(labels.items())), Series(repr(sorted(labels.items())).encode()))

    def _name(self, wanted: Series) -> str:
        (labels,) = [dict(key) for key, series in self.made.items() if series is wanted]
        rest = ",".join(f"{name}={value}" for name, value in labels.items() if name != "__name__")
        return f"{labels['__name__']}{{{rest}}}"


def expected(**changed: object) -> Histogram:
    usual = Histogram(
        count=8.0, sum=21.5, schema=-53, zero_threshold=0.0, zero_count=0, positive_spans=((0, 4),),
        positive_buckets=(2, -2, 5, -4), custom_values=(0.5, 1.0, 5.0),
    )  # fmt: skip
    return replace(usual, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize("reader", [TextReader, OpenMetricsReader], ids=["text", "openmetrics"])
def test_buckets_sum_and_count_become_one_sample(reader: type[LineReader]) -> None:
    """Two, none, five and one observation; the buckets of integers are written as differences."""
    end = "# EOF\n" if reader is OpenMetricsReader else ""
    target = Scraped()
    for _ in range(3):
        found = target.page(PAGE + end, reader)
        assert found.scraped == 1
        assert target.read(PAGE + end, reader) == {"h{a=1}": expected()}


def test_the_classic_series_stay_beside_it_where_they_are_wanted() -> None:
    found = Scraped(replace(OPTIONS, classic_histograms=True)).read(PAGE)
    assert found.pop("h{a=1}") == expected()
    assert found == {
        "h_bucket{a=1,le=0.5}": 2.0, "h_bucket{a=1,le=1.0}": 2.0, "h_bucket{a=1,le=5.0}": 7.0,
        "h_bucket{a=1,le=+Inf}": 8.0, "h_sum{a=1}": 21.5, "h_count{a=1}": 8.0,
    }  # fmt: skip


def without(word: str) -> str:
    return "\n".join(line for line in PAGE.split("\n") if word not in line)


ONE = {"h{a=1}": expected()}
FLOATS = expected(positive_buckets=(2.5, 4.5, 1.0), is_float=True, positive_spans=((0, 1), (1, 2)))
OTHERS = "# TYPE g gauge\ng 1\nh_bucket_extra 2\n# TYPE s summary\ns_sum 3\ns_count 4\n"
PAGES = [
    ("without a last bucket the count is that", without("+Inf"), ONE),
    ("without a count the last bucket is that", without("h_count"), ONE),
    ("each label set is one of its own", PAGE + PAGE.replace('a="1"', 'a="2"').replace("# TYPE h histogram\n", ""),
     ONE | {"h{a=2}": expected()}),
    ("counts that are not whole make one of floats", PAGE.replace("} 2\n", "} 2.5\n"), {"h{a=1}": FLOATS}),
    ("fewer in a larger bucket", PAGE.replace('le="5"} 7', 'le="5"} 1'), {}),
    ("a count that is not the last bucket's", PAGE.replace('h_count{a="1"} 8', 'h_count{a="1"} 9'), {}),
    ("other families stay what they are", PAGE + OTHERS,
     ONE | {"g{}": 1.0, "h_bucket_extra{}": 2.0, "s_sum{}": 3.0, "s_count{}": 4.0}),
]  # fmt: skip


@table("page, found", PAGES)
def test_what_a_page_has(page: str, found: dict[str, Histogram | float]) -> None:
    assert page != PAGE
    assert Scraped().read(page) == found


def test_a_type_that_changes_while_the_environment_is_warm_counts() -> None:
    """The parser tells by the TYPE line of every page; here at the latest with the page after it."""
    target = Scraped()
    gauge = PAGE.replace("histogram", "gauge")
    for page, is_native in ((PAGE, True), (gauge, False), (PAGE, True), (gauge, False)):
        target.read(page)
        found = target.read(page)
        assert ("h{a=1}" in found) is is_native
        assert ("h_count{a=1}" in found) is not is_native


@pytest.mark.parametrize("reader", [TextReader, OpenMetricsReader], ids=["text", "openmetrics"])
@pytest.mark.parametrize(
    ("lines", "names"),
    [
        pytest.param("h_sum 3\n", [], id="only a sum"),
        pytest.param("h_count 3\n", ["h{}"], id="only a count"),
        pytest.param('h_bucket{le="1"} 3\n', ["h{}"], id="only a bucket"),
        pytest.param("h_sum 3\nh_count 3\n", ["h{}"], id="sum and count"),
        pytest.param('h_sum{a="1"} 3\nh_count{a="2"} 3\n', ["h{a=2}"], id="the sum of one and the count of another"),
    ],
)
def test_a_sum_alone_is_no_histogram(lines: str, names: list[str], reader: type[LineReader]) -> None:
    """Prometheus 3.16 util/convertnhcb: without a count or a bucket there is nothing to convert."""
    end = "# EOF\n" if reader is OpenMetricsReader else ""
    assert list(Scraped().read(f"# TYPE h histogram\n{lines}{end}", reader)) == names
