"""`queue_config.max_samples_per_second`: a token bucket, one token a sample, as AMP counts its ingestion rate."""

from __future__ import annotations

import threading


class RateLimiter:
    """Spreads sending over time. A burst may have a second's worth of samples. A larger request is sent once the bucket
    is full, and later ones wait for its debt. Thread-safe."""

    def __init__(self, samples_per_second: int) -> None:
        """0 is no limit."""
        self._rate = samples_per_second
        self._tokens = float(samples_per_second)
        self._filled_at: float | None = None
        self._lock = threading.Lock()

    def wait_seconds(self, samples: int, now: float, left_seconds: float) -> float | None:
        """Takes tokens for so many samples and returns the seconds to wait before sending them. None, with nothing
        taken, when that is longer than the rest of the run. `now` is monotonic seconds."""
        if not self._rate or not samples:
            return 0.0
        with self._lock:
            since = 0.0 if self._filled_at is None else max(now - self._filled_at, 0.0)
            self._filled_at = now
            self._tokens = min(float(self._rate), self._tokens + since * self._rate)
            wait = max(0.0, min(samples, self._rate) - self._tokens) / self._rate
            if wait >= left_seconds:
                return None
            self._tokens -= samples
            return wait
