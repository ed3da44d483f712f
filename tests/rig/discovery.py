"""Discovery wired as in a push, with a clock that a test moves. What is asked crosses a real loopback socket."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from lambda_remote_write.aws.clients import AwsClients
from lambda_remote_write.aws.credentials import CredentialsProviders
from lambda_remote_write.aws.s3 import S3
from lambda_remote_write.config.sd_configs import SdConfig, read
from lambda_remote_write.config.secrets import SecretStore
from lambda_remote_write.config.yaml_reader import Diagnostics, Section, compose
from lambda_remote_write.discovery import Clients, Discovery, DiscoveryResult
from lambda_remote_write.http import Transport
from lambda_remote_write.http.fetch import Fetcher

REGION = "eu-west-1"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
    "AWS_REGION": REGION,
}


def section(entry: str) -> Section:
    node = compose(entry, "pusher.yaml")
    assert node is not None
    return Section(node, "scrape_configs[0]", Diagnostics("pusher.yaml"))  # type: ignore[arg-type]


def configs(entry: str) -> tuple[SdConfig, ...]:
    """The discovery keys of one job, which must be right."""
    written = section(entry)
    found = read(written, ENVIRONMENT)
    written.close()
    assert written.diagnostics.problems == []
    return found


class Clock:
    """A monotonic clock that moves by hand alone, so that no age depends on how fast the machine is."""

    def __init__(self) -> None:
        self.started, self.ahead = time.monotonic(), 0.0

    def __call__(self) -> float:
        return self.started + self.ahead


def no_request(*_: Any) -> Any:
    raise AssertionError("nothing here asks for that")


class Session:
    """A boto3 session whose every service is at one address."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[tuple[str, str]] = []
        self.made: list[str] = []

    def __call__(self, profile: str, region: str) -> Session:
        self.asked.append((profile, region))
        return self

    def client(self, service: str, **options: Any) -> Any:
        self.made.append(service)
        keys = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret"}
        return boto3.client(service, **{"endpoint_url": self.url, **keys, **options})  # type: ignore[call-overload]


class Rig:
    """`client` makes the clients of AWS; `url` is where AWS listens."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:1",
        client: Callable[..., Any] | None = None,
        resolver: Callable[[], Any] = no_request,
    ) -> None:
        self.clock = Clock()
        self.env_vars = {**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": url}
        self.transport = Transport()
        self.session = Session(url)
        self.secrets = SecretStore(self.env_vars, no_request, time.monotonic)
        now_ms = lambda: int((time.time() + self.clock.ahead) * 1000)  # noqa: E731
        providers = CredentialsProviders(self.env_vars, self.secrets, self.session, now_ms)
        self.clients = AwsClients(providers, self.session)
        objects = S3(self.env_vars, self.transport, self.secrets, no_request, lambda: int(time.time() * 1000))
        fetcher = Fetcher(self.transport, self.secrets, self.env_vars, no_request)
        self.discovery_clients = Clients(fetcher, objects, client or self.clients, resolver, self.clock)

    def discovery(self, entry: str) -> Discovery:
        return Discovery(configs(entry), self.discovery_clients)

    def deadline(self, seconds: float = 10.0) -> float:
        return self.clock() + seconds

    def found(self, entry: str) -> DiscoveryResult:
        return self.discovery(entry).targets(self.deadline())

    def targets(self, entry: str) -> list[dict[str, str]]:
        """All targets, where there is nothing to warn of."""
        found = self.found(entry)
        assert found.warnings == []
        return [dict(target) for group in found.groups for target in group.targets]


def addresses(found: DiscoveryResult) -> list[str]:
    return [target["__address__"] for group in found.groups for target in group.targets]


def write(path: Path, *targets: str) -> None:
    listed = ", ".join(f'"{target}"' for target in targets)
    path.write_text(f'[{{"targets": [{listed}]}}]')
