"""Reads `format`, `strip_prefix` and `charset`: how the body of an answer becomes a document."""

from __future__ import annotations

from . import scalars
from .charset import codec_of
from .schema import BodyFormat, CsvOptions
from .yaml_reader import Section

_FORMATS = ("json", "ndjson", "csv", "xml", "text")


def read(section: Section) -> BodyFormat:
    is_map = section.is_map("format")
    return BodyFormat(
        "csv" if is_map else section.choice("format", _FORMATS, ""),
        _csv(section.map("format")) if is_map else CsvOptions(),
        section.read("strip_prefix", _not_blank, ""),
        section.read("charset", codec_of, ""),
    )


def _csv(block: Section) -> CsvOptions:
    """`{csv: {header, delimiter, comment}}`."""
    options = block.map("csv")
    if not block.has("csv") and not block.pairs():
        block.problem("csv", "is required: csv alone has options, as format: {csv: {delimiter: ';'}}")
    block.close()
    found = CsvOptions(
        _header(options), options.read("delimiter", _delimiter, ""), options.read("comment", _not_blank, "")
    )
    options.close()
    return found


def _header(options: Section) -> tuple[str, ...]:
    if not options.is_list("header"):
        options.read("header", _first_row)
        return ()
    names = options.read_list("header", _not_blank)
    if not names and not options.is_wrong("header"):
        options.problem("header", "a list of names holds at least one")
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        options.problem("header", f"{name!r:.60} stands twice: each column has a name of its own")
    return tuple(names)


def _first_row(text: str) -> None:
    """`true`, the default."""
    try:
        if scalars.boolean(text):
            return
    except ValueError:
        pass
    raise ValueError("true is expected, or where no row has them the names of the columns: header: [time, value]")


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("a text is expected")
    return text


def _delimiter(text: str) -> str:
    if len(text) != 1 or text in '"\r\n':
        raise ValueError('one character is expected, as ";", or "\\t" in double quotes for a tab')
    return text
