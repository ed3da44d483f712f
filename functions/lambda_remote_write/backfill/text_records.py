"""OpenMetrics and Prometheus text with timestamps -> samples. A file may have any size: only the series of each
identity (name and labels as written) is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from ..exposition.go_float import go_float, go_floats
from ..exposition.labels import Unterminated, label_dict
from ..exposition.line_parser import Line, LineReader, ParseOptions
from ..exposition.openmetrics_parser import OpenMetricsReader
from ..exposition.page import BadPage, ScrapeCache
from ..exposition.text_parser import TextReader
from ..model.drop_reasons import DropReason
from ..model.reason_counts import ReasonCounts
from ..model.samples import RefusedSeries, Samples, Series
from .files import is_object
from .unquoted import detail_of

MAX_IDENTITIES = 200_000  # in memory; with more, all are forgotten and resolved again
_MAX_COMMENTS = 10_000
_MAX_SECONDS = 1e11
_JSON_INTEGERS = msgspec.json.Decoder(list[int]).decode
_ENDS = b"# EOF"

Resolved = Series | RefusedSeries | bool
"""What an identity resolves to: a series, a refusal, or False: dropped by relabelling."""
Resolve = Callable[[dict[str, str]], Resolved]


class TextFile:
    """Reads one file, block by block."""

    def __init__(
        self, resolve: Resolve, place: str, *, is_openmetrics: bool, family: Sequence[str] = (),
        untimed_ms: int | None = None,
    ) -> None:  # fmt: skip
        """`family` is the `state` at the end of an earlier reading; `untimed_ms` is the time of samples without a
        timestamp, None when each needs one. Messages about an object in S3 quote nothing."""
        self._resolve, self._place, self._is_openmetrics = resolve, place, is_openmetrics
        self._quotes = not is_object(place)
        self._untimed_ms = untimed_ms
        kind = _OpenMetrics if is_openmetrics else _Text
        self._parser = kind(ScrapeCache(), lambda labels: False, ParseOptions())
        self._known: dict[bytes, Resolved] = {}
        self._typed: set[bytes] = set()  # keys of `_known` that a TYPE line may change
        self._is_ended = False
        if family:
            self._parser.begin(family[0], family[1])
            self._is_ended = len(family) > 2

    @property
    def state(self) -> tuple[str, ...]:
        """What the following lines depend on: type and family of the last TYPE line, and whether # EOF was read."""
        return (*self._parser.type, "# EOF") if self._is_ended else self._parser.type

    def again(self, state: Sequence[str]) -> TextFile:
        """A new reader that continues where this one had `state`."""
        return TextFile(
            self._resolve, self._place, is_openmetrics=self._is_openmetrics, family=state, untimed_ms=self._untimed_ms
        )

    def forget(self) -> None:
        """Forgets all series."""
        self._known.clear()
        self._typed.clear()

    def read(self, content: bytes, first_line: int, skipped: ReasonCounts, dropped: ReasonCounts) -> Samples:
        """Whole lines, the first of which has number `first_line`, -> their samples. Each unreadable line is skipped
        and counted in `skipped`; samples dropped by relabelling or the receivers' limits are counted in `dropped`."""
        samples = Samples()
        content, rest = self._whole(content)
        at, line = 0, first_line
        while at < len(content):
            comment = at if content.startswith(b"#", at) else content.find(b"\n#", at) + 1
            until = comment if comment or content.startswith(b"#", at) else len(content)
            if at < until:
                line = self._lines(content[at:until], line, samples, skipped, dropped)
            at = until
            if at < len(content):
                at = content.index(b"\n", until) + 1
                self._comment(content[until : at - 1], line, skipped)
                line += 1
        if rest and self._is_ended:
            self._after_end(line, 1, skipped)
        elif rest:
            skipped.add(DropReason.BAD_LINE, f"{self._place}, line {line}: it has no line feed: it may be cut off")
        return samples

    def _whole(self, content: bytes) -> tuple[bytes, bytes]:
        """Whole lines, and a last line that may be cut off: in OpenMetrics only # EOF may lack its line feed
        (Prometheus model/textparse, openmetricslex.l)."""
        if content.endswith(b"\n"):
            return content, b""
        start = content.rfind(b"\n") + 1
        if not self._is_openmetrics or content[start:] == _ENDS:
            return content + b"\n", b""
        return content[:start], content[start:]

    def _after_end(self, line: int, count: int, skipped: ReasonCounts) -> None:
        """Nothing may follow # EOF, not even an empty line (openmetricsparse.go: "unexpected data")."""
        skipped.add(DropReason.AFTER_EOF, f"{self._place}, line {line}: lines after # EOF", count)

    def close(self, line: int) -> str:
        """What is wrong with the end of the file, "" if nothing is."""
        if self._is_openmetrics and not self._is_ended:
            return f"{self._place}, line {line}: it does not end with # EOF: it may be cut off"
        return ""

    def _comment(self, line: bytes, number: int, skipped: ReasonCounts) -> None:
        if self._is_ended:
            self._after_end(number, 1, skipped)
            return
        if self._is_openmetrics and line == _ENDS:
            self._is_ended = True
            return
        before = self._parser.type
        try:
            self._parser.comment(line if self._is_openmetrics else line.rstrip(b"\r"))
        except (BadPage, UnicodeDecodeError) as error:
            detail = str(error) if self._quotes else "a comment that the format does not allow"
            skipped.add(DropReason.BAD_LINE, f"{self._place}, line {number}: {detail}")
        if self._parser.type != before:  # the type decides how le and quantile are written
            for identity in self._typed:
                self._known.pop(identity, None)
            self._typed.clear()

    def _lines(self, content: bytes, line: int, samples: Samples, skipped: ReasonCounts, dropped: ReasonCounts) -> int:
        """Lines without comments. Returns the number of the next line."""
        count = content.count(b"\n")
        if self._is_ended:
            self._after_end(line, count, skipped)
        elif not content.strip(b"\n"):
            if self._is_openmetrics:
                skipped.add(DropReason.BAD_LINE, f"{self._place}, line {line}: it is empty", count)
        elif not self._take_all(content, count, samples, dropped):
            self._take_each(content, line, samples, skipped, dropped)
        return line + count

    def _take_all(self, content: bytes, count: int, samples: Samples, dropped: ReasonCounts) -> bool:
        """The fast path: lines of the form `identity value timestamp` without another space, all at once. False, with
        nothing taken, when a line has another form."""
        words = content.replace(b"\n", b" ").split(b" ")
        if len(words) != 3 * count + 1:
            return False
        identities, values, stamps = words[:-1:3], go_floats(words[1::3]), self._milliseconds(words[2::3])
        if values is None or stamps is None:
            return False
        found = list(map(self._known.get, identities))
        if None in found:
            try:
                unknown = [one for one in set(identities) if one not in self._known]
                new = {one: self._entry(self._parser.parsed(one + b" 1")) for one in unknown}
            except (BadPage, Unterminated, UnicodeDecodeError):
                return False
            found = [new[one] if known is None else known for one, known in zip(identities, found, strict=True)]
        if not {Series}.issuperset(map(type, found)):
            kept = [index for index, one in enumerate(found) if self._is_kept(one, dropped)]
            found = [found[index] for index in kept]
            values, stamps = [values[index] for index in kept], [stamps[index] for index in kept]
        samples.series += found  # type: ignore[arg-type]
        samples.values += values
        samples.timestamps_ms += stamps
        return True

    def _milliseconds(self, words: Sequence[bytes]) -> list[int] | None:
        """The timestamps; None when one of them needs the slow path."""
        if self._is_openmetrics:
            seconds = go_floats(words)
            if not seconds or min(seconds) <= -_MAX_SECONDS or max(seconds) >= _MAX_SECONDS:
                return None
            try:
                return [int(one * 1000) for one in seconds]
            except ValueError:  # NaN is neither small nor large
                return None
        try:
            stamps = _JSON_INTEGERS(b"[%b]" % b",".join(words))
        except msgspec.MsgspecError:
            return None
        return stamps if stamps and min(stamps) >= 0 and max(stamps) < 2**63 else None

    def _entry(self, line: Line) -> Resolved:
        """Raises BadPage."""
        entry = self._known.get(line.identity)
        if entry is None:
            if len(self._known) >= MAX_IDENTITIES:
                self.forget()
            entry = self._known[line.identity] = self._resolve(self._parser.labels(line))
            if b'le="' in line.identity or b"quant" in line.identity:
                self._typed.add(line.identity)
        return entry

    def _take_each(
        self, content: bytes, first: int, samples: Samples, skipped: ReasonCounts, dropped: ReasonCounts
    ) -> None:
        lines = content[:-1].split(b"\n")
        if self._is_openmetrics and b"" in lines:
            detail = f"{self._place}, line {first + lines.index(b'')}: it is empty"
            skipped.add(DropReason.BAD_LINE, detail, lines.count(b""))
        for number, text in enumerate(lines, first):
            if not self._is_openmetrics:
                text = text.strip()
                if text.startswith(b"#"):
                    self._comment(text, number, skipped)
                    continue
            if text:
                self._take(text, number, samples, skipped, dropped)

    def _take(self, text: bytes, number: int, samples: Samples, skipped: ReasonCounts, dropped: ReasonCounts) -> None:
        """The line of one sample. `unquoted` is the message of each step for files that are not quoted."""
        where, unquoted = f"{self._place}, line {number}", "it is not a sample of the format"
        try:
            line = self._parser.parsed(text)
            unquoted = "its labels are not allowed"
            entry = self._entry(line)
            unquoted = "its value is not a number"
            value = _value(line.value)
            unquoted = "its timestamp is not one of the format"
            if not line.timestamp and self._untimed_ms is None:
                skipped.add(DropReason.TIMESTAMP_MISSING, f"{where}: no timestamp, and a backfill needs one")
            elif isinstance(entry, Series):
                stamp = self._parser.milliseconds(line.timestamp) if line.timestamp else self._untimed_ms
                samples.add(entry, value, stamp or 0)
            else:
                self._is_kept(entry, dropped)
        except (BadPage, Unterminated) as error:
            detail = getattr(error, "message", "") or "a quoted text does not end in its line"
            quoted = f"{detail}: {text[:100].decode('utf-8', 'replace')!r}"
            skipped.add(DropReason.BAD_LINE, f"{where}: {quoted if self._quotes else unquoted}")
        except UnicodeDecodeError:
            skipped.add(DropReason.BAD_LINE, f"{where}: not UTF-8")

    def _is_kept(self, entry: Resolved | None, dropped: ReasonCounts) -> bool:
        if isinstance(entry, Series):
            return True
        drop(entry, dropped, place=self._place)
        return False


