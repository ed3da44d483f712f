"""One call of `make deploy`: what is asked for, what is there, and what the stack will be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .cloud import Cloud
from .programs import Programs
from .settings import Settings
from .shell import Shell
from .stack import Stack
from .template import Parameter


@dataclass(frozen=True, slots=True)
class Deployment:
    """`stack` is as it was before anything changed."""

    settings: Settings
    cloud: Cloud
    stack: Stack
    known: Mapping[str, Parameter]
    programs: Programs
    shell: Shell

    def value(self, name: str) -> str:
        """A parameter as it will be, but for what the config needs."""
        return self.settings.parameters.get(name, self.stack.parameter(name, self.known[name].default))

    @property
    def in_s3(self) -> str:
        """Where in S3 the config will be, or empty."""
        location = self.settings.config_s3 or self.value("Config")
        return location if location.startswith("s3://") else ""

    @property
    def config(self) -> str:
        """The config to check: a file on this machine, or where the stack reads it."""
        return str(self.settings.config or self.value("Config"))

    @property
    def content(self) -> bytes:
        """Of that file."""
        return self.settings.config.read_bytes() if self.settings.config else b""

    @property
    def variables(self) -> dict[str, str]:
        """What the stack sets for its functions, for `pusher`. A workspace that is still to be created is empty."""
        bucket = self.stack.output("SpoolBucketName") or "the-spool-of-the-stack"
        return {
            "AWS_REGION": self.cloud.region,
            "PUSHER_TICK": self.value("Interval"),
            "PUSHER_WORKSPACE": self.value("WorkspaceId") or self.stack.output("WorkspaceId"),
            "PUSHER_SPOOL": f"s3://{bucket}" if self.value("Spool") == "yes" else "",
        }
