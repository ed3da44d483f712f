"""How a deployment ends that does not go on."""

from __future__ import annotations

BAD_USAGE = 2
FAILED = 1


class DeployError(Exception):
    """A sentence that says what is wrong and what to do, and the exit status: 2 for what was given, 1 for the rest."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.status = status


def bad_usage(message: str) -> DeployError:
    return DeployError(message, BAD_USAGE)
