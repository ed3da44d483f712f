"""`remote_write`: which message is sent, and what beside samples."""

from __future__ import annotations

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import Config

PUSH = "https://mimir.example.com/api/v1/push"
AMP = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"


def load(url: str, keys: str) -> Config:
    signed = ", sigv4: {}" if url == AMP else ""
    return parse_config(f"json_configs: []\nremote_write: [{{url: {url}{signed}{keys}}}]\n", "pusher.yaml", {})


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param("", (1, False, False), id="Prometheus's defaults"),
        pytest.param(", protobuf_message: prometheus.WriteRequest", (1, False, False), id="1.0 spelled out"),
        pytest.param(", protobuf_message: io.prometheus.write.v2.Request", (2, False, False), id="2.0"),
        pytest.param(", send_exemplars: true", (1, True, False), id="exemplars"),
        pytest.param(", send_native_histograms: true", (1, False, True), id="native histograms"),
        pytest.param(", send_exemplars: false, send_native_histograms: no", (1, False, False), id="neither"),
    ],
)
@pytest.mark.parametrize("url", [PUSH, AMP], ids=["elsewhere", "AMP"])
def test_what_is_sent(url: str, keys: str, expected: tuple[int, bool, bool]) -> None:
    (endpoint,) = load(url, keys).endpoints
    assert (endpoint.version, endpoint.send_exemplars, endpoint.send_native_histograms) == expected


def warned(url: str, keys: str) -> list[str]:
    """The keys of `remote_write` that a config is warned of."""
    prefix = "pusher.yaml:2: remote_write[0]."
    return [one.removeprefix(prefix).partition(":")[0] for one in load(url, keys).warnings if one.startswith(prefix)]


EVERYTHING = ", protobuf_message: io.prometheus.write.v2.Request, send_exemplars: true, send_native_histograms: true"


@pytest.mark.parametrize(
    ("url", "keys", "expected"),
    [
        pytest.param(PUSH, EVERYTHING, [], id="another receiver may take all of it"),
        pytest.param(AMP, EVERYTHING, ["protobuf_message", "send_exemplars"], id="AMP: what AWS does not say it takes"),
        pytest.param(AMP, ", send_native_histograms: true", [], id="AMP takes native histograms"),
        pytest.param(AMP, ", send_exemplars: false", [], id="AMP without exemplars"),
    ],
)
def test_warnings(url: str, keys: str, expected: list[str]) -> None:
    assert warned(url, keys) == expected
