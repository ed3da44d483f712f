"""Files to backfill from, on this machine or in S3: finds them, decompresses them, cuts them into whole lines, and
notices changes. Reads in pieces, so that the size of a file does not matter."""

from __future__ import annotations

import glob
import io
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zlib_ng import gzip_ng

from ..aws.s3 import S3
from ..store import Changed, StoreError

BLOCK_BYTES = 2 << 20  # of text in one read
_S3 = "s3://"
_PIECE_BYTES = 8 << 20  # of an object in each request to S3
MAX_LINE_BYTES = 16 << 20
MAX_LINES = 200_000  # in a block: each unreadable line costs microseconds, however short it is
_MAX_FILES = 1_000
_TRIES = 3
_PAUSE_SECONDS = 0.2
_MAGIC, _MAGIC_BYTES = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}, 4


class BadFile(Exception):
    """A file cannot be read, or not any further. The message names the file, the place, and what to do."""


@dataclass(frozen=True, slots=True)
class FileId:
    """One file as it was found: its place, a `version` that changes with its content, and its size in bytes."""

    place: str
    version: str
    size: int


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines. `offset` is where they begin in the decompressed file, `line` the number of the first one, from 1
    on. `read` is how many bytes of the file itself have been read up to here."""

    content: bytes
    offset: int
    line: int
    read: int

    @property
    def end(self) -> int:
        return self.offset + len(self.content)

    @property
    def next_line(self) -> int:
        return self.line + self.content.count(b"\n")


def is_object(place: str) -> bool:
    """Whether a place is in S3, not a path on this machine."""
    return place.startswith(_S3)


def area_of(env_vars: Mapping[str, str]) -> str | None:
    """Where the function may read objects: the template's ARN with a key prefix as s3://BUCKET/PREFIX, or "" for
    nowhere. None outside of Lambda, where users have credentials of their own."""
    arn = env_vars.get("PUSHER_BACKFILL_FILES")
    if arn is None:
        return "" if "AWS_LAMBDA_FUNCTION_NAME" in env_vars else None
    return f"{_S3}{arn.rpartition(':')[2]}" if arn.startswith("arn:") else ""


def check_area(place: str, area: str | None) -> None:
    """Raises BadFile outside of the area. The role may read other objects too, as the config: they must not be read."""
    if area is None or (area and place.rstrip("*").startswith(area)):
        return
    where = f"only {area}* is read" if area else "no bucket is read"
    raise BadFile(f"{place!r:.200}: {where} (parameters BackfillBucketArn and BackfillPrefix)")


class Files:
    """The files in S3, all or those of an `area`, and with `is_local` those of this machine."""

    def __init__(self, objects: S3, *, is_local: bool, area: str | None = None) -> None:
        self._objects, self._is_local, self._area = objects, is_local, area

    def find(self, places: Sequence[str], deadline: float) -> list[FileId]:
        """Paths, which may have `*`, and s3:// addresses, which may end with `*` or `/`, -> the files in the given
        order; those of one pattern by name. Raises BadFile."""
        found = [file for place in places for file in self._expanded(place, deadline)]
        if len(found) > _MAX_FILES:
            raise BadFile(f"{len(found)} files; {_MAX_FILES} are allowed at once")
        for place, count in Counter(file.place for file in found).items():
            if count > 1:
                raise BadFile(f"{place} is named twice")
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
                raise BadFile(f"{place}: no object has this prefix")
            heads = {one: self._objects.head(bucket, one, deadline) for one in keys if not one.endswith("/")}
            return [FileId(f"{_S3}{bucket}/{one}", head.etag, head.size) for one, head in heads.items()]
        except StoreError as error:
            raise BadFile(str(error)) from None

    def _local(self, place: str) -> list[FileId]:
        if not self._is_local:
            raise BadFile(f"{place!r:.200} is a local path: a function reads s3://BUCKET/KEY")
        paths = sorted(glob.glob(place)) if glob.has_magic(place) and not os.path.exists(place) else [place]
        if not paths:
            raise BadFile(f"{place}: no file matches")
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
        """Yields the lines of a file from byte `start` of the decompressed text on, where line number `line` begins, in
        blocks of about `most` bytes and at most MAX_LINES. With `until` the first block ends at that byte. `deadline`
        is monotonic seconds. Raises BadFile, also when the file has changed; earlier blocks are valid."""
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
                    offset, line = block.end, block.next_line
        if rest:
            yield Block(rest, offset, line, read)

    def pieces(
        self, file: FileId, deadline: float, start: int = 0, most: int = BLOCK_BYTES
    ) -> Iterator[tuple[bytes, int]]:
        """Yields the decompressed text from byte `start` on, at most `most` bytes at a time, each with the bytes of the
        file read so far. Raises BadFile."""
        magic = next(self._pieces(file, deadline, 0, _MAGIC_BYTES), b"")
        packed = next((kind for kind, begin in _MAGIC.items() if magic.startswith(begin)), "")
        position = 0 if packed else min(start, file.size)  # a compressed file is decompressed from its beginning
        stored = self._pieces(file, deadline, position)
        for piece, read in _unpacked(packed, stored, file, deadline) if packed else _plain(stored, position):
            begin, position = position, position + len(piece)
            for at in range(max(start - begin, 0), len(piece), most):  # skips what was read before
                check_time(deadline, file.place)
                rest = 0 if packed else max(len(piece) - at - most, 0)
                yield piece[at : at + most], read - rest
        if position < start:
            raise BadFile(f"{file.place}: it has {position} bytes, and {start} had been read before")

    def _pieces(self, file: FileId, deadline: float, at: int, most: int = _PIECE_BYTES) -> Iterator[bytes]:
        """The bytes of the file as stored, from `at` on."""
        in_s3 = is_object(file.place)
        yield from self._pieces_of_object(file, deadline, at, most) if in_s3 else _pieces_of_path(file, at)

    def _pieces_of_object(self, file: FileId, deadline: float, at: int, most: int) -> Iterator[bytes]:
        while at < file.size:
            piece = self._piece(file, at, most, deadline)
            if not piece:
                raise BadFile(f"{file.place}: it became shorter while it was read")
            yield piece
            at += len(piece)

    def _piece(self, file: FileId, at: int, most: int, deadline: float) -> bytes:
        bucket, _, key = file.place.removeprefix(_S3).partition("/")
        for tries_left in range(_TRIES - 1, -1, -1):
            try:
                return self._objects.get_range(bucket, key, at, most, file.version, deadline).content
            except Changed:
                raise BadFile(f"{file.place}: it has changed since it was begun; start again") from None
            except StoreError as error:
                if not tries_left or time.monotonic() >= deadline:
                    raise BadFile(str(error)) from None
                time.sleep(_PAUSE_SECONDS)
        raise AssertionError("the last try has returned or raised")


def _with_few_lines(block: Block, file: FileId) -> Iterator[Block]:
    """Cuts a block by MAX_LINES. Only the last piece may count as the end of the file."""
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
        raise BadFile(f"{file.place}: it has changed since it was begun; start again")


def check_time(deadline: float, place: str) -> None:
    """Called for each block, because a file may decompress to any size. Raises BadFile."""
    if time.monotonic() >= deadline:
        raise BadFile(f"{place}: there was no time for more of it")


class _Stored(io.RawIOBase):
    """The bytes of a file as they are stored, as a stream; `taken` counts those that were read from it."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._piece, self.taken = pieces, memoryview(b""), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._piece = self._piece or memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(self._piece))
        buffer[:count], self._piece = self._piece[:count], self._piece[count:]
        self.taken += count
        return count


