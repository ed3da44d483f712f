"""Files to backfill from, on this machine or in S3: found, watched for changes, unpacked, cut into whole lines. They
are read in pieces, so that their size does not matter."""

from __future__ import annotations

import glob
import itertools
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zlib_ng import zlib_ng as zlib

from ..aws.s3 import S3
from ..store import Changed, StoreError

BLOCK_BYTES = 2 << 20  # of text that is read at once
_S3 = "s3://"
_PACKED_BYTES = 128 << 10  # that are unpacked at once behind a member
_PIECE_BYTES = 8 << 20  # of an object, for each request to S3
MAX_LINE_BYTES = 16 << 20
MAX_LINES = 200_000  # of a block: each that cannot be read costs microseconds, however short it is
_MAX_FILES = 1_000
_TRIES = 3
_PAUSE_SECONDS = 0.2
_GZIP, _ZSTD, _MAGIC_BYTES = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", 4


class BadFile(Exception):
    """A file that cannot be read (any further). The message names it, where, and what to do."""


class FileChanged(BadFile):
    """It is not the file any more that was begun."""


@dataclass(frozen=True, slots=True)
class FileId:
    """One file as it was found: where, which bytes (`version` changes with them), and how many."""

    place: str
    version: str
    size: int


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines: their bytes, at which place of the unpacked file they begin, and the number of their first line,
    from one on. `read` is how many bytes of the file itself it took up to here."""

    content: bytes
    offset: int
    line: int
    read: int

    @property
    def end(self) -> int:
        return self.offset + len(self.content)


def is_object(place: str) -> bool:
    """Whether a place is in S3, and no path of this machine."""
    return place.startswith(_S3)


def area_of(env_vars: Mapping[str, str]) -> str | None:
    """Where a function may read objects, as the template says (an ARN with the beginning of a key): s3://BUCKET/PREFIX,
    or "" for nowhere. None outside of Lambda, where users have credentials of their own."""
    arn = env_vars.get("PUSHER_BACKFILL_FILES")
    if arn is None:
        return "" if "AWS_LAMBDA_FUNCTION_NAME" in env_vars else None
    return f"{_S3}{arn.rpartition(':')[2]}" if arn.startswith("arn:") else ""


def check_area(place: str, area: str | None) -> None:
    """The function's role reads other objects too, as its config: they are no files. Raises BadFile."""
    if area is None or (area and place.rstrip("*").startswith(area)):
        return
    where = f"only {area}* is read" if area else "no bucket is read"
    raise BadFile(f"{place!r:.200}: {where} (parameters BackfillBucketArn and BackfillPrefix)")


