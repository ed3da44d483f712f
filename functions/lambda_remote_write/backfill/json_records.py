"""JSON and CSV files -> samples by a job's metrics. JSON files hold saved answers of the API (one array, or a document
or record on each line); the columns of a CSV file are the fields of the job's records."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from ..config.expression_context import Columns, Document
from ..config.expression_words import Scope
from ..config.schema import JsonJob
from ..json_api.decode import NotJson, decode, evaluation, record_reader
from ..json_api.mapping import JobMapper
from ..json_api.values import InexactNumber, ScrapeFailed
from ..model.drop_reasons import DropReason
from ..model.reason_counts import ANYTHING, ReasonCounts
from ..model.samples import Intern
from ..model.scrape import Scrape
from ..scrape.targets import url_target
from ..series.label_limits import LimitCrossed
from .files import MAX_LINE_BYTES, BadFile, Block, is_object
from .unquoted import detail_of

MAX_DOCUMENT_BYTES = 50_000_000
TABLE_BYTES = 512 << 10  # of a table in one read: its rows are short, and each becomes a list
_MAX_CONTAINERS, _MAX_COMMAS = 1_000_000, 5_000_000  # in one piece: some 250 MB of objects
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_STRUCTURE = re.compile(  # a lone " begins a string that goes on
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL
)
_BOM = b"\xef\xbb\xbf"
_RECORD = re.compile(r", record \d+")
_LAST_RECORD = re.compile(rb"\}\s*(,)")
_JSON_FLOATS = msgspec.json.Decoder(list[float]).decode
_JSON_INTEGERS = msgspec.json.Decoder(list[int]).decode
_CHECKED = msgspec.json.Decoder(list[msgspec.Raw]).decode  # does not decode the elements


class RecordMapper:
    """Maps records of one job to samples; remembers the series of each. `table` reads those of a CSV file."""

    def __init__(self, job: JsonJob, intern: Intern, columns: Mapping[str, str]) -> None:
        """`columns` maps column headers to fields of the job's records."""
        self.table = Table(job, columns)
        self.job = replace(job, pagination=None, limits=replace(job.limits, sample_limit=0))
        self._intern = intern
        self._labels = url_target(job).labels
        self._mapper = JobMapper(self.job, self._labels, intern)
        self._reader = record_reader(self.job)
        first = self.job.metrics[0].records.steps[0] if self.job.metrics else None
        self._is_record = first is not None and first.path == ()  # a line holds a record, not a document
        self._run = 0

    def forget(self) -> None:
        """Forgets all series."""
        exact, self._mapper = self._mapper.exact, JobMapper(self.job, self._labels, self._intern)
        self._mapper.exact = exact

    # one piece of a file

    def array(self, content: bytes, scrape: Scrape, where: str, now_ms: int) -> None:
        """Elements of an array, as an array. Raises BadFile."""
        _check_size(content, where)
        columns = self._reader.read(content, "") if self._reader else None
        found = columns or self._decoded(content, where)
        documents: Sequence[Any] = [found] if columns or self._is_record else found  # type: ignore[assignment]
        self._map(documents, scrape, where, now_ms, lambda: decode(content, exact=True))

    def document(self, content: bytes, scrape: Scrape, where: str, now_ms: int) -> None:
        """A whole answer of the API. Raises BadFile."""
        _check_size(content, where)
        found = self._decoded(content, where)
        self._map([found], scrape, where, now_ms, lambda: [decode(content, exact=True)])

    def _decoded(self, content: bytes, where: str) -> object:
        """Raises BadFile."""
        try:
            return decode(content, exact=self._mapper.exact)
        except NotJson as error:
            raise BadFile(f"{where}: {_what(error, where)}") from None

    def lines(self, block: Block, scrape: Scrape, place: str, now_ms: int) -> None:
        """A record or a document a line; a line that is not JSON is skipped. Raises BadFile."""
        where = f"{place}, from line {block.line} on"
        content = block.content.strip()
        if not content:
            return
        count = content.count(b"\n") + 1
        if self._reader is not None:
            columns = self._reader.read(b"[%b]" % content.replace(b"\n", b","), "")
            if columns is not None and columns.count == count:  # else two lines made one record
                self._map([columns], scrape, where, now_ms, list)
                return
        found = list(_decoded_lines(block, place, scrape.skipped, exact=self._mapper.exact))
        self._map(
            [found] if self._is_record else found, scrape, where, now_ms,
            lambda: list(_decoded_lines(block, place, ReasonCounts(), exact=True)),
        )  # fmt: skip

    def columns(self, columns: Columns, scrape: Scrape, where: str, now_ms: int) -> None:
        """Rows of a table, by column. Raises BadFile."""
        if self._reader is not None:
            self._map([columns], scrape, where, now_ms, list)
            return
        names = list(columns.fields)
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.fields.values(), strict=True)]
        records = [_nested(row, self.table.fields) for row in rows]
        self._map([records] if self._is_record else records, scrape, where, now_ms, lambda: records)

    def _answers(self, documents: Sequence[Any], now_ms: int) -> list[Document]:
        """Documents with what expressions may ask about them: a file has no headers, and is a good answer."""
        shared = evaluation(self.job.limits.body_size_bytes, now_ms, exact=self._mapper.exact)
        return [Document(value, evaluation=shared) for value in documents]

    def _map(self, documents: Sequence[Any], scrape: Scrape, where: str, now_ms: int, exact: Any) -> None:
        self._run += 1
        try:
            try:
                self._mapper.map(self._answers(documents, now_ms), scrape, self._run, now_ms)
            except InexactNumber:
                self._mapper.exact = True  # from now on without a first attempt
                again = exact()
                documents = self._answers([again] if self._is_record else again, now_ms)
                self._mapper.map(documents, scrape, self._run, now_ms)
        except ScrapeFailed as error:
            is_label = isinstance(error.__context__, LimitCrossed) and is_object(where)
            raise BadFile(f"{where}: {'a label limit of the job is exceeded' if is_label else error}") from None
        for reasons in (scrape.skipped, scrape.dropped):
            for reason, examples in reasons.examples.items():
                examples.update({of: _placed(where, reason, of, detail) for of, detail in examples.items()})


