"""How often a password is tried: a server locks the account of one who tries a wrong one too often."""

from __future__ import annotations

from ..config.secrets import SecretStore

MAX_REFUSALS = 3  # in a row; servers lock accounts at three to ten
PAUSE_SECONDS = 600.0  # from then on: accounts mostly open again after 15 to 30 minutes
AGAIN_SECONDS = 30.0  # after a failure, where there are no runs
_CLEARLY_MORE = 1.25  # times the seconds that an attempt without an answer had


class Attempts:
    """The attempts of one account while the environment is warm. Its user holds a lock."""

    def __init__(self, secrets: SecretStore) -> None:
        self._secrets = secrets
        self._refusals = 0
        self._failed_at, self._why = float("-inf"), ""
        self._had_seconds = float("inf")

    def reason_to_wait(self, left_seconds: float = 0.0) -> str:
        """Why nothing is tried now, "" when something is. A run tries once, however many targets ask; again only for
        one with clearly more time left than an attempt had that got no answer."""
        now = self._secrets.now()
        if self._pause(now) > 0:
            return self._reason(now)
        if left_seconds > self._had_seconds * _CLEARLY_MORE:
            return ""
        return self._reason(now) if self._secrets.is_recent(self._failed_at, AGAIN_SECONDS) else ""

    def failed(self, why: str, *, is_refusal: bool, had_seconds: float = float("inf")) -> str:
        """Notes an attempt that failed, for want of time when it names the seconds that it had; the reason with what
        follows from it."""
        self._failed_at, self._why, self._had_seconds = self._secrets.now(), why, had_seconds
        self._refusals += is_refusal
        return self._reason(self._failed_at)

    def succeeded(self) -> None:
        self._refusals, self._failed_at = 0, float("-inf")

    def _pause(self, now: float) -> float:
        """How many seconds nothing is tried."""
        return self._failed_at + PAUSE_SECONDS - now if self._refusals >= MAX_REFUSALS else 0.0

    def _reason(self, now: float) -> str:
        pause = self._pause(now)
        if pause <= 0:
            return self._why
        often = f"refused {self._refusals} times in a row, and tried every ten minutes only, as accounts lock"
        return f"{self._why}; {often}; the next try is in {max(round(pause / 60), 1)}m"
