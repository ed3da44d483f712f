"""What is examined: a config, the world around it, and the stack that will run it or does."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from lambda_remote_write.aws.credentials import Credentials, CredentialsProvider, aws_patience
from lambda_remote_write.config.schema import Config, SigV4
from lambda_remote_write.config.sd_configs import S3_SCHEME, AwsSd, FileSd
from lambda_remote_write.dependencies import Dependencies

from ..iam.needs import references
from .stack_description import StackDescription


@dataclass(frozen=True, slots=True)
class Examination:
    """`region` is "" where none is set; `stack` is None without `--stack`."""

    config: Config
    location: str
    dependencies: Dependencies
    region: str
    stack: StackDescription | None = None
    _session: list[Any] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def is_on_aws(self) -> bool:
        """Whether the config has to do with AWS at all."""
        config = self.config
        discovery = [one for job in config.jobs for one in job.discovery]
        places = [self.location, config.spool.location]
        places += [file for one in discovery if isinstance(one, FileSd) for file in one.files]
        places += references(config)
        return (
            self.stack is not None
            or any(one.sigv4 for one in config.endpoints)
            or any(job.http.sigv4 for job in config.jobs)
            or any(isinstance(one, AwsSd) for one in discovery)
            or any(place.startswith((S3_SCHEME, "ssm:", "secretsmanager:")) for place in places)
        )

    def credentials(self, sigv4: SigV4) -> Credentials:
        """Raises CredentialsError."""
        world = self.dependencies
        provider = CredentialsProvider(sigv4, world.env_vars, world.secrets, world.session, world.now_ms)
        found = provider.get()
        world.secrets.mask.add(found.access_key, found.secret_key, found.session_token)
        return found

    def client(self, service: str, region: str = "", credentials: Credentials | None = None) -> Any:
        """A boto3 client with these credentials, or with those of the environment."""
        region, keys = region or self.region, {}
        if credentials:
            keys = {
                "aws_access_key_id": credentials.access_key,
                "aws_secret_access_key": credentials.secret_key,
                "aws_session_token": credentials.session_token or None,
            }
        with self._lock:  # a boto3 session is not made for several threads; one for all reads its data once
            if not self._session:
                self._session.append(self.dependencies.session("", region))
            return self._session[0].client(service, region_name=region, config=aws_patience(), **keys)
