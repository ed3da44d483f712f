"""Candidate: the function of this project with a config that scrapes.

What it imports for such a config only is imported here, with the rest: imports do not count.
"""

from __future__ import annotations

import lambda_remote_write.aws.clients
import lambda_remote_write.config.sd_configs
import lambda_remote_write.scrape.pool  # noqa: F401 - with all that it needs
from bench.with_pusher import prepare

__all__ = ["prepare"]
