"""The second argument of a Lambda handler."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Context:
    """What Lambda passes beside the event."""

    seconds: float = 30.0
    aws_request_id: str = "request-1"
    started: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        return int((self.seconds - (time.monotonic() - self.started)) * 1000)
