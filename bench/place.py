"""What every candidate gets: where to ask, where to write, and the names that its samples carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

REGION = "us-east-1"
ACCESS_KEY, SECRET_KEY, SESSION_TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "token-of-the-bench"
WORKSPACE = "ws-bench"
JOB = "custom_exporter"
METRIC = "api_requests_total"
BATCH = 1_000  # samples per request, AWS's advice for AMP

Push = Callable[[], None]
"""One push from the GET to the last accepted request; raises when something did not arrive."""


@dataclass(frozen=True, slots=True)
class Place:
    """One lane of the other side: no other candidate reads or writes there. `config` is a file
    for those who read one."""

    api_url: str
    write_url: str
    config: str

    @property
    def instance(self) -> str:
        return urlsplit(self.api_url).netloc


def credentials() -> dict[str, str]:
    """The environment's variables that Lambda gives a function."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_SESSION_TOKEN": SESSION_TOKEN,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }
