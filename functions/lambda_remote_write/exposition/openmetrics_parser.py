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
from .line_parser import Line, LineReader
from .page import BadPage, MetadataLine, Page

_META = re.compile(rb"# (HELP|TYPE|UNIT) ")
_META_NAME = re.compile(rb'[a-zA-Z_:][a-zA-Z0-9_:]*|"([^"\\\n\0]*+(?:\\[^\n\0][^"\\\n\0]*+)*+)"')
_TYPES = ("counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_FAST_PATH = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="[^"\\\n\0]*+(?:\\[^\n\0][^"\\\n\0]*+)*+"(?:,|(?=\})))*)\})?'
    r" ([^ \n\0]+)"
)
_QUOTED = r'[^"\\\n\0]*+(?:\\[^\n\0][^"\\\n\0]*+)*+'
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\\n\0]*+(?:\\[^\n\0][^"\\\n\0]*+)*+)"')
_REST = re.compile(r" ([^ \n\0]+)")
_END = re.compile(r"(?: (?!# \{)([^ \n\0]+))?(?: # \{(.*))?", re.DOTALL)
# Prometheus takes the sample, and finds this when it looks for the next one.
_CUT = re.compile(r"\0| [\0 ]| # (?!\{)| \Z")
_EXEMPLAR_PAIR = re.compile(rf'(?:([a-zA-Z_][a-zA-Z0-9_]*)|"({_QUOTED})")="({_QUOTED})"')
_EXEMPLAR_END = re.compile(r" ([^ \n\0]+)(?: ([^ \n\0]+))?")
_SYNTAX = LabelSyntax("", commas=True, newlines=False)
_BEGIN = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum", "")}
_ALSO_IN_A_GROUP = ("le", "quantile", "__name__")


class OpenMetricsReader(LineReader):
    """Reads one page."""

    _tells_starts = True

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
        """Whether it is a sample that counts, with a mistake behind it."""
        with contextlib.suppress(BadPage, Unterminated, UnicodeDecodeError):
            return bool(self._parse(line).mistake)
        return False

    def _read(self, data: bytes) -> None:
        """The last line says that it is the last, and is not one of the layout."""
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
        text = line[name.end() :]
        if not text.startswith(b" "):
            raise BadPage(f"a space and a text are expected after the name in {kind}")
        metric, said = (name[1] if name[1] is not None else name[0]).decode("utf-8", "replace"), text[1:].decode()
        if kind == "TYPE" and said not in _TYPES:
            raise BadPage(f"{said!r} is no type of metric; allowed are {', '.join(_TYPES)}")
        if kind == "UNIT" and said and not metric.endswith(f"_{said}"):
            raise BadPage(f"the unit {said!r} is not the end of the metric name {metric}")
        self._set_metadata(line, MetadataLine(kind.lower(), metric, unescaped(said) if kind == "HELP" else said))

    def _parse(self, line: bytes) -> Line:
        text = line.decode()
        usual = _FAST_PATH.match(text)
        if usual is None:
            identity, pairs, value, at = self._parse_slow_path(text)
        else:
            pairs = [("__name__", usual[1]), *(_PAIR.findall(usual[2]) if usual[2] else ())]
            if usual[2] and "\\" in usual[2]:
                pairs = [(label, unescaped(quoted)) for label, quoted in pairs]
            identity, value, at = text[: usual.start(3) - 1], usual[3], usual.end()
        end = _END.fullmatch(text, at)
        if end is None and _CUT.match(text, at):
            said = "nothing, or a timestamp in seconds and an exemplar, is expected after the value and one space"
            return Line(identity.encode(), pairs, value.encode(), mistake=said)
        if end is None:
            raise BadPage("at most a timestamp in seconds and an exemplar are expected after the value")
        exemplar = _exemplar(end[2]) if end[2] is not None else None
        return Line(identity.encode(), pairs, value.encode(), (end[1] or "").encode(), exemplar)

    def _parse_slow_path(self, text: str) -> tuple[str, list[tuple[str, str]], str, int]:
        name = _NAME.match(text)
        metric, at = (name[0], name.end()) if name else (None, 0)
        pairs: list[tuple[str, str]] = []
        if text.startswith("{", at):
            pairs, metric, at = _SYNTAX.read(text, at + 1, metric)
        if metric is None:
            raise BadPage("a line begins with a metric name, or with { and a quoted one")
        value = _REST.match(text, at)
        if value is None:
            raise BadPage("one space and a value are expected after the series")
        return text[:at], [("__name__", metric), *pairs], value[1], value.end()

    def _timestamp_ms(self, text: bytes) -> int:
        try:
            seconds = go_float(text)
        except ValueError as error:
            raise BadPage(f"timestamp: {error}") from None
        if not math.isfinite(seconds):
            raise BadPage(f"{text.decode()} is no timestamp in seconds")
        return int(seconds * 1000)

    # when a series began

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
        """`_created` is in seconds, and may stand before or after the lines of its group."""
        page, cache = self.page, self._cache
        seconds = dict(zip(page.series, page.values, strict=True))
        starts = {key: seconds.get(series) for key, series in cache.created.items()}
        for series, key in cache.groups.items():
            start = starts.get(key)
            if isinstance(start, float) and math.isfinite(start):
                page.starts_ms[series] = int(start * 1000)


def _exemplar(text: str) -> tuple[tuple[tuple[str, str], ...], bytes, bytes]:
    """From after `# {` -> labels, value, timestamp. Escapes in its labels are not undone, as in Prometheus."""
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
