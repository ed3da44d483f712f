"""The receiver refuses what AMP refuses. Requests are signed by botocore and encoded by the protobuf stubs."""

import contextlib
import hashlib
import math
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import cramjam
import pytest
import requests

from lambda_remote_write.remote_write.encode.generated import remote_pb2, types_pb2
from sandbox import prometheus
from sandbox.amp import Authorization, Limits, Receiver, SigV4
from sandbox.server import Fault
from tests.rig.delivery import Clock
from tests.rig.needs import Peer
from tests.rig.remote_write_client import HEADERS, KEYS, NOW_MS, UP, body, series, signed, write

STALE = struct.unpack(">d", bytes.fromhex("7ff0000000000002"))[0]
MINUTE = 60_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def amp(clock: Clock) -> Iterator[Receiver]:
    with Receiver(auth=None, now=clock.time) as receiver:
        yield receiver


# --- Signatures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "with/slash+plus=="], ids=["no token", "odd token"])
def test_a_request_signed_by_botocore_is_accepted(http: requests.Session, token: str | None) -> None:
    keys = SigV4(token=token)
    data = body(series(UP, (0, 1.0)))
    with Receiver(auth=keys) as amp:
        answer = http.post(amp.url, data, headers=signed(amp.url, data, keys), timeout=5)
        assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")
        assert answer.headers["Server"] == "amazon"
        assert answer.headers["x-amzn-RequestId"]
        assert amp.samples == {tuple(UP.items()): [(NOW_MS, 1.0)]}


