"""Raises a workspace's out-of-order window for the time of a backfill, and puts it back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from .receiver import Receiver
from .request import Request
from .token import Progress
from .workspace import MAX_WINDOW_SECONDS, NotAnswered

_WAIT_SECONDS = 300.0
_BACK_SECONDS = 60.0
_SPARE_SECONDS = 30  # by which the newest sample moves on until the last part is sent


class Widening:
    """A context in which the window is as long as the backfill needs, 600 s at most. What goes wrong is told in
    `warnings`: the backfill goes on with the window as it is."""

    def __init__(
        self, request: Request, receivers: Sequence[Receiver], keep: Callable[..., Any], deadline: float,
        begun: Progress,
    ) -> None:  # fmt: skip
        """`keep` keeps the old window with the progress, under `widened_from`: a killed invocation leaves it so to the
        next one. `begun` has what such a one has left."""
        self._request, self._keep, self._deadline = request, keep, deadline
        self._receiver = next((one for one in receivers if one.workspace is not None), None)
        self._before = begun.widened_from
        self.warnings: list[str] = []

    def __enter__(self) -> Widening:
        receiver, request = self._receiver, self._request
        if not request.widen or request.dry_run:
            return self
        if receiver is None or receiver.workspace is None:
            self.warnings.append("widen_out_of_order: no endpoint is a workspace of AMP")
            return self
        old = receiver.window_seconds if self._before is None else self._before
        if old is None:
            self.warnings.append(f"the out-of-order window stays as it is: {'; '.join(receiver.rules.unknown)}")
            return self
        wanted = max(old, self._needed_seconds(receiver))
        if wanted == receiver.window_seconds and self._before is None:
            return self
        self._before = old
        self._keep(widened_from=old)
        try:
            receiver.workspace.set_window(wanted, min(self._deadline, time.monotonic() + _WAIT_SECONDS))
            receiver.rules.window_ms = wanted * 1000
        except NotAnswered as error:
            self.warnings.append(f"the out-of-order window could not be raised to {wanted} s: {error}")
            if error.is_unchanged and old == receiver.window_seconds:
                self._before = None
                self._keep(widened_from=None)
        return self

    def _needed_seconds(self, receiver: Receiver) -> int:
        start_ms = self._request.start_ms
        if start_ms is None:
            return MAX_WINDOW_SECONDS
        behind = max(receiver.rules.head_ms - start_ms, 0) // 1000 + _SPARE_SECONDS
        return min(behind, MAX_WINDOW_SECONDS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        receiver = self._receiver
        if self._before is None or receiver is None or receiver.workspace is None:
            return
        try:
            receiver.workspace.set_window(self._before, time.monotonic() + _BACK_SECONDS)
            self._keep(widened_from=None)
        except NotAnswered as said:
            by_hand = f"set outOfOrderTimeWindowInSeconds back to {self._before}"
            self.warnings.append(f"the out-of-order window could not be put back: {said}; {by_hand}")
