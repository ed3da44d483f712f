"""Widens the out-of-order windows of workspaces for the time of an invocation and restores them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from .checkpoint import Checkpoint
from .receiver import Receiver
from .request import Request
from .workspace import MAX_WINDOW_SECONDS, NotAnswered, Workspace

_WAIT_SECONDS = 300.0
_RESTORE_SHARE, _RESTORE_SECONDS = 0.25, 60.0  # of the time, and at most, to restore the windows
_SPARE_SECONDS = 30  # by which the newest sample advances until the last part is sent


class WidenedWindow:
    """A context in which the windows are as long as the backfill needs, 600 s at most. It must be left by `until`
    (monotonic seconds). Failures become `warnings`: the backfill continues with the window as it is."""

    def __init__(
        self, request: Request, receivers: Sequence[Receiver], save: Callable[..., Any], deadline: float,
        checkpoint: Checkpoint,
    ) -> None:  # fmt: skip
        """`save` stores the old windows in the checkpoint, under `widened_from`, so that the next invocation can
        restore what a killed one has widened. `checkpoint` may have some from before."""
        is_wanted = request.widen and not request.dry_run
        self._request, self._save, self._deadline = request, save, deadline
        self._workspaces = [(one, one.workspace) for one in receivers if one.workspace is not None and is_wanted]
        self._before = dict(checkpoint.widened_from)
        self.warnings: list[str] = []
        self.until = deadline
        if is_wanted:
            self.until -= min(_RESTORE_SECONDS, _RESTORE_SHARE * max(deadline - time.monotonic(), 0.0))
            if not self._workspaces:
                self.warnings.append("widen_out_of_order: no endpoint is a workspace of AMP")

    def __enter__(self) -> WidenedWindow:
        for receiver, workspace in self._workspaces:
            self._widen(receiver, workspace)
        return self

    def _widen(self, receiver: Receiver, workspace: Workspace) -> None:
        old = self._before.get(receiver.name, receiver.window_seconds)
        if old is None:
            self.warnings.append(f"{receiver.name}: the out-of-order window stays as it is, because it is not known")
            return
        wanted = max(old, self._needed_seconds(receiver))
        if wanted == receiver.window_seconds and receiver.name not in self._before:
            return
        self._before[receiver.name] = old
        self._save(widened_from=dict(self._before))
        try:
            workspace.set_window(wanted, min(self.until, time.monotonic() + _WAIT_SECONDS))
            receiver.rules.window_ms = wanted * 1000
        except NotAnswered as error:
            detail = f"{receiver.name}: the out-of-order window could not be raised to {wanted} s: {error}"
            self.warnings.append(detail)
            if error.is_unchanged and old == receiver.window_seconds:
                self._forget(receiver)

    def _needed_seconds(self, receiver: Receiver) -> int:
        start_ms = self._request.start_ms
        if start_ms is None:
            return MAX_WINDOW_SECONDS
        behind = max(receiver.rules.head_ms - start_ms, 0) // 1000 + _SPARE_SECONDS
        return min(behind, MAX_WINDOW_SECONDS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for receiver, workspace in self._workspaces:
            if receiver.name in self._before:
                self._restore(receiver, workspace, self._before[receiver.name])

    def _restore(self, receiver: Receiver, workspace: Workspace, seconds: int) -> None:
        try:
            workspace.set_window(seconds, self._deadline)
            self._forget(receiver)
        except NotAnswered as detail:
            by_hand = f"set outOfOrderTimeWindowInSeconds back to {seconds}"
            self.warnings.append(f"{receiver.name}: the out-of-order window could not be restored: {detail}; {by_hand}")

    def _forget(self, receiver: Receiver) -> None:
        del self._before[receiver.name]
        self._save(widened_from=dict(self._before))