def changed(**headers: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda sent: {**sent, **{name.replace("_", "-"): value for name, value in headers.items()}}


def scoped_to_another_day(sent: dict[str, str]) -> dict[str, str]:
    day = sent["X-Amz-Date"][:8]
    return {**sent, "Authorization": sent["Authorization"].replace(f"/{day}/", "/20200101/")}


@pytest.mark.parametrize(
    ("keys", "after_signing", "message"),
    [
        pytest.param(replace(KEYS, secret_key="wrong"), dict, "The request signature we calculated", id="wrong secret"),
        pytest.param(replace(KEYS, access_key="AKIDOTHER"), dict, "security token included", id="wrong access key"),
        pytest.param(replace(KEYS, region="eu-west-1"), dict, "scoped to a valid region", id="wrong region"),
        pytest.param(replace(KEYS, service="s3"), dict, "correct service: 'aps'", id="wrong service"),
        pytest.param(replace(KEYS, token=None), dict, "security token included", id="no token"),
        pytest.param(
            replace(KEYS, token=None),
            changed(X_Amz_Security_Token="session-token"),
            "'x-amz-security-token' must be a 'SignedHeader'",
            id="token not signed",
        ),
        pytest.param(KEYS, changed(Content_Type="application/x-protobuf; proto=prometheus.WriteRequest"),
                     "The request signature we calculated", id="header changed after signing"),
        pytest.param(KEYS, changed(X_Amz_Content_Sha256="0" * 64), "must be a 'SignedHeader'", id="hash not signed"),
        pytest.param(KEYS, scoped_to_another_day, "Date in Credential scope does not match", id="another day"),
        pytest.param(KEYS, changed(Authorization="AWS4-HMAC-SHA256 nonsense"), "requires 'Credential'", id="malformed"),
        pytest.param(KEYS, lambda sent: {}, "Missing Authentication Token", id="not signed"),
    ],
)  # fmt: skip
def test_a_wrong_signature_is_refused(http: requests.Session, keys: SigV4, after_signing, message: str) -> None:
    data = body(series(UP, (0, 1.0)))
    with Receiver(auth=KEYS) as amp:
        answer = http.post(amp.url, data, headers=after_signing(signed(amp.url, data, keys)), timeout=5)
        assert answer.status_code == 403
        assert message in answer.json()["message"]
        assert amp.samples == {}


def test_a_body_changed_after_signing_is_refused(http: requests.Session) -> None:
    with Receiver(auth=KEYS) as amp:
        answer = http.post(amp.url, body(), headers=signed(amp.url, b"another body"), timeout=5)
        assert answer.status_code == 403
        assert "content-type:application/x-protobuf\nhost:127.0.0.1" in answer.json()["message"]


@pytest.mark.parametrize(("claimed", "status"), [("right", 200), ("wrong", 403)])
def test_a_signed_content_hash_must_be_that_of_the_body(http: requests.Session, claimed: str, status: int) -> None:
    data = body()
    digest = hashlib.sha256(data if claimed == "right" else b"").hexdigest()
    with Receiver(auth=KEYS) as amp:
        headers = signed(amp.url, data, headers={"X-Amz-Content-Sha256": digest})
        assert http.post(amp.url, data, headers=headers, timeout=5).status_code == status


@pytest.mark.parametrize(
    ("offset", "status", "message"),
    [
        pytest.param(290, 200, "", id="almost five minutes old"),
        pytest.param(310, 403, "Signature expired", id="over five minutes old"),
        pytest.param(-290, 200, "", id="a little ahead"),
        pytest.param(-310, 403, "Signature not yet current", id="far ahead"),
    ],
)
def test_a_signature_holds_five_minutes(
    http: requests.Session, clock: Clock, offset: float, status: int, message: str
) -> None:
    clock.ahead = offset
    with Receiver(auth=KEYS, now=clock.time) as amp:
        answer = http.post(amp.url, body(), headers=signed(amp.url, body()), timeout=5)
        assert answer.status_code == status
        assert message in answer.text


def test_an_expired_token_is_refused_until_fresh_credentials_come(http: requests.Session) -> None:
    fresh = replace(KEYS, token="fresh")
    with Receiver(auth=KEYS) as amp:
        amp.auth = replace(KEYS, expired=True)
        old = http.post(amp.url, body(), headers=signed(amp.url, body()), timeout=5)
        amp.auth = fresh
        new = http.post(amp.url, body(), headers=signed(amp.url, body(), fresh), timeout=5)
    assert (old.status_code, "is expired" in old.json()["message"], new.status_code) == (403, True, 200)


@pytest.mark.parametrize(
    ("auth", "sent", "status"),
    [
        pytest.param(Authorization("Bearer abc"), "Bearer abc", 200, id="right"),
        pytest.param(Authorization("Bearer abc"), "Bearer abd", 401, id="wrong"),
        pytest.param(Authorization("Bearer abc"), None, 401, id="missing"),
    ],
)
def test_other_receivers_authenticate_otherwise(http: requests.Session, auth, sent: str | None, status: int) -> None:
    headers = HEADERS | ({"Authorization": sent} if sent else {})
    with Receiver(auth=auth) as amp:
        assert http.post(amp.url, body(), headers=headers, timeout=5).status_code == status


# --- Requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/workspaces/ws-other/api/v1/remote_write", 404, '{"Message":"Workspace not found"}'),
        ("/workspaces/ws-sandbox//api/v1/remote_write", 404, '{"message":"Unknown operation"}'),
        ("/api/v1/write", 404, '{"message":"Unknown operation"}'),
    ],
    ids=["unknown workspace", "double slash", "another path"],
)
def test_only_the_workspace_is_there_and_takes_posts(
    amp: Receiver, http: requests.Session, path: str, status: int, text: str
) -> None:
    answer = http.post(amp.url.partition("/workspaces")[0] + path, body(), headers=HEADERS, timeout=5)
    assert (answer.status_code, answer.text) == (status, text)
    assert http.get(amp.url, headers=HEADERS, timeout=5).status_code == 405


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        pytest.param("Content-Type", "application/x-protobuf;proto=prometheus.WriteRequest", 200, id="1.0 spelled out"),
        pytest.param(
            "Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request", 400, id="2.0, as 1.0"
        ),
        pytest.param("Content-Type", "application/x-protobuf;proto=prometheus.Other", 415, id="another message"),
        pytest.param("Content-Encoding", "gzip", 415, id="gzip"),
        pytest.param("X-Prometheus-Remote-Write-Version", None, 400, id="no version"),
        pytest.param("X-Prometheus-Remote-Write-Version", "2.0.0", 400, id="version 2"),
        pytest.param("User-Agent", "", 400, id="no user agent"),
    ],
)
def test_headers_are_those_of_remote_write(
    amp: Receiver, http: requests.Session, name: str, value: str | None, status: int
) -> None:
    answer = http.post(amp.url, body(), headers={**HEADERS, name: value}, timeout=5)
    assert answer.status_code == status


