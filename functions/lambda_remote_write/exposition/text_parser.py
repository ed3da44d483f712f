"""The Prometheus text format, 0.0.4 and 1.0.0.

Grammar: Prometheus model/textparse, promlex.l and promparse.go. A page may have empty lines and free comments, white
space between the parts of a line, and line breaks within quoted values. A NUL byte ends it.
"""

from __future__ import annotations

import re

from .labels import LabelSyntax
from .line_parser import Line, LineReader, fast_identity
from .page import BadPage, MetadataLine, Page

_COMMENT = re.compile(rb"[ \t]*(?:#|\Z|\0)")
_ENDING = re.compile(rb"[ \t]*(?:\0|#[ \t]+\0|#[^ \t\0][^\0]*\0|#\0)")  # Prometheus's lexer ends here
_META = re.compile(rb"[ \t]*#[ \t]+(HELP|TYPE)[ \t]+")
_META_NAME = re.compile(rb'[a-zA-Z_:][a-zA-Z0-9_:]*|"([^"\\\0]*+(?:\\[^\n\0][^"\\\0]*+)*+)"')
_TYPES = ("counter", "gauge", "histogram", "summary", "untyped")
_HELP_ESCAPED = re.compile(r"\\([\\n])")

# Nearly every line; `_SYNTAX` parses the others step by step.
_FAST_PATH = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="[^"\\\0]*+(?:\\[^\n\0][^"\\\0]*+)*+",?)*)\})?'
    r" ([^{ \t\n\0]+)(?: ([0-9]+))?"
)
_REST = re.compile(r"[ \t]*([^{ \t\n\0]+)[ \t]*([0-9]*)[ \t]*")
_SYNTAX = LabelSyntax(r"[ \t]*", commas=False, newlines=True)
_MAX_MS = 2**63 - 1


class TextReader(LineReader):
    """Reads one page."""

    _continues = True

    def close(self) -> Page:
        rest = b"".join(self._rest)
        if rest and not self._ended:
            self._rest = []
            self._read(rest + b"\n")
            if self._rest:
                raise BadPage("a quoted text does not end", self._line + 1)
        self._keep_this_page()
        return self.page

    def _after_end(self, line: int) -> None:
        """Prometheus does not read what follows a NUL byte."""

    def _comment(self, line: bytes) -> bool:
        if not _COMMENT.match(line):
            return False
        meta = _META.match(line)
        if meta:
            self._metadata(line, meta)
        elif _ENDING.match(line):
            self._ended = True
        else:
            self._cache.comments[line] = MetadataLine()
        return True

    def _metadata(self, line: bytes, meta: re.Match[bytes]) -> None:
        kind = meta[1].decode()
        name = _META_NAME.match(line, meta.end())
        if name is None:
            raise BadPage(f"a metric name is expected after {kind}")
        text = line[name.end() :]
        if text.startswith(b"\0"):
            raise BadPage(f"a text is expected after the name in {kind}, not a NUL byte")
        text = text[1:] if text.strip(b" \t\0") else b""
        metric = (name[1] if name[1] is not None else name[0]).decode("utf-8", "replace")
        if kind == "HELP":
            help_text = _HELP_ESCAPED.sub(lambda match: "\n" if match[1] == "n" else "\\", text.decode())
            self._set_metadata(line, MetadataLine("help", metric, help_text))
        elif (word := text.decode("utf-8", "replace")) in _TYPES:
            self._set_metadata(line, MetadataLine("type", metric, "unknown" if word == "untyped" else word))
        else:
            raise BadPage(f"{word!r} is not a metric type; allowed are {', '.join(_TYPES)}")

    def _parse(self, line: bytes) -> Line:
        text = line.decode()
        fast = _FAST_PATH.fullmatch(text)
        if fast:
            identity, pairs = fast_identity(fast)
            return Line(identity, pairs, fast[3].encode(), (fast[4] or "").encode())
        pairs, at = _SYNTAX.identity(text)
        rest = _REST.fullmatch(text, at)
        if rest is None:
            raise BadPage("a value and at most a timestamp in whole milliseconds are expected after the series")
        return Line(text[:at].encode(), pairs, rest[1].encode(), rest[2].encode())

    def _timestamp_ms(self, text: bytes) -> int:
        if not text.isdigit() or len(text) > 19 or int(text) > _MAX_MS:
            raise BadPage(f"{text[:40].decode('utf-8', 'replace')!r} is not a timestamp in whole milliseconds")
        return int(text)
