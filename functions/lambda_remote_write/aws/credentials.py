"""AWS credentials for signing, from whatever the environment gives: static keys, Lambda's variables, a profile, an
assumed role. boto3 is imported only for the last two."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..config.partitions import partition_of
from ..config.schema import ROLE_SESSION_NAME, SigV4
from ..config.secrets import SecretError, SecretStore

_RENEW_BEFORE_SECONDS = 300.0  # an assumed role is renewed this long before its end
_ROLE_SECONDS = 3600
_NEW_SECONDS = 30.0  # a role that was assumed so shortly before is not assumed again: it would get the same answer


def aws_patience(**other: Any) -> Any:
    """A botocore Config: boto3's own patience (minutes, where a VPC has no endpoint) is longer than a run."""
    from botocore.config import Config

    options: dict[str, Any] = {"connect_timeout": 2, "read_timeout": 3, "retries": {"total_max_attempts": 2}}
    return Config(**(options | other))


class CredentialsError(Exception):
    """No credentials to sign with. The message says where they were looked for."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys that sign one attempt. `expires_at` is epoch seconds, infinite for keys that do not end."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    expires_at: float = float("inf")


class CredentialsProvider:
    """Credentials of one `sigv4`, kept while the environment is warm. Safe for several threads.

    `session(profile, region)` makes a boto3 session; `now_ms` is the wall clock.
    """

    def __init__(
        self,
        sigv4: SigV4,
        env_vars: Mapping[str, str],
        secrets: SecretStore,
        session: Callable[[str, str], Any],
        now_ms: Callable[[], int],
    ) -> None:
        self._sigv4, self._env_vars, self._secrets = sigv4, env_vars, secrets
        self._session, self._now_ms = session, now_ms
        self._kept: Credentials | None = None
        self._kept_since = 0.0
        self._chain: Any = None
        self._lock = threading.Lock()

    def get(self, *, renewed: bool = False) -> Credentials:
        """Credentials that are good now; `renewed` asks the source again, once for all requests that were refused at
        the same time. Raises CredentialsError."""
        with self._lock:
            kept, now = self._kept, self._now_ms() / 1000
            if renewed:
                self._chain = None
            if (
                kept is None
                or (renewed and not 0 <= now - self._kept_since < _NEW_SECONDS)
                or kept.expires_at - _RENEW_BEFORE_SECONDS < now
            ):
                kept = self._kept = self._fetch()
                self._kept_since = now
            return kept

    def _fetch(self) -> Credentials:
        if self._sigv4.role_arn:
            return self._assume_role()
        sigv4, env_vars = self._sigv4, self._env_vars
        if sigv4.access_key and sigv4.secret_key:
            try:
                return Credentials(sigv4.access_key, self._secrets.reveal(sigv4.secret_key))
            except SecretError as error:
                raise CredentialsError(str(error)) from None
        access, secret = env_vars.get("AWS_ACCESS_KEY_ID"), env_vars.get("AWS_SECRET_ACCESS_KEY")
        if access and secret and not sigv4.profile:  # Lambda's own; nothing is kept, because looking costs nothing
            return Credentials(access, secret, env_vars.get("AWS_SESSION_TOKEN", ""), expires_at=0.0)
        return self._from_session()

    def _from_session(self) -> Credentials:
        try:
            if self._chain is None:  # botocore's credentials renew themselves; looking them up again costs a session
                self._chain = self._session(self._sigv4.profile, self._sigv4.region).get_credentials()
            frozen = self._chain.get_frozen_credentials() if self._chain else None
        except Exception as error:  # botocore's errors are made at run time; any of them means the same here
            raise CredentialsError(f"no AWS credentials: {type(error).__name__}: {error}") from None
        if frozen is None or not frozen.access_key:
            where = (
                f"profile {self._sigv4.profile}" if self._sigv4.profile else "the environment, profiles and metadata"
            )
            raise CredentialsError(f"no AWS credentials in {where}")
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token or "", expires_at=0.0)

    def _assume_role(self) -> Credentials:
        sigv4 = self._sigv4
        request: dict[str, Any] = {
            "RoleArn": sigv4.role_arn,
            "RoleSessionName": sigv4.session_name or ROLE_SESSION_NAME,
            "DurationSeconds": _ROLE_SECONDS,
        }
        if sigv4.external_id:
            request["ExternalId"] = sigv4.external_id
        if sigv4.tags:
            request["Tags"] = [{"Key": key, "Value": value} for key, value in sigv4.tags]
        try:
            answer = self._sts().assume_role(**request)["Credentials"]
        except Exception as error:
            detail = f"{type(error).__name__}: {str(error)[:300]}"
            hint = "its trust policy must name this function's role, and that role needs sts:AssumeRole on it"
            if sigv4.tags:
                hint += "; tags need sts:TagSession in both"
            raise CredentialsError(f"cannot assume {sigv4.role_arn}: {detail}; {hint}") from None
        expires_at = answer["Expiration"].timestamp()
        return Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"], expires_at)

    def _sts(self) -> Any:
        sigv4 = self._sigv4
        session = self._session(sigv4.profile, sigv4.region)
        options: dict[str, Any] = {"config": aws_patience()}
        if sigv4.access_key and sigv4.secret_key:
            options["aws_access_key_id"] = sigv4.access_key
            options["aws_secret_access_key"] = self._secrets.reveal(sigv4.secret_key)
        if sigv4.use_fips_sts_endpoint:
            options["endpoint_url"] = f"https://{partition_of(sigv4.region).fips_sts_host(sigv4.region)}"
        return session.client("sts", region_name=sigv4.region, **options)


class CredentialsProviders:
    """The providers of an environment, one for all that ask as the same. Safe for several threads."""

    def __init__(
        self,
        env_vars: Mapping[str, str],
        secrets: SecretStore,
        session: Callable[[str, str], Any],
        now_ms: Callable[[], int],
    ) -> None:
        self._outside = env_vars, secrets, session, now_ms
        self._providers: dict[SigV4, CredentialsProvider] = {}
        self._lock = threading.Lock()

    def __call__(self, sigv4: SigV4) -> CredentialsProvider:
        """They do not depend on the service that is signed for."""
        who = replace(sigv4, service="")
        with self._lock:
            if who not in self._providers:
                self._providers[who] = CredentialsProvider(who, *self._outside)
            return self._providers[who]
