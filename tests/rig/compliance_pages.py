"""The pages that are scraped: one in each exposition format, with everything that a receiver may see of it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from lambda_remote_write.exposition.generated import metrics_pb2 as dto

NOW_MS = int(time.time() * 1000)
STARTED_MS = NOW_MS - 7_200_000
STAMPED_MS = NOW_MS - 60_000
EXEMPLAR_MS = NOW_MS - 30_000

LONG_VALUE = "x" * 10_000
LONG_LABEL = "very_long_label_name_" * 10
LONG_NAME = "metric_" + "very_long_name_" * 50
UNICODE = {"emoji": "🚀", "chinese": "测试", "arabic": "مرحبا", "vietnamese": "tôi yêu việt nam"}
ESCAPED = {"path": "C:\\dir", "quote": 'say "hi"', "lines": "a\nb", "query": "foo=bar&baz=qux"}
MANY = {f"label_{number:02}": str(number) for number in range(40)}

# Kind -> how the page writes it, and the float that is meant.
VALUES: dict[str, tuple[str, float]] = {
    "float": ("123.45", 123.45),
    "integer": ("42", 42.0),
    "zero": ("0", 0.0),
    "negative zero": ("-0", -0.0),
    "negative": ("-15.5", -15.5),
    "plus infinity": ("+Inf", float("inf")),
    "minus infinity": ("-Inf", float("-inf")),
    "large": ("1.7976931348623157e+308", 1.7976931348623157e308),
    "small": ("2.2250738585072014e-308", 2.2250738585072014e-308),
    "smallest": ("5e-324", 5e-324),
    "scientific": ("1.23e-4", 0.000123),
    "precise": ("0.123456789012345", 0.123456789012345),
    "past 2^53": ("9007199254740993", 9007199254740992.0),
}


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def labels(pairs: dict[str, str]) -> str:
    return "{" + ",".join(f"{name}={_quoted(value)}" for name, value in pairs.items()) + "}"


TEXT_PAGE = "\n".join(
    [
        '# HELP room_celsius Temperature, "inside" and C:\\\\out\\nside 🚀',
        "# TYPE room_celsius gauge",
        'room_celsius{room="attic"} 21.5',
        'room_celsius{room="cellar"} -15.5',
        "",
        "# a remark",
        "# HELP jobs_total Jobs that were done",
        "# TYPE jobs_total counter",
        'jobs_total{queue="a"} 100',
        'jobs_total{queue="b"} 50',
        "# TYPE wait_seconds histogram",
        'wait_seconds_bucket{le="0.1"} 50',
        'wait_seconds_bucket{le="0.5"} 150',
        'wait_seconds_bucket{le="+Inf"} 1000000000',
        "wait_seconds_sum 200.5",
        "wait_seconds_count 1000000000",
        "# TYPE idle_seconds histogram",
        'idle_seconds_bucket{le="+Inf"} 0',
        "idle_seconds_sum 0",
        "idle_seconds_count 0",
        "# HELP answer_seconds Time to answer",
        "# TYPE answer_seconds summary",
        'answer_seconds{quantile="0.5"} 0.05',
        'answer_seconds{quantile="0.9"} 0.1',
        "answer_seconds_sum 50",
        "answer_seconds_count 1000",
        "no_type 7",
        *(f"values{labels({'kind': kind})} {text}" for kind, (text, _) in VALUES.items()),
        "nothing NaN",
        'ordered{zebra="1",Alpha="2",_under="3",a="4",a_b="5",empty=""} 1',
        f"unicode{labels(UNICODE)} 1",
        f"escaped{labels(ESCAPED)} 1",
        "http:request:duration:seconds 0.5",
        f"long_value{labels({'value': LONG_VALUE})} 1",
        f"long_label{labels({LONG_LABEL: 'v'})} 1",
        f"{LONG_NAME} 42",
        f"many{labels(MANY)} 1",
        'clash{job="mine",instance="here"} 1',
        f"stamped 7 {STAMPED_MS}",
        "last_line 1",  # and no line feed after it
    ]
)


def seconds(ms: int) -> str:
    return f"{ms // 1000}.{ms % 1000:03}"


OPENMETRICS_PAGE = f"""# HELP requests Requests that were served
# TYPE requests counter
requests_total{{code="200"}} 101.13 # {{trace_id="abc123",span_id="def456"}} 0.5 {seconds(EXEMPLAR_MS)}
requests_created{{code="200"}} {seconds(STARTED_MS)}
requests_total{{code="500"}} 3 # {{user="jan"}} 1
requests_created{{code="500"}} {STARTED_MS / 1000:.12e}
# HELP duration_seconds Time to serve
# TYPE duration_seconds histogram
# UNIT duration_seconds seconds
duration_seconds_bucket{{le="0.1"}} 50 # {{trace_id="in bucket"}} 0.05 {seconds(EXEMPLAR_MS)}
duration_seconds_bucket{{le="0.5"}} 80 # {{trace_id="in another"}} 0.3 {seconds(EXEMPLAR_MS)}
duration_seconds_bucket{{le="+Inf"}} 100
duration_seconds_sum 12.5
duration_seconds_count 100
duration_seconds_created {seconds(STARTED_MS)}
# TYPE rpc_seconds summary
# UNIT rpc_seconds seconds
rpc_seconds{{quantile="0.5"}} 0.05
rpc_seconds{{quantile="0.9"}} 0.1
rpc_seconds_sum 100
rpc_seconds_count 1000
rpc_seconds_created {seconds(STARTED_MS)}
# TYPE depth gauge
depth 3
# TYPE load gaugehistogram
load_bucket{{le="1"}} 3
load_bucket{{le="+Inf"}} 5
load_gcount 5
load_gsum 7
# TYPE build info
build_info{{version="1.2"}} 1
# TYPE feature stateset
feature{{feature="a"}} 1
feature{{feature="b"}} 0
# TYPE thing unknown
thing 5
# TYPE dated gauge
dated 7 {seconds(STAMPED_MS)}
# EOF
"""


def _moment(ms: int) -> Timestamp:
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def _exemplar(trace: str, value: float) -> dto.Exemplar:
    return dto.Exemplar(
        label=[dto.LabelPair(name="trace_id", value=trace)], value=value, timestamp=_moment(EXEMPLAR_MS)
    )


# What the receiver must get of a native histogram is, field by field, what the page says.
NATIVE = dto.Histogram(
    sample_count=10, sample_sum=25.5, schema=3, zero_threshold=0.001, zero_count=2,
    positive_span=[dto.BucketSpan(offset=0, length=2), dto.BucketSpan(offset=3, length=1)],
    positive_delta=[2, -1, 3],
    negative_span=[dto.BucketSpan(offset=-1, length=1)], negative_delta=[1],
    created_timestamp=_moment(STARTED_MS), exemplars=[_exemplar("native", 1.5)],
)  # fmt: skip
NATIVE_FLOAT = dto.Histogram(
    sample_count_float=10.5, sample_sum=-2.25, schema=-1, zero_threshold=0.5, zero_count_float=2.5,
    positive_span=[dto.BucketSpan(offset=1, length=2)], positive_count=[3, 4],
    negative_span=[dto.BucketSpan(offset=0, length=1)], negative_count=[1],
)  # fmt: skip
NATIVE_EMPTY = dto.Histogram(schema=0, zero_threshold=2.938735877055719e-39)
NATIVE_LARGE = dto.Histogram(
    sample_count=10**15, sample_sum=1e18, schema=8, zero_threshold=1e-128, zero_count=0,
    positive_span=[dto.BucketSpan(offset=-7, length=1)], positive_delta=[10**15],
)  # fmt: skip
NATIVES = {
    "native_seconds": NATIVE,
    "native_float": NATIVE_FLOAT,
    "native_empty": NATIVE_EMPTY,
    "native_large": NATIVE_LARGE,
}


def _family(name: str, kind: dto.MetricType, help_text: str = "", unit: str = "", **metric: Any) -> dto.MetricFamily:
    return dto.MetricFamily(name=name, type=kind, help=help_text, unit=unit, metric=[dto.Metric(**metric)])


FAMILIES = [
    *(_family(name, dto.HISTOGRAM, "Native", histogram=histogram) for name, histogram in NATIVES.items()),
    _family("native_gauge", dto.GAUGE_HISTOGRAM, histogram=NATIVE),
    _family(
        "served_total", dto.COUNTER, "Served", label=[dto.LabelPair(name="path", value="/api/v1/users")],
        counter=dto.Counter(value=9.5, exemplar=_exemplar("counter", 1), created_timestamp=_moment(STARTED_MS)),
    ),
    _family(
        "old_seconds", dto.HISTOGRAM, "Classic", "seconds",
        histogram=dto.Histogram(
            sample_count=4, sample_sum=1.5, created_timestamp=_moment(STARTED_MS),
            bucket=[dto.Bucket(cumulative_count=3, upper_bound=0.5, exemplar=_exemplar("classic", 0.25)),
                    dto.Bucket(cumulative_count=4, upper_bound=float("inf"))],
        ),
    ),
    _family(
        "size_bytes", dto.SUMMARY,
        summary=dto.Summary(sample_count=2, sample_sum=3, quantile=[dto.Quantile(quantile=0.5, value=1)],
                            created_timestamp=_moment(STARTED_MS)),
    ),
    _family("level", dto.GAUGE, gauge=dto.Gauge(value=-0.5)),
    _family("untyped", dto.UNTYPED, untyped=dto.Untyped(value=5)),
]  # fmt: skip


def delimited(families: Iterable[dto.MetricFamily]) -> bytes:
    page = b""
    for family in families:
        body, length = family.SerializeToString(), len(family.SerializeToString())
        while length > 127:
            page += bytes([length & 127 | 128])
            length >>= 7
        page += bytes([length]) + body
    return page


PROTOBUF_PAGE = delimited(FAMILIES)
