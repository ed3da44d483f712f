"""The process's environment variables, read here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping


def read_env_vars() -> Mapping[str, str]:
    """A copy: what a run sees does not change under it."""
    return dict(os.environ)
