"""A source that refuses a secret makes this one be fetched anew, once a run however many targets refuse it."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.secrets import Secret, SecretStore
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.http.oauth2 import TokenStore
from lambda_remote_write.push import push
from lambda_remote_write.report.report import Report
from sandbox.server import Answer, LoopbackServer, Request
from tests.rig.clock import Clocks
from tests.rig.delivery import ENVIRONMENT, Clock
from tests.rig.push import tick

pytestmark = pytest.mark.slow  # every place of a secret is tried

TARGETS = 200  # more than are asked at the same time


class Manager:
    """Secrets Manager as boto3 shows it; `asked` counts calls by secret. Also a session of boto3."""

    def __init__(self, **secrets: str) -> None:
        self.secrets = secrets
        self.asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, profile: str, region: str) -> Manager:
        return self

    def client(self, service: str) -> Manager:
        assert service == "secretsmanager"
        return self

    def get_secret_value(self, SecretId: str) -> dict[str, str]:  # noqa: N803 - as boto3 calls it
        with self._lock:
            self.asked[SecretId] += 1
        return {"SecretString": self.secrets[SecretId]}


class Site:
    """Many targets, each at a path of its own, which accept only the secret that is `good` at that time."""

    def __init__(self) -> None:
        self.good = "one"
        self._lock = threading.Lock()
        self.tokens: Counter[str] = Counter()
        self.client_secret, self.granted = "s", ""  # the second in place of `good`
        self.server = LoopbackServer(self._answer)

    def _answer(self, request: Request) -> Answer:
        if request.path == "/token":
            with self._lock:
                self.tokens["asked"] += 1
            if (
                request.headers.get("Authorization")
                != "Basic " + b64encode(f"id:{self.client_secret}".encode()).decode()
            ):
                return Answer(401)
            return Answer.json({"access_token": self.granted or self.good, "expires_in": 3600})
        if request.headers.get("Authorization") != f"Bearer {self.good}":
            return Answer(401)
        return Answer(200, {"Content-Type": "text/plain; version=0.0.4"}, b"a 1\n")


@contextmanager
def warm_of(manager: Manager, auth: Callable[[str], dict[str, Any]]) -> Iterator[tuple[Site, Environment, Clock]]:
    site = Site()
    with site.server as server:
        host = server.base_url.removeprefix("http://")
        targets = [
            {"targets": [host], "labels": {"__metrics_path__": f"/{n}", "instance": str(n)}} for n in range(TARGETS)
        ]
        job = {"job_name": "many", "scrape_interval": "1m", "scrape_timeout": "30s", "static_configs": targets}
        other = {
            "job_name": "other",
            "static_configs": [{"targets": [host]}],
            "metrics_path": "/other",
            "authorization": {"credentials_ref": "secretsmanager:other"},
        }
        config = {"scrape_configs": [job | auth(server.base_url), other], "remote_write": [], "self_metrics": False}
        clock = Clock(really_sleeps=True)
        env_vars = ENVIRONMENT | {"AWS_REGION": "eu-west-1"}
        dependencies = Dependencies(env_vars, clock.now_ms, manager, clock.sleep)
        try:
            yield site, Environment(parse_config(json.dumps(config), "c", env_vars), dependencies), clock
        finally:
            dependencies.transport.close()


def run(environment: Environment, clock: Clock) -> Report:
    report = push(environment, tick(environment), time.monotonic() + 100)
    clock.ahead += 60
    return report


def down(report: Report, job: str = "many") -> int:
    return sum(bool(scrape.error) for scrape in report.scrapes if scrape.job == job)


def by_reference(url: str) -> dict[str, Any]:
    return {"authorization": {"credentials_ref": "secretsmanager:token"}}


def test_a_revoked_secret_costs_one_call_a_run() -> None:
    """The first run of an environment included, which has fetched it a moment ago; and no call for a secret that was
    not refused."""
    manager = Manager(token="one", other="one")
    with warm_of(manager, by_reference) as (site, environment, clock):
        site.good = "two"
        manager.secrets["other"] = "two"
        for calls in (1, 2, 3):
            assert down(run(environment, clock)) == TARGETS
            assert manager.asked == {"token": calls, "other": 1}


def test_a_rotated_secret_lets_all_in_with_one_call() -> None:
    manager = Manager(token="one", other="one")
    with warm_of(manager, by_reference) as (site, environment, clock):
        assert down(run(environment, clock)) == 0
        site.good = manager.secrets["token"] = manager.secrets["other"] = "two"
        report = run(environment, clock)
        assert (down(report), down(report, "other")) == (0, 0)
        assert manager.asked == {"token": 2, "other": 2}


def test_a_secret_that_cannot_be_had_costs_one_call_a_run() -> None:
    manager = Manager(other="one")
    with warm_of(manager, by_reference) as (_, environment, clock):
        for calls in (1, 2):
            assert down(run(environment, clock)) == TARGETS
            assert manager.asked == {"token": calls, "other": 1}
        manager.secrets["token"] = "one"
        assert down(run(environment, clock)) == 0


def by_client(url: str) -> dict[str, Any]:
    return {"oauth2": {"client_id": "id", "client_secret_ref": "secretsmanager:client", "token_url": f"{url}/token"}}


def test_a_token_that_was_revoked_is_asked_for_once_a_run() -> None:
    """The client's own secret is not concerned: its endpoint takes it."""
    manager = Manager(client="s", other="one")
    with warm_of(manager, by_client) as (site, environment, clock):
        assert down(run(environment, clock)) == 0
        assert (site.tokens["asked"], manager.asked["client"]) == (1, 1)
        site.good = "two"
        assert down(run(environment, clock)) == 0
        assert (site.tokens["asked"], manager.asked["client"]) == (2, 1)