def _placed(where: str, reason: str, subject: str, detail: str) -> str:
    """An example with its place, which the mapper does not know. `subject` is its metric, if any."""
    unquoted = detail_of(where, reason, detail)
    if unquoted is detail:
        return f"{where}: {detail}" if detail.startswith("metric ") else detail
    if subject == ANYTHING:
        return f"{where}: {unquoted}"
    record = _RECORD.match(detail, len(f"metric {subject}"))
    return f"{where}: metric {subject}{record[0] if record else ''}: {unquoted}"


def _what(error: NotJson, place: str) -> str:
    """Where a text is not JSON; for a local file also how it begins."""
    return str(error).partition("; ")[0] if is_object(place) else str(error)


def _check_size(content: bytes, where: str) -> None:
    """JSON may take many times its size in memory. Raises BadFile."""
    if content.count(b"[") + content.count(b"{") > _MAX_CONTAINERS or content.count(b",") > _MAX_COMMAS:
        bare = _TEXT.sub(b"", content)  # strings may hold any number of them
        _check_counts(bare.count(b"[") + bare.count(b"{"), bare.count(b","), where)


def _check_counts(containers: int, commas: int, where: str) -> None:
    if containers > _MAX_CONTAINERS or commas > _MAX_COMMAS:
        detail = f"more than {_MAX_CONTAINERS} lists and objects, or {_MAX_COMMAS} values, in one document or element"
        raise BadFile(f"{where}: {detail}")


def _decoded_lines(block: Block, place: str, skipped: ReasonCounts, *, exact: bool) -> Iterator[Any]:
    for number, line in enumerate(block.content.split(b"\n"), block.line):
        text = line.strip()
        if not text:
            continue
        try:
            yield decode(text, exact=exact)
        except NotJson as error:
            skipped.add(DropReason.NOT_JSON, f"{place}, line {number}: {_what(error, place)}")


def _nested(row: Mapping[str, Any], fields: Container[str]) -> dict[str, Any]:
    """A row as a record; a header that is no field may be a path: `a.b` is the field b of a."""
    record: dict[str, Any] = {}
    for name, value in row.items():
        *path, last = [name] if name in fields else name.split(".")
        inner = record
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return record


# --- Arrays -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Elements:
    """Some elements of an array, as an array; with `is_whole` a document that is not an array. The next elements begin
    at byte `end` of the decompressed text; `read` counts bytes of the file."""

    content: bytes
    end: int
    read: int
    is_whole: bool = False


def elements(pieces: Iterable[tuple[bytes, int]], start: int, place: str, until: int = 0) -> Iterator[Elements]:
    """Yields the elements of a JSON array (or another document) from byte `start` on, many at a time. With `until` the
    first ones end at that byte. Raises BadFile."""
    rest, at, read, is_array, boundaries = b"", start, 0, start > 0, _Boundaries(place)
    for piece, read in pieces:
        rest += piece
        if not is_array:
            opened = _opened(rest)
            if opened is None:
                if len(rest) > MAX_DOCUMENT_BYTES:
                    raise BadFile(f"{place}: a document that is not an array has at most {MAX_DOCUMENT_BYTES} bytes")
                continue
            is_array, at, rest = True, opened, rest[opened:]
        cut = _comma_before(rest, until - at) if at < until else boundaries.last(rest)
        if cut is None:
            if len(rest) > MAX_DOCUMENT_BYTES:
                raise BadFile(f"{place}, byte {at}: an element of the array has more than {MAX_DOCUMENT_BYTES} bytes")
            continue
        yield Elements(b"[%b]" % rest[:cut], at + cut + 1, read)
        at, rest, boundaries = at + cut + 1, rest[cut + 1 :], _Boundaries(place)
    if not is_array:
        yield Elements(rest, at + len(rest), read, is_whole=True)
        return
    last = rest.rstrip()
    if not last.endswith(b"]"):
        raise BadFile(f"{place}: the array does not end with ]: the file may be cut off")
    yield Elements(b"[%b" % last, at + len(rest), read)


