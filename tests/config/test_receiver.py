"""An endpoint's name and where it sends, for people. Spool prefixes and the label `endpoint` keep the name alone."""

from __future__ import annotations

import pytest

from lambda_remote_write.config.load import parse_config

AMP = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1234abcd/api/v1/remote_write"
OF_AMP = "aps-workspaces.eu-west-1.amazonaws.com, ws-1234abcd"
SHOWN = {
    "AMP": (f"url: '{AMP}', sigv4: {{region: eu-west-1}}", OF_AMP),
    "workspace": ("workspace: ws-1234abcd, sigv4: {region: eu-west-1}", OF_AMP),
    "another receiver": ("url: 'http://mimir.example.com:9009/api/v1/push'", "mimir.example.com:9009"),
    "with a key in its query": ("url: 'http://h.example.com/w?token=hunter22'", "h.example.com"),
    "another path of workspaces": ("url: 'http://h.example.com/workspaces/ws-1/x'", "h.example.com"),
}


@pytest.mark.parametrize(("keys", "receiver"), SHOWN.values(), ids=SHOWN)
def test_receiver(keys: str, receiver: str) -> None:
    (endpoint,) = parse_config(f"remote_write: [{{{keys}, name: x}}]", "a.yaml", {}).endpoints
    assert endpoint.receiver == receiver
    assert endpoint.shown_name == f"x ({receiver})"


def test_the_name_that_spools_were_written_under_stays() -> None:
    """The first six digits of the URL's MD5, as `md5sum` prints it: entries of earlier versions are found again."""
    text = f"remote_write: [{{url: '{AMP}', sigv4: {{region: eu-west-1}}}}]"
    (endpoint,) = parse_config(text, "a.yaml", {}).endpoints
    assert endpoint.name == "dfcf0d"
