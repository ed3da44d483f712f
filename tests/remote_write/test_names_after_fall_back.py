"""A receiver that refuses remote write 2.0 gets the names that any receiver of 1.0 gets: escaped ones, and no series is
lost for its name."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.model.delivery import Delivery
from sandbox.amp import Receiver
from sandbox.server import Fault
from tests.rig.delivery import Clock, no_session
from tests.rig.push import config_text, now_ms, run
from tests.rig.scrape import Site, text
from tests.rig.scraping import job_at

PAGE = '{"http.requests","status.code"="200"} 1\nplain 2\n'
SAMPLES = 7  # two of the page, and five that every target has
V1, V2 = "prometheus.WriteRequest", "io.prometheus.write.v2.Request"
STEP_SECONDS = 60
Names = set[tuple[str, ...]]
ESCAPED: Names = {("http_requests", "out_side", "status_code", "svc_name"), ("plain", "out_side", "svc_name")}
AS_THEY_ARE: Names = {("http.requests", "out.side", "status.code", "svc.name"), ("plain", "out.side", "svc.name")}


class World:
    """A target, a receiver and a warm environment. Every series has names that only 2.0 takes: a label of the target,
    and an external one."""

    def __init__(self, page: str, version_2: Any, **keys: Any) -> None:
        self.clock = Clock()
        self.site = Site({"page": [text(page)]})
        self.receiver = Receiver(auth=None, version_2=version_2, now=self.clock.time)
        self._dependencies = Dependencies({}, self.clock.now_ms, no_session, self.clock.sleep)
        self._environment = Environment(self.config(V2, **keys), self._dependencies)

    def config(self, version: str, *, endpoint: dict[str, Any] | None = None, **keys: Any) -> Any:
        static = {"targets": [self.site.address], "labels": {"svc.name": "web"}}
        scheme = keys.pop("escaping", "allow-utf-8")
        job = job_at("", metrics_path="/page", static_configs=[static], metric_name_escaping_scheme=scheme)
        queue = {"min_backoff": "5ms", "max_backoff": "20ms", "max_samples_per_send": 3, "sample_age_limit": "0s"}
        only = {"name": "one", "url": self.receiver.url, "protobuf_message": version, "queue_config": queue}
        text = config_text(
            [],
            [only | (endpoint or {})],
            scrape_configs=[job],
            **{"global": {"external_labels": {"out.side": "e"}, "scrape_interval": f"{STEP_SECONDS}s"}} | keys,
        )
        return parse_config(text, "config.yaml", {})

    def use(self, version: str, **keys: Any) -> None:
        self._environment = Environment(self.config(version, **keys), self._dependencies, self._environment)

    def push(self, seconds: float = 20.0) -> Delivery:
        (delivery,) = run(self._environment, seconds).deliveries
        self.clock.ahead += STEP_SECONDS
        return delivery

    def names(self) -> Names:
        """Those of the page's series: the metric's, and those of the labels that not every job has."""
        return {
            (one["__name__"], *(name for name in sorted(one) if name not in ("__name__", "instance", "job")))
            for one in map(dict, self.receiver.samples)
            if not one["__name__"].startswith(("up", "scrape_"))
        }

    def counts(self) -> set[int]:
        """How many samples a series of the page has."""
        return {len(points) for name in ("http_requests", "plain") for points in self.receiver.series(name).values()}

    def close(self) -> None:
        self._dependencies.transport.close()
        self.site.__exit__()
        self.receiver.close()


def world(page: str = PAGE, version_2: Any = "refused", **keys: Any) -> closing[World]:
    return closing(World(page, version_2, **keys))


RULE = {"source_labels": ["status.code"], "regex": "(.+)", "target_label": "status.code", "replacement": "${1}!"}


@pytest.mark.parametrize("endpoint", [{}, {"write_relabel_configs": [RULE]}], ids=["as they are", "with rules"])
def test_no_series_is_lost_for_its_name(endpoint: dict[str, Any]) -> None:
    """In the run of the refusal and in the later ones."""
    with world(endpoint=endpoint) as one:
        for number in range(3):
            delivery = one.push()
            assert (delivery.accepted, delivery.dropped.counts) == (SAMPLES, {}), number
        assert one.names() == ESCAPED
        assert one.counts() == {3}


def test_names_are_escaped_as_the_job_says() -> None:
    with world(escaping="dots") as one:
        one.push()
        one.push()
        assert one.names() == {
            ("http_dot_requests", "out_dot_side", "status_dot_code", "svc_dot_name"),
            ("plain", "out_dot_side", "svc_dot_name"),
        }


def test_series_that_are_one_then_have_one_sample_of_a_time() -> None:
    """A receiver would refuse a whole request for the second one."""
    with world('{"a.b"} 1\na_b 2\n') as one:
        for _ in range(2):
            delivery = one.push()
            assert (delivery.accepted, delivery.dropped.counts) == (SAMPLES - 1, {"not_newer": 1})
        assert one.names() == {("a_b", "out_side", "svc_name")}


def test_what_waits_in_the_spool_is_escaped_too(tmp_path: Path) -> None:
    with world(spool={"location": str(tmp_path)}, version_2="taken") as one:
        one.receiver.always(Fault.status(503))
        assert one.push(seconds=0.5).spooled.total() == SAMPLES
        one.receiver.always(None)
        one.receiver.version_2 = "refused"
        delivery = one.push()
        assert (delivery.accepted, delivery.taken, delivery.dropped.counts) == (2 * SAMPLES, SAMPLES, {})
        assert one.names() == ESCAPED
        assert one.counts() == {2}


STAMPED = '{"http.requests","status.code"="200"} 1 %d\nplain 2 %d\n'


@pytest.mark.parametrize("first", [[], [Fault.status(415)]], ids=["in 2.0", "in 1.0"])
def test_what_was_not_delivered_may_come_again(first: list[Fault]) -> None:
    """Samples that a page stamps have not been sent when the run could not deliver them, and are when it could."""
    at_ms = now_ms()
    with world(STAMPED % (at_ms, at_ms), version_2="taken") as one:
        one.receiver.script(*first)
        one.receiver.always(Fault.status(503))
        assert one.push(seconds=0.5).undelivered.total() == SAMPLES
        one.receiver.always(None)
        one.receiver.version_2 = "refused"
        delivery = one.push()
        assert (delivery.accepted, delivery.dropped.counts) == (SAMPLES, {})
        delivery = one.push()
        assert (delivery.accepted, delivery.dropped.counts) == (SAMPLES - 2, {"not_newer": 2})
        assert one.names() == ESCAPED


@pytest.mark.parametrize("endpoint", [{}, {"write_relabel_configs": [RULE]}], ids=["as they are", "with rules"])
def test_a_config_of_another_version_has_its_names(endpoint: dict[str, Any]) -> None:
    """Series that the environment remembers are made anew, and those that end with their names end under others."""
    with world(version_2="taken", endpoint=endpoint) as one:
        for version, expected in ((V2, AS_THEY_ARE), (V1, AS_THEY_ARE | ESCAPED), (V2, AS_THEY_ARE | ESCAPED)):
            one.use(version, endpoint=endpoint)
            delivery = one.push()
            assert (delivery.accepted, delivery.rejected.counts) == (delivery.collected, {})
            assert one.names() == expected
