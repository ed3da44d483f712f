"""Requests to sources that are signed: botocore's signer, an independent oracle, takes them as they came over a socket;
what AWS refuses is said with what to do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from urllib3.util import parse_url

from lambda_remote_write.config.schema import HttpClientConfig
from lambda_remote_write.config.schema import SigV4 as Config
from lambda_remote_write.config.secrets import Secret
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.http.fetch import Fetcher, SourceRequest, is_2xx
from sandbox.amp import Receiver, SigV4
from sandbox.server import Answer, LoopbackServer, Request
from tests.rig.clock import soon
from tests.rig.json_source import Rig, error
from tests.rig.tables import table

KEYS = SigV4(token="a/token+with=signs")
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": KEYS.access_key,
    "AWS_SECRET_ACCESS_KEY": KEYS.secret_key,
    "AWS_SESSION_TOKEN": KEYS.token or "",
}
METRIC = "{name: m, value: v}"
SERVICES = ("execute-api", "lambda", "es", "aoss", "aps", "ce", "s3")


class Checker:
    """Any API of AWS: lets in what is signed for the service that it is."""

    def __init__(self) -> None:
        self.service, self.requests = "execute-api", list[Request]()
        self.server = LoopbackServer(self._answer)

    def _answer(self, request: Request) -> Answer:
        self.requests.append(request)
        keys = SigV4("eu-west-1", token=KEYS.token, service=self.service)
        return keys.refusal(request, time.time()) or Answer(200, {}, b'{"v": 1}')


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    made = Checker()
    with made.server:
        yield made


@pytest.fixture(scope="module")
def fetcher() -> Iterator[Fetcher]:
    dependencies = Dependencies(ENVIRONMENT)
    yield dependencies.fetcher()
    dependencies.transport.close()


def sign(
    fetcher: Fetcher,
    checker: Checker,
    service: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Request:
    """The request as it arrived. Raises FetchError when botocore's signer does not agree with it."""
    checker.service = service
    values = tuple((name, (Secret(literal=value),)) for name, value in (headers or {}).items())
    client = HttpClientConfig(sigv4=Config("eu-west-1", service=service), http_headers=values)
    url = checker.server.base_url + path
    method = "GET" if body is None else "POST"
    fetcher.fetch(SourceRequest(method, url, client, 1_000, is_2xx, body=body), soon())
    return checker.requests[-1]