LARGE = bytes(cramjam.snappy.compress_raw(bytes(1_000_001)))


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        pytest.param(b"", 400, "snappy", id="empty"),
        pytest.param(b"\xff" * 20, 400, "snappy", id="not snappy"),
        pytest.param(bytes(cramjam.snappy.compress(b"framed")), 400, "snappy", id="framed snappy"),
        pytest.param(bytes(cramjam.snappy.compress_raw(b"\x0a\xff")), 400, "proto", id="truncated message"),
        pytest.param(bytes(cramjam.snappy.compress_raw(b"\x12\x01a")), 400, "unknown field", id="unknown field"),
        pytest.param(bytes(cramjam.snappy.compress_raw(b"\x0a\x02\x78\x01")), 400, "unknown field", id="in a series"),
        pytest.param(bytes(1_000_001), 413, "Too Large", id="compressed too large"),
        pytest.param(LARGE, 413, "Too Large", id="decoded too large"),
    ],
)
def test_a_body_must_be_a_small_enough_write_request(
    amp: Receiver, http: requests.Session, data: bytes, status: int, text: str
) -> None:
    answer = http.post(amp.url, data, headers=HEADERS, timeout=5)
    assert (answer.status_code, text in answer.text) == (status, True)
    assert amp.requests[0].message is None


def test_the_body_limit_is_the_largest_body_taken(clock: Clock, http: requests.Session) -> None:
    message = remote_pb2.WriteRequest(timeseries=[series(UP, (0, 1.0))])
    with Receiver(auth=None, now=clock.time, limits=Limits(max_body_bytes=message.ByteSize() + 2)) as amp:
        assert write(amp, http, series(UP, (0, 1.0))).status_code == 200
        assert write(amp, http, series({**UP, "x": "y"}, (0, 1.0))).status_code == 413


# --- Labels and metadata ---------------------------------------------------------------------------------------------

MANY = [("__name__", "up"), *((f"l{number:03}", "v") for number in range(149))]
WIDE = [("__name__", "up"), ("x", "v" * (7168 - len("__name__upx")))]


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param([("__name__", "a:b_1")], id="colon in a name"),
        pytest.param([("A", "1"), ("_", "2"), ("__name__", "up"), ("a", "ü日")], id="bytewise order"),
        pytest.param(MANY, id="150 labels"),
        pytest.param(WIDE, id="7 KB"),
    ],
)
def test_good_labels_are_accepted(amp: Receiver, http: requests.Session, labels: list[tuple[str, str]]) -> None:
    assert write(amp, http, series(labels, (0, 1.0))).status_code == 200
    assert amp.samples == {tuple(labels): [(NOW_MS, 1.0)]}


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        pytest.param([("job", "node")], "sample missing metric name", id="no name"),
        pytest.param([("__name__", "")], "sample missing metric name", id="empty name"),
        pytest.param([("__name__", "a.b")], 'sample invalid metric name: "a.b"', id="dot in the name"),
        pytest.param([("__name__", "up\n")], 'sample invalid metric name: "up\\n"', id="newline after the name"),
        pytest.param([("__name__", "up"), ("1x", "y")], 'sample invalid label: "1x" metric "up"', id="digit first"),
        pytest.param([("__name__", "up"), ("a:b", "y")], 'sample invalid label: "a:b" metric "up"', id="label colon"),
        pytest.param([("", "y"), ("__name__", "up")], 'sample invalid label: "" metric "up"', id="empty label name"),
        pytest.param([("__name__", "up"), ("a", "")], 'sample empty label value: "a" metric "up"', id="empty value"),
        pytest.param([("a", "1"), ("__name__", "up")], 'labels not sorted: "__name__" metric "up"', id="unsorted"),
        pytest.param([("__name__", "up"), ("a", "1"), ("B", "2")], 'labels not sorted: "B"', id="not bytewise"),
        pytest.param([("__name__", "up"), ("a", "1"), ("a", "1")], 'duplicate label name: "a"', id="duplicate"),
        pytest.param([*MANY, ("m", "v")], "series has too many labels (actual: 151, limit: 150)", id="151 labels"),
        pytest.param([*WIDE[:1], ("x", WIDE[1][1] + "v")], "labels size bytes exceeded", id="over 7 KB"),
    ],
)
def test_bad_labels_are_refused_and_named(
    amp: Receiver, http: requests.Session, labels: list[tuple[str, str]], reason: str
) -> None:
    answer = write(amp, http, series(labels, (0, 1.0)), series(UP, (0, 2.0)))
    assert answer.status_code == 400
    assert answer.text.startswith(f"user=123456789012_ws-sandbox: err: {reason}")
    assert answer.text.endswith("\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert amp.samples == {tuple(UP.items()): [(NOW_MS, 2.0)]}
    assert (amp.accepted, amp.refused) == (1, 1)


def described(help_text: str, name: str = "up") -> types_pb2.MetricMetadata:
    return types_pb2.MetricMetadata(type="GAUGE", metric_family_name=name, help=help_text, unit="seconds")


FULL = "h" * (1024 - len("upgaugeseconds"))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        pytest.param(described(FULL), None, id="1 KB"),
        pytest.param(described(FULL + "h"), "metadata 'HELP' value too long", id="over 1 KB"),
        pytest.param(described("help", name=""), "metadata missing metric name", id="no name"),
    ],
)
def test_metadata_limits_cost_only_the_metadata(amp: Receiver, http: requests.Session, entry, reason) -> None:
    answer = write(amp, http, series(UP, (0, 1.0)), metadata=[entry])
    assert answer.status_code == (400 if reason else 200)
    assert (reason or "") in answer.text
    assert amp.metadata == ({} if reason else {"up": ("gauge", FULL, "seconds")})
    assert len(amp.samples) == 1


