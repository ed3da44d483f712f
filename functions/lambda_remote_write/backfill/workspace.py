"""Reads and changes the configuration of an AMP workspace, which has the out-of-order window, with signed requests.

AWS's own client in the Lambda runtime may be too old to know the window, and silently drops settings that it does not
know.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..config.remote_write import amp_host
from ..config.schema import RemoteWriteConfig
from ..dependencies import Dependencies
from ..http import HttpRequest, one_line
from ..remote_write.client import NoAnswer, RemoteWriteClient

MAX_WINDOW_SECONDS = 600
_MAX_ANSWER_BYTES = 200_000
_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 2.0
_PATH = "/api/v1/remote_write"
_WINDOW = "outOfOrderTimeWindowInSeconds"
_ONE_OF = frozenset(("limitsPerLabelSet", "retentionPeriodInDays"))  # at least one goes with every update


class NotAnswered(Exception):
    """The workspace's configuration could not be read or changed. The message says why, and what helps.
    `is_unchanged` means that a change was certainly not made."""

    def __init__(self, message: str, *, is_unchanged: bool = False) -> None:
        self.is_unchanged = is_unchanged
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Configuration:
    """`status` is ACTIVE, UPDATING or UPDATE_FAILED; `window_seconds` is None when the answer has no window. `settings`
    is the answer without the status."""

    status: str
    window_seconds: int | None
    settings: Mapping[str, Any]


class Workspace:
    """The control plane of one endpoint's workspace."""

    def __init__(self, client: RemoteWriteClient, endpoint: RemoteWriteConfig, dependencies: Dependencies) -> None:
        self._url = configuration_url(endpoint.url, dependencies.env_vars)
        self._client, self._sleep = client, dependencies.sleep

    def describe(self, deadline: float) -> Configuration:
        """`deadline` is monotonic seconds. Raises NotAnswered."""
        body = self._ask("GET", None, deadline, "aps:DescribeWorkspaceConfiguration")
        try:
            found = json.loads(body)["workspaceConfiguration"]
            settings = {name: value for name, value in found.items() if name != "status" and value is not None}
            window = settings.get(_WINDOW)
            return Configuration(str(found["status"]["statusCode"]), None if window is None else int(window), settings)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NotAnswered(f"the workspace's configuration cannot be read ({type(error).__name__})") from None

    def set_window(self, seconds: int, deadline: float) -> None:
        """Sets the out-of-order window and waits until it is in force, before `deadline` (monotonic seconds). Raises
        NotAnswered.

        Every other setting is sent back as it was read. UpdateWorkspaceConfiguration says of its request: "You must
        specify at least one of limitsPerLabelSet or retentionPeriodInDays for the request to be valid", and does not
        say what happens to a setting that is left out.
        """
        try:
            settings = self.describe(deadline).settings
        except NotAnswered as error:
            raise NotAnswered(str(error), is_unchanged=True) from None
        if not _ONE_OF.intersection(settings):
            settings = {**settings, "limitsPerLabelSet": []}  # there are none
        change = {**settings, _WINDOW: seconds, "clientToken": str(uuid.uuid4())}
        self._ask("PATCH", json.dumps(change).encode(), deadline, "aps:UpdateWorkspaceConfiguration")
        while True:
            found = self.describe(deadline)
            if found.status == "ACTIVE" and found.window_seconds == seconds:
                return
            if found.status == "UPDATE_FAILED":
                raise NotAnswered(f"AMP could not set the out-of-order window to {seconds} s", is_unchanged=True)
            if time.monotonic() + _POLL_SECONDS >= deadline:
                raise NotAnswered(f"the out-of-order window of {seconds} s is not in force yet ({found.status})")
            self._sleep(_POLL_SECONDS)

    def _ask(self, method: str, body: bytes | None, deadline: float, action: str) -> bytes:
        seconds = min(_TIMEOUT_SECONDS, max(deadline - time.monotonic(), 0.1))
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if body else {})
        try:
            status, detail = self._client.ask(HttpRequest(method, self._url, headers, body), seconds, _MAX_ANSWER_BYTES)
        except NoAnswer as error:
            raise NotAnswered(f"{action}: {error}") from None
        if status not in (200, 202):
            hint = f"; the role needs {action} (parameter Backfill)" if status == 403 else ""
            words = f"{action}: AMP answered {status}{hint}: {self._client.masked(_message(detail))}"
            raise NotAnswered(words, is_unchanged=method == "PATCH" and 400 <= status < 500)
        return detail


def configuration_url(write_url: str, env_vars: Mapping[str, str]) -> str:
    """The URL of the configuration of the workspace that `write_url` writes to. AMP's control plane is another host;
    a workspace that is not on AWS has one address for both."""
    parts = urlsplit(write_url.removesuffix(_PATH))
    elsewhere = env_vars.get("AWS_ENDPOINT_URL_AMP") or env_vars.get("AWS_ENDPOINT_URL")
    if elsewhere:
        return f"{elsewhere.rstrip('/')}{parts.path}/configuration"
    amp = amp_host(write_url)
    return urlunsplit((parts.scheme, amp.control_plane if amp else parts.netloc, f"{parts.path}/configuration", "", ""))


def _message(body: bytes) -> str:
    try:
        found: Any = json.loads(body)
        return one_line(str(found.get("message") or found.get("Message") or ""))[:300]
    except (ValueError, AttributeError):
        return one_line(body[:300].decode("utf-8", "replace"))
