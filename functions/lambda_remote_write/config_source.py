"""Where the config comes from: the packaged file, a path, `s3://bucket/key` or `ssm:/name`.

A remote one is read again on every run, by ETag or version. A bad new one is refused loudly and the last good one
stays in use.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from .aws.s3 import S3
from .config import go_glob
from .config.load import Include, YamlDocument, parse_config
from .config.schema import Config
from .config.yaml_reader import ConfigError
from .deadline import DeadlineExceeded, call_until
from .report.printable import printable
from .store import StoreError

Result = TypeVar("Result")
PACKAGED = Path(__file__).with_name("config.yaml")
_TIMEOUT_SECONDS = 12.0  # for reading it, three tries included
_SPARE_SECONDS = 0.5  # for a reading to tell its own error
_TRIES = 3
_MAX_BYTES = 1_000_000


class Unreadable(Exception):
    """The config could not be fetched. The message says from where and why."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The config in use, and what is wrong with a newer one that is not. `pinned` is a version that can be had again
    when the newest is bad, "" where old ones are not kept. `documents` are the files that were read, where they are
    kept."""

    config: Config
    version: str
    refused: str = ""
    pinned: str = ""
    documents: Sequence[YamlDocument] = ()


@dataclass(frozen=True, slots=True)
class _ConfigText:
    text: str
    version: str
    pinned: str = ""


class ConfigSource:
    """Reads the config of one environment; keeps the last good one."""

    def __init__(
        self,
        location: str,
        env_vars: Mapping[str, str],
        objects: S3,
        session: Callable[[str, str], Any],
        *,
        has_schedule: bool = True,
        keeps_documents: bool = False,
    ) -> None:
        """`session(profile, region)` makes a boto3 session. Without a schedule, no warning is about it."""
        self.location = location or str(PACKAGED)
        self._env_vars, self._objects, self._session, self._has_schedule = env_vars, objects, session, has_schedule
        self._keeps_documents = keeps_documents
        self._loaded: Loaded | None = None
        self._ssm: Any = None  # made once: that costs more than asking

    @property
    def keeps_versions(self) -> bool:
        """Whether an earlier version can be had again."""
        return self.location.startswith(("s3://", "ssm:"))

    def load(self, deadline: float = float("inf")) -> Loaded:
        """The config to use now, read before `deadline` (monotonic seconds). Raises ConfigError or Unreadable when
        there is no good one yet."""
        last = self._loaded
        try:
            fetched = self._read_by(lambda until: self._fetch(last.version if last else "", until), deadline)
            if fetched is None and last:
                return last
            found = fetched or _ConfigText("", "")
            documents = list[YamlDocument]() if self._keeps_documents else None
            config = self._parsed(found.text, self.location, self._include(), documents)
        except (ConfigError, Unreadable) as error:
            if last is None:
                raise
            return replace(last, refused=_refused(error))
        self._loaded = Loaded(config, found.version, pinned=found.pinned, documents=documents or ())
        return self._loaded

    def load_pinned(self, pinned: str, newer: Exception, deadline: float = float("inf")) -> Loaded:
        """The last good config, for an environment that has none and finds a bad one, or cannot read the newest
        (`newer` says why). The next run looks for a newer one again. Raises ConfigError or Unreadable."""
        text = self._read_by(lambda until: self._pinned_text(pinned, until), deadline)
        config = self._parsed(text, f"{self.location} (version {pinned})")
        self._loaded = Loaded(config, "", pinned=pinned)
        return replace(self._loaded, refused=_refused(newer))

    def _parsed(
        self, text: str, place: str, include: Include | None = None, documents: list[YamlDocument] | None = None
    ) -> Config:
        has_schedule = self._has_schedule
        return parse_config(text, place, self._env_vars, include, has_schedule=has_schedule, documents=documents)

    def _pinned_text(self, pinned: str, until: float) -> str:
        if self.location.startswith("ssm:"):
            return str(self._ssm_parameter(f"{self.location.removeprefix('ssm:')}:{pinned}", until)["Value"])
        bucket, key = self._bucket_and_key()
        try:
            return self._objects.get_version(bucket, key, pinned, until, _MAX_BYTES).content.decode("utf-8")
        except (StoreError, UnicodeDecodeError) as error:
            raise Unreadable(f"{self.location}: {error}") from None

    def _read_by(self, read: Callable[[float], Result], deadline: float) -> Result:
        """What is read before the deadline, and in a bounded time. Raises Unreadable."""
        until = min(deadline, time.monotonic() + _TIMEOUT_SECONDS)
        if not self.keeps_versions:
            return read(until)
        try:
            return call_until(lambda: read(until), until + _SPARE_SECONDS)
        except DeadlineExceeded:
            raise Unreadable(f"{self.location}: no answer in time; a name look-up may hang") from None

    def _include(self) -> Include | None:
        """Reads the files that a local config names, relative to its own folder."""
        if "://" in self.location or self.location.startswith("ssm:"):
            return None
        folder = Path(self.location).parent

        def include(pattern: str) -> list[tuple[str, str]]:
            names = go_glob.find(str(folder / pattern))
            return [(name, Path(name).read_text(encoding="utf-8")) for name in names]

        return include

    def _fetch(self, version: str, until: float) -> _ConfigText | None:
        """The text, or None when it is still this version. Raises Unreadable."""
        if self.location.startswith("s3://"):
            return self._from_s3(version, until)
        if self.location.startswith("ssm:"):
            return self._from_ssm(version, until)
        if "://" in self.location:
            raise Unreadable(f"{self.location}: a config is a path, s3://bucket/key or ssm:/name")
        try:
            path = Path(self.location)
            seen = f"{path.stat().st_mtime_ns}"
            return None if seen == version else _ConfigText(path.read_text(encoding="utf-8"), seen)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else _not_utf8(error)
            raise Unreadable(f"{self.location}: {reason}") from None

    def _from_ssm(self, version: str, until: float) -> _ConfigText | None:
        parameter = self._ssm_parameter(self.location.removeprefix("ssm:"), until)
        seen = f"{parameter['Version']} of {parameter['LastModifiedDate']}"  # made anew, it counts from 1 again
        return None if seen == version else _ConfigText(str(parameter["Value"]), seen, str(parameter["Version"]))

    def _ssm_parameter(self, name: str, until: float) -> Mapping[str, Any]:
        """Raises Unreadable."""
        region = self._env_vars.get("AWS_REGION", "")
        for tries_left in range(_TRIES, 0, -1):
            try:
                client = self._ssm or self._session("", region).client("ssm")
                found: Mapping[str, Any] = client.get_parameter(Name=name, WithDecryption=True)["Parameter"]
                self._ssm = client
                return found
            except Exception as error:  # botocore's errors are made at run time
                if not _may_pass(error) or tries_left == 1 or time.monotonic() >= until:
                    self._ssm = None  # its credentials may have ended
                    detail, allow = f"{type(error).__name__}: {str(error)[:300]}", "ssm:GetParameter"
                    raise Unreadable(f"{self.location}: {detail}; does the role allow {allow} on it?") from None
        raise AssertionError("the last try has returned or raised")

    def _from_s3(self, version: str, until: float) -> _ConfigText | None:
        bucket, key = self._bucket_and_key()
        try:
            found = self._objects.get_changed(bucket, key, version, until, _MAX_BYTES)
            return _ConfigText(found.content.decode("utf-8"), found.etag, found.version) if found else None
        except StoreError as error:
            raise Unreadable(str(error)) from None
        except UnicodeDecodeError as error:
            raise Unreadable(f"{self.location}: {_not_utf8(error)}") from None

    def _bucket_and_key(self) -> tuple[str, str]:
        bucket, _, key = self.location.removeprefix("s3://").partition("/")
        if not bucket or not key:
            raise Unreadable(f"{self.location}: an object is s3://BUCKET/KEY")
        return bucket, key


def _not_utf8(error: UnicodeDecodeError) -> str:
    line = error.object.count(b"\n", 0, error.start) + 1
    return f"not UTF-8 text (line {line})"


def _may_pass(error: Exception) -> bool:
    """Whether botocore's client, which has tried a 5xx, a timeout and a reset three times, is asked again: it does not
    try an answer again that was cut where it seems to be whole (`boto3_session`)."""
    return type(error).__name__ == "ResponseStreamingError"


def _refused(error: Exception) -> str:
    what = "the newest config cannot be read" if isinstance(error, Unreadable) else "the new config is refused"
    return f"{what}, the last good one stays in use: {error}"


def not_loaded(location: str, error: Exception) -> str:
    """One text for people, and for the log, of why a config does not start."""
    if isinstance(error, ConfigError):
        count = len(error.problems)
        return f"{count} mistake{'s' if count != 1 else ''} in the config:\n{error}"
    return printable(f"the config cannot be read: {error}" if isinstance(error, Unreadable) else f"{location}: {error}")


def problems_json(error: ConfigError) -> list[dict[str, object]]:
    """The problems as JSON-able objects, for `--json`."""
    keys = ("file", "line", "path", "message")
    return [{key: getattr(problem, key) for key in keys} for problem in error.problems]
