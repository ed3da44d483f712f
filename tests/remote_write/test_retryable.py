"""Every status has an outcome and a sentence."""

from __future__ import annotations

import pytest

from lambda_remote_write.model.delivery import Outcome
from lambda_remote_write.remote_write.retryable import classify, meaning

TABLE = (
    dict.fromkeys(range(100, 200), Outcome.MISCONFIGURED)
    | dict.fromkeys(range(200, 300), Outcome.ACCEPTED)
    | dict.fromkeys(range(300, 400), Outcome.MISCONFIGURED)
    | dict.fromkeys(range(400, 500), Outcome.REJECTED)
    | dict.fromkeys(range(500, 600), Outcome.UNAVAILABLE)
    | dict.fromkeys((408, 429), Outcome.UNAVAILABLE)
    | dict.fromkeys((401, 403, 404), Outcome.MISCONFIGURED)
    | {413: Outcome.TOO_LARGE}
)


def test_every_status_has_its_outcome() -> None:
    assert {status: classify(status) for status in range(100, 600)} == TABLE


@pytest.mark.parametrize("status", [600, 700, 999], ids=str)
def test_a_number_beyond_http_is_trouble_of_the_receiver(status: int) -> None:
    assert classify(status) is Outcome.UNAVAILABLE


def test_every_refusal_means_something() -> None:
    sentences = {status: meaning(status) for status in (*range(100, 200), *range(300, 600))}
    assert {status: text for status, text in sentences.items() if len(text.split()) < 4 or text != text.strip()} == {}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        pytest.param(301, ["redirect", "url"], id="301"),
        pytest.param(400, ["samples", "first", "out-of-order", "too old"], id="400"),
        pytest.param(401, ["basic_auth", "authorization"], id="401"),
        pytest.param(403, ["aps:RemoteWrite", "sigv4.region", "clock"], id="403"),
        pytest.param(404, ["workspace id", "region", "/api/v1/remote_write"], id="404"),
        pytest.param(413, ["max_body_bytes", "max_samples_per_send"], id="413"),
        pytest.param(415, ["protocol", "url"], id="415"),
        pytest.param(429, ["throttles", "quota"], id="429"),
        pytest.param(503, ["in trouble"], id="503"),
    ],
)
def test_a_sentence_names_cause_and_remedy(status: int, words: list[str]) -> None:
    assert [word for word in words if word not in meaning(status)] == []


def test_every_outcome_has_its_own_sentence() -> None:
    assert len({outcome.value for outcome in Outcome}) == len(Outcome)