class Files:
    """The files of S3, all or those of an `area`, and of this machine where `is_local`."""

    def __init__(self, objects: S3, *, is_local: bool, area: str | None = None) -> None:
        self._objects, self._is_local, self._area = objects, is_local, area

    def find(self, places: Sequence[str], deadline: float) -> list[FileId]:
        """Paths and s3:// addresses, with `*` (paths) or ending with `*` or `/` (S3) for several -> the files, in the
        order given, and by name where one stands for several. Raises BadFile."""
        found = [file for place in places for file in self._expanded(place, deadline)]
        if len(found) > _MAX_FILES:
            raise BadFile(f"{len(found)} files; {_MAX_FILES} are allowed at once")
        twice = [file.place for file in found if sum(other.place == file.place for other in found) > 1]
        if twice:
            raise BadFile(f"{twice[0]} is named twice")
        return found

    def _expanded(self, place: str, deadline: float) -> list[FileId]:
        if not is_object(place):
            return self._local(place)
        bucket, _, key = place.removeprefix(_S3).partition("/")
        if not bucket or not key:
            raise BadFile(f"{place!r:.200} is no object: s3://BUCKET/KEY is expected")
        check_area(place, self._area)
        try:
            several = key.endswith(("/", "*"))
            keys = self._objects.list(bucket, key.rstrip("*"), deadline) if several else [key]
            if not keys:
                raise BadFile(f"{place}: no object begins like this")
            return [self._object(bucket, one, deadline) for one in keys if not one.endswith("/")]
        except StoreError as error:
            raise BadFile(str(error)) from None

    def _object(self, bucket: str, key: str, deadline: float) -> FileId:
        found = self._objects.head(bucket, key, deadline)
        return FileId(f"{_S3}{bucket}/{key}", found.etag, found.size)

    def _local(self, place: str) -> list[FileId]:
        if not self._is_local:
            raise BadFile(f"{place!r:.200} is a file of some machine: a function reads s3://BUCKET/KEY")
        paths = sorted(glob.glob(place)) if glob.has_magic(place) and not os.path.exists(place) else [place]
        if not paths:
            raise BadFile(f"{place}: no file has such a name")
        try:
            folders = [path for path in paths if os.path.isdir(path)]
            if folders:
                raise BadFile(f"{folders[0]}: it is a directory; name its files, as {folders[0].rstrip('/')}/*")
            return [_local_id(path, os.stat(path)) for path in paths]
        except OSError as error:
            raise BadFile(f"{error.filename}: {error.strerror}") from None

    def blocks(
        self, file: FileId, deadline: float, start: int = 0, line: int = 1, most: int = BLOCK_BYTES, until: int = 0
    ) -> Iterator[Block]:
        """The lines of a file from byte `start` of the unpacked text on, which is where line number `line` begins,
        about `most` bytes and at most MAX_LINES at a time; with `until` the first block ends at that byte. `deadline`
        is monotonic seconds. Raises BadFile, and FileChanged when it is not the same file any more; what was given out
        before stands."""
        offset, rest, read = start, b"", 0
        for piece, read in self.pieces(file, deadline, start, most):
            rest += piece
            if offset + len(rest) < until:
                continue
            end = until - offset if offset < until else rest.rfind(b"\n") + 1
            if end == 0 and len(rest) > MAX_LINE_BYTES:
                raise BadFile(f"{file.place}, line {line}: it has more than {MAX_LINE_BYTES} bytes")
            if end:
                whole, rest = Block(rest[:end], offset, line, read), rest[end:]
                for block in [whole] if offset < until else _with_few_lines(whole, file):
                    yield block
                    offset, line = block.end, block.line + block.content.count(b"\n")
        if rest:
            yield Block(rest, offset, line, read)

    def pieces(
        self, file: FileId, deadline: float, start: int = 0, most: int = BLOCK_BYTES
    ) -> Iterator[tuple[bytes, int]]:
        """The unpacked text from byte `start` on, `most` bytes at most at a time, and how many bytes of the file it
        took. Raises BadFile."""
        is_packed = self._is_packed(file, deadline)
        position = 0 if is_packed else min(start, file.size)  # of a packed file all has to be unpacked
        unpacked = _Unpacked(self._pieces(file, deadline, position), file, position, deadline)
        for piece, read in unpacked if is_packed else unpacked.plain():
            begin, position = position, position + len(piece)
            for at in range(max(start - begin, 0), len(piece), most):  # what is before it is done already
                check_time(deadline, file.place)
                rest = 0 if is_packed else max(len(piece) - at - most, 0)
                yield piece[at : at + most], read - rest
        if position < start:
            raise FileChanged(f"{file.place}: it has {position} bytes, and {start} had been read before")

    def _is_packed(self, file: FileId, deadline: float) -> bool:
        first = next(self._pieces(file, deadline, 0, _MAGIC_BYTES), b"")
        return first.startswith((_GZIP, _ZSTD))

    def _pieces(self, file: FileId, deadline: float, at: int, most: int = _PIECE_BYTES) -> Iterator[bytes]:
        """The file's own bytes from `at` on."""
        in_s3 = is_object(file.place)
        yield from self._pieces_of_object(file, deadline, at, most) if in_s3 else _pieces_of_path(file, at)

    def _pieces_of_object(self, file: FileId, deadline: float, at: int, most: int) -> Iterator[bytes]:
        while at < file.size:
            piece = self._piece(file, at, most, deadline)
            if not piece:
                raise FileChanged(f"{file.place}: it has become shorter while it was read")
            yield piece
            at += len(piece)

    def _piece(self, file: FileId, at: int, most: int, deadline: float) -> bytes:
        bucket, _, key = file.place.removeprefix(_S3).partition("/")
        for tries_left in range(_TRIES - 1, -1, -1):
            try:
                return self._objects.get_range(bucket, key, at, most, file.version, deadline).content
            except Changed:
                raise FileChanged(f"{file.place}: it has changed since it was begun; start again") from None
            except StoreError as error:
                if not tries_left or time.monotonic() >= deadline:
                    raise BadFile(str(error)) from None
                time.sleep(_PAUSE_SECONDS)
        raise AssertionError("the last try has returned or raised")


def _with_few_lines(block: Block, file: FileId) -> Iterator[Block]:
    """The block in pieces. Only the last of them may have taken all of the file."""
    while block.content.count(b"\n") > MAX_LINES:
        rest = block.content.split(b"\n", MAX_LINES)[-1]
        content = block.content[: len(block.content) - len(rest)]
        yield Block(content, block.offset, block.line, min(block.read, file.size - 1))
        block = Block(rest, block.offset + len(content), block.line + MAX_LINES, block.read)
    yield block


