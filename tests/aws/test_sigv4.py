"""Signatures hold for botocore's own signer, over what really went through the socket."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.model.delivery import WriteRequest
from sandbox import amp
from sandbox.server import Answer, LoopbackServer, Request
from tests.rig.delivery import ENVIRONMENT, KEYS, Clock, rig


class Checker:
    """A server at any path that says of each request why its signature is refused."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.server = LoopbackServer(self._answer)

    def _answer(self, request: Request) -> Answer:
        self.requests.append(request)
        return KEYS.refusal(request, time.time()) or Answer(204)

    def refusal(self, url: str, headers: dict[str, str], body: bytes) -> str:
        """Empty when the signature holds."""
        with rig(url, headers=headers) as made_rig:
            response = made_rig.endpoint.client.post(WriteRequest(body, 1, 1), 1, 5.0)
        return "" if response.status == 204 else f"{response.status}: {response.message}"


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    made = Checker()
    with made.server:
        yield made


segments = st.text(alphabet="aZ09-._~!$&'()*+,;=:@ é€", max_size=8) | st.sampled_from(
    ["%20", "%2F", "a%25b", "..", "."]
)
paths = st.lists(segments, max_size=5).map(lambda parts: "/" + "/".join(parts))
header_values = st.text(alphabet="abc'\"  \t,;=é", max_size=12)
header_names = st.sampled_from(["X-Scope-OrgID", "X-Team", "x-amz-meta-a", "A"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    env_vars = {
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token or "",
    }
    with (
        amp.Receiver(auth=keys) as receiver,
        rig(receiver.url, env_vars=env_vars, headers={"X-Team": "a"}) as made_rig,
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
    with (
        amp.Receiver(auth=amp.SigV4(region=region, service=service)) as receiver,
        rig(receiver.url, sigv4=sigv4) as made_rig,
    ):
        assert made_rig.deliver(made_rig.points()).accepted == 6


@pytest.mark.parametrize("signs", [True, False], ids=["signed", "not signed"])
@pytest.mark.parametrize("secret", ["two\nlines", "a\r\nX-Other: b", "€", "nul\0"], ids=["lf", "crlf", "euro", "nul"])
def test_a_secret_that_no_header_can_hold_stops_the_run_without_showing_it(secret: str, signs: bool) -> None:
    headers = {"X-Token": {"refs": ["env:TOKEN"]}}
    env_vars = ENVIRONMENT | {"TOKEN": f"canary-{secret}"}
    sigv4 = {"region": KEYS.region} if signs else None
    with amp.Receiver() as receiver:
        with rig(receiver.url, env_vars=env_vars, sigv4=sigv4, http_headers=headers) as made_rig:
            delivery = made_rig.deliver(made_rig.points())
        assert receiver.requests == []
    detail = delivery.undelivered.first_examples["misconfigured"]
    assert "X-Token" in detail
    assert "canary" not in detail


def test_white_space_around_a_secret_is_not_part_of_it() -> None:
    with amp.Receiver(auth=amp.Authorization("Bearer token")) as receiver:
        authorization = {"credentials_ref": "env:TOKEN"}
        with rig(receiver.url, env_vars={"TOKEN": "token\n"}, sigv4=None, authorization=authorization) as made_rig:
            assert made_rig.deliver(made_rig.points()).accepted == 6


@pytest.mark.parametrize("days", [1, 30, -1], ids=["tomorrow", "a month later", "a clock set back"])
def test_the_signing_key_is_that_of_the_day(days: int) -> None:
    """An environment that lives past midnight signs with the new day's key."""
    clock = Clock()
    with amp.Receiver(now=clock.time) as receiver, rig(receiver.url, clock=clock) as made_rig:
        assert made_rig.deliver(made_rig.points()).accepted == 6
        clock.ahead += 86_400 * days
        receiver.limits = amp.Limits(out_of_order_seconds=10**7)
        assert made_rig.deliver(made_rig.points()).accepted == 6
        assert {record.status for record in receiver.requests} == {200}
