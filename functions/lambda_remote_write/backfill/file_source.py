"""Files as a source: records of a job in JSON or CSV, or samples in OpenMetrics or Prometheus text."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..model.scrape import Scrape
from .files import BadFile, Block, FileId, Files, is_object
from .json_records import TABLE_BYTES, RecordMapper, Table, elements
from .source import Mark, Part, SourceFailed, unlisted_states, within
from .text_records import Resolve, TextFile

RECORDS = ("json", "ndjson", "csv")
TEXTS = ("openmetrics", "prometheus")
FORMATS = (*RECORDS, *TEXTS)
_ENDINGS = {
    ".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson", ".csv": "csv", ".om": "openmetrics",
    ".openmetrics": "openmetrics", ".prom": "prometheus", ".txt": "prometheus",
}  # fmt: skip


def format_of(place: str) -> str:
    """The format by the name of a file, "" when it is unknown."""
    name = place.removesuffix(".gz").removesuffix(".zst")
    return next((kind for ending, kind in _ENDINGS.items() if name.endswith(ending)), "")


@dataclass(frozen=True, slots=True)
class Meaning:
    """How to read files: `resolve` maps labels to series; `mapper` reads records, if a job is given."""

    resolve: Resolve
    mapper: RecordMapper | None = None


class FileSource:
    """Files, read one after the other."""

    def __init__(
        self, files: Files, found: Sequence[tuple[FileId, str]], meaning: Meaning,
        span: tuple[int | None, int | None], now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        """`found` are the files, each with its format; `span` is the wanted time range in milliseconds, both ends
        included."""
        self._files, self._meaning, self._span, self._now_ms = files, meaning, span, now_ms
        self._found, self._kinds = [file for file, _ in found], [kind for _, kind in found]
        self._text: TextFile | None = None  # of the file that is being read

    @property
    def identity(self) -> list[str]:
        return [f"{file.place} {file.version}" for file in self._found]

    @property
    def windows(self) -> int | None:
        return None

    def forget(self) -> None:
        for one in (self._meaning.mapper, self._text):
            if one is not None:
                one.forget()

    def place(self, mark: Mark) -> str:
        where = f"line {mark.line}" if self._kinds[mark.file] != "json" else f"byte {mark.at}"
        return f"{self._found[mark.file].place}, from {where} on"

    def parts(self, mark: Mark, deadline: float, until: Mark | None = None) -> Iterator[Part]:
        readers = {"json": self._of_array, "csv": self._of_table}
        try:
            for number in range(mark.file, len(self._found)):
                begin = mark if number == mark.file else Mark(file=number)
                end = until.at if until is not None and until.file == number else 0
                parts = readers.get(self._kinds[number], self._of_lines)(number, begin, deadline, end)
                yield from map(self._limited, parts)
        except BadFile as error:
            raise SourceFailed(str(error)) from None

    def _limited(self, part: Part) -> Part:
        start_ms, end_ms = self._span
        part.samples = within(part.samples, start_ms, end_ms, part.skipped, f"{part.where}: not in the range")
        return part

    def _share(self, number: int, read: int) -> float:
        """How much of all files has been read, with `read` bytes of this one."""
        before = sum(file.size for file in self._found[:number])
        return min((before + read) / max(sum(file.size for file in self._found), 1), 1.0)

    def _part(self, number: int, where: str, after: Mark, read: int, scrape: Scrape) -> Part:
        share = self._share(number, read)
        notes = unlisted_states(scrape, where, quoting=not is_object(where))
        return Part(where, after, share, scrape.samples, scrape.skipped, scrape.dropped, scrape.records, notes=notes)

    def _mapper_for(self, file: FileId) -> RecordMapper:
        """Raises BadFile."""
        if self._meaning.mapper is None:
            raise BadFile(f"{file.place}: records need a job that says how to read them")
        return self._meaning.mapper

    def _scrape(self) -> Scrape:
        return Scrape("", "", self._now_ms())

    # formats; with `until` the first part ends at that byte of the decompressed text

    def _of_lines(self, number: int, begin: Mark, deadline: float, until: int) -> Iterator[Part]:
        file = self._found[number]
        text = self._text = self._text_file(number, begin)
        line = begin.line
        for block in self._files.blocks(file, deadline, begin.at, begin.line, until=until):
            scrape = self._scrape()
            if text is not None:
                scrape.samples = text.read(block.content, block.line, scrape.skipped, scrape.dropped)
                scrape.records = len(scrape.samples)
            else:
                self._mapper_for(file).lines(block, scrape, file.place, self._now_ms())
            line = block.next_line + (not block.content.endswith(b"\n"))
            where = f"{file.place}, lines {block.line} to {line - 1}"
            after = Mark(block.end, number, line, text.state if text is not None else ())
            yield self._part(number, where, after, block.read, scrape)
        if line == 1 and not begin.at:
            yield Part(file.place, Mark(file=number), self._share(number, 0), notes=[f"{file.place}: it is empty"])
            return
        wrong = text.close(line) if text is not None else ""
        if wrong:
            raise BadFile(wrong)

    def _text_file(self, number: int, begin: Mark) -> TextFile | None:
        """A reader for a text format; None for records."""
        kind = self._kinds[number]
        if kind not in TEXTS:
            return None
        place, is_openmetrics = self._found[number].place, kind == "openmetrics"
        return TextFile(self._meaning.resolve, place, is_openmetrics=is_openmetrics, family=begin.family)

    def _of_array(self, number: int, begin: Mark, deadline: float, until: int) -> Iterator[Part]:
        file, mapper = self._found[number], self._mapper_for(self._found[number])
        pieces = self._files.pieces(file, deadline, begin.at)
        for some in elements(pieces, begin.at, file.place, until):
            scrape, where = self._scrape(), f"{file.place}, up to byte {some.end}"
            read = mapper.document if some.is_whole else mapper.array
            read(some.content, scrape, where, self._now_ms())
            yield self._part(number, where, Mark(some.end, number), some.read, scrape)

    def _of_table(self, number: int, begin: Mark, deadline: float, until: int) -> Iterator[Part]:
        file, mapper = self._found[number], self._mapper_for(self._found[number])
        header, blocks = self._rows_of(file, begin, deadline, mapper.table, until)
        for rows in mapper.table.rows(header, blocks, file.place):
            block, scrape = rows.block, self._scrape()
            where = f"{file.place}, lines {block.line} to {block.next_line - 1}"
            scrape.skipped = rows.skipped
            mapper.columns(rows.columns, scrape, where, self._now_ms())
            yield self._part(number, where, Mark(block.end, number, block.next_line), block.read, scrape)

    def _rows_of(
        self, file: FileId, begin: Mark, deadline: float, table: Table, until: int
    ) -> tuple[list[str], Iterator[Block]]:
        """The header of a table, which is always read, and its rows from a mark on."""
        blocks = self._files.blocks(file, deadline, most=TABLE_BYTES, until=0 if begin.at else until)
        first = next(blocks, None)
        if first is None:
            raise BadFile(f"{file.place}: it is empty; a table begins with a header")
        header, rest = table.header(first, file.place)
        if begin.at <= rest.offset:
            return header, itertools.chain([rest] if rest.content else [], blocks)
        return header, self._files.blocks(file, deadline, begin.at, begin.line, TABLE_BYTES, until)
