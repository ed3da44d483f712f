"""Writes samples that are impossible or were rejected as OpenMetrics for `promtool tsdb create-blocks-from
openmetrics`, to a file or to objects in S3."""

from __future__ import annotations

import contextlib
from pathlib import Path, PurePosixPath

from ..aws.s3 import S3
from ..exposition.writer import number, seconds, series_text
from ..model.samples import Histogram, Samples, Series
from ..series import label_codec
from ..store import StoreError

_END = b"# EOF\n"
_OBJECT_BYTES = 16 << 20
_MAX_TEXTS = 200_000


class NotWritten(Exception):
    """The export cannot be written. The message names the place."""


class Export:
    """Writes samples in the order given. `objects` and `size` are what exists so far, after `flush`. Raises NotWritten;
    deadlines are monotonic seconds."""

    def __init__(self, target: FileTarget | ObjectsTarget) -> None:
        self._target, self._texts = target, dict[Series, str]()
        self.samples = 0

    @property
    def objects(self) -> int:
        return self._target.objects

    @property
    def size(self) -> int:
        """Bytes of a file, without the # EOF line."""
        return self._target.size

    def write(self, samples: Samples, deadline: float) -> None:
        lines = list[str]()
        for series, value, stamp in zip(samples.series, samples.values, samples.timestamps_ms, strict=True):
            if isinstance(value, Histogram) or label_codec.is_stale(value):  # OpenMetrics text cannot express them
                continue
            text = self._texts.get(series)
            if text is None:
                if len(self._texts) >= _MAX_TEXTS:
                    self._texts.clear()
                text = self._texts[series] = series_text(label_codec.labels_of(series.prefix))
            lines.append(f"{text} {number(value)} {seconds(stamp)}\n")
        if lines:
            self._target.write("".join(lines).encode(), deadline)
            self.samples += len(lines)

    def flush(self, deadline: float) -> None:
        """Makes everything written so far durable."""
        self._target.flush(deadline)

    def close(self, deadline: float) -> None:
        self._target.close(deadline)


class FileTarget:
    """One file. Appends after its first `size` bytes, which earlier invocations wrote; 0 starts a new file."""

    objects = 0

    def __init__(self, path: str, *, size: int) -> None:
        self._path = Path(path)
        try:
            found = self._path.stat().st_size if size else 0
            if found < size:
                raise NotWritten(
                    f"{path}: it has {found} bytes, and {size} had been written: start again without resume"
                )
            self._file = self._path.open("r+b" if size else "wb")
            self._file.truncate(size)
            self._file.seek(size)
        except OSError as error:
            raise NotWritten(f"{path}: cannot be written: {error.strerror or error}") from None

    @property
    def size(self) -> int:
        return self._file.tell()

    def write(self, lines: bytes, deadline: float) -> None:
        try:
            self._file.write(lines)
            self._file.flush()
        except OSError as error:
            raise NotWritten(f"{self._path}: cannot be written: {error.strerror or error}") from None

    def flush(self, deadline: float) -> None:
        """Every write flushes."""

    def close(self, deadline: float) -> None:
        with contextlib.closing(self._file):
            self.write(_END, deadline)


class ObjectsTarget:
    """Complete objects that fit in memory: KEY, then KEY with -0002 and so on before its extension."""

    size = 0

    def __init__(self, objects: S3, location: str, *, written: int = 0) -> None:
        """`written` objects exist already."""
        self._bucket, _, self._key = location.removeprefix("s3://").partition("/")
        if not self._bucket or not self._key or self._key.endswith("/"):
            raise NotWritten(f"{location!r:.200} is no object: s3://BUCKET/KEY is expected")
        self._objects, self._lines, self._full = objects, bytearray(), written
        self._is_changed = False

    def write(self, lines: bytes, deadline: float) -> None:
        self._lines += lines
        self._is_changed = True

    def flush(self, deadline: float) -> None:
        """Writes the current object again; the next one begins once it is full."""
        if not self._is_changed:
            return
        try:
            self._objects.put(self._bucket, self._name(), bytes(self._lines) + _END, deadline)
        except StoreError as error:
            raise NotWritten(str(error)) from None
        self._is_changed = False
        if len(self._lines) >= _OBJECT_BYTES:
            self._full += 1
            self._lines.clear()

    def close(self, deadline: float) -> None:
        self._is_changed = self._is_changed or not self.objects  # an export without samples is one empty object
        self.flush(deadline)

    @property
    def objects(self) -> int:
        return self._full + bool(self._lines)

    def _name(self) -> str:
        if not self._full:
            return self._key
        path = PurePosixPath(self._key)
        return str(path.with_name(f"{path.stem}-{self._full + 1:04d}{path.suffix}"))
