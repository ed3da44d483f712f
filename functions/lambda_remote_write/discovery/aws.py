"""Calls of AWS's APIs for discovery: page by page, until the deadline, with errors that name the missing permission."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..aws.credentials import CredentialsError
from ..config.sd_configs import AwsSd
from .target_groups import DiscoveryError

_DENIED = ("AccessDenied", "Unauthorized", "AuthFailure", "Forbidden")
_UNREACHED = ("ConnectTimeout", "ReadTimeout", "EndpointConnection", "ConnectionClosed", "ConnectionError")
Now = Callable[[], float]
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")


def place(config: AwsSd) -> str:
    """Region and role, for messages."""
    return f"{config.region} as {config.role_arn}" if config.role_arn else config.region


class Api:
    """`make` gives the boto3 client; `now` and `deadline` are monotonic seconds."""

    def __init__(self, service: str, place: str, make: Callable[[], Any], now: Now, deadline: float) -> None:
        self._service, self._place, self._now, self._deadline = service, place, now, deadline
        try:
            self._client = make()
        except (CredentialsError, DiscoveryError) as error:
            raise DiscoveryError(f"{place}: {error}") from None
        except Exception as error:  # botocore makes its error classes at run time
            raise DiscoveryError(f"{place}: no {service} client ({_detail(error)})") from None

    def call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """One call, e.g. `describe_instances`. Raises DiscoveryError."""
        name = operation.title().replace("_", "")
        if self._now() >= self._deadline:
            raise DiscoveryError(f"{self._place}: the run's time ended before {self._service}:{name}")
        try:
            answer: Mapping[str, Any] = getattr(self._client, operation)(**arguments)
        except Exception as error:  # as above
            raise DiscoveryError(f"{self._place}: {_detail(error)}{self._hint(error, name)}") from None
        return answer

    def _hint(self, error: Exception, name: str) -> str:
        code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
        if any(word in code for word in _DENIED):
            return f"; does the role allow {self._service}:{name}?"
        if any(word in type(error).__name__ for word in _UNREACHED):
            return f"; a function in a VPC reaches {self._service} through a NAT gateway or an interface endpoint"
        return ""

    def pages(self, operation: str, token: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:
        """The answers page by page; `token` is the key of the next page's token. Raises DiscoveryError."""
        while True:
            answer = self.call(operation, **arguments)
            yield answer
            if not answer.get(token):
                return
            arguments[token] = answer[token]


def batches(items: Iterable[str], size: int) -> Iterator[Sequence[str]]:
    """Distinct items in their order, at most `size` at a time."""
    distinct = list(dict.fromkeys(items))
    return (distinct[start : start + size] for start in range(0, len(distinct), size))


def present(labels: Mapping[str, str | None], prefix: str) -> dict[str, str]:
    """Labels with their full names, without those that have no value."""
    return {f"{prefix}{name}": value for name, value in labels.items() if value is not None}


def tags(
    listed: Iterable[Mapping[str, str]] | None, prefix: str, key: str = "Key", value: str = "Value"
) -> dict[str, str]:
    """Tags as labels: every character outside [a-zA-Z0-9_] becomes an underscore; of two equal names the later wins."""
    return {
        f"{prefix}{_NOT_IN_A_NAME.sub('_', tag[key])}": tag[value]
        for tag in listed or ()
        if key in tag and value in tag
    }


def _detail(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"
