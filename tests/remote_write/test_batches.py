"""A batch of one run, as each endpoint gets it."""

from __future__ import annotations

from typing import cast

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.model.samples import Samples
from lambda_remote_write.model.scrape import Scrape
from lambda_remote_write.remote_write.batches import Batch
from tests.rig import made

CONFIG = "remote_write: [{url: http://127.0.0.1:1/, name: a}, {url: http://127.0.0.1:2/, name: b}]"
NO_NUMBER = cast(float, "text")


def test_samples_that_could_not_be_encoded_may_be_sent_again() -> None:
    """An error of the encoder, which no input of ours is known to cause: the next run may send the same sample."""
    environment = Environment(parse_config(CONFIG, "c", {}), Dependencies({}))
    series = [environment.series.intern({"__name__": name}) for name in ("good", "bad")]
    good, both = Samples(), Samples()
    good.add(series[0], 1.0, made.NOW_MS)
    both.extend(good)
    both.add(series[1], NO_NUMBER, made.NOW_MS)
    first, second = environment.endpoints
    for endpoint in (first, second):
        failed = Batch([Scrape("j", "", made.NOW_MS, samples=both)]).encoded_for(endpoint, made.NOW_MS)
        assert failed.error is not None
        assert (failed.requests, failed.collected) == ((), 2)
        again = Batch([Scrape("j", "", made.NOW_MS, samples=good)]).encoded_for(endpoint, made.NOW_MS)
        assert again.error is None
        assert [request.samples for request in again.requests] == [1]
