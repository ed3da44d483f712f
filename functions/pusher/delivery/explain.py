"""What a refusal means for the person who reads the log, by its status."""

from __future__ import annotations

from dataclasses import dataclass

from ..config.schema import Endpoint
from .classify import meaning


@dataclass(frozen=True, slots=True)
class Explanation:
    reason: str
    meaning: str
    help: str
    series: str


def explain(status: int, text: str, endpoint: Endpoint) -> Explanation:
    return Explanation(f"http_{status}", meaning(status), "", "")
