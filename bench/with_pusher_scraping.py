"""Candidate: the function of this project with a config that scrapes.

What it imports for such a config only is imported here, with the rest: imports do not count.
"""

from __future__ import annotations

import pusher.aws_clients
import pusher.config.service_discovery
import pusher.sources.pool  # noqa: F401 - with all that it needs
from bench.with_pusher import prepare

__all__ = ["prepare"]
