"""A YAML file as the converters handle it: an ordered tree in which every scalar keeps its text and quoting, and the
user's comments stay beside what they speak of.

Aliases and merge keys are written out on the way in. What a converter drops leaves a comment in its place.
"""

from __future__ import annotations

import textwrap
from collections import deque
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import yaml

from lambda_remote_write.config import scalars
from lambda_remote_write.config.yaml_reader import ConfigError, Diagnostics, Problem, Section, compose, is_null, kind_of

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WIDTH = 100  # of a comment, wherever it will stand


@dataclass(slots=True)
class Scalar:
    """A single value. `style` is YAML's own: empty for plain, else ' " | or >. `raw` is the text before a collector's
    expansion, `variables` are the names in it that have no value yet."""

    text: str
    style: str = ""
    raw: str = ""
    variables: tuple[str, ...] = ()


@dataclass(slots=True)
class Entry:
    """A pair of a map, or with an empty `key` an item of a list. `path` and `line` say where the input has it."""

    key: str
    value: Value
    line: int = 0
    path: str = ""
    key_style: str = ""
    above: list[str] = field(default_factory=list)
    beside: str = ""

    @property
    def text(self) -> str:
        return self.value.text if isinstance(self.value, Scalar) else ""

    @property
    def map(self) -> Map:
        """The value; an empty map when it is none."""
        return self.value if isinstance(self.value, Map) else Map()

    @property
    def items(self) -> list[Entry]:
        """What a list holds; nothing when the value is none."""
        return self.value.pairs() if isinstance(self.value, List) else []


@dataclass(slots=True)
class Comment:
    """A comment of ours. `above` are the user's own comment lines, `below` more lines as they are."""

    text: str
    above: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Collection:
    """Entries and comments, in their order."""

    entries: list[Entry | Comment] = field(default_factory=list)
    flow: bool = False

    def pairs(self) -> list[Entry]:
        return [entry for entry in self.entries if isinstance(entry, Entry)]


class Map(_Collection):
    """Pairs of a key and a value."""

    def get(self, key: str) -> Entry | None:
        return next((pair for pair in self.pairs() if pair.key == key), None)

    def text(self, key: str) -> str:
        """The text of a single value; empty when the key is absent, null or no single value."""
        pair = self.get(key)
        return pair.text if pair and not is_empty(pair.value) else ""

    def map(self, key: str) -> Map:
        """The map at a key; an empty one when there is none."""
        pair = self.get(key)
        return pair.map if pair else Map()

    def maps(self, key: str) -> list[Map]:
        """The maps in the list at a key."""
        return [item.value for item in self.items(key) if isinstance(item.value, Map)]

    def items(self, key: str) -> list[Entry]:
        pair = self.get(key)
        return pair.items if pair else []

    def texts(self, key: str) -> list[str]:
        return [item.text for item in self.items(key)]

    def put(self, key: str, value: Value, like: Entry | None = None) -> Entry:
        """Appends a pair, with the place and comments of the input's entry that it comes from."""
        pair = Entry(key, value)
        if like:
            pair = Entry(key, value, like.line, like.path, above=like.above, beside=like.beside)
        self.entries.append(pair)
        return pair


class List(_Collection):
    """Items without keys."""


Value = Scalar | Map | List


def is_empty(value: Value) -> bool:
    """True for `key:` without a value."""
    return isinstance(value, Scalar) and not value.style and value.text in scalars.NULL


def scalar(text: str) -> Scalar:
    """A text of ours: quoted where YAML would read it as nothing."""
    return Scalar(text, "'" if text in scalars.NULL else "")


def listing(*values: Value, flow: bool = False) -> List:
    return List([Entry("", value) for value in values], flow)


def mapping(flow: bool = False, **pairs: str) -> Map:
    """A map of plain texts."""
    return Map([Entry(key, scalar(text)) for key, text in pairs.items()], flow)


def comment_lines(text: str) -> list[str]:
    """A text as lines of comment."""
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH, break_on_hyphens=False)]


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something of the input that the result does not have. `path` and `line` are the input's."""

    path: str
    line: int
    why: str


@dataclass(slots=True)
class DroppedKeys:
    """What a conversion has dropped so far, and what only a person can do."""

    entries: list[Dropped] = field(default_factory=list)
    to_do: list[Dropped] = field(default_factory=list)

    def note(self, entry: Entry, why: str, *, name: str = "") -> Comment:
        """Remembers the loss of an entry; the comment is for its place."""
        self.entries.append(Dropped(entry.path, entry.line, why))
        return Comment(f"dropped {name or entry.key or entry.path.rpartition('.')[2]}: {why}", above=entry.above)

    def drop(self, container: Map | List, entry: Entry, why: str, *, name: str = "") -> Comment:
        """Puts a comment in the place of an entry."""
        comment = self.note(entry, why, name=name)
        place = next(index for index, other in enumerate(container.entries) if other is entry)
        container.entries[place] = comment
        return comment

    def by_hand(self, entry: Entry, why: str) -> Comment:
        """Remembers that the result is of no use until a person has done something about this entry of the input."""
        self.to_do.append(Dropped(entry.path, entry.line, why))
        return Comment(f"TO DO: {why}")

    def change_by_hand(self, place: Entry, entry: Entry, why: str) -> None:
        """As `by_hand`, said above an entry of the result."""
        self.by_hand(entry, why)
        place.above = [*place.above, *comment_lines(f"TO DO: {why}")]

    def change(self, entry: Entry, why: str) -> None:
        """Says above an entry that stays why it is not as it was, unless an earlier conversion said it already."""
        self.entries.append(Dropped(entry.path, entry.line, why))
        detail = " ".join(line.lstrip("# ") for line in entry.above)
        if why not in detail:
            entry.above = [*entry.above, *comment_lines(why)]