def test_a_token_that_this_run_has_fetched_is_asked_for_once_more() -> None:
    """It may have been revoked before its end, as by a server that knows one token of each client."""
    manager = Manager(client="s", other="one")
    with warm_of(manager, by_client) as (site, environment, clock):
        site.granted = "revoked"
        for calls in (2, 3):
            assert down(run(environment, clock)) == TARGETS
            assert (site.tokens["asked"], manager.asked["client"]) == (calls, 1)


def test_two_receivers_of_one_client_renew_their_tokens_in_the_same_run() -> None:
    """Each has a token of its own."""
    manager = Manager(client="s", other="one")
    with warm_of(manager, by_client) as (site, environment, _):
        (oauth2,) = {job.http.oauth2 for job in environment.config.scrape_jobs if job.http.oauth2}
        secrets = environment.dependencies.secrets
        stores = [TokenStore(environment.dependencies.transport, secrets, ENVIRONMENT) for _ in range(2)]
        for good in ("one", "two"):
            site.good = good
            secrets.begin_run()
            for store in stores:
                store.forget(oauth2, secrets.now())
                assert store.token(oauth2, time.monotonic() + 20) == good


def test_a_rotated_client_secret_is_fetched_where_the_old_one_gets_no_token() -> None:
    manager = Manager(client="s", other="one")
    with warm_of(manager, by_client) as (site, environment, clock):
        assert down(run(environment, clock)) == 0
        site.good, site.client_secret, manager.secrets["client"] = "two", "t", "t"
        assert down(run(environment, clock)) == 0
        assert manager.asked["client"] == 2


# --- The store --------------------------------------------------------------------------------------------------------


REFERENCES = Secret(reference="secretsmanager:a"), Secret(reference="secretsmanager:b")


@pytest.fixture
def hand() -> Clocks:
    return Clocks()


@pytest.fixture
def manager() -> Manager:
    return Manager(a="1", b="1")


@pytest.fixture
def store(manager: Manager, hand: Clocks) -> SecretStore:
    made = SecretStore({}, manager.client, hand.monotonic)
    for one in REFERENCES:
        made.reveal(one)
    hand.pass_by(60)
    return made


@pytest.mark.parametrize(("asked_at", "calls"), [(999.0, 1), (1_001.0, 2)], ids=["newer", "older"])
def test_a_secret_that_is_newer_than_the_request_stays(
    store: SecretStore, manager: Manager, asked_at: float, calls: int
) -> None:
    store.forget([REFERENCES[0]], asked_at)
    store.reveal(REFERENCES[0])
    assert manager.asked["a"] == calls


def test_a_secret_that_came_back_the_same_is_not_fetched_again_at_once(
    store: SecretStore, manager: Manager, hand: Clocks
) -> None:
    for seconds, calls in ((1, 2), (1, 2), (29, 3), (1, 3)):
        hand.pass_by(seconds)
        store.forget([REFERENCES[0]], hand.monotonic())
        store.reveal(REFERENCES[0])
        assert manager.asked["a"] == calls


def test_another_secret_may_be_refused_again(store: SecretStore, manager: Manager, hand: Clocks) -> None:
    for value in "234":
        manager.secrets["a"] = value
        hand.pass_by(1)
        store.forget([REFERENCES[0]], hand.monotonic())
        assert store.reveal(REFERENCES[0]) == value
