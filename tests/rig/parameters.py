"""A parameter of SSM as boto3 shows it, which a test rotates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Parameter:
    """Also a session of boto3, and its client."""

    value: str

    def __call__(self, profile: str, region: str) -> Parameter:
        return self

    def client(self, service: str) -> Parameter:
        return self

    def get_parameter(self, **options: Any) -> dict[str, Any]:
        return {"Parameter": {"Value": self.value}}
