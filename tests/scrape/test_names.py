"""Names beyond letters, digits, `_` and `:`: remote write 2.0 takes them as they are, 1.0 has no place for them.

This is where the product means to differ from Prometheus, which sends them over 1.0 too: most receivers of 1.0 refuse
the whole request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.rig import scrape as rig
from tests.rig.scrape import Labels, Sink, Site, text

PAGE = '{"http.requests","status.code"="200",plain_label="x"} 1\n{"žluť_kůň"} 2\nplain_name:x{"a b"="1"} 3\n_ 4\n'
V1, V2 = "prometheus.WriteRequest", "io.prometheus.write.v2.Request"
Named = set[tuple[str, ...]]


def points_of(
    messages: Sequence[str], version: int, endpoint: Mapping[str, Any], top: Mapping[str, Any], **keys: Any
) -> Mapping[Labels, Mapping[int, str]]:
    """What one endpoint gets of a push of the page, where endpoints take these messages."""
    with Site({"page": [text(PAGE)]}) as site, Sink(lambda: "push") as sink:
        labels = keys.pop("labels", {"case": "c"})
        groups = [{"targets": [site.address], "labels": labels}]
        job = {"job_name": "j", "metrics_path": "/page", "scrape_interval": "2s", "static_configs": groups, **keys}
        endpoints = [{"name": one, "url": sink.url, "protobuf_message": one, **endpoint} for one in messages]
        with rig.Lambda(json.dumps({"scrape_configs": [job], "remote_write": endpoints, **top})) as function:
            function.push()
        return sink.cases("push", version)["c"].points


def pushed(messages: Sequence[str], version: int, **keys: str) -> tuple[Named, str]:
    """The names of the page's series as one endpoint gets them (metric first, then labels), and the value of `up`."""
    points = points_of(messages, version, {}, {}, **keys)
    names = {
        (dict(labels)["__name__"], *(name for name, _ in labels if name not in ("__name__", "case", "instance", "job")))
        for labels in points
    }
    (up,) = (next(iter(found.values())) for labels, found in points.items() if dict(labels)["__name__"] == "up")
    return {one for one in names if not one[0].startswith(("up", "scrape_"))}, up


UNDERSCORES = {("http_requests", "plain_label", "status_code"), ("_lu__k__",), ("plain_name:x", "a_b"), ("_",)}
ESCAPED = [
    ("allow-utf-8", UNDERSCORES),
    ("underscores", UNDERSCORES),
    (
        "dots",
        {
            ("http_dot_requests", "plain_label", "status_dot_code"),
            ("__lu____k____",),
            ("plain_name:x", "a__b"),
            ("_",),
        },
    ),
    (
        "values",
        {
            ("U__http_2e_requests", "U__status_2e_code", "plain_label"),
            ("U___17e_lu_165___k_16f__148_",),
            ("plain_name:x", "U__a_20_b"),
            ("_",),
        },
    ),
]


@pytest.mark.parametrize("messages", [[V1], [V1, V2]], ids=["alone", "beside an endpoint of version 2"])
@pytest.mark.parametrize(("scheme", "expected"), ESCAPED, ids=[row[0] for row in ESCAPED])
def test_version_1_gets_them_escaped(scheme: str, expected: Named, messages: list[str]) -> None:
    """The series are the same for all endpoints; the names are escaped for the one that has no place for others."""
    found, up = pushed(messages, 1, metric_name_escaping_scheme=scheme)
    assert (found, up) == (expected, rig.bits(1.0))


def test_version_2_gets_them_as_they_are() -> None:
    found, up = pushed([V2], 2)
    expected = {("http.requests", "plain_label", "status.code"), ("žluť_kůň",), ("plain_name:x", "a b"), ("_",)}
    assert (found, up) == (expected, rig.bits(1.0))


@pytest.mark.parametrize("version", [1, 2])
def test_legacy_validation_fails_the_scrape(version: int) -> None:
    found, up = pushed([V1 if version == 1 else V2], version, metric_name_validation_scheme="legacy")
    assert (found, up) == (set(), rig.bits(0.0))


RULES = {
    "relabel_configs": [
        {"source_labels": ["svc.name"], "regex": "(.+)", "target_label": "by.${1}", "replacement": "r"}
    ],
    "metric_relabel_configs": [
        {"source_labels": ["status.code"], "target_label": "copied.code"},
        {"action": "labelmap", "regex": "svc[.](.*)", "replacement": "mapped.$1"},
        {"action": "labeldrop", "regex": "plain[_]label"},
    ],
}
GIVEN = {"case": "c", "svc.name": "web", "status.code": "of the target"}
LABELS = {  # of http.requests, as Prometheus stores it
    "case": "c", "svc.name": "web", "by.web": "r", "mapped.name": "web", "copied.code": "of the target",
    "status.code": "of the target", "exported_status.code": "200", "written.code": "of the target", "out.side": "e",
}  # fmt: skip


@pytest.mark.parametrize("version", [1, 2])
def test_rules_and_all_labels_of_a_job_take_them(version: int) -> None:
    """Static and external labels and rules of all three kinds name labels by any text (Prometheus relabel.Config,
    NameValidationScheme), and what remote write 1.0 has no place for is escaped after the last rule."""
    written = {"source_labels": ["status.code"], "target_label": "written.code"}
    endpoint, top = {"write_relabel_configs": [written]}, {"global": {"external_labels": {"out.side": "e"}}}
    points = points_of([[V1, V2][version - 1]], version, endpoint, top, labels=GIVEN, **RULES)
    name = "http.requests" if version > 1 else "http_requests"
    (found,) = [dict(labels) for labels in points if dict(labels)["__name__"] == name]
    own = {label: value for label, value in found.items() if label not in ("__name__", "instance", "job")}
    assert own == {label if version > 1 else label.replace(".", "_"): value for label, value in LABELS.items()}
    (up,) = [dict(labels) for labels in points if dict(labels)["__name__"] == "up"]
    assert up["svc.name" if version > 1 else "svc_name"] == "web"
