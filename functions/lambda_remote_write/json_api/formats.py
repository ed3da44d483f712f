"""Bodies that are not plain JSON in UTF-8 -> documents: other charsets, prefixes, NDJSON, CSV, XML and text."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..config.schema import BodyFormat
from ..config.shown_json import shown
from ..http.body_kind import advice, beginning, charset_advice, described, in_yaml, is_markup, json_behind
from ..model.drop_reasons import DropReason
from ..model.reason_counts import ReasonCounts
from .charset import NotText, in_utf8
from .decode import ExactFloat, NotJson, format_of, mistake, parse

_JSON_START = re.compile(rb"\s*[\[{]")
_GERRIT = ")]}'"  # Angular writes a comma behind it
_RECORD_SEPARATOR = b"\x1e"  # of JSON text sequences (RFC 7464)
_INEXACT_LINES, _EXACT_LINES = msgspec.json.Decoder(), msgspec.json.Decoder(float_hook=ExactFloat)


def read(
    content: bytes | bytearray, content_type: str, body_format: BodyFormat, skipped: ReasonCounts, *, exact: bool
) -> Any:
    """The document in a body. Adds lines and rows that cannot be read to `skipped`. Raises NotJson."""
    try:
        text = in_utf8(content, content_type, body_format)
    except NotText as error:
        advised = charset_advice(content, content_type)
        raise NotJson(f"{error}; {described(content, content_type)}{advised}") from None
    body = _Text(text, content_type, body_format, skipped, exact)
    if body_format.strip_prefix:
        body.strip_prefix()
    body.format = body_format.format or body.implied_format()
    match body.format:
        case "ndjson":
            return body.lines()
        case "csv":
            return body.rows()
        case "xml":
            return body.elements()
        case "text":
            return body.whole()
    return body.json()


@dataclass(slots=True)
class _Text:
    """A body in UTF-8, and how it is to be read."""

    content: bytes = field(repr=False)
    content_type: str
    body_format: BodyFormat
    skipped: ReasonCounts = field(default_factory=ReasonCounts)
    exact: bool = False
    format: str = ""

    def wrong(self, detail: str) -> NotJson:
        """The error that says what is wrong, what the body is, and which other key reads it."""
        key, prefix = advice(self.content, self.content_type), self.body_format.strip_prefix.strip()
        has_it = key.endswith((f"format: {self.format}", f"strip_prefix: {in_yaml(prefix)}"))
        advised = "" if has_it else key
        return NotJson(f"{detail}; {described(self.content, self.content_type)}{advised}")

    @property
    def begins_as_json(self) -> bool:
        return _JSON_START.match(self.content) is not None

    def strip_prefix(self) -> None:
        """Removes what stands before the document, and what closes it. A body that begins as JSON has no prefix."""
        prefix, content = self.body_format.strip_prefix.strip(), self.content.lstrip()
        if not content.startswith(prefix.encode()):
            if self.begins_as_json:
                return
            raise self.wrong(f"the body does not begin with strip_prefix {prefix!r:.60}")
        content = content[len(prefix.encode()) :]
        if prefix == _GERRIT:
            content = content.removeprefix(b",")
        if prefix.startswith("/*") and "*/" not in prefix:
            content = content.rstrip().removesuffix(b"*/")
        if prefix.endswith(("(", "=")):
            content = content.rstrip().removesuffix(b";").rstrip()
        if prefix.endswith("("):
            if not content.endswith(b")"):
                raise self.wrong(f"the body does not end with the ) of strip_prefix {prefix!r:.60}: it may be cut off")
            content = content[:-1]
        self.content = content

    def implied_format(self) -> str:
        """What the Content-Type says; a body that begins as JSON is JSON, but for lines of it. A plain text that is
        JSON as a whole, as a number, is that."""
        found = format_of(self.content_type)
        if found == "ndjson":
            return found
        if self.begins_as_json:
            return "json"
        if found == "text" and (is_markup(self.content) or json_behind(self.content) or self._is_json()):
            return "json"
        return found

    def _is_json(self) -> bool:
        with suppress(ValueError, RecursionError):
            parse(self.content)
            return True
        return False

    def json(self) -> Any:
        try:
            return parse(self.content, exact=self.exact)
        except (ValueError, RecursionError) as error:
            raise self.wrong(mistake(error, self.content)) from None

    def lines(self) -> Any:
        """The documents of NDJSON, or of JSON text sequences; a line that is not JSON is skipped. Documents that go
        over several lines are read too, but the only one of its body is plain JSON."""
        with suppress(msgspec.DecodeError, ValueError, RecursionError):
            documents = (_EXACT_LINES if self.exact else _INEXACT_LINES).decode_lines(self.content)
            is_one = len(documents) == 1 and b"\n" in self.content.strip()
            if not is_one or (self.body_format.format and not isinstance(documents[0], list)):
                return documents
        if self._is_json():
            if self.body_format.format:
                raise self.wrong("the body is not NDJSON, but one JSON document: write format: json")
            return self.json()
        found, bad, first = self._line_by_line()
        if bad and not found:
            raise self.wrong(f"the body is not NDJSON: {first}")
        if bad:
            self.skipped.add(DropReason.NOT_JSON, first, bad)
        return found

    def _line_by_line(self) -> tuple[list[Any], int, str]:
        """The documents, how many others are none, and why the first of these is none."""
        is_sequence = self.content.lstrip().startswith(_RECORD_SEPARATOR)
        lines = self.content.split(_RECORD_SEPARATOR if is_sequence else b"\n")
        found, bad, first = [], 0, ""
        for number, line in enumerate(lines, 0 if is_sequence else 1):
            if not line.strip():
                continue
            try:
                found.append(parse(line, exact=self.exact))
            except (ValueError, RecursionError) as error:
                if not bad:
                    why = mistake(error, line).removeprefix("the body is ").replace(", line 1 column", ", column")
                    first = f"{'text' if is_sequence else 'line'} {number} is {why}; it begins {beginning(line)}"
                bad += 1
        return found, bad, first

    def rows(self) -> list[dict[str, str | None]]:
        """The records of CSV; a row with too many cells is skipped."""
        from .csv_records import BadCsv, records

        self._refuse_json("CSV")
        if is_markup(self.content):
            raise self.wrong("the body is not CSV")
        try:
            found, too_long, first = records(self.content.decode(), self.body_format.csv, self.content_type)
        except BadCsv as error:
            raise self.wrong(f"the body is not CSV: {error}") from None
        if too_long and not found:
            raise self.wrong(f"every row of the CSV has too many cells: {first}")
        if too_long:
            self.skipped.add(DropReason.ROW_LENGTH, first, too_long)
        return found

    def elements(self) -> dict[str, Any]:
        """The document of XML."""
        from .xml_document import BadXml, document

        self._refuse_json("XML")
        try:
            found = document(self.content)
        except BadXml as error:
            raise self.wrong(f"the body is not usable XML: {error}") from None
        if next(iter(found)).lower() == "html":
            raise self.wrong("the body is not a document")
        return found

    def _refuse_json(self, name: str) -> None:
        if self.begins_as_json and self._is_json():
            raise self.wrong(f"the body is not {name}, but JSON: write format: json, or leave format out")

    def whole(self) -> str:
        """The text without the white space around it."""
        text = self.content.decode().strip()
        if not text:
            raise self.wrong(f"there is no text: the body is {shown(self.content.decode())}")
        return text
