"""OpenMetrics text, 1.0.0 and 0.0.1: strict about every space, timestamps in seconds, ended by `# EOF`.

Grammar: Prometheus model/textparse, openmetricslex.l and openmetricsparse.go.
"""

from __future__ import annotations

import contextlib
import math
import re

from ..model.samples import Series
from .go_float import go_float
from .labels import LabelSyntax, Unterminated, unescaped
from .line_parser import Line, LineReader, fast_identity
from .page import BadPage, MetadataLine, Page

_META = re.compile(rb"# (HELP|TYPE|UNIT) ")
_META_NAME = re.compile(rb'[a-zA-Z_:][a-zA-Z0-9_:]*|"([^"\\\n\0]*+(?:\\[^\n\0][^"\\\n\0]*+)*+)"')
_TYPES = ("counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown")
_FAST_PATH = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="[^"\\\n\0]*+(?:\\[^\n\0][^"\\\n\0]*+)*+"(?:,|(?=\})))*)\})?'
    r" ([^ \n\0]+)"
)
_QUOTED = r'[^"\\\n\0]*+(?:\\[^\n\0][^"\\\n\0]*+)*+'
_REST = re.compile(r" ([^ \n\0]+)")
_END = re.compile(r"(?: (?!# \{)([^ \n\0]+))?(?: # \{(.*))?", re.DOTALL)
# Prometheus keeps the sample, and finds the mistake when it looks for the next one.
_CUT = re.compile(r"\0| [\0 ]| # (?!\{)| \Z")
_EXEMPLAR_PAIR = re.compile(rf'(?:([a-zA-Z_][a-zA-Z0-9_]*)|"({_QUOTED})")="({_QUOTED})"')
_EXEMPLAR_END = re.compile(r" ([^ \n\0]+)(?: ([^ \n\0]+))?")
_SYNTAX = LabelSyntax("", commas=True, newlines=False)
_BEGIN = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum", "")}
_ALSO_IN_A_GROUP = ("le", "quantile", "__name__")


