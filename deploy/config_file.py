"""A config on this machine: that it checks, and which other files it reads, which the artefact will not have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

from lambda_remote_write.config.schema import Config
from lambda_remote_write.config.sd_configs import FileSd
from lambda_remote_write.config.secrets import Secret
from lambda_remote_write.dependencies import Dependencies

from .errors import bad_usage
from .programs import Programs

_IN_A_FUNCTION = ("/var/task/", "/opt/")  # its package and its layers


def check(programs: Programs, location: str, variables: Mapping[str, str]) -> None:
    """Runs `pusher check`. Raises DeployError."""
    if programs.pusher("check", location, **variables):
        raise bad_usage(f"{location} does not check: correct what pusher check says above. Nothing was deployed")


def missing_files(location: str, env_vars: Mapping[str, str]) -> list[str]:
    """A sentence for each file beside the config that the function will not find. Raises ConfigError, Unreadable."""
    loaded = Dependencies(env_vars).config_source(location, keeps_documents=True).load()
    others = [document.file for document in loaded.documents if Path(document.file) != Path(location)]
    return [
        *(f"{file} (scrape_config_files): put its jobs into the config" for file in others),
        *(f"{file} (file_sd_configs): keep the list at s3://BUCKET/KEY" for file in _lists(loaded.config)),
        *(
            f"{file} (a *_file key): keep it in Secrets Manager or SSM, and write *_ref"
            for file in _files(loaded.config)
        ),
    ]


def _lists(config: Config) -> Iterator[str]:
    for discovery in (discovery for job in config.jobs for discovery in job.discovery):
        if isinstance(discovery, FileSd):
            yield from (file for file in discovery.files if not file.startswith(("s3://", *_IN_A_FUNCTION)))


def _files(config: Config) -> list[str]:
    """Those of secrets and certificates, each once."""
    found = (secret.file for secret in _secrets(config) if secret.file)
    return list(dict.fromkeys(file for file in found if not file.startswith(_IN_A_FUNCTION)))


def _secrets(value: object) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _secrets(item)
    elif is_dataclass(value):
        for one in fields(value):
            yield from _secrets(getattr(value, one.name))