def test_exemplars_are_refused(amp: Receiver, http: requests.Session) -> None:
    entry = series(UP, (0, 1.0))
    entry.exemplars.add(value=1.0, timestamp=NOW_MS)
    assert write(amp, http, entry).status_code == 400


# --- Time and order --------------------------------------------------------------------------------------------------

NAN = math.nan


@pytest.mark.parametrize(
    ("before", "sample", "window", "reason"),
    [
        pytest.param([], (-59 * MINUTE, 1), 60, None, id="59 minutes old"),
        pytest.param([], (-61 * MINUTE, 1), 60, "timestamp too old: ", id="over an hour old"),
        pytest.param([], (9 * MINUTE, 1), 60, None, id="9 minutes ahead"),
        pytest.param([], (11 * MINUTE, 1), 60, "timestamp too new: ", id="11 minutes ahead"),
        pytest.param([(-MINUTE, 1)], (0, 2), 60, None, id="newer"),
        pytest.param([(0, 1)], (0, 1), 60, None, id="same again"),
        pytest.param([(0, NAN)], (0, NAN), 60, None, id="same NaN again"),
        pytest.param([(0, NAN)], (0, STALE), 60, "duplicate sample for timestamp", id="NaN of other bits"),
        pytest.param([(0, 0.0)], (0, -0.0), 60, "duplicate sample for timestamp", id="minus zero"),
        pytest.param([(0, 1)], (0, 2), 60, "duplicate sample for timestamp", id="same time, other value"),
        pytest.param([(0, 1)], (-MINUTE, 2), 60, None, id="edge of the window"),
        pytest.param([(0, 1)], (-MINUTE - 1, 2), 60, "too old sample. timestamp=", id="outside the window"),
        pytest.param([(0, 1)], (-9 * MINUTE, 2), 600, None, id="inside a wide window"),
        pytest.param([(0, 1)], (-1, 2), 0, "out of order sample. timestamp=", id="no window"),
        pytest.param([(-2, 1), (0, 3)], (-2, 9), 60, None, id="known time inside the window, first value stays"),
    ],
)
def test_the_order_of_a_series_is_kept(
    clock: Clock, http: requests.Session, before, sample, window: float, reason: str | None
) -> None:
    clock.ahead = NOW_MS / 1000 - time.time()  # ages are counted from the module's own now
    with Receiver(auth=None, now=clock.time, limits=Limits(out_of_order_seconds=window)) as amp:
        if before:
            assert write(amp, http, series(UP, *before)).status_code == 200
        answer = write(amp, http, series(UP, sample))
        assert answer.status_code == (400 if reason else 200)
        assert (reason or "") in answer.text
        known = {offset for offset, _ in before}
        stored = before if reason or sample[0] in known else [*before, sample]
        (points,) = amp.samples.values() if amp.samples else ([],)
        assert [timestamp - NOW_MS for timestamp, _ in points] == [offset for offset, _ in stored]
        assert repr([value for _, value in points]) == repr([float(value) for _, value in stored])