def _comma_before(text: bytes, end: int) -> int | None:
    """The place of the comma just before `end`; None when the text is shorter or ends there."""
    return end - 1 if text[end - 1 : end] == b"," else None


def _opened(text: bytes) -> int | None:
    """Where the elements of an array begin; None for another document."""
    begin = text.removeprefix(_BOM).lstrip()
    return len(text) - len(begin) + 1 if begin.startswith(b"[") else None


class _Boundaries:
    """Finds where elements of an array end in a growing text, without scanning any byte repeatedly."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._at, self._depth, self._last = 0, 0, None  # type: int, int, int | None
        self._containers, self._commas = 0, 0

    def last(self, text: bytes) -> int | None:
        """The place of the last comma between two elements, None when none is known. Raises BadFile."""
        found = None
        for found in _LAST_RECORD.finditer(text, max(len(text) - 100_000, 0)):  # noqa: B007 - the last match is needed
            pass
        if found is not None:
            try:
                _CHECKED(b"[%b]" % text[: found.start(1)])
                return found.start(1)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # inside an element or a string
                pass
        self._look_on(text)
        return self._last

    def _look_on(self, text: bytes) -> None:
        for token in _STRUCTURE.finditer(text, self._at):
            byte = token[0]
            if byte in (b"{", b"["):
                self._depth += 1
                self._containers += 1
            elif byte in (b"}", b"]"):
                self._depth -= 1
                if self._depth < 0:  # the end of the array
                    self._at = len(text)
                    return
            elif byte == b",":
                self._commas += 1
                if self._depth == 0:
                    self._last = token.start()
            elif byte == b'"':
                self._at = token.start()
                return
        self._at = len(text)
        if self._last is None:
            _check_counts(self._containers, self._commas, self._place)


# --- Tables -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a block, by column. `skipped` counts those that cannot be read."""

    columns: Columns
    block: Block
    skipped: ReasonCounts