# reading


def read(text: str, file: str) -> Map:
    """YAML text -> tree. Raises ConfigError, with lines, for what is no YAML map."""
    text = text.removeprefix("\ufeff")
    node = compose(text, file)
    if not isinstance(node, yaml.MappingNode):
        detail = "the file is empty" if is_null(node) else f"a map of keys is expected at the top, not {kind_of(node)}"
        raise ConfigError([Problem(file, 1, "", detail)])
    diagnostics = Diagnostics(file)
    reader = _Reader(text, diagnostics)
    top = reader.map(node, "", -1)
    if diagnostics.problems:
        raise ConfigError(diagnostics.problems)
    if rest := reader.comments.above(len(text) + 1):
        top.entries.append(Comment("", above=rest))
    return top


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of comment that stands alone; a blank line counts as one, with an empty text."""

    line: int
    column: int
    text: str


class _Comments:
    """The comments of a file that no entry has taken yet."""

    def __init__(self, text: str) -> None:
        self._own: deque[_Line] = deque()
        self._beside: dict[int, str] = {}
        end, line, column, after_dash = 0, 0, 0, False
        for token in yaml.scan(text, Loader=_Loader):  # between two tokens stand white space and comments only
            if token.start_mark.index > end:
                self._read_gap(text[end : token.start_mark.index], line, column, after_dash=after_dash)
            if token.end_mark.index >= end:
                end, line, column = token.end_mark.index, token.end_mark.line, token.end_mark.column
                after_dash = isinstance(token, yaml.BlockEntryToken)

    def _read_gap(self, gap: str, line: int, column: int, *, after_dash: bool) -> None:
        pieces = gap.split("\n")
        for offset, piece in enumerate(pieces):
            text = piece.strip()
            ends_line = offset == 0 and column > 0
            if text and ends_line and not after_dash:  # after a dash it speaks of the whole item, which is below
                self._beside[line] = text
            elif text or (not ends_line and offset < len(pieces) - 1):
                self._own.append(_Line(line + offset, len(piece) - len(piece.lstrip()), text))

    def above(self, line: int) -> list[str]:
        """Lines of comment that stand before this line."""
        return self._take(sum(1 for _ in takewhile(lambda one: one.line < line, self._own)))

    def at_end(self, line: int, column: int) -> list[str]:
        """Lines of comment that end a block: before this line and not left of the block's column."""
        found = takewhile(lambda one: one.line < line and (not one.text or one.column >= column), self._own)
        texts = [one.text for one in found]
        while texts and not texts[-1]:
            texts.pop()
        return self._take(len(texts))

    def _take(self, count: int) -> list[str]:
        """The next comments, with no two blank lines after one another."""
        texts = [self._own.popleft().text for _ in range(count)]
        return [text for index, text in enumerate(texts) if text or index == 0 or texts[index - 1]]

    def beside(self, first: int, last: int) -> str:
        """Comments at the end of these lines."""
        found = [self._beside.pop(line) for line in range(first, last + 1) if line in self._beside]
        return "  ".join(found)


class _Reader:
    """Nodes -> tree. `diagnostics` gets what is wrong with them."""

    def __init__(self, text: str, diagnostics: Diagnostics) -> None:
        self.comments, self._diagnostics = _Comments(text), diagnostics

    def map(self, node: yaml.MappingNode, path: str, column: int) -> Map:
        """`column` is that of the key, or of the list, that holds the map."""
        found = Map(flow=bool(node.flow_style))
        section = Section(node, path, self._diagnostics)
        for key, value in section.pairs():
            entry = Entry(key.value, Scalar(""), path=section.path_of(key.value), key_style=key.style or "")
            self._put(found, entry, key, value, key.start_mark.column)
        self._end(found, node, column)
        return found

    def _list(self, node: yaml.SequenceNode, path: str, column: int) -> List:
        found = List(flow=bool(node.flow_style))
        for index, item in enumerate(node.value):
            self._put(found, Entry("", Scalar(""), path=f"{path}[{index}]"), item, item, node.start_mark.column)
        self._end(found, node, column)
        return found

    def _put(self, found: Map | List, entry: Entry, place: yaml.Node, value: Any, column: int) -> None:
        line = place.start_mark.line
        entry.line, entry.above = line + 1, [] if found.flow else self.comments.above(line)
        entry.value = self._value(value, entry.path, column)
        entry.beside = "" if found.flow else self.comments.beside(line, _last_line(value, line))
        found.entries.append(entry)

    def _value(self, node: yaml.Node, path: str, column: int) -> Value:
        if isinstance(node, yaml.MappingNode):
            return self.map(node, path, column)
        if isinstance(node, yaml.SequenceNode):
            return self._list(node, path, column)
        assert isinstance(node, yaml.ScalarNode)  # noqa: S101 - there are three kinds of node
        return Scalar(node.value, node.style or "", raw=node.value)

    def _end(self, found: Map | List, node: yaml.CollectionNode, column: int) -> None:
        """The comments after the last entry of a block: those that stand at its column, or further in."""
        column = max(node.start_mark.column, column + 1)
        if not found.flow and (left := self.comments.at_end(node.end_mark.line, column)):
            found.entries.append(Comment("", above=left))


def _last_line(node: yaml.ScalarNode | yaml.CollectionNode, line: int) -> int:
    """The last line whose comments speak of this value: blocks have lines of their own."""
    is_block = node.style in ("|", ">") if isinstance(node, yaml.ScalarNode) else not node.flow_style
    return line if is_block else max(line, node.end_mark.line)
