"""boto3 clients for discovery: each config has its region, its endpoint and its credentials, an assumed role's renewed
before their end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..config.schema import SigV4
from ..config.sd_configs import AwsSd, Ec2Sd
from .credentials import Credentials, CredentialsProvider, CredentialsProviders, aws_patience


class AwsClients:
    """Makes clients and keeps them while their credentials last. Safe for several threads.

    `session(profile, region)` makes a boto3 session.
    """

    def __init__(self, providers: CredentialsProviders, session: Callable[[str, str], Any]) -> None:
        self._providers, self._session = providers, session
        self._sessions: dict[tuple[str, str], Any] = {}
        self._clients: dict[tuple[str, AwsSd], tuple[Credentials, Any]] = {}
        self._lock = threading.Lock()

    def __call__(self, service: str, config: AwsSd) -> Any:
        """A client of `service` as `config` says. Raises CredentialsError, and what boto3 raises."""
        credentials = self._provider(config).get()
        with self._lock:  # a boto3 session is not made for several threads
            kept = self._clients.get((service, config))
            if kept and kept[0] == credentials:
                return kept[1]
            client = self._make(service, config, credentials)
            self._clients[service, config] = credentials, client
            return client

    def _provider(self, config: AwsSd) -> CredentialsProvider:
        who = SigV4(
            config.region, config.access_key, config.secret_key, config.profile, config.role_arn, config.external_id
        )
        return self._providers(who)

    def _make(self, service: str, config: AwsSd, credentials: Credentials) -> Any:
        own = "ec2" if isinstance(config, Ec2Sd) else "ecs"
        options = {"endpoint_url": config.endpoint} if config.endpoint and service == own else {}
        return self._session_of(config).client(
            service,
            region_name=config.region,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            aws_session_token=credentials.session_token or None,
            # A page of a thousand instances takes seconds, and throttling is common.
            config=aws_patience(read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"}),
            **options,
        )

    def _session_of(self, config: AwsSd) -> Any:
        key = config.profile, config.region
        if key not in self._sessions:
            self._sessions[key] = self._session(*key)
        return self._sessions[key]