class OpenMetricsReader(LineReader):
    """Reads one page."""

    _has_start_times = True

    def close(self) -> Page:
        rest = b"".join(self._rest)
        if rest and self._ended:
            self._after_end(self._line + 1)
        if rest and rest != b"# EOF":
            if self._is_cut(rest):
                self._read(rest + b"\n")
            raise BadPage("the page ends within a line, without # EOF", self._line + 1)
        if rest:
            self._read(rest + b"\n")
        if not self._ended:
            raise BadPage("the page does not end with # EOF: it may be cut off", self._line)
        if self._parse_options.starts and self._cache.created:
            self._find_starts()
        self._keep_this_page()
        return self.page

    def _is_cut(self, line: bytes) -> bool:
        """Whether it is a sample with a mistake behind it, which counts as scraped."""
        with contextlib.suppress(BadPage, Unterminated, UnicodeDecodeError):
            return bool(self._parse(line).mistake)
        return False

    def _read(self, data: bytes) -> None:
        """`# EOF` is not recorded among the page's lines."""
        before = data.removesuffix(b"# EOF\n")
        if before == data or (before and not before.endswith(b"\n")):
            super()._read(data)
            return
        if before:
            super()._read(before)
        if self._ended:
            self._after_end(self._line + 1)
        self._ended = True
        self._line += 1

    def _after_end(self, line: int) -> None:
        raise BadPage("a line after # EOF", line)

    def _comment(self, line: bytes) -> bool:
        if line == b"# EOF":
            self._ended = True
            return True
        if not line.startswith(b"#"):
            return False
        meta = _META.match(line)
        if meta is None:
            raise BadPage("a comment begins with # HELP, # TYPE or # UNIT")
        self._metadata(line, meta[1].decode(), meta.end())
        return True

    def _metadata(self, line: bytes, kind: str, at: int) -> None:
        name = _META_NAME.match(line, at)
        if name is None:
            raise BadPage(f"a metric name is expected after {kind}")
        rest = line[name.end() :]
        if not rest.startswith(b" "):
            raise BadPage(f"a space and a text are expected after the name in {kind}")
        metric, text = (name[1] if name[1] is not None else name[0]).decode("utf-8", "replace"), rest[1:].decode()
        if kind == "TYPE" and text not in _TYPES:
            raise BadPage(f"{text!r} is not a metric type; allowed are {', '.join(_TYPES)}")
        if kind == "UNIT" and text and not metric.endswith(f"_{text}"):
            raise BadPage(f"the unit {text!r} is not the end of the metric name {metric}")
        self._set_metadata(line, MetadataLine(kind.lower(), metric, unescaped(text) if kind == "HELP" else text))

    def _parse(self, line: bytes) -> Line:
        text = line.decode()
        fast = _FAST_PATH.match(text)
        if fast:
            identity, pairs = fast_identity(fast)
            value, at = fast[3], fast.end()
        else:
            pairs, end_of_identity = _SYNTAX.identity(text)
            rest = _REST.match(text, end_of_identity)
            if rest is None:
                raise BadPage("one space and a value are expected after the series")
            identity, value, at = text[:end_of_identity].encode(), rest[1], rest.end()
        end = _END.fullmatch(text, at)
        if end is None and _CUT.match(text, at):
            mistake = "nothing, or a timestamp in seconds and an exemplar, is expected after the value and one space"
            return Line(identity, pairs, value.encode(), mistake=mistake)
        if end is None:
            raise BadPage("at most a timestamp in seconds and an exemplar are expected after the value")
        exemplar = _exemplar(end[2]) if end[2] is not None else None
        return Line(identity, pairs, value.encode(), (end[1] or "").encode(), exemplar)

    def _timestamp_ms(self, text: bytes) -> int:
        try:
            seconds = go_float(text)
        except ValueError as error:
            raise BadPage(f"timestamp: {error}") from None
        if not math.isfinite(seconds):
            raise BadPage(f"{text.decode()} is not a timestamp in seconds")
        return int(seconds * 1000)

    # start timestamps

    def _tie(self, series: Series, labels: dict[str, str]) -> None:
        endings = _BEGIN.get(self._type)
        if endings is None:
            return
        name = labels["__name__"]
        rest = sorted(f"{label}\0{value}" for label, value in labels.items() if label not in _ALSO_IN_A_GROUP)
        if name.endswith("_created"):
            self._cache.created[(name.removesuffix("_created"), *rest)] = series
        for ending in endings:
            if name.endswith(ending):
                self._cache.groups[series] = (name.removesuffix(ending), *rest)
                return

    def _find_starts(self) -> None:
        """`_created` is in seconds, before or after the lines of its group."""
        page, cache = self.page, self._cache
        seconds = dict(zip(page.series, page.values, strict=True))
        starts = {key: seconds.get(series) for key, series in cache.created.items()}
        for series, key in cache.groups.items():
            start = starts.get(key)
            if isinstance(start, float) and math.isfinite(start):
                page.starts_ms[series] = int(start * 1000)


def _exemplar(text: str) -> tuple[tuple[tuple[str, str], ...], bytes, bytes]:
    """From after `# {` -> labels, value, timestamp. As in Prometheus, escapes in its labels stay."""
    at, pairs = 0, []
    while not text.startswith("}", at):
        pair = _EXEMPLAR_PAIR.match(text, at)
        if pair is None:
            raise BadPage('the exemplar\'s labels are not name="value", …')
        pairs.append((pair[1] or pair[2], pair[3]))
        at = pair.end()
        if text.startswith(",", at):
            at += 1
        elif not text.startswith("}", at):
            raise BadPage("a comma or } is expected after an exemplar's label")
    end = _EXEMPLAR_END.fullmatch(text, at + 1)
    if end is None:
        raise BadPage("a value and at most a timestamp in seconds are expected after the exemplar's labels")
    return tuple(sorted(pairs)), end[1].encode(), (end[2] or "").encode()