def test_the_reason_names_time_and_series(amp: Receiver, http: requests.Session) -> None:
    write(amp, http, series(UP, (0, 1.0)))
    answer = write(amp, http, series(UP, (0, 2.5)))
    start = f"user=123456789012_ws-sandbox: err: duplicate sample for timestamp {NOW_MS}; overrides not allowed: "
    assert answer.text.startswith(start + "existing 1, new value 2.5. timestamp=20")
    assert answer.text.endswith('Z, series={__name__="up", job="node"}\n')


def test_the_window_counts_back_from_the_newest_sample_of_the_workspace(amp: Receiver, http: requests.Session) -> None:
    """A sample far ahead in one series pushes the late samples of another out of the window."""
    write(amp, http, series(UP, (0, 1.0)))
    write(amp, http, series({"__name__": "other"}, (5 * MINUTE, 1.0)))
    assert "too old sample" in write(amp, http, series(UP, (-1, 2.0))).text


def test_a_new_series_starts_at_most_an_hour_behind_the_newest_sample(
    clock: Clock, amp: Receiver, http: requests.Session
) -> None:
    clock.ahead = NOW_MS / 1000 - time.time()
    write(amp, http, series(UP, (5 * MINUTE, 1.0)))
    assert write(amp, http, series({"__name__": "near"}, (-55 * MINUTE, 1.0))).status_code == 200
    assert "too old sample" in write(amp, http, series({"__name__": "far"}, (-56 * MINUTE, 1.0))).text


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([series(UP, (-1, 1.0), (-2, 2.0))], id="one entry"),
        pytest.param([series(UP, (-1, 1.0)), series(UP, (-2, 2.0))], id="two entries"),
    ],
)
def test_samples_of_one_series_in_one_request_are_in_order(amp: Receiver, http: requests.Session, entries) -> None:
    answer = write(amp, http, *entries)
    assert "err: out of order sample" in answer.text
    assert amp.samples == {tuple(UP.items()): [(NOW_MS - 1, 1.0)]}


@pytest.mark.parametrize(("keep_valid", "stored"), [(True, [(NOW_MS, 2.0)]), (False, [])], ids=["Cortex", "Prometheus"])
def test_a_bad_sample_costs_itself_or_the_whole_request(
    http: requests.Session, clock: Clock, keep_valid: bool, stored: list
) -> None:
    with Receiver(auth=None, now=clock.time, keep_valid=keep_valid) as amp:
        bad = series({"__name__": "late"}, (-61 * MINUTE, 1.0))
        answer = write(amp, http, bad, series(UP, (0, 2.0)), metadata=[described("help")])
        assert answer.status_code == 400
        assert amp.samples.get(tuple(UP.items()), []) == stored
        assert len(amp.metadata) == len(stored)
        assert (amp.accepted, amp.refused) == (len(stored), 2 - len(stored))


# --- Quotas ----------------------------------------------------------------------------------------------------------


def test_the_rate_limit_refuses_whole_requests_and_refills_with_time(http: requests.Session) -> None:
    now = [NOW_MS / 1000]
    with Receiver(auth=None, now=lambda: now[0], limits=Limits(samples_per_second=2)) as amp:
        over = write(amp, http, series(UP, (-3, 1.0), (-2, 1.0), (-1, 1.0)), metadata=[described("help")])
        assert over.status_code == 429
        assert over.text == "ingestion rate limit (2) exceeded while adding 3 samples and 1 metadata\n"
        assert amp.samples == {}
        statuses = [write(amp, http, series(UP, (offset, 1.0))).status_code for offset in range(3)]
        now[0] += 0.5
        statuses.append(write(amp, http, series(UP, (3, 1.0))).status_code)
    assert statuses == [200, 200, 429, 200]


def test_the_series_limit_refuses_new_series_only(http: requests.Session, clock: Clock) -> None:
    with Receiver(auth=None, now=clock.time, limits=Limits(max_series=1)) as amp:
        first = write(amp, http, series(UP, (-1, 1.0)), series({"__name__": "other"}, (0, 1.0)))
        answer = write(amp, http, series({"__name__": "new"}, (0, 1.0)), series(UP, (0, 2.0)))
        assert (first.status_code, answer.status_code) == (400, 400)
        assert "per-user series limit of 1 exceeded" in answer.text
        assert amp.samples == {tuple(UP.items()): [(NOW_MS - 1, 1.0), (NOW_MS, 2.0)]}


# --- Records ---------------------------------------------------------------------------------------------------------