segments = st.text(alphabet="aZ09-._~!$&'()*+,;=:@ é€%", max_size=8) | st.sampled_from(
    ["%20", "%2F", "%2f", "%7E", "%2e", "a%25b", "%E9", "..", ".", "", ";v=1", "a+b"]
)
paths = st.lists(segments, max_size=5).map(lambda parts: "/" + "/".join(parts))
words = st.text(alphabet="aZ09-._~!$'()*+,;:@/ é€%=", max_size=6) | st.sampled_from(["%20", "%2B", "%E9", "+", "a b"])
pairs = st.tuples(words, words).map("=".join) | words
queries = st.lists(pairs, max_size=5).map("&".join)
header_values = st.text(alphabet="abc'\"  \t,;=é", max_size=12)
headers = st.dictionaries(st.sampled_from(["X-Team", "X-Amz-Target", "A"]), header_values, max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@example("s3", "/a//b/%E9/c+d", "", {}, None)
@example("es", "/a//b/%2F/%E9;v=1/c+d", "b=%E9&a", {}, b"x")
@given(st.sampled_from(SERVICES), paths, queries, headers, st.none() | st.binary(max_size=50))
def test_whatever_is_asked_botocore_signs_it_alike(
    checker: Checker,
    fetcher: Fetcher,
    service: str,
    path: str,
    query: str,
    headers: dict[str, str],
    body: bytes | None,
) -> None:
    for sent in (path, unquote(path, "latin-1")):  # Python's own server takes "//" at the beginning for "/"
        assume(not (parse_url(f"http://a{sent.replace('?', '')}").path or "").startswith("//"))
    url = f"{path}?{query}" if query else path
    assert sign(fetcher, checker, service, url, headers, body).body == (body or b"")


QUERIES = [
    ("a space as a plus", "a=b+c", "a=b%20c"),
    ("a plus", "a=b%2Bc", "a=b%2Bc"),
    ("the order of the config", "b=2&a=1", "b=2&a=1"),
    ("repeated", "a=2&a=1&a=2", "a=2&a=1&a=2"),
    ("without a value", "pretty&a=", "pretty&a="),
    ("a text with =", "q=a=b", "q=a%3Db"),
    ("unicode", "q=é", "q=%C3%A9"),
    ("bytes that are no UTF-8", "q=%E9", "q=%E9"),
    ("nothing between two &", "a=1&&b=2&", "a=1&b=2"),
]


@table("given, sent", QUERIES)
def test_a_query_goes_out_in_the_one_form_that_every_reader_signs_alike(
    checker: Checker, fetcher: Fetcher, given: str, sent: str
) -> None:
    """AWS's signing guide: every byte but the unreserved characters is percent-encoded, and a space is %20."""
    assert sign(fetcher, checker, "execute-api", f"/stage/path?{given}").query == sent


@pytest.mark.parametrize("service", SERVICES)
def test_characters_of_a_path_that_need_no_encoding_go_out_plain(
    checker: Checker, fetcher: Fetcher, service: str
) -> None:
    """RFC 3986, 6.2.2.2: `%7E` and `~` are the same, and who signs one must not send the other."""
    assert sign(fetcher, checker, service, "/%7Eu/%61%2Db%5F%2E").path == "/~u/a-b_."


def test_what_a_proxy_rewrites_is_not_signed(checker: Checker, fetcher: Fetcher) -> None:
    arrived = sign(fetcher, checker, "es", "/_cluster/health", {"X-Team": "a"}).headers
    signed = arrived["Authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    assert signed == ["accept", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token", "x-team"]
    assert {"user-agent", "accept-encoding"} <= {name.lower() for name in arrived}


# --- Jobs -------------------------------------------------------------------------------------------------------------

SIGNED = "sigv4: {region: us-east-1, service: ce}"


class Aws:
    """What an API at /doc makes of a job's requests: it lets in those that are signed with `keys`."""

    def __init__(self, rig: Rig, **keys: Any) -> None:
        rig.env_vars |= ENVIRONMENT
        self.rig, self.keys = rig, SigV4(**{"token": KEYS.token, "service": "ce"} | keys)
        self.headers = {"Date": formatdate(rig.clock.time(), usegmt=True)}
        self.refusals: list[Answer] = []  # of the next requests
        rig.api.serve("/doc", self._answer)

    def _answer(self, request: Request) -> Answer:
        refusal = self.refusals.pop(0) if self.refusals else self.keys.refusal(request, self.rig.clock.time())
        found = refusal or Answer.json({"v": 1})
        return Answer(found.status, found.headers | self.headers, found.body)

    def push(self, keys: str = SIGNED) -> str:
        """The job's error."""
        return error(self.rig.push(self.rig.job(METRIC, keys=keys)))


def test_a_json_job_is_signed_over_its_body(rig: Rig) -> None:
    aws = Aws(rig)
    keys = f"{SIGNED}, body: '{{}}', headers: {{X-Amz-Target: A.Get, Content-Type: application/x-amz-json-1.1}}"
    assert aws.push(keys) == ""
    assert rig.value("m") == 1
    (request,) = rig.api.requests
    assert (request.method, request.headers["X-Amz-Target"], request.body) == ("POST", "A.Get", b"{}")


@pytest.mark.parametrize("key", ["service", "service_name"])
def test_the_service_has_both_names(rig: Rig, key: str) -> None:
    assert Aws(rig).push(f"sigv4: {{region: us-east-1, {key}: ce}}") == ""


def test_each_page_is_signed_anew(rig: Rig) -> None:
    aws = Aws(rig)
    paths = "pagination: {style: page, parameter: p, max_pages: 2, path: v}"
    aws.push(f"{SIGNED}, {paths}")
    assert [request.query for request in rig.api.requests] == ["p=1", "p=2"]
    assert len({request.headers["Authorization"] for request in rig.api.requests}) == 2


def test_keys_of_the_config(rig: Rig) -> None:
    aws = Aws(rig, access_key="AKIDOTHER", secret_key="other", token=None)
    assert aws.push("sigv4: {region: us-east-1, service: ce, access_key: AKIDOTHER, secret_key: other}") == ""


def test_a_scrape_job_and_the_lists_of_targets_are_signed(rig: Rig) -> None:
    Aws(rig)
    keys = SigV4(token=KEYS.token, service="ce")
    host = rig.api.url.removeprefix("http://")

    def guarded(answer: Answer) -> Any:
        return lambda request: keys.refusal(request, rig.clock.time()) or answer

    rig.api.serve("/metrics", guarded(Answer(200, {"Content-Type": "text/plain"}, b"page 1\n")))
    rig.api.serve("/sd", guarded(Answer.json([{"targets": [host]}])))
    rig.api.serve("/list", guarded(Answer.json([{"host": host}])))
    job = f"""
scrape_configs:
  - job_name: a
    scheme: http
    hosts: [127.0.0.1]
    {SIGNED}
    http_sd_configs: [{{url: '{rig.api.url}/sd', {SIGNED}}}]
  - job_name: b
    scheme: http
    hosts: [127.0.0.1]
    {SIGNED}
    json_sd_configs: [{{url: '{rig.api.url}/list', target: host, {SIGNED}}}]
"""
    report = rig.app_of(job).handle({}, None)
    assert (report["warnings"], report["jobs_down"]) == ([], {})
    assert sorted(dict(labels)["job"] for labels in rig.receiver.samples if ("__name__", "page") in labels) == [
        "a",
        "b",
    ]


def test_the_query_api_of_amp_is_asked(rig: Rig) -> None:
    """The sandbox's AMP verifies the signature first. Without a Prometheus it answers 422 to those whom it lets in."""
    rig.env_vars |= ENVIRONMENT
    keys = "query: {query: up}, sigv4: {region: us-east-1, service: aps}"
    with Receiver(auth=KEYS, now=rig.clock.time) as amp:
        job = rig.job(METRIC, path=f"{amp.base_url}/api/v1/query", keys=keys)
        assert "answered 422" in error(rig.push(job))
        amp.auth = SigV4(access_key="another")
        assert "answered 403: it does not take our credentials; check sigv4" in error(rig.push(job))


# --- Redirects --------------------------------------------------------------------------------------------------------


def test_a_redirect_within_the_origin_is_signed_anew(rig: Rig) -> None:
    aws = Aws(rig)
    rig.api.serve("/old", Answer(307, {"Location": "/doc"}))
    assert error(rig.push(rig.job(METRIC, path="/old", keys=SIGNED))) == ""
    first, second = (request.headers["Authorization"] for request in rig.api.requests)
    assert first != second
    assert aws.refusals == []


def test_a_signature_never_follows_to_another_origin(rig: Rig) -> None:
    with LoopbackServer(lambda request: seen.append(request) or Answer(403, {}, b"no")) as other:  # type: ignore[func-returns-value]
        seen: list[Request] = []
        Aws(rig)
        rig.api.serve("/old", Answer(302, {"Location": f"{other.base_url}/doc"}))
        detail = error(rig.push(rig.job(METRIC, path="/old", keys=SIGNED)))
    (arrived,) = seen
    assert not [name for name in arrived.headers if name.lower().startswith(("authorization", "x-amz-"))]
    assert "a redirect has led to another origin, where credentials are never sent" in detail


# --- What is refused --------------------------------------------------------------------------------------------------


@table(
    "ahead_ms, shown",
    [("behind", -3_600_000, "1h behind"), ("ahead", 3_600_000, "1h ahead of"), ("6m", 360_000, "6m ahead of")],
)
def test_a_clock_that_is_off(rig: Rig, ahead_ms: int, shown: str) -> None:
    aws = Aws(rig)
    aws.refusals = [Answer.json({"message": "Signature expired: 20240523T145820Z is now earlier than …"}, 403)]
    rig.clock.ms += ahead_ms
    assert (
        f"this machine's clock is {shown} the API's, and a signature holds for five minutes: set the clock"
    ) in aws.push()


CODES = [
    ("json", 400, {}, {"__type": "com.amazon.coral#ExpiredTokenException", "message": "gone"}, "has ended"),
    ("header", 403, {"x-amzn-ErrorType": "ForbiddenException:http://internal/"}, {}, "may do it: pusher plan prints"),
    ("denied with 400", 400, {}, {"__type": "AccessDeniedException"}, "may do it: pusher plan prints"),
    ("unknown key", 400, {}, {"__type": "UnrecognizedClientException"}, "AWS does not know the access key"),
    (
        "wrong",
        403,
        {"x-amzn-errortype": "InvalidSignatureException"},
        {},
        "and the secret key",
    ),
    ("no such path", 403, {"x-amzn-ErrorType": "MissingAuthenticationTokenException"}, {}, "no such path or method"),
]


@table("status, headers, body, detail", CODES)
def test_what_aws_refuses_is_explained(
    rig: Rig, status: int, headers: dict[str, str], body: dict[str, str], detail: str
) -> None:
    aws = Aws(rig)
    aws.refusals = [Answer(status, headers, json.dumps(body).encode())] * 2
    said = aws.push()
    assert f"answered {status}: it does not take our credentials; check sigv4; " in said
    assert detail in said


def test_an_answer_that_repeats_the_signature_shows_none(rig: Rig) -> None:
    """It lets in for as long as the clock allows."""
    aws = Aws(rig)
    aws.push()
    sent = rig.api.requests[-1].headers["Authorization"].rpartition("Signature=")[2]
    aws.refusals = [Answer.json({"message": f"wrong is {sent}"}, 403)] * 2
    assert 'it says "wrong is <secret>"' in aws.push()


def test_another_400_is_no_matter_of_credentials(rig: Rig) -> None:
    aws = Aws(rig)
    aws.refusals = [Answer.json({"__type": "ValidationException", "message": "no such dimension"}, 400)]
    assert aws.push().endswith('answered 400: it says "no such dimension"')
    assert len(rig.api.requests) == 1


def test_an_xml_error_has_its_code_too(rig: Rig) -> None:
    aws = Aws(rig)
    text = "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>invalid</Message></Error></ErrorResponse>"
    aws.refusals = [Answer(403, {"Content-Type": "text/xml"}, text.encode())] * 2
    assert "AWS does not know the access key of the role or user that asks" in aws.push()


class Rotated:
    """A boto3 session whose credentials are others each time that it is asked for them."""

    def __init__(self, *secrets: str) -> None:
        self.secrets = list(secrets)

    def __call__(self, profile: str, region: str) -> Rotated:
        return self

    def get_credentials(self) -> Any:
        from botocore.credentials import ReadOnlyCredentials

        secret = self.secrets.pop(0) if len(self.secrets) > 1 else self.secrets[0]

        class Found:
            def get_frozen_credentials(self) -> ReadOnlyCredentials:
                return ReadOnlyCredentials(KEYS.access_key, secret, None)

        return Found()


PROFILE = "sigv4: {region: us-east-1, service: ce, profile: p}"


def test_refused_credentials_are_renewed_and_the_request_is_sent_once_more(rig: Rig) -> None:
    rig.session = Rotated("old", KEYS.secret_key)
    assert Aws(rig, token=None).push(PROFILE) == ""
    assert len(rig.api.requests) == 2


def test_credentials_that_stay_the_same_are_not_tried_again(rig: Rig) -> None:
    rig.session = Rotated("old")
    assert "answered 403" in Aws(rig, token=None).push(PROFILE)
    assert len(rig.api.requests) == 1


def test_many_targets_renew_once_a_run(rig: Rig) -> None:
    rig.session = Rotated(*map(str, range(10)))
    aws = Aws(rig, token=None)
    jobs = [rig.job(METRIC, name=f"j{index}", keys=PROFILE) for index in range(4)]
    aws.rig.push(*jobs)
    assert rig.session.secrets == [str(number) for number in range(2, 10)]


class NoCredentials:
    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, profile: str, region: str) -> NoCredentials:
        self.asked += 1
        return self

    def get_credentials(self) -> None:
        return None


def test_no_credentials_is_a_sentence_and_costs_the_other_jobs_nothing(rig: Rig) -> None:
    rig.session = NoCredentials()
    rig.serve('{"v": 2}', "/open")
    signed = [rig.job(METRIC, name=f"s{index}", keys=PROFILE) for index in range(3)]
    report = rig.push(*signed, rig.job("{name: other, value: v}", name="o", path="/open"))
    assert error(report) == "sigv4: no AWS credentials in profile p"
    assert rig.value("other") == 2
    assert rig.session.asked == 1  # a run
    assert [request.path for request in rig.api.requests] == ["/open"]


def test_an_unsigned_answer_shows_no_secret(rig: Rig) -> None:
    aws = Aws(rig)
    echoed = f"{KEYS.secret_key} {KEYS.token} {KEYS.access_key}"
    aws.refusals = [Answer.json({"message": echoed}, 403)] * 2
    said = aws.push()
    assert not [one for one in echoed.split() if one in said], said
