"""CSV (RFC 4180, and its dialects) -> records: objects of texts, in which an empty cell is null."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from ..config.schema import CsvOptions

_SEPARATORS = "\t|;,"  # the rarest in a cell first: a comma may be that of a number or a name
_TAB_TYPE = "text/tab-separated-values"
MAX_CELLS = 2_000_000  # of one body: each takes about 100 bytes of memory, where it may take two in the body
_SHOWN_NAMES = 3
_QUOTED = re.compile(r'"[^"]*"?')
_EXCEL = re.compile(r"sep=(.)\r?\n")  # a first line that names the delimiter
Record = dict[str, str | None]


class BadCsv(ValueError):
    """A text that is no CSV; the message names the line."""


def records(text: str, options: CsvOptions, content_type: str) -> tuple[list[Record], int, str]:
    """The records, how many others are left out, and why the first of these is. Raises BadCsv.

    A short row has nulls at its end. A longer one is left out, unless what is too much is empty.
    """
    rows = _Rows(text, options, content_type)
    names = list(options.header) or _header(next((row for row in rows if any(row) or len(row) > 1), []))
    used = [index for index, name in enumerate(names) if name]
    found, too_long, first = list[Record](), 0, ""
    for row in filter(any, rows):
        if len(row) > len(names) and any(row[len(names) :]):
            first = first or f"row at line {rows.line} has {len(row)} cells, and the header has {len(names)}"
            too_long += 1
            continue
        if (len(found) + 1) * len(used) > MAX_CELLS:
            raise BadCsv(f"it has more than {MAX_CELLS:,} cells; ask for less at once")
        row += [""] * (len(names) - len(row))
        found.append({names[index]: row[index].rstrip(" \t") or None for index in used})
    if len(names) == 1 and not options.header and not found and not too_long:
        raise BadCsv("it is one line without a delimiter")
    return found, too_long, first


def _header(row: Sequence[str]) -> list[str]:
    """The names in the first row, which HAProxy writes as a comment. Raises BadCsv."""
    names = [name.strip() for name in row]
    if not any(names):
        raise BadCsv("it has no header row")
    names[0] = names[0].lstrip("# ")
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        more = f" and {len(twice) - _SHOWN_NAMES} more" if len(twice) > _SHOWN_NAMES else ""
        shown = ", ".join(f"{name!r:.60}" for name in twice[:_SHOWN_NAMES])
        advice = "name the columns yourself: format: {csv: {header: [a, b, …], comment: …}}"
        raise BadCsv(f"its header row has {shown}{more} more than once; {advice}")
    return names


class _Rows:
    """The rows of a text. `line` is where the last one begins."""

    def __init__(self, text: str, options: CsvOptions, content_type: str) -> None:
        self._text, self._comment = text, options.comment
        self.line, self._is_inside = 0, False
        self._named = _EXCEL.match(text)
        named = self._named[1] if self._named else ""
        delimiter = options.delimiter or named or _delimiter(text, options, content_type)
        self._reader = csv.reader(self._lines(), delimiter=delimiter, strict=True, skipinitialspace=True)

    def _lines(self) -> Iterator[str]:
        """All lines but comments: a line inside of quotes is none."""
        for number, line in enumerate(io.StringIO(self._text, newline=""), start=1):
            if not self._is_inside:
                if (self._named and number == 1) or (self._comment and line.lstrip().startswith(self._comment)):
                    continue
                self.line, self._is_inside = number, True
            yield line

    def __iter__(self) -> Iterator[list[str]]:
        try:
            for row in self._reader:
                self._is_inside = False
                yield row
        except csv.Error as error:
            raise BadCsv(self._explained(str(error))) from None

    def _explained(self, detail: str) -> str:
        place = f"the row at line {self.line}"
        if "unexpected end of data" in detail:
            return f"{place} opens a quote that is never closed"
        if "expected after" in detail:
            return f"{place} has something behind a closing quote (a quote in quotes is written twice)"
        return f"{place}: {detail}"


def _delimiter(text: str, options: CsvOptions, content_type: str) -> str:
    """That of the first row: the one that the header has most of, or that makes as many cells as there are names. Where
    several do, a comma is the last to be taken."""
    if content_type.lower().startswith(_TAB_TYPE):
        return "\t"
    lines = (line.lstrip() for line in io.StringIO(text) if line.strip())
    first = next((line for line in lines if not (options.comment and line.startswith(options.comment))), "")
    first = _QUOTED.sub("", first)
    if options.header:
        return next((one for one in _SEPARATORS if first.count(one) == len(options.header) - 1), ",")
    return max(_SEPARATORS, key=first.count) if any(map(first.count, _SEPARATORS)) else ","
