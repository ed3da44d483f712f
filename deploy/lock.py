"""One deployment at a time in a checkout."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import DeployError


@contextmanager
def alone(stack: str, folder: Path) -> Iterator[None]:
    """While no other deployment builds in this checkout: they would deploy each other's artefact. Raises DeployError.
    The lock ends with its process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "deploy.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise DeployError(
                f"another make deploy is in progress in this checkout ({file.read().strip()}). Wait until it has "
                "ended, and deploy again"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}, stack {stack}")
        file.flush()
        yield