class Table:
    """A CSV file with a header. `renamed` maps headers to the fields of the job's records."""

    def __init__(self, job: JsonJob, renamed: Mapping[str, str]) -> None:
        self._renamed = renamed
        used = [(one, False) for metric in job.metrics for _, one in metric.text_columns]
        used += [(metric.value, True) for metric in job.metrics]
        used += [(metric.timestamp.path, True) for metric in job.metrics if metric.timestamp]
        fields = [(one.path[0], needed) for one, needed in used if one.scope is Scope.RECORD and one.path]
        self._needed = {name for name, needed in fields if needed}
        self._labels = {name for name, needed in fields if not needed}
        self._states = {name for metric in job.metrics if metric.states for name in metric.value.path or ()}
        self.fields = self._needed | self._labels
        # A function may read any column.
        self._reads_all = any(one.path is None and one.scope is not Scope.CONSTANT for one, _ in used)

    def rows(self, header: Sequence[str], blocks: Iterator[Block], place: str) -> Iterator[Rows]:
        """Yields the rows of the blocks after the header. Raises BadFile."""
        for block in _closed(blocks):
            skipped = ReasonCounts()
            yield Rows(self._columns(header, self._cells(block, header, place, skipped)), block, skipped)

    def header(self, block: Block, place: str) -> tuple[list[str], Block]:
        """The names of the columns, and the rest of a file's first block. Raises BadFile."""
        lines = block.content.splitlines(keepends=True)  # a cell in quotes may have several
        text, _ = _text(block.content.removeprefix(_BOM))
        reader = csv.reader(io.StringIO(text, newline=""))
        try:
            row = next(reader, [])
        except csv.Error as error:
            raise BadFile(f"{place}, line 1: the header cannot be read: {error}") from None
        if any(map(_is_broken, row)):
            raise BadFile(f"{place}, line 1: not UTF-8")
        end = sum(map(len, lines[: reader.line_num]))
        header = [self._renamed.get(cell.strip(), cell.strip()) for cell in row]
        strange = [name for name in self._renamed if name not in map(str.strip, row)]
        has = f"{len(row)} columns" if is_object(place) else ", ".join(map(repr, row))[:200]
        if strange:
            raise BadFile(f"{place}, line 1: no column {strange[0]!r}, which columns names; it has {has}")
        missing = sorted(self.fields - {name.partition(".")[0] for name in header} - set(header))
        if missing:
            looks = " (it looks like data: has the file a header?)" if any(map(_is_number, row)) else ""
            looks += "; cells are separated by commas" if len(row) == 1 and set(row[0]) & set(";\t|") else ""
            detail = f"no column {missing[0]!r}; it has {has}{looks}"
            raise BadFile(f"{place}, line 1: {detail}; columns maps headers to the job's fields")
        twice = [name for name in header if header.count(name) > 1]
        if twice:
            named = "alike" if is_object(place) else repr(twice[0])
            raise BadFile(f"{place}, line 1: two columns are named {named}")
        return header, Block(
            block.content[end:], block.offset + end, 1 + block.content.count(b"\n", 0, end), block.read
        )

    def _cells(self, block: Block, header: Sequence[str], place: str, skipped: ReasonCounts) -> list[list[str]]:
        """The rows of a block that have a cell for each column. Others are skipped and counted."""
        text, is_whole = _text(block.content)
        reader, rows, length = csv.reader(io.StringIO(text, newline="")), list[list[str]](), len(header)
        while True:
            try:
                for row in reader:
                    if len(row) == length and (is_whole or not any(map(_is_broken, row))):
                        rows.append(row)
                    elif row:
                        where = f"{place}, line {block.line + reader.line_num - 1}"
                        skipped.add(*_what_is_wrong(row, length, where))
                return rows
            except csv.Error as error:
                skipped.add(DropReason.BAD_LINE, f"{place}, line {block.line + reader.line_num - 1}: {error}")

    def _columns(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Columns:
        fields: dict[str, list[Any]] = {}
        columns = zip(*rows, strict=True) if rows else [()] * len(header)
        for name, cells in zip(header, columns, strict=True):
            if not self._reads_all and not {name, name.partition(".")[0]} & self.fields:
                continue
            fields[name] = self._values(name, cells)
        return Columns(len(rows), fields)

    def _values(self, name: str, cells: Sequence[str]) -> list[Any]:
        """A column: as labels text, as values numbers, or the states of a stateset, of which an empty cell is none."""
        if name in self._labels or name not in self._needed:
            return list(cells)
        return [cell or None for cell in cells] if name in self._states else _numbers(cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(cells: Sequence[str]) -> list[Any]:
    """Cells as numbers if all of them are; else as text, with None for an empty one."""
    joined = ",".join(cells).encode()
    if joined.count(b",") == len(cells) - 1:
        for read in (_JSON_INTEGERS, _JSON_FLOATS):
            try:
                return read(b"[%b]" % joined)
            except msgspec.MsgspecError:
                pass
    return [cell.strip() or None for cell in cells]


def _closed(blocks: Iterator[Block]) -> Iterator[Block]:
    """Blocks that end outside of quotes, because a quoted cell may contain line breaks."""
    rest: Block | None = None
    for block in blocks:
        whole = Block(rest.content + block.content, rest.offset, rest.line, block.read) if rest else block
        cut = _end_outside_of_quotes(whole.content)
        if len(whole.content) - cut > MAX_LINE_BYTES:  # a stray quotation mark, somewhere
            cut = len(whole.content)
        if cut:
            yield Block(whole.content[:cut], whole.offset, whole.line, whole.read)
        left, line = whole.content[cut:], whole.line + whole.content.count(b"\n", 0, cut)
        rest = Block(left, whole.offset + cut, line, whole.read) if left else None
    if rest is not None:
        yield rest


def _end_outside_of_quotes(content: bytes) -> int:
    """The end of the last line that ends outside of quotes: where the number of quotation marks is even."""
    end, is_inside = len(content), content.count(b'"') % 2
    while end and is_inside:
        quote = content.rfind(b'"', 0, end)  # lines without one change nothing
        start = content.rfind(b"\n", 0, quote) + 1
        is_inside ^= content.count(b'"', start, end) % 2
        end = start
    return end


def _text(content: bytes) -> tuple[str, bool]:
    """The text, and whether all of it is UTF-8; other bytes become surrogates, so that their cells can be found."""
    try:
        return content.decode(), True
    except UnicodeDecodeError:
        return content.decode(errors="surrogateescape"), False


def _is_broken(cell: str) -> bool:
    return any("\udc80" <= letter <= "\udcff" for letter in cell)


def _what_is_wrong(row: Sequence[str], length: int, where: str) -> tuple[str, str]:
    """(reason, detail) of a skipped row."""
    if len(row) != length:
        return DropReason.ROW_LENGTH, f"{where}: {len(row)} cells, and the header has {length}"
    return DropReason.BAD_LINE, f"{where}: not UTF-8"
