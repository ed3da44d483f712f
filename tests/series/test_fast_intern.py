"""The fast path finds the same series as the slow path, or leaves the line to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.model.samples import InvalidSeries
from lambda_remote_write.series.cache import AMP_LIMITS, NO_LIMITS, SeriesCache, SeriesLimits
from tests.rig import made

VALUES = st.sampled_from(["x", "é", "y z"])
OWN = st.dictionaries(st.sampled_from(["job", "instance", "a", "b", "zone"]), VALUES, max_size=3)
NAMES = st.sampled_from(["a", "a1", "a_", "A", "b", "job", "le", "zone", "__tmp", "_"])
PAIRS = st.lists(st.tuples(NAMES, st.sampled_from(["1", "é", "v" * 300])), max_size=5)
EXTERNAL = st.lists(st.tuples(NAMES, st.sampled_from(["out", ""])), max_size=2, unique_by=lambda pair: pair[0])


@given(metric=made.metric_names, own=OWN, pairs=PAIRS, external=EXTERNAL, limit=st.sampled_from([0, 3, 400]))
def test_the_series_is_the_same(
    metric: str, own: dict[str, str], pairs: list[tuple[str, str]], external: list[tuple[str, str]], limit: int
) -> None:
    cache = SeriesCache(external, SeriesLimits(labels=limit and 6, label_bytes=limit))
    found = cache.fast_intern(own)(metric, tuple(name for name, _ in pairs), pairs)
    labels = {"__name__": metric} | dict(pairs) | own
    if found is None:
        return
    assert len(labels) == 1 + len(pairs) + len(own), "a label that is there twice takes the slow path"
    assert found is cache.intern(labels)


def test_a_line_of_the_common_form_takes_the_fast_path() -> None:
    """It would be no fast path if the slow one did everything."""
    cache = SeriesCache([("cluster", "c")], AMP_LIMITS)
    fast = cache.fast_intern({"job": "j", "instance": "i"})
    one = fast("up_total", ("code", "method"), [("code", "200"), ("method", "GET")])
    again = fast("up_total", ("method", "code"), [("method", "GET"), ("code", "200")])
    assert one is again is not None
    assert one is cache.intern({"__name__": "up_total", "code": "200", "method": "GET", "job": "j", "instance": "i"})


@pytest.mark.parametrize(
    ("own", "names", "limits"),
    [
        pytest.param({"job": "j"}, ("job",), NO_LIMITS, id="one of the target's own"),
        pytest.param({"job": "j"}, ("a", "a"), NO_LIMITS, id="twice"),
        pytest.param({"job": "j"}, ("__name__",), NO_LIMITS, id="the metric's name"),
        pytest.param({"job": "j"}, ("a", "b"), SeriesLimits(labels=3), id="too many"),
        pytest.param({"job": "j"}, ("a",), SeriesLimits(label_bytes=20), id="too long"),
        pytest.param({"job": "j", "a.b": "x"}, ("c",), NO_LIMITS, id="a name that 1.0 does not know"),
        pytest.param({"job": "\ud800"}, ("c",), NO_LIMITS, id="no Unicode"),
    ],
)
def test_other_lines_take_the_slow_path(own: dict[str, str], names: tuple[str, ...], limits: SeriesLimits) -> None:
    cache = SeriesCache((), limits)
    assert cache.fast_intern(own)("m", names, [(name, "value") for name in names]) is None
    assert len(cache) == 0


def test_a_long_series_is_refused_by_the_slow_path() -> None:
    cache = SeriesCache((), SeriesLimits(label_bytes=20))
    with pytest.raises(InvalidSeries):
        cache.intern({"__name__": "m", "a": "v" * 30})
