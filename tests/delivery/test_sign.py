"""Signatures hold for botocore's own signer, over what really went through the socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pusher.config.nodes import ConfigError
from pusher.delivery.credentials import Credentials
from pusher.delivery.sign import signed
from pusher.transport import Channel, HttpRequest, Transport

from sandbox import amp
from sandbox.server import Answer, LoopbackServer, Request
from tests.delivery.rig import KEYS, Clock, endpoint_of, rig


class Checker:
    """A server that says of each request why its signature is refused."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.keys = KEYS
        self.requests: list[Request] = []
        self.server = LoopbackServer(self._answer, now=self.clock.time)
        self.transport = Transport()

    def _answer(self, request: Request) -> Answer:
        self.requests.append(request)
        return self.keys.refusal(request, self.clock.time()) or Answer(204)

    def refusal(self, url: str, headers: dict[str, str], body: bytes, token: str = "") -> str:
        """Empty when the signature holds."""
        endpoint = endpoint_of(url, headers=headers)
        assert endpoint.sigv4
        credentials = Credentials(self.keys.access_key, self.keys.secret_key, token)
        request = HttpRequest("POST", endpoint.url, dict(endpoint.headers) | {"User-Agent": "test"}, body)
        request = HttpRequest(
            "POST", endpoint.url, signed(request, endpoint.sigv4, credentials, self.clock.now_ms()), body
        )
        with self.transport.send(request, Channel(), 5) as answer:
            return "" if answer.status == 204 else answer.read(2000).decode()


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    made = Checker()
    with made.server:
        yield made
        made.transport.close()


segments = st.text(alphabet="aZ09-._~!$&'()*+,;=:@ é€", max_size=8) | st.sampled_from(["%20", "%2F", "a%25b", "..", "."])
paths = st.lists(segments, max_size=5).map(lambda parts: "/" + "/".join(parts))
header_values = st.text(alphabet="abc'\"  \t,;=é", max_size=12)
header_names = st.sampled_from(["X-Scope-OrgID", "X-Team", "x-amz-meta-a", "A"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(paths, st.dictionaries(header_names, header_values, max_size=3), st.binary(max_size=200))
def test_whatever_the_path_the_headers_and_the_body(
    checker: Checker, path: str, headers: dict[str, str], body: bytes
) -> None:
    try:
        assert checker.refusal(checker.server.base_url + path, headers, body) == ""
    except ConfigError:  # an address or a header that the config does not take never gets here
        return


@pytest.mark.parametrize(
    "value",
    ["it's", "a b's", 'say "a  b"', "two  spaces", "  around  ", "tab\there", "é", ""],
    ids=["apostrophe", "apostrophe after a space", "quotes", "spaces", "spaces around", "tab", "latin", "empty"],
)
def test_headers_of_the_config_are_signed_as_they_are(checker: Checker, value: str) -> None:
    assert checker.refusal(f"{checker.server.base_url}/a", {"X-Team": value}, b"body") == ""
    assert "x-team" in signed_headers(checker.requests[-1])


@pytest.mark.parametrize("query", ["a=b", "b=2&a=1", "a", "a=%20b&a=c", "é=1"], ids=str)
def test_a_query_is_signed_too(checker: Checker, query: str) -> None:
    assert checker.refusal(f"{checker.server.base_url}/write?{query}", {}, b"") == ""


def signed_headers(request: Request) -> list[str]:
    return request.headers["Authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")


def test_all_headers_but_the_user_agent_are_signed() -> None:
    keys = amp.SigV4(token="a/token+with=signs")
    environment = {
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token or "",
    }
    with (
        amp.Receiver(auth=keys) as receiver,
        rig(receiver.url, environment=environment, headers={"X-Team": "a"}) as made_rig,
    ):
        receiver.script(amp.Fault.status(500))
        assert made_rig.deliver(made_rig.points(times=1)).accepted == 2
    first, retry = (signed_headers(record.request) for record in receiver.requests)
    expected = {
        "content-encoding", "content-type", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token",
        "x-prometheus-remote-write-version", "x-team",
    }  # fmt: skip
    assert set(first) == expected
    assert set(retry) == expected | {"retry-attempt"}
    assert first == sorted(first)


@pytest.mark.parametrize(
    ("region", "service"), [("us-east-1", "aps"), ("eu-west-1", "aps"), ("us-east-1", "execute-api")], ids=str
)
def test_region_and_service_are_those_of_the_config(region: str, service: str) -> None:
    sigv4 = {"region": region, "service_name": service}
    with amp.Receiver(auth=amp.SigV4(region=region, service=service)) as receiver:
        with rig(receiver.url, sigv4=sigv4) as made_rig:
            assert made_rig.deliver(made_rig.points()).accepted == 6
