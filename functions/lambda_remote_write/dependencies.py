"""The outside world of a function: environment variables, HTTP, AWS, the clock. Built once; tests pass others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .aws.credentials import CredentialsProvider, CredentialsProviders, aws_patience
from .aws.s3 import S3, S3Store
from .config.schema import RemoteWriteConfig, SigV4
from .config.secrets import SecretStore
from .config_source import ConfigSource
from .http import Transport
from .http.fetch import Fetcher
from .remote_write.client import RemoteWriteClient
from .scrape.schedule import wall_clock_ms
from .store import DirectoryStore, PunctualStore, Store

if TYPE_CHECKING:
    from . import discovery
    from .aws.clients import AwsClients
    from .aws.source_signature import SourceSignature, SourceSigner


def boto3_session(profile: str, region: str) -> Any:
    """A boto3 session whose clients have a run's patience. It costs more than a whole push to import: only profiles,
    roles, secrets and a config in SSM need it."""
    import boto3
    import botocore.session

    session = botocore.session.Session(profile=profile or None)
    patience = aws_patience(retries={"total_max_attempts": 3})  # it only reads: SSM, secrets, discovery
    session.set_default_client_config(patience)
    session.register("before-parse", _refuse_empty)
    return boto3.Session(botocore_session=session, region_name=region or None)


def _refuse_empty(**event: Any) -> None:
    """botocore takes an answer that was cut within its head as one with nothing in it: no tasks, no secret. All the
    operations that are called here answer with a body."""
    response = event["response_dict"]
    if response["status_code"] == 200 and not response["body"]:
        from botocore.exceptions import ResponseStreamingError

        raise ResponseStreamingError(error="the connection broke, or the answer is empty")


class Dependencies:
    """The outside world: environment variables, HTTP, AWS, the clock. Tests pass others."""

    def __init__(
        self,
        env_vars: Mapping[str, str],
        now_ms: Callable[[], int] = wall_clock_ms,
        session: Callable[[str, str], Any] = boto3_session,
        sleep: Callable[[float], None] = time.sleep,
        transport: Transport | None = None,
    ) -> None:
        self.env_vars, self.now_ms, self.session, self.sleep = env_vars, now_ms, session, sleep
        self.transport = transport or Transport()
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.secrets = SecretStore(env_vars, self._client, time.monotonic)
        self.objects = S3(env_vars, self.transport, self.secrets, session, now_ms)
        self._providers = CredentialsProviders(env_vars, self.secrets, session, now_ms)  # of all that is not a receiver
        self._aws_clients: AwsClients | None = None
        self._signer: SourceSigner | None = None

    def _client(self, service: str) -> Any:
        """Made once: that costs more than asking."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self.session("", self.env_vars.get("AWS_REGION", "")).client(service)
            return self._clients[service]

    def discovery_clients(self, fetcher: Fetcher) -> discovery.Clients:
        from . import discovery
        from .aws.clients import AwsClients

        if self._aws_clients is None:
            self._aws_clients = AwsClients(self._providers, self.session)
        return discovery.Clients(fetcher, self.objects, self._aws_clients, discovery.system_resolver, time.monotonic)

    def fetcher(self) -> Fetcher:
        return Fetcher(self.transport, self.secrets, self.env_vars, self._signature)

    def _signature(self, sigv4: SigV4) -> SourceSignature:
        """Made once, by whichever thread signs first."""
        with self._lock:
            if self._signer is None:
                from .aws.source_signature import SourceSigner

                self._signer = SourceSigner(self._providers, self.secrets, self.now_ms)
            return self._signer(sigv4)

    def client(self, endpoint: RemoteWriteConfig) -> RemoteWriteClient:
        """What posts to one endpoint, with credentials of its own where its config names some."""
        credentials = None
        if endpoint.sigv4:
            credentials = CredentialsProvider(endpoint.sigv4, self.env_vars, self.secrets, self.session, self.now_ms)
        return RemoteWriteClient(endpoint, self.transport, self.secrets, credentials, self.env_vars, self.now_ms)

    def store(self, location: str) -> Store:
        """`s3://BUCKET[/PREFIX]`, or a folder."""
        is_bucket = location.startswith("s3://")
        return PunctualStore(S3Store(self.objects, location) if is_bucket else DirectoryStore(location))

    def config_source(
        self, location: str = "", *, has_schedule: bool = True, keeps_documents: bool = False
    ) -> ConfigSource:
        place = location or self.env_vars.get("PUSHER_CONFIG", "")
        return ConfigSource(
            place,
            self.env_vars,
            self.objects,
            self.session,
            has_schedule=has_schedule,
            keeps_documents=keeps_documents,
        )