def _plain(stored: Iterator[bytes], read: int) -> Iterator[tuple[bytes, int]]:
    """The pieces of an uncompressed file, each with the bytes of the file read up to there."""
    for piece in stored:
        read += len(piece)
        yield piece, read


def _unpacked(kind: str, pieces: Iterator[bytes], file: FileId, deadline: float) -> Iterator[tuple[bytes, int]]:
    """The text of a file in gzip or zstd, member after member, in blocks with the bytes of the file read up to there.
    Only the last block counts as the end of the file, because a few bytes may decompress to any number of blocks. Text
    before an error is yielded before the error is raised. Raises BadFile."""
    stored, parts, failed = _Stored(pieces), list[bytes](), None
    unpacking = _gzip_file(stored) if kind == "gzip" else _zstd_file(stored)
    is_over = False
    while not is_over:
        part = b""
        try:
            check_time(deadline, file.place)
            part = unpacking.read1(BLOCK_BYTES)
        except BadFile as error:
            failed = error
        except EOFError:
            failed = BadFile(f"{file.place}: the {kind} ends early, after {stored.taken} bytes: it may be cut off")
        except Exception as error:
            detail = str(error).partition(" (")[0]  # gzip quotes what it finds instead of a member
            failed = BadFile(f"{file.place}: the {kind} is damaged near byte {stored.taken}: {detail}")
        parts.append(part)
        is_over = not part
        if sum(map(len, parts)) >= (1 if is_over else BLOCK_BYTES):
            is_last = is_over and failed is None
            yield b"".join(parts), stored.taken if is_last else min(stored.taken, file.size - 1)
            parts = []
    if failed is not None:
        raise failed


def _gzip_file(stored: _Stored) -> Any:
    return gzip_ng.GzipNGFile(fileobj=stored, mode="rb")  # type: ignore[no-untyped-call]


def _zstd_file(stored: _Stored) -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]  # of Python 3.14
    except ImportError:
        from backports import zstd  # type: ignore[no-redef,unused-ignore]
    return zstd.ZstdFile(stored)