def test_requests_are_recorded(amp: Receiver, http: requests.Session) -> None:
    write(amp, http, series(UP, (0, 1.0)), series({**UP, "x": "y"}, (0, 1.0)))
    (record,) = amp.requests
    assert (record.path, record.status, record.accepted, record.sample_count) == (
        "/workspaces/ws-sandbox/api/v1/remote_write", 200, 2, 2,
    )  # fmt: skip
    assert record.headers["content-encoding"] == "snappy"
    assert record.body == body(series(UP, (0, 1.0)), series({**UP, "x": "y"}, (0, 1.0)))
    assert record.message is not None
    assert record.message.timeseries[0].labels[0].value == "up"
    assert abs(record.received_at - time.time()) < 5


def test_series_are_selected_by_name_and_labels(amp: Receiver, http: requests.Session) -> None:
    write(amp, http, series(UP, (0, 1.0)), series({**UP, "x": "y"}, (0, 2.0)), series({"__name__": "down"}, (0, 3.0)))
    assert len(amp.series("up")) == 2
    assert amp.series("up", x="y") == {(*UP.items(), ("x", "y")): [(NOW_MS, 2.0)]}
    assert amp.series("up", job="other") == {}


# --- Misbehaviour ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "stored", "recorded"),
    [
        pytest.param(Fault.status(503, b"busy"), 0, 503, id="status"),
        pytest.param(Fault.reset(), 0, None, id="reset"),
        pytest.param(Fault.reset(before_body=True), 0, None, id="reset before the body"),
        pytest.param(Fault.half_answer(), 1, 200, id="half answer"),
        pytest.param(Fault.garbage(), 0, None, id="garbage"),
        pytest.param(Fault.lost_answer(), 1, None, id="lost answer"),
    ],
)
def test_a_fault_decides_whether_the_request_had_its_effect(
    amp: Receiver, http: requests.Session, fault: Fault, stored: int, recorded: int | None
) -> None:
    """What the sender sees of each fault, the tests of the server say."""
    amp.script(fault)
    with contextlib.suppress(requests.RequestException):
        write(amp, http, series(UP, (0, 1.0)))
    assert len(amp.samples) == stored
    assert amp.requests[0].status == recorded
    assert write(amp, http, series(UP, (0, 1.0))).status_code == 200


def test_a_scripted_status_carries_headers_body_and_delay(amp: Receiver, http: requests.Session) -> None:
    amp.script(Fault.status(429, b"slow down", {"Retry-After": "7"}, delay_seconds=0.05))
    answer = write(amp, http, series(UP, (0, 1.0)))
    assert (answer.status_code, answer.content, answer.headers["Retry-After"]) == (429, b"slow down", "7")
    assert answer.elapsed.total_seconds() >= 0.05
    assert amp.requests[0].sample_count == 1


# --- With a real Prometheus ------------------------------------------------------------------------------------------


@pytest.fixture
def real(peer: Peer) -> Iterator[prometheus.Prometheus]:
    with prometheus.Prometheus(path=peer("prometheus")) as running:
        yield running


def test_accepted_requests_reach_a_real_prometheus_which_then_answers_queries(
    real: prometheus.Prometheus, http: requests.Session
) -> None:
    with Receiver(auth=None, prometheus_url=real.url, forward_url=real.write_url) as amp:
        write(amp, http, series(UP, (-1000, 1.0), (0, 2.5)))
        write(amp, http, series({"__name__": "a.b"}, (0, 1.0)))
        assert [record.forward_status for record in amp.requests] == [204, None]
        now, url = NOW_MS / 1000, f"{amp.base_url}/api/v1/query"
        asked = {"query": "sum_over_time(up[1m])", "time": str(now)}
        for answer in (http.get(url, params=asked, timeout=5), http.post(url, asked, timeout=5)):
            assert [found["value"][1] for found in answer.json()["data"]["result"]] == ["3.5"]
        assert http.get(url, params={"query": "up{"}, timeout=5).status_code == 400
        assert real.query('up{job="node"}', now)[0]["value"] == [now, "2.5"]
        assert real.query('{job="node"}', now)[0]["metric"] == UP
        assert [value for _, value in real.query_range("up", now - 0.5, now, 0.5)[0]["values"]] == ["1", "2.5"]
        with pytest.raises(prometheus.PrometheusError, match="parse error"):
            real.query("up{")