def drop(entry: RefusedSeries | bool | None, dropped: ReasonCounts, count: int = 1, place: str = "") -> None:
    """Counts samples of an identity that has no series. `place` is the file that it is from."""
    if isinstance(entry, RefusedSeries):
        dropped.add(entry.reason, detail_of(place, entry.reason, entry.message), count)
    else:
        dropped.add(DropReason.METRIC_RELABEL, "dropped by metric_relabel_configs", count)


def _value(text: bytes) -> float:
    try:
        return go_float(text)
    except ValueError as error:
        raise BadPage(str(error)) from None


class _Parsing(LineReader):
    """The parts of a page's reader that reading a file needs."""

    @property
    def type(self) -> tuple[str, str]:
        return self._type, self._family

    def begin(self, type_name: str, family: str) -> None:
        self._type, self._family = type_name, family

    def comment(self, line: bytes) -> None:
        """Raises BadPage."""
        if not self._comment(line):
            raise BadPage("neither a comment nor a sample")
        if len(self._cache.comments) > _MAX_COMMENTS:
            self._cache.forget_comments()

    def labels(self, line: Line) -> dict[str, str]:
        """Raises BadPage."""
        return label_dict(list(map(self._normalised, line.labels)))

    def parsed(self, line: bytes) -> Line:
        """Raises BadPage and Unterminated."""
        return self._parse(line)

    def milliseconds(self, text: bytes) -> int:
        """Raises BadPage."""
        return self._timestamp_ms(text)


class _OpenMetrics(_Parsing, OpenMetricsReader):
    pass


class _Text(_Parsing, TextReader):
    pass
