"""Refusals explained: for each text of the receivers (facts on AMP, Cortex, Prometheus, Mimir) the reason under which
samples are counted, what it means, what helps, and the series that it names."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import RemoteWriteConfig
from lambda_remote_write.remote_write.explain import explain
from tests.rig.yaml_files import read_yaml

REGION, ID = "eu-west-1", "ws-12345678-1234-1234-1234-123456789012"


def endpoint(**keys: object) -> RemoteWriteConfig:
    entry = {"workspace": f"arn:aws:aps:{REGION}:123456789012:workspace/{ID}", **keys}
    (found,) = parse_config(json.dumps({"json_configs": [], "remote_write": [entry]}), "c", {}).endpoints
    return found


AMP = endpoint()
PREFIX = f"user=123456789012_{ID}: err: "
SERIES = '{__name__="up", instance="10.0.0.1:9100", job="node"}'
WINDOW = (
    f"aws amp update-workspace-configuration --workspace-id {ID} --region {REGION} "
    "--out-of-order-time-window-in-seconds 600"
)
ARN = f"arn:aws:aps:{REGION}:123456789012:workspace/{ID}"
STATEMENT = f'{{"Effect": "Allow", "Action": "aps:RemoteWrite", "Resource": "{ARN}"}}'
DENIED = (
    f"User: arn:aws:sts::123456789012:assumed-role/r/s is not authorized to perform: aps:RemoteWrite on resource: {ARN}"
)


FILLED = {"window": WINDOW, "series": SERIES, "statement": STATEMENT, "denied": DENIED, "id": ID, "region": REGION}


def filled(value: str | int) -> str | int:
    if isinstance(value, int):
        return value
    for name, text in FILLED.items():
        value = value.replace(f"{{{name}}}", text)
    quota = f"request-service-quota-increase --service-code aps --region {REGION} --quota-code"
    return re.sub(r"\{quota (\S+)\}", rf"{quota} \1", value)


TEXTS = Path(__file__).parents[1] / "testdata" / "refusals" / "texts.yaml"
CASES = [tuple(map(filled, case)) for case in read_yaml(TEXTS)]


@pytest.mark.parametrize(("status", "text", "reason", "helps", "series"), CASES)
@pytest.mark.parametrize("prefix", ["", PREFIX], ids=["bare", "as AMP says it"])
def test_every_text_of_the_catalogue(status: int, text: str, reason: str, helps: str, series: str, prefix: str) -> None:
    found = explain(status, prefix + text, AMP)
    assert (found.reason, found.series) == (reason, series)
    assert helps in found.help
    assert found.meaning
    assert not found.meaning.endswith(".")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("Signature expired: 20240523T160000Z is now earlier than 20240523T161200Z - 5 min.",
                     "behind the receiver's, by 12 minutes or more", id="behind"),
        pytest.param("Signature not yet current: 20240523T162000Z is still later than 20240523T160000Z + 5 min.",
                     "ahead of the receiver's, by 20 minutes or more", id="ahead"),
        pytest.param("Signature expired: 2024", "this clock is behind the receiver's", id="cut"),
        pytest.param("Signature expired: 99999999T999999Z is now earlier than 20240523T161200Z",
                     "this clock is behind the receiver's", id="no times"),
    ],
)  # fmt: skip
def test_the_skew_of_a_wrong_clock_is_reported(text: str, words: str) -> None:
    found = explain(403, f'{{"message":"{text}"}}', AMP)
    assert found.reason == "signature_expired"
    assert words in found.meaning


def test_a_text_of_another_status_explains_nothing() -> None:
    """The status decides: a 500 that quotes an error of samples is trouble of the receiver."""
    assert explain(500, "out of order sample", AMP).reason == "http_500"
    assert explain(400, "not authorized to perform: aps:RemoteWrite", AMP).reason == "http_400"
    assert explain(404, "out of order sample", AMP).reason == "http_404"


def test_what_labels_say_is_not_what_the_receiver_says() -> None:
    hostile = '{__name__="m", said="too old sample, duplicate sample for timestamp"}'
    found = explain(400, f"{PREFIX}out of order sample. timestamp=x, series={hostile}", AMP)
    assert (found.reason, found.series) == ("sample-out-of-order", hostile)


def test_another_receiver_gets_no_commands_of_aws() -> None:
    other = endpoint(workspace=None, url="http://receiver:9090/api/v1/write")
    for text, advice in (
        ("too old sample", "storage.tsdb.out_of_order_time_window"),
        ("per-user series limit of 10 exceeded", "the receiver's own limit"),
    ):
        found = explain(400, text, other).help
        assert advice in found
        assert "aws " not in found
        assert "aws " in explain(400, text, AMP).help


def test_other_texts_keep_the_meaning_of_their_status() -> None:
    found = explain(400, "something is wrong", AMP)
    assert (found.reason, found.help, found.series) == ("http_400", "", "")
    assert "the receiver refused samples of this request" in found.meaning


@given(st.integers(100, 599), st.text(max_size=1024) | st.sampled_from([case[1] for case in CASES]))
def test_any_answer_is_explained_at_once(status: int, text: str) -> None:
    started = time.process_time()
    found = explain(status, (text * 20)[:1024], AMP)
    assert found.reason
    assert found.meaning
    assert len(found.series) <= 300
    assert time.process_time() - started < 1
