"""Any samples, written as a page and read back, are the same samples: in any pieces, and with a cache that has
read the page before."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.exposition.generated import metrics_pb2
from lambda_remote_write.exposition.go_float import NORMAL_NAN
from tests.rig.exposition import Read, Target, bits, cut
from tests.rig.scrape import varint

PLAIN_NAME, PLAIN_LABEL = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*"), re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
NOT_LABELS = ("__name__", "le", "quantile")  # numbers as labels are rewritten; they have tests of their own
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ANY_NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n"), min_size=1, max_size=8)
LABEL = st.one_of(st.from_regex(PLAIN_LABEL, fullmatch=True), ANY_NAME).filter(lambda name: name not in NOT_LABELS)

Row = tuple[tuple[tuple[str, str], ...], str, int | None]


@dataclass(frozen=True)
class Sample:
    name: str
    labels: tuple[tuple[str, str], ...]
    value: float
    timestamp_ms: int | None
    help: str
    type: str

    def identity(self) -> str:
        """`name{label="value"}`, with every name that is not plain in quotes."""
        pairs = [
            f"{name if PLAIN_LABEL.fullmatch(name) else quoted(name)}={quoted(value)}" for name, value in self.labels
        ]
        if PLAIN_NAME.fullmatch(self.name):
            return f"{self.name}{{{','.join(pairs)}}}" if pairs else self.name
        return f"{{{','.join([quoted(self.name), *pairs])}}}"

    def row(self, timestamp_ms: int | None) -> Row:
        labels = {"__name__": self.name, **{name: value for name, value in self.labels if value}}
        return tuple(sorted(labels.items())), bits(NORMAL_NAN if self.value != self.value else self.value), timestamp_ms


SAMPLE = st.builds(
    Sample,
    name=st.one_of(st.from_regex(PLAIN_NAME, fullmatch=True), ANY_NAME),
    labels=st.dictionaries(LABEL, ANY_TEXT, max_size=4).map(lambda pairs: tuple(pairs.items())),
    value=st.one_of(st.floats(), st.integers(-(10**18), 10**18).map(float)),
    timestamp_ms=st.one_of(st.none(), st.integers(1, 4_000_000_000_000)),
    help=ANY_TEXT,
    type=st.sampled_from(["counter", "gauge"]),
)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def as_text(samples: Sequence[Sample]) -> tuple[bytes, list[Row]]:
    lines = []
    for one in samples:
        if PLAIN_NAME.fullmatch(one.name):
            said = one.help.replace("\\", "\\\\").replace("\n", "\\n")
            lines += [f"# HELP {one.name} {said}", f"# TYPE {one.name} {one.type}"]
        lines.append(f"{one.identity()} {one.value!r}" + ("" if one.timestamp_ms is None else f" {one.timestamp_ms}"))
    return "".join(f"{line}\n" for line in lines).encode(), [one.row(one.timestamp_ms) for one in samples]


def as_openmetrics(samples: Sequence[Sample]) -> tuple[bytes, list[Row]]:
    """Times are seconds: what is left of a millisecond, binary fractions decide."""
    lines, rows = [], []
    for one in samples:
        if PLAIN_NAME.fullmatch(one.name):
            lines += [f"# HELP {one.name} {quoted(one.help)[1:-1]}", f"# TYPE {one.name} {one.type}"]
        seconds = None if one.timestamp_ms is None else f"{one.timestamp_ms / 1000:.3f}"
        lines.append(f"{one.identity()} {one.value!r}" + ("" if seconds is None else f" {seconds}"))
        rows.append(one.row(None if seconds is None else int(float(seconds) * 1000)))
    return "".join(f"{line}\n" for line in [*lines, "# EOF"]).encode(), rows


def as_protobuf(samples: Sequence[Sample]) -> tuple[bytes, list[Row]]:
    page = b""
    for one in samples:
        family = metrics_pb2.MetricFamily(name=one.name, help=one.help, type=metrics_pb2.GAUGE)
        metric = family.metric.add(timestamp_ms=one.timestamp_ms or 0)
        metric.gauge.value = NORMAL_NAN if one.value != one.value else one.value
        for name, value in one.labels:
            metric.label.add(name=name, value=value)
        message = family.SerializeToString()
        page += varint(len(message)) + message
    return page, [one.row(one.timestamp_ms) for one in samples]


FORMATS = {"text": as_text, "openmetrics": as_openmetrics, "protobuf": as_protobuf}


@pytest.mark.parametrize("format_name", FORMATS)
@given(samples=st.lists(SAMPLE, max_size=6), places=st.lists(st.integers(0, 2_000), max_size=6))
def test_what_is_written_is_read(format_name: str, samples: list[Sample], places: list[int]) -> None:
    page, rows = FORMATS[format_name](samples)
    expected = Read(
        samples=tuple([row for row in rows if row[2] is None] + [row for row in rows if row[2] is not None]),
        scraped=len(samples),
    )
    target = Target(format_name)
    assert target.read(page) == expected
    assert target.read(*cut(page, places)) == expected
    assert Target(format_name).read(*cut(page, places)) == expected
