"""A small store of bytes by key: what the spool and the state need of S3, and the same as a folder on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote, unquote

from .deadline import DeadlineExceeded, call_until

MAX_LISTED = 1_000  # keys that one listing gives at most, as in S3
MAX_BYTES = 50_000_000
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}")  # a name that `_replace` makes
_ABANDONED_SECONDS = 3_600.0
_SPARE_SECONDS = 0.2  # after its deadline, for a store to tell its own error
_LOOK_SECONDS = 0.01  # between two looks at a lock that another process has

Keys = list[str]  # inside a store, `list` is a method
Result = TypeVar("Result")


class StoreError(OSError):
    """The store did not do it. The message names the place and what to look at."""


class NotStored(StoreError, FileNotFoundError):
    """There is no such object, or no such bucket."""


class Changed(StoreError):
    """Another writer was faster: the object is not the one that was expected."""


@dataclass(frozen=True, slots=True)
class Object:
    """Bytes with their ETag; `version` is the store's name for just these bytes, where it keeps old ones."""

    content: bytes = field(repr=False)
    etag: str
    version: str = ""


class Store(Protocol):
    """Deadlines are monotonic seconds. Every method raises StoreError; keys sort by their bytes."""

    @property
    def place(self) -> str:
        """Where it is, for people."""

    def get(self, key: str, deadline: float, etag: str = "") -> Object | None:
        """The object, or None when it still has this `etag`. Raises NotStored."""

    def put(self, key: str, content: bytes, deadline: float, expected: str | None = None) -> str:
        """Writes the object and returns its ETag. With `expected`, only over the object with this ETag (over none,
        when it is ""). Raises Changed."""

    def list(self, prefix: str, deadline: float, most: int = MAX_LISTED) -> Keys:
        """The first keys that begin with `prefix`, in order, MAX_LISTED at most."""

    def folders(self, prefix: str, deadline: float) -> Keys:
        """What follows `prefix`, up to and with the next slash, each once."""

    def delete(self, key: str, deadline: float, expected: str = "") -> bool:
        """Deletes the object if its ETag still matches ("" for any). False when it was gone, or is another."""


class PunctualStore:
    """A store that answers by the deadline, or not at all: also when a name look-up or a file system hangs, where no
    timeout reaches."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def place(self) -> str:
        return self._store.place

    def get(self, key: str, deadline: float, etag: str = "") -> Object | None:
        return self._by(lambda: self._store.get(key, deadline, etag), deadline)

    def put(self, key: str, content: bytes, deadline: float, expected: str | None = None) -> str:
        return self._by(lambda: self._store.put(key, content, deadline, expected), deadline)

    def list(self, prefix: str, deadline: float, most: int = MAX_LISTED) -> Keys:
        return self._by(lambda: self._store.list(prefix, deadline, most), deadline)

    def folders(self, prefix: str, deadline: float) -> Keys:
        return self._by(lambda: self._store.folders(prefix, deadline), deadline)

    def delete(self, key: str, deadline: float, expected: str = "") -> bool:
        return self._by(lambda: self._store.delete(key, deadline, expected), deadline)

    def _by(self, act: Callable[[], Result], deadline: float) -> Result:
        try:
            return call_until(act, max(deadline, time.monotonic()) + _SPARE_SECONDS)
        except DeadlineExceeded:
            detail = "no answer in time; a name look-up or a file system may hang"
            raise StoreError(f"{self.place}: {detail}") from None


class DirectoryStore:
    """A store in a folder of this machine. Writes are atomic; several processes may share it."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder).expanduser()
        self._is_swept = False

    @property
    def place(self) -> str:
        return str(self._folder)

    def get(self, key: str, deadline: float, etag: str = "") -> Object | None:
        content = self._read(key)
        seen = md5_etag(content)
        return None if etag and seen == etag else Object(content, seen)

    def put(self, key: str, content: bytes, deadline: float, expected: str | None = None) -> str:
        path = self._path(key)
        with _store_errors(path, "written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._alone(deadline):
                self._sweep()
                if expected is not None and self._etag_of(path) != expected:
                    raise Changed(f"{path}: another writer was faster")
                _replace(path, content)
        return md5_etag(content)

    def list(self, prefix: str, deadline: float, most: int = MAX_LISTED) -> Keys:
        return sorted(self._keys(prefix))[:most]

    def folders(self, prefix: str, deadline: float) -> Keys:
        rests = (key.removeprefix(prefix) for key in self._keys(prefix))
        return sorted({rest.partition("/")[0] + "/" for rest in rests if "/" in rest})

    def delete(self, key: str, deadline: float, expected: str = "") -> bool:
        path = self._path(key)
        with _store_errors(path, "removed"), contextlib.suppress(FileNotFoundError), self._alone(deadline):
            if not expected or self._etag_of(path) == expected:
                path.unlink()
                return True
        return False

    def _path(self, key: str) -> Path:
        """Each part of a key is a name of its own, whatever is in it."""
        return self._folder.joinpath(*(_file_name(part) for part in key.split("/") if part))

    def _read(self, key: str) -> bytes:
        path = self._path(key)
        with _store_errors(path, "read"):
            try:
                content = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                raise NotStored(f"{path}: there is no such object") from None
        if len(content) > MAX_BYTES:
            raise StoreError(f"{path}: it has more than {MAX_BYTES} bytes")
        return content

    def _keys(self, prefix: str) -> Iterator[str]:
        start = self._path(prefix) if prefix.endswith("/") else self._path(prefix).parent
        with _store_errors(start, "listed"):
            for root, _, names in os.walk(start if prefix else self._folder, onerror=_not_missing):
                for name in names:
                    key = "/".join(map(unquote, (Path(root) / name).relative_to(self._folder).parts))
                    if key.startswith(prefix) and not name.startswith("."):
                        yield key

    def _etag_of(self, path: Path) -> str:
        try:
            return md5_etag(path.read_bytes())
        except FileNotFoundError:
            return ""

    def _sweep(self) -> None:
        """Removes what processes left behind that were killed while they wrote, once. Each writer holds the lock, so
        that no file is one that is being written; the age is for a folder on a network, whose locks may not hold."""
        if self._is_swept:
            return
        self._is_swept = True
        oldest = time.time() - _ABANDONED_SECONDS
        for root, _, names in os.walk(self._folder):
            for path in (Path(root) / name for name in names if _TEMPORARY.fullmatch(name)):
                with contextlib.suppress(OSError):  # another process was faster, or it is not ours
                    if path.lstat().st_mtime < oldest:
                        path.unlink()

    @contextlib.contextmanager
    def _alone(self, deadline: float) -> Iterator[None]:
        """What is read and then written here is not written by another process in between. Raises StoreError when that
        one has not ended at the deadline."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("ab") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise StoreError(
                            f"{lock.name}: another process has held this lock until the deadline"
                        ) from None
                time.sleep(_LOOK_SECONDS)
            yield


@contextlib.contextmanager
def _store_errors(path: Path, what: str) -> Iterator[None]:
    """Says what could not be done, as a StoreError."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"{path}: cannot be {what}: {error.strerror or error}") from None


def _file_name(part: str) -> str:
    return quote(part, safe=" +:=@") if part.strip(".") else part.replace(".", "%2E")


def _not_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def md5_etag(content: bytes) -> str:
    """The ETag of an object here, and of one in S3 that is not encrypted with a customer's key."""
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def _replace(path: Path, content: bytes) -> None:
    """The whole new file or the whole old one, also after a kill."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