def _local_id(path: str, status: os.stat_result) -> FileId:
    return FileId(path, f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}", status.st_size)


def _pieces_of_path(file: FileId, at: int) -> Iterator[bytes]:
    try:
        with Path(file.place).open("rb") as opened:
            opened.seek(at)
            while piece := opened.read(BLOCK_BYTES):
                _check_same(file, os.fstat(opened.fileno()))
                yield piece
            _check_same(file, os.fstat(opened.fileno()))
    except OSError as error:
        raise BadFile(f"{file.place}: {error.strerror or error}") from None


def _check_same(file: FileId, status: os.stat_result) -> None:
    if _local_id(file.place, status).version != file.version:
        raise FileChanged(f"{file.place}: it has changed since it was begun; start again")


def check_time(deadline: float, place: str) -> None:
    """A file may unpack to any size: time is looked at block by block. Raises BadFile."""
    if time.monotonic() >= deadline:
        raise BadFile(f"{place}: there was no time for more of it")


class _Unpacked:
    """The text of a file in blocks, each with how many of the file's own bytes it took up to there."""

    def __init__(self, pieces: Iterator[bytes], file: FileId, start: int, deadline: float) -> None:
        """`pieces` are those from byte `start` on."""
        self._pieces, self._file, self._read, self._deadline = pieces, file, start, deadline

    def plain(self) -> Iterator[tuple[bytes, int]]:
        """Of a file that is not packed."""
        for piece in self._pieces:
            self._read += len(piece)
            yield piece, self._read

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        """Of one that is packed with gzip or zstd, as its first bytes say. Only the last block has taken all of the
        file: a few bytes may unpack to any number of blocks. What comes before an error is given out."""
        parts, failed, parted = list[bytes](), None, self._parts()
        while failed is None:
            try:
                part = next(parted, b"")
            except BadFile as error:
                part, failed = b"", error
            if parts and (not part or sum(map(len, parts)) >= BLOCK_BYTES):
                is_last = not part and failed is None
                yield b"".join(parts), self._read if is_last else min(self._read, self._file.size - 1)
                parts = []
            if not part:
                break
            parts.append(part)
        if failed is not None:
            raise failed

    def _parts(self) -> Iterator[bytes]:
        first = next(self._pieces, b"")
        if first.startswith(_GZIP):
            yield from self._unpacked(first, "gzip", lambda: zlib.decompressobj(31), _gunzip)
        else:
            yield from self._unpacked(first, "zstd", _zstd_decompressor, _unzstd)

    def _unpacked(self, first: bytes, kind: str, new: Any, unpack: Any) -> Iterator[bytes]:
        """Members one after the other, as both formats allow. Raises BadFile."""
        decompressor, place = new(), self._file.place
        for piece in itertools.chain([first], self._pieces):
            self._read += len(piece)
            left = deque([piece])
            while left:
                check_time(self._deadline, place)
                data = left.popleft()
                if decompressor.eof:
                    if kind == "gzip" and not data.strip(b"\0"):  # what tape drives and some writers put behind
                        continue
                    decompressor = new()
                try:
                    yield from unpack(decompressor, data)
                except Exception as error:
                    raise BadFile(f"{place}: the {kind} is damaged near byte {self._read}: {error}") from None
                if decompressor.eof:
                    left.extendleft(reversed(_cut(decompressor.unused_data)))
        if not decompressor.eof:
            raise BadFile(f"{place}: the {kind} ends early, after {self._read} bytes: it may be cut off")


def _cut(data: bytes) -> list[bytes]:
    """What follows a member, in pieces: another one that ends among them leaves the rest of its own to be copied."""
    return [data[at : at + _PACKED_BYTES] for at in range(0, len(data), _PACKED_BYTES)]


def _gunzip(decompressor: Any, data: bytes) -> Iterator[bytes]:
    while data:
        unpacked = decompressor.decompress(data, BLOCK_BYTES)
        if unpacked:
            yield unpacked
        data = decompressor.unconsumed_tail
        if decompressor.eof:
            return


def _zstd_decompressor() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]  # of Python 3.14
    except ImportError:
        from backports import zstd  # type: ignore[no-redef,unused-ignore]
    return zstd.ZstdDecompressor()


def _unzstd(decompressor: Any, data: bytes) -> Iterator[bytes]:
    while True:
        unpacked = decompressor.decompress(data, BLOCK_BYTES)
        if unpacked:
            yield unpacked
        data = b""
        if decompressor.eof or decompressor.needs_input:
            return
