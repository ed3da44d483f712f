"""A store in memory that holds data, counts, and fails as told; and one that stands in front of another."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from lambda_remote_write.store import Changed, Keys, NotStored, Object, Store, StoreError


def etag_of(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


class StoreInFront:
    """Passes everything on to another store; `_do` is what a test makes of an operation."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def _do(self, operation: str, key: str, act: Callable[[], Any]) -> Any:
        return act()

    @property
    def place(self) -> str:
        return self.inner.place

    def get(self, key: str, deadline: float, etag: str = "") -> Object | None:
        found: Object | None = self._do("get", key, lambda: self.inner.get(key, deadline, etag))
        return found

    def put(self, key: str, content: bytes, deadline: float, expected: str | None = None) -> str:
        return str(self._do("put", key, lambda: self.inner.put(key, content, deadline, expected)))

    def list(self, prefix: str, deadline: float, most: int = 1000) -> Keys:
        found: Keys = self._do("list", prefix, lambda: self.inner.list(prefix, deadline, most))
        return found

    def folders(self, prefix: str, deadline: float) -> Keys:
        found: Keys = self._do("list", prefix, lambda: self.inner.folders(prefix, deadline))
        return found

    def delete(self, key: str, deadline: float, expected: str = "") -> bool:
        return bool(self._do("delete", key, lambda: self.inner.delete(key, deadline, expected)))


class MemoryStore:
    """`failing` says how often an operation fails yet, before it is done; `lost` how often after that. So many of the
    next gets as `cut` says give half of the object, under its own ETag; those of `silent` keys always fail."""

    place = "memory"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.counts: Counter[str] = Counter()
        self.failing: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.transferred = 0
        self.cut = 0
        self.silent: set[str] = set()

    def _begin(self, operation: str) -> None:
        self.counts[operation] += 1
        self._fail(self.failing, operation)

    def _fail(self, failing: Counter[str], operation: str) -> None:
        if failing[operation]:
            failing[operation] -= 1
            raise StoreError(f"{operation} fails")

    def _etag(self, key: str) -> str:
        return etag_of(self.objects[key]) if key in self.objects else ""

    def get(self, key: str, deadline: float, etag: str = "") -> Object | None:
        self._begin("get")
        if key not in self.objects:
            raise NotStored(f"no {key}")
        if etag and etag == self._etag(key):
            return None
        if key in self.silent:
            raise StoreError(f"{key} is not given")
        content = self.objects[key]
        if self.cut:
            self.cut -= 1
            content = content[: len(content) // 2]
        self.transferred += len(content)
        return Object(content, self._etag(key))

    def put(self, key: str, content: bytes, deadline: float, expected: str | None = None) -> str:
        self._begin("put")
        if expected is not None and expected != self._etag(key):
            raise Changed(f"{key} is another")
        self.objects[key] = content
        self._fail(self.lost, "put")
        return self._etag(key)

    def list(self, prefix: str, deadline: float, most: int = 1000) -> Keys:
        self._begin("list")
        return sorted(key for key in self.objects if key.startswith(prefix))[:most]

    def folders(self, prefix: str, deadline: float) -> Keys:
        self._begin("list")
        rests = (key.removeprefix(prefix) for key in self.objects if key.startswith(prefix))
        return sorted({rest.partition("/")[0] + "/" for rest in rests if "/" in rest})

    def delete(self, key: str, deadline: float, expected: str = "") -> bool:
        self._begin("delete")
        if key not in self.objects or (expected and expected != self._etag(key)):
            return False
        del self.objects[key]
        self._fail(self.lost, "delete")
        return True
